"""A `.tflite` file of a head, written without TensorFlow: every engine gives with it what NumPy and Keras give."""

import numpy as np
import pytest

from tests.networks import keras, lazy_functions
from tlkit.engines.base import EngineSpec, is_installed, run_in_batches
from tlkit.engines.factory import open_engine
from tlkit.engines.litert_head import head_to_litert
from tlkit.models.head import Head
from tlkit.training.head.learner import HeadLearner

HEADS = [Head(0.5, True, (16,)), Head(0.0, False, ()), Head(0.0, True, ()), Head(0.5, False, (16, 8))]
ENGINES = [name for name in ("litert", "openvino") if is_installed(name)]
(to_litert,) = lazy_functions("tlkit.engines.keras", "to_litert")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("head", HEADS, ids=str)
def test_head_to_litert_gives_the_probabilities_of_the_head(head, engine, tmp_path):
    learner, random = HeadLearner(head, 20, 3, 0), np.random.default_rng(0)
    for value in learner.weights.values():
        value[:] = random.uniform(0.1, 0.5, value.shape)
    file = tmp_path / "head.tflite"
    file.write_bytes(head_to_litert(learner.arrays()))
    opened = open_engine(EngineSpec(engine), file)
    features = random.normal(0, 1, (9, 20)).astype(np.float32)
    probabilities = run_in_batches(opened, opened.session(), features)
    np.testing.assert_allclose(probabilities, learner.predict(features), atol=2e-6)
    assert probabilities.std(axis=0).min() > 0


def test_head_to_litert_rows_are_alone(tmp_path):
    """Each row has the same output in any company, so `predict` gives bit for bit what the training has seen."""
    learner = HeadLearner(HEADS[0], 20, 3, 0)
    learner.weights["kernel"][:] = np.random.default_rng(0).normal(0, 1, (16, 3))
    file = tmp_path / "head.tflite"
    file.write_bytes(head_to_litert(learner.arrays()))
    opened = open_engine(EngineSpec("litert"), file)
    features = np.random.default_rng(1).normal(0, 1, (9, 20)).astype(np.float32)
    together = run_in_batches(opened, opened.session(), features)
    alone = [run_in_batches(opened, opened.session(), features[row : row + 1])[0] for row in range(9)]
    np.testing.assert_array_equal(together, alone)


@pytest.mark.slow
def test_head_to_litert_equals_the_conversion_by_tensorflow(tmp_path):
    from tlkit.models.head import attach_head, head_arrays

    pixels = keras.Input((20,))
    model, random = attach_head(keras.Model(pixels, pixels), HEADS[0], 3), np.random.default_rng(0)
    model.set_weights([random.uniform(0.1, 0.5, value.shape) for value in model.get_weights()])
    features, outputs = random.normal(0, 1, (9, 20)).astype(np.float32), []
    for name, content in {"ours": head_to_litert(head_arrays(model)), "theirs": to_litert(model, False)}.items():
        (tmp_path / name).write_bytes(content)
        opened = open_engine(EngineSpec("litert"), tmp_path / name)
        outputs.append(run_in_batches(opened, opened.session(), features))
    np.testing.assert_allclose(*outputs, atol=1e-6)
