"""Errors tlkit raises on purpose. Each class has one exit code; each message is one sentence.

TlkitError
  OptionError    2  an option or a settings file that cannot mean anything, or an output that is already there
    WriteError   2  a file cannot be written, because the disk is full or fails
  DataError      3  the image folder cannot be used as it is
  ModelError     4  a backbone, its weights or an engine cannot be used
    RunError     4  a run folder is missing, unfinished or damaged
  GateError      5  a quality gate such as `--min-accuracy` was not met
  ImageError     3  one image cannot be read; usually handled as a value, it ends no run
"""

from importlib.util import find_spec

MODULES_OF_PACKAGES = {
    "ai-edge-litert": "ai_edge_litert",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
    "umap-learn": "umap",
}  # where the names differ


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


class ImageError(TlkitError):
    """One file cannot be read as an image; the message is the reason, without the file's name."""

    exit_code = 3


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
    if not find_spec(MODULES_OF_PACKAGES.get(package, package.lower())):
        raise ModelError(f"{why} needs {package}, which is not installed: pip install 'tlkit[{extra}]'.")
