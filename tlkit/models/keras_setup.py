"""Import Keras quietly: it takes seconds, and TensorFlow writes to the terminal unless it is silenced."""

import importlib
import logging
import os
import platform
from types import ModuleType

from tlkit.errors import ModelError, require
from tlkit.utils.processor import read_gpu
from tlkit.utils.silence import silenced_stderr


def start_keras(why: str = "a network in Keras") -> ModuleType:
    """Import Keras on TensorFlow without messages on the terminal, and check its global settings.

    Args:
        why: what needs it, the subject of the message where it is not installed

    Raises:
        ModelError: if Keras is not installed, or the user's keras.json sets another layout of images or another
            precision
    """
    require_keras(why)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if platform.machine() in ("x86_64", "AMD64"):  # off by default without AVX-512, where it helps, too
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    with silenced_stderr():
        keras = importlib.import_module("keras")
    keras.utils.disable_interactive_logging()  # else downloads and fit print to stdout
    logging.getLogger("tensorflow").addFilter(_is_of_use)
    if keras.config.image_data_format() != "channels_last" or keras.config.floatx() != "float32":
        raise ModelError(
            "keras.json sets "
            f"{keras.config.image_data_format()} and {keras.config.floatx()}; "
            "expected channels_last and float32: change the file."
        )
    return keras


def require_keras(why: str) -> None:
    """Check that Keras and TensorFlow are installed, without importing them; ModelError if not

    Args:
        why: what needs them, the subject of the message
    """
    for package in ("TensorFlow", "Keras"):
        require(package, "train", why)


def visible_gpus() -> list[str]:
    """List the GPUs that TensorFlow sees and Keras therefore trains on; imports TensorFlow."""
    start_keras()
    tensorflow = importlib.import_module("tensorflow")
    with silenced_stderr():
        return [device.name for device in tensorflow.config.get_visible_devices("GPU")]


def gpu_note() -> str:
    """Say whether layers that are trained run on the GPU of this machine; "" where it has none."""
    if not (name := read_gpu()):
        return ""
    if visible_gpus():
        return f"{name}: trained layers run on it, frozen layers on the processor."
    return f"{name} is not used: TensorFlow does not see it; `tlkit doctor` names what is missing."


def _is_of_use(record: logging.LogRecord) -> bool:
    """Tell a message of TensorFlow from the advice against tracing the functions of Keras's trainer again.

    A second training in a process, as in folds or a search, is a new network, which must be traced.
    """
    text = record.getMessage()
    return not ("TensorFlowTrainer" in text and "retracing" in text)
