"""Import Keras quietly: it takes seconds, and TensorFlow writes to the terminal unless it is silenced."""

import importlib
import logging
import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from tlkit.errors import ModelError, require
from tlkit.utils.processor import read_gpu

NOISY_LOGGERS = (
    "absl",
    "tensorflow",
)  # of Python code, whose handlers write to sys.stderr: in a notebook that is not a file


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


@contextmanager
def silenced_stderr() -> Iterator[None]:
    """Discard what TensorFlow reports: warnings of its loggers, and what C++ code writes to file descriptor 2.

    Several threads may be inside at once. The command line draws its progress bars on a duplicate of
    the descriptor, so that they stay visible.
    """
    _silence.enter()
    try:
        yield
    finally:
        _silence.leave()


class _Silence:
    """The redirection of descriptor 2 and the levels of loggers, which last while any thread is inside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._duplicate: int | None = None
        self._levels: dict[str, int] = {}

    def enter(self) -> None:
        """Silence the output, if nobody has yet."""
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._duplicate = _redirect_stderr()
                self._levels = {name: logging.getLogger(name).level for name in NOISY_LOGGERS}
                _set_levels(dict.fromkeys(NOISY_LOGGERS, logging.CRITICAL))

    def leave(self) -> None:
        """Restore the output when the last user leaves."""
        with self._lock:
            self._inside -= 1
            if self._inside:
                return
            _set_levels(self._levels)
            if self._duplicate is not None:
                os.dup2(self._duplicate, 2)
                os.close(self._duplicate)


def _set_levels(levels: dict[str, int]) -> None:
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def _redirect_stderr() -> int | None:
    """Redirect descriptor 2 to the null device; give a duplicate of the old one, None for a process without one."""
    try:
        duplicate = os.dup(2)
    except OSError:
        return None
    with Path(os.devnull).open("w") as sink:
        os.dup2(sink.fileno(), 2)
    return duplicate


_silence = _Silence()
