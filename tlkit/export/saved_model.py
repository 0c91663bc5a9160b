"""TensorFlow's SavedModel, as TensorFlow Serving loads it."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.data.image import PADDING, ImageSpec
from tlkit.export.base import PIXELS, PROBABILITIES, ExportSource, RuntimeFunction
from tlkit.models.keras_setup import start_keras
from tlkit.utils.silence import silenced_stderr

SIGNATURE = "serving_default"
FOLDER = "saved_model"
LAST_FILE = "saved_model.pb"  # that TensorFlow writes
EXTRA = "assets.extra"  # TensorFlow's name for a folder of what others add


@contextmanager
def saved_network(source: ExportSource) -> Iterator[Path]:
    """Give the folder of the network as a SavedModel; the formats that are made from it share that of a workspace.

    Raises:
        OSError: if it cannot be written
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(source.workspace or temporary) / FOLDER
        if not (folder / LAST_FILE).exists():
            write_saved_model(source.model, folder, source.resize)
        yield folder


def write_saved_model(model: Any, folder: Path, resize: ImageSpec | None = None) -> None:
    """Write a Keras model with one signature, from `pixels` to `probabilities`, with any batch.

    Args:
        model: float32 (batch, size, size, 3) to float32 (batch, classes)
        folder: a new one
        resize: how the file makes one image of any size square; None where it takes squares

    Raises:
        OSError: if it cannot be written
    """
    import tensorflow as tf

    shape = (None, *model.input.shape[1:]) if resize is None else (1, None, None, 3)
    source = tf.TensorSpec(shape, tf.uint8, name=PIXELS)

    def classify(pixels: Any) -> dict[str, Any]:
        """Run the network, after resizing where the file does it."""
        square = tf.cast(pixels, tf.float32) if resize is None else make_square(pixels, resize)
        return {PROBABILITIES: model(square, training=False)}

    module = tf.Module()
    module.variables_of_network = [weight.value for weight in model.weights]  # what is saved with the function
    with silenced_stderr():
        function = tf.function(classify).get_concrete_function(source)
        try:
            tf.saved_model.save(module, str(folder), signatures={SIGNATURE: function})
        except tf.errors.OpError as error:  # a full disk is none of Python's errors
            raise OSError(error.message.rpartition("; ")[2].partition(" [Op")[0]) from None


def make_square(pixels: Any, spec: ImageSpec) -> Any:
    """Make an image square with TensorFlow: columns, then rows, each a weighted sum that is rounded as Pillow rounds.

    Args:
        pixels: uint8 (1, height, width, 3)
        spec: how an image becomes square

    Returns:
        float32 (1, size, size, 3), whole numbers
    """
    import tensorflow as tf

    height, width = (tf.cast(tf.shape(pixels)[axis], tf.float32) for axis in (1, 2))
    rows, is_row = resize_weights(height, width, spec)
    columns, is_column = resize_weights(width, height, spec)
    image = tf.transpose(tf.cast(pixels, tf.float32), (0, 3, 1, 2))
    image = tf.floor(tf.matmul(image, columns, transpose_b=True) + 0.5)
    image = tf.floor(tf.matmul(rows, image) + 0.5)
    image = tf.where(is_row & tf.transpose(is_column), image, float(PADDING[0]))
    return tf.transpose(image, (0, 2, 3, 1))


def resize_weights(side: Any, other: Any, spec: ImageSpec) -> tuple[Any, Any]:
    """Compute the weight of each pixel of a side in each pixel of the square: a triangle, as Pillow's BILINEAR.

    Args:
        side, other: height and width of the image, or width and height

    Returns:
        float32 (size, side), and whether a pixel of the square shows the image: (size, 1)
    """
    import tensorflow as tf

    start, length, count = 0.0, side, tf.constant(float(spec.size))
    if spec.resize == "crop":
        length = tf.minimum(side, other)
        start = (side - length) / 2
    if spec.resize == "pad":
        count = tf.maximum(tf.round(side * spec.size / tf.maximum(side, other)), 1.0)
    position = tf.range(float(spec.size))[:, tf.newaxis] - tf.floor((spec.size - count) / 2)
    scale = length / count
    center = (position + 0.5) * scale + start
    distance = tf.abs(tf.range(side) + 0.5 - center) / tf.maximum(scale, 1.0)
    weights = tf.maximum(1 - distance, 0.0)
    total = tf.maximum(tf.reduce_sum(weights, axis=1, keepdims=True), 1e-6)  # 0 where nothing of the image is shown
    return weights / total, (position >= 0) & (position < count)


class SavedModelExporter:
    """Writes `saved_model/`, with labels.txt and model.json in its folder for extra files."""

    def write(self, source: ExportSource, folder: Path) -> None:
        """Write the folder."""
        with saved_network(source) as saved:
            try:
                shutil.copytree(saved, folder / FOLDER)
            except shutil.Error as error:  # it lists files with reasons
                raise OSError(error.args[0][0][2]) from None
        extra = folder / FOLDER / EXTRA
        extra.mkdir()
        for name, content in source.associated.items():
            (extra / name).write_bytes(content)

    def open(self, folder: Path) -> RuntimeFunction:
        """Load the folder with TensorFlow."""
        start_keras()
        import tensorflow as tf

        with silenced_stderr():
            loaded = tf.saved_model.load(str(folder / FOLDER))
        function = loaded.signatures[SIGNATURE]

        def run(pixels: np.ndarray) -> np.ndarray:
            """Run the signature; `loaded` has to live as long as it."""
            assert loaded is not None
            return np.asarray(function(**{PIXELS: tf.constant(pixels)})[PROBABILITIES])

        return run
