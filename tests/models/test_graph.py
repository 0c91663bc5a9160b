"""The graph of a model: each layer after those it depends on."""

from tests.networks import keras, lazy_functions

(topological_order,) = lazy_functions("tlkit.models.graph", "topological_order")


def test_topological_order_lists_each_layer_after_its_inputs():
    source = keras.Input((4,), name="source")
    wide = keras.layers.Dense(3, name="wide")(source)
    joined = keras.layers.Add(name="joined")([keras.layers.Dense(3, name="deep")(wide), wide])
    model = keras.Model(source, joined)
    steps = topological_order(model.output)
    assert sorted(layer.name for layer, _, _ in steps) == ["deep", "joined", "source", "wide"]
    known = set()
    for _, inputs, output in steps:
        assert {id(tensor) for tensor in inputs} <= known
        known.add(id(output))
    assert steps[-1][2] is model.output
