"""Errors tlkit raises on purpose. Each class has one exit code; each message is one sentence.

TlkitError
  OptionError    2  an option or a settings file that cannot mean anything, or an output that is already there
    WriteError   2  a file cannot be written, because the disk is full or fails
  DataError      3  the image folder cannot be used as it is
    SamplesError 3  the X or y of an estimator cannot be used; a ValueError, as scikit-learn expects
  StorageError   3  an object store does not give or take an object: bucket, key, credentials, network
  ModelError     4  a backbone, its weights or an engine cannot be used
    RunError     4  a run folder is missing, unfinished or damaged
  GateError      5  a quality gate such as `--min-accuracy` was not met
  ImageError     3  one image cannot be read; usually handled as a value, it ends no run
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

OPTIONAL = {  # the package as people write its name, and the extra of tlkit that installs it, by what is imported
    "faiss": ("faiss", "search"),
    "h5py": ("h5py", "train"),
    "huggingface_hub": ("huggingface_hub", "storage"),
    "keras": ("Keras", "train"),
    "matplotlib": ("matplotlib", "plots"),
    "nncf": ("nncf", "nncf"),
    "onnx": ("onnx", "onnx"),
    "onnxruntime": ("onnxruntime", "onnx"),
    "openpyxl": ("openpyxl", "xlsx"),
    "openvino": ("OpenVINO", "openvino"),
    "pandas": ("pandas", "pandas"),
    "python_multipart": ("python-multipart", "serve"),
    "pyarrow": ("pyarrow", "parquet"),
    "ray": ("Ray", "ray"),
    "skimage": ("scikit-image", "classic"),
    "sklearn": ("scikit-learn", "classic"),
    "starlette": ("Starlette", "serve"),
    "tensorflow": ("TensorFlow", "train"),
    "umap": ("umap-learn", "umap"),
    "uvicorn": ("uvicorn", "serve"),
}


class TlkitError(Exception):
    """An error with one sentence: what was found, what was expected, what to do."""

    exit_code = 1


class OptionError(TlkitError):
    """An option or a settings file that cannot mean anything."""

    exit_code = 2


class WriteError(OptionError, OSError):
    """A file cannot be written, because the disk is full, fails or is read-only."""


class DataError(TlkitError):
    """The image folder cannot be used as it is."""

    exit_code = 3


class SamplesError(DataError, ValueError):
    """The X or y of an estimator cannot be used."""


class ImageError(TlkitError):
    """One file cannot be read as an image; the message is the reason, without the file's name."""

    exit_code = 3


class StorageError(TlkitError):
    """An object store fails; `kind` is "bucket", "key", "credentials", "network", "taken", "large", or ""."""

    exit_code = 3

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message, kind)
        self.kind = kind

    def __str__(self) -> str:
        return str(self.args[0])


class ModelError(TlkitError):
    """A backbone, its weights or an engine cannot be used."""

    exit_code = 4


class RunError(ModelError):
    """A run folder is missing, unfinished or damaged."""


class GateError(TlkitError):
    """A quality gate was not met; everything was written all the same."""

    exit_code = 5


def require(package: str, extra: str, why: str) -> None:
    """Check that an optional package is installed, without importing it.

    Args:
        package: its name as people write it
        extra: the extra of tlkit that installs it
        why: the option or thing that needs it, the subject of the message

    Raises:
        ModelError
    """
    module = next(
        (name for name, (known, _) in OPTIONAL.items() if known == package), package.lower().replace("-", "_")
    )
    if not find_spec(module):
        raise _missing(package, extra, why)


@contextmanager
def naming_extras(why: str) -> Iterator[None]:
    """Say which extra installs an optional package, if its import fails in this block.

    Args:
        why: what needs it, the subject of the message

    Raises:
        ModelError
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in OPTIONAL or find_spec(module):
            raise
        raise _missing(*OPTIONAL[module], why) from None


def _missing(package: str, extra: str, why: str) -> ModelError:
    return ModelError(f"{why} needs {package}, which is not installed: pip install 'tlkit[{extra}]'.")
