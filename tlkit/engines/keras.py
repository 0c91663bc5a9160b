"""Keras itself as an engine: slower on a CPU, but everywhere; and its conversion to LiteRT."""

import os
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.engines.base import InferenceFunction, MapFunction
from tlkit.engines.litert_graph import UnsupportedLayerError
from tlkit.engines.litert_network import network_to_litert
from tlkit.errors import OptionError
from tlkit.models.graph import averaged_map
from tlkit.models.head import has_head, split_head
from tlkit.models.keras_setup import start_keras
from tlkit.utils.files import temporary_file, writing
from tlkit.utils.silence import silenced_stderr

LARGE_NETWORK = 512 << 20  # bytes of weights above which a conversion in memory may not fit


class KerasEngine:
    """A Keras model run in inference mode, on batches of one fixed size.

    Attributes:
        has_maps: see `MapEngine`
    """

    batch_size = 8
    single_threaded_blas = False

    def __init__(self, network: Any) -> None:
        self.network, self._lock = network, threading.Lock()
        self._maps = averaged_map(network)
        self.has_maps = self._maps is not None

    def __reduce__(self) -> str:
        """Refuse to travel to another process; OptionError"""
        raise OptionError("--on ray cannot send a network of the keras engine; omit --engine, or --on.")

    def session(self) -> InferenceFunction:
        """Open a session; all sessions share the network, one at a time."""

        def run(rows: np.ndarray) -> np.ndarray:
            """Run the network on a batch."""
            with self._lock:  # building its function on first use is not safe in two threads
                return np.asarray(self.network.predict_on_batch(rows), dtype=np.float32)

        return run

    def session_with_maps(self) -> MapFunction:
        """Open a session that gives features and maps."""
        network = start_keras().Model(self.network.input, [self.network.output, self._maps])

        def run(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            """Run the network on a batch."""
            with self._lock:
                features, maps = network.predict_on_batch(rows)
            return np.asarray(features, np.float32), np.asarray(maps, np.float32)

        return run


def keras_engines(network: Any) -> tuple[KerasEngine, ...]:
    """Make one engine of a network without a head; of a classifier two, for its features and for its head."""
    parts = split_head(network) if has_head(network) else (network,)
    return tuple(KerasEngine(part) for part in parts if part is not None)


def load_network(file: Path) -> Any:
    """Load a model that tlkit saved.

    Raises:
        ValueError, OSError: if it cannot be opened
    """
    keras = start_keras()
    try:
        with silenced_stderr():
            return keras.models.load_model(file, compile=False, safe_mode=True)
    except (ValueError, OSError):
        raise
    except Exception as error:  # a damaged file makes Keras raise anything
        raise ValueError(f"{type(error).__name__}: {error}") from None


def save_network(network: Any, file: Path) -> None:
    """Save as `.keras`, so that a crash leaves no part of it under its name (Keras writes in place)."""
    with temporary_file(file, ".keras") as temporary:
        network.save(temporary)
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(file)


def to_litert(network: Any, pixels: bool) -> bytes:
    """Convert a Keras model to the bytes of a `.tflite` file with a batch of one, in float32.

    Its layers are written one by one; TensorFlow converts a network with layers that cannot be (docs/decisions/052).

    Where the model's output are averages of a feature map, the map is a second output, which costs nothing:
    it is computed anyway, and it shows where in the image the features come from (docs/decisions/031).

    Args:
        pixels: the input is uint8, as decoded; else float32, as features are

    Raises:
        WriteError: if TensorFlow cannot write to the folder of temporary files
    """
    maps = averaged_map(network)
    with suppress(UnsupportedLayerError, ImportError):
        return network_to_litert(network, pixels, maps)
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    shape = (1, *network.input.shape[1:])
    if maps is not None:
        network = start_keras().Model(network.input, [network.output, maps])
    source = tf.TensorSpec(shape, tf.uint8 if pixels else tf.float32)
    with silenced_stderr(), writing(tempfile.gettempdir()):
        traced = tf.function(lambda rows: network(tf.cast(rows, tf.float32), training=False))
        function = traced.get_concrete_function(source)
        if 4 * network.count_params() > LARGE_NETWORK:
            return _convert_from_disk(network, function)
        frozen = convert_variables_to_constants_v2(function)
        return bytes(tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert())


def _convert_from_disk(network: Any, function: Any) -> bytes:
    """Convert through a file: 5 instead of 20 times the size of the weights in memory, but 4 s more.

    Args:
        function: the traced network, uint8 or float32 rows to its output
    """
    import tensorflow as tf

    module = tf.Module()
    module.variables_of_network = [weight.value for weight in network.weights]  # what is saved with the function
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=function)
        return bytes(tf.lite.TFLiteConverter.from_saved_model(folder).convert())
