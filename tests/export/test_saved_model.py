"""SavedModel: the signature that TensorFlow Serving calls."""

import numpy as np
import pytest

from tests.networks import keras
from tlkit.export.base import ExportSource
from tlkit.export.saved_model import SavedModelExporter


def tiny_model():
    """A network of milliseconds."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((8, 8, 3))
    values = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, activation="relu")(pixels))
    return keras.Model(pixels, keras.layers.Softmax()(keras.layers.Dense(3)(keras.layers.Rescaling(1 / 255)(values))))


@pytest.fixture
def source():
    return ExportSource(tiny_model(), {"class_names": '["a", "b"]'}, {"labels.txt": b"a\nb\n"})


def test_the_signature_has_the_names_and_any_batch(source, tmp_path):
    exporter = SavedModelExporter()
    exporter.write(source, tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    expected = np.asarray(source.model(pixels.astype(np.float32)))
    run = exporter.open(tmp_path)
    for count in (1, 5):
        assert np.abs(run(pixels[:count]) - expected[:count]).max() < 1e-6
    import tensorflow as tf

    signature = tf.saved_model.load(str(tmp_path / "saved_model")).signatures["serving_default"]
    (given,) = signature.structured_input_signature[1].values()
    assert (given.name, given.dtype, given.shape.as_list()) == ("pixels", tf.uint8, [None, 8, 8, 3])
    assert list(signature.structured_outputs) == ["probabilities"]
    assert (tmp_path / "saved_model" / "assets.extra" / "labels.txt").read_bytes() == b"a\nb\n"
