"""TensorFlow's SavedModel, as TensorFlow Serving loads it."""

from pathlib import Path
from typing import Any

import numpy as np

from tlkit.export.base import PIXELS, PROBABILITIES, ExportSource, RuntimeFunction
from tlkit.models.keras_setup import silenced_stderr, start_keras

SIGNATURE = "serving_default"
FOLDER = "saved_model"
EXTRA = "assets.extra"  # TensorFlow's name for a folder of what others add


def write_saved_model(model: Any, folder: Path) -> None:
    """Write a Keras model with one signature, from `pixels` to `probabilities`, with any batch.

    Args:
        model: float32 (batch, size, size, 3) to float32 (batch, classes)
        folder: a new one

    Raises:
        OSError: if it cannot be written
    """
    import tensorflow as tf

    source = tf.TensorSpec((None, *model.input.shape[1:]), tf.uint8, name=PIXELS)
    module = tf.Module()
    module.variables_of_network = [weight.value for weight in model.weights]  # what is saved with the function
    with silenced_stderr():
        traced = tf.function(lambda pixels: {PROBABILITIES: model(tf.cast(pixels, tf.float32), training=False)})
        function = traced.get_concrete_function(source)
        try:
            tf.saved_model.save(module, str(folder), signatures={SIGNATURE: function})
        except tf.errors.OpError as error:  # a full disk is none of Python's errors
            raise OSError(error.message.rpartition("; ")[2].partition(" [Op")[0]) from None


class SavedModelExporter:
    """Writes `saved_model/`, with labels.txt and model.json in its folder for extra files."""

    def write(self, source: ExportSource, folder: Path) -> None:
        """Write the folder."""
        write_saved_model(source.model, folder / FOLDER)
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
