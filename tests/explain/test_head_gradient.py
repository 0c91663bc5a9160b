"""The gradient of a head by its features."""

import numpy as np
import pytest

from tests.networks import keras
from tests.shared_runs import copy_run
from tlkit.errors import RunError
from tlkit.explain.head_gradient import HeadGradient, open_head_gradient
from tlkit.inference.network import open_network
from tlkit.models.graph import topological_order
from tlkit.models.head import Head, attach_head, head_arrays, split_head
from tlkit.runs.manifest import HEAD_ARRAYS

NUM_FEATURES, NUM_CLASSES = 12, 3
HEADS = [
    Head(0.0, False, ()),
    Head(0.5, True, ()),
    Head(0.3, True, (7,)),
    Head(0.0, False, (9, 5)),
    Head(0.2, True, (9, 5, 4), l2=1e-3),
]


def random_head(head):
    """A network with random weights, and this head."""
    features = keras.Input((NUM_FEATURES,))
    body = keras.Model(features, keras.layers.Dense(NUM_FEATURES, name="body")(features))
    model = attach_head(body, head, NUM_CLASSES)
    draws = np.random.default_rng(0)
    model.set_weights([draws.uniform(0.2, 1.5, weight.shape) * draws.choice([-1, 1]) for weight in model.get_weights()])
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([np.abs(weight) for weight in layer.get_weights()])
    return model


@pytest.mark.parametrize("head", HEADS, ids=str)
def test_head_gradient_is_that_of_tensorflow(head):
    import tensorflow as tf

    classifier = random_head(head)
    gradient, model = HeadGradient(head_arrays(classifier)), split_head(classifier)[1]
    features = np.random.default_rng(1).normal(size=(5, NUM_FEATURES)).astype(np.float32)
    logits_of = keras.Model(model.input, topological_order(model.output)[-1][1][0])
    variable = tf.Variable(features)
    for label in range(NUM_CLASSES):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variable)
            logits = logits_of(variable, training=False)
            total = tf.reduce_sum(logits[:, label])
        np.testing.assert_allclose(gradient.logits(features), logits.numpy(), rtol=1e-4, atol=1e-4)
        expected = tape.gradient(total, variable).numpy()
        np.testing.assert_allclose(gradient.gradient(features, label), expected, rtol=1e-4, atol=1e-4)


def test_open_head_gradient_gives_the_logits_of_the_run(finetuned_run, blocks_run, scratch_run):
    for run in (finetuned_run, blocks_run, scratch_run):
        size = run.manifest.image.size
        pixels = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), np.uint8)
        network = open_network(run)
        features = network.extract(pixels)
        logits = open_head_gradient(run, features.shape[1]).logits(features)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        np.testing.assert_allclose(odds / odds.sum(axis=1, keepdims=True), network.classify(features), atol=1e-5)


def test_open_head_gradient_refuses_a_damaged_file(finetuned_run, tmp_path):
    run = copy_run(finetuned_run, tmp_path)
    file = run.path / HEAD_ARRAYS
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(RunError, match="not the file that the run wrote"):
        open_head_gradient(run, NUM_FEATURES)


def test_open_head_gradient_refuses_the_head_of_other_features(finetuned_run):
    with pytest.raises(RunError, match="features"):
        open_head_gradient(finetuned_run, NUM_FEATURES)
