"""SavedModel: the signature that TensorFlow Serving calls."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.networks import keras
from tlkit.data.image import RESIZES, ImageSpec
from tlkit.export.base import ExportSource
from tlkit.export.litert import LiteRTExporter
from tlkit.export.saved_model import SavedModelExporter, make_square


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


def counting_layer():
    """A layer that counts how often TensorFlow traces it; TensorFlow is imported here."""

    class Counted(keras.layers.Layer):
        traces = 0

        def call(self, values):
            self.traces += 1
            return values

    return Counted()


def test_formats_of_one_workspace_trace_the_network_once(source, tmp_path):
    pixels, counted = keras.Input((8, 8, 3)), counting_layer()
    model = keras.Model(pixels, source.model(counted(pixels)))
    exporters, counted.traces = (SavedModelExporter(), LiteRTExporter()), 0
    (tmp_path / "work").mkdir()
    shared = replace(source, model=model, workspace=tmp_path / "work")
    image, answers = np.full((1, 8, 8, 3), 99, np.uint8), []
    for number, exporter in enumerate(exporters):
        folder = tmp_path / str(number)
        folder.mkdir()
        exporter.write(shared, folder)
        answers.append(exporter.open(folder)(image))
    assert counted.traces == 1
    assert np.abs(answers[0] - answers[1]).max() < 1e-6
    assert not (tmp_path / "work" / "saved_model" / "assets.extra").exists()


@pytest.mark.parametrize("resize", RESIZES)
def test_an_image_of_any_size_becomes_the_square_of_predict(resize):
    for number, (height, width) in enumerate([(37, 50), (50, 33), (32, 32), (6, 9), (17, 101), (1, 9)]):
        image = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
        expected = np.asarray(RESIZES[resize](Image.fromarray(image), 32))
        square = np.asarray(make_square(image[np.newaxis], ImageSpec(32, resize)))
        assert np.abs(square[0] - expected).max() <= 1, (height, width)


def test_a_file_that_resizes_takes_one_image_of_any_size(source, tmp_path):
    exporter, image = SavedModelExporter(), np.random.default_rng(0).integers(0, 256, (1, 8, 13, 3), np.uint8)
    exporter.write(replace(source, resize=ImageSpec(8, "crop")), tmp_path)
    expected = np.asarray(source.model(np.asarray(make_square(image, ImageSpec(8, "crop")))))
    assert np.abs(exporter.open(tmp_path)(image) - expected).max() < 1e-6
