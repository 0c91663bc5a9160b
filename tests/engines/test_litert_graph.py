"""A Keras network as steps: which of them become part of the one before."""

import pytest

from tests.networks import keras
from tlkit.engines.litert_graph import GraphWriter, UnsupportedLayerError, name_activation


def steps_of(*outputs):
    """The writer of a network, and its steps by the names of their layers."""
    writer = GraphWriter(outputs)
    return writer, {step.layer.name: step for step in writer._steps}


def chain():
    source = keras.Input((8, 8, 3))
    conv = keras.layers.Conv2D(4, 3, name="conv")(source)
    norm = keras.layers.BatchNormalization(name="norm")(conv)
    return conv, norm, keras.layers.ReLU(6.0, name="relu")(norm)


def test_next_step_is_the_only_one_that_needs_the_output():
    conv, norm, active = chain()
    writer, steps = steps_of(active)
    assert writer.next_step(steps["conv"], "BatchNormalization") is steps["norm"]
    assert writer.next_step(steps["conv"], "ReLU") is None
    assert writer.next_step(steps["relu"], "ReLU") is None
    both = keras.layers.Add(name="sum")([norm, active])
    writer, steps = steps_of(both)
    assert writer.next_step(steps["norm"], "ReLU") is None


def test_next_step_of_what_is_an_output_is_none():
    _, norm, active = chain()
    writer, steps = steps_of(active, norm)
    assert writer.next_step(steps["norm"], "ReLU") is None


def test_take_activation_takes_the_step_once():
    *_, active = chain()
    writer, steps = steps_of(active)
    assert writer.take_activation(steps["norm"]) == "RELU6"
    assert steps["norm"].output is active
    assert writer.take_activation(steps["norm"]) == "NONE"


def test_constants_of_operations_are_operands():
    _, _, active = chain()
    _, steps = steps_of(2.0 - active * 3.0)
    constants = [operand for step in steps.values() for operand in step.operands if isinstance(operand, float)]
    assert constants == [3.0, 2.0]


def test_name_activation():
    layers = keras.layers
    given = [layers.ReLU(), layers.ReLU(6), layers.Conv2D(1, 1), layers.Activation("silu"), layers.Add()]
    assert [name_activation(layer) for layer in given] == ["relu", "relu6", "linear", "silu", ""]
    for layer in (layers.ReLU(threshold=1.0), layers.Activation(lambda values: values)):
        with pytest.raises(UnsupportedLayerError):
            name_activation(layer)


def test_shapes_must_be_fixed():
    source = keras.Input((None, None, 3))
    with pytest.raises(UnsupportedLayerError):
        GraphWriter([keras.layers.ReLU()(source)]).write(source, True, {})
