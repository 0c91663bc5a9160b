"""Networks for Keras to open: only those that this machine made, or that the user trusts.

A `.keras` file can name code to run. Keras refuses what it knows to be dangerous (`safe_mode`), which is a list of
what was found so far. So the network of a run that this machine did not make is not opened unless the user says so,
and then only if it consists of the classes that tlkit's networks have.
"""

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

from tlkit.engines.keras import load_network
from tlkit.errors import RunError
from tlkit.models.keras_setup import start_keras
from tlkit.runs.manifest import MODEL
from tlkit.runs.run import Run, load_run
from tlkit.utils.reading import open_regular

MAX_NETWORK_BYTES = 8_000_000_000  # of a `.keras` file, packed and unpacked
MAX_CONFIG_BYTES = 64_000_000  # of the description of its layers; that of the largest network has 2 MB
MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
CLASSES = {  # in the networks of tlkit, by module
    None: {"__keras_tensor__", "__slice__"},
    "keras": {"DTypePolicy", "Sequential", "Functional", "Model"},
    "keras.src.models.functional": {"Functional"},
    "keras.initializers": {
        *("GlorotUniform", "GlorotNormal", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform"),
        *("Ones", "Zeros", "VarianceScaling", "RandomNormal", "RandomUniform", "TruncatedNormal", "Constant"),
    },
    "keras.regularizers": {"L1", "L2", "L1L2"},
    "keras.layers": {
        *("Activation", "Add", "AveragePooling2D", "BatchNormalization", "Concatenate", "Conv2D", "Cropping2D"),
        *("Dense", "DepthwiseConv2D", "Dropout", "Flatten", "GaussianNoise", "GlobalAveragePooling2D"),
        *("GlobalMaxPooling2D", "InputLayer", "LayerNormalization", "LeakyReLU", "MaxPooling2D", "Multiply"),
        *("Normalization", "ReLU", "Rescaling", "Reshape", "SeparableConv2D", "Softmax", "ZeroPadding2D"),
    },
    "keras.src.applications.convnext": {"LayerScale"},
    "keras.src.applications.inception_resnet_v2": {"CustomScaleLayer"},
    "keras.src.ops.numpy": {"Add", "Divide", "GetItem", "Mean", "Multiply", "Pad", "Power", "Split", "Subtract"},
}


def require_trust(run: Run, trust_model: bool) -> None:
    """Check that Keras may open the networks of a run.

    Args:
        trust_model: whether the user trusts the run

    Raises:
        RunError: if this machine did not make it, and the user does not trust it
    """
    if not run.is_own and not trust_model:
        raise RunError(
            f"'{run.path}' was not made on this machine, and its {MODEL} can contain code; add --trust-model "
            "(trust_model=True in Python) if you trust the person it comes from."
        )


def check_network(run: Run, trust_model: bool = False) -> Path:
    """Find the network of a run for Keras, and check that it may be opened.

    Raises:
        RunError: also if the run's classifier is not a network
    """
    file = run.network_file()
    require_trust(run, trust_model)
    return file


def keras_model(run: Run | str | Path, trust_model: bool = False) -> Any:
    """Open the network of a finished run as a plain `keras.Model`.

    Its input is RGB pixels from 0 to 255, float32 (batch, size, size, 3); preprocessing is inside. Its output is
    probabilities, float32 (batch, classes), in the order of `run.manifest.class_names`. They are not calibrated:
    `predict` divides the logits by `run.manifest.temperature`.

    Args:
        run: a finished run, or its folder
        trust_model: whether Keras may open it even if this machine did not make it

    Returns:
        A `keras.Model` that is not compiled

    Raises:
        RunError: if it may not be opened, cannot be, or is a classic classifier
    """
    start_keras()
    return load_run_network(run if isinstance(run, Run) else load_run(run), trust_model)


def load_run_network(run: Run, trust_model: bool = False) -> Any:
    """Open the network of a run with Keras.

    Raises:
        RunError: if it may not be opened, or cannot be
    """
    file = check_network(run, trust_model)
    if not run.is_own:
        check_classes(run, MODEL)
    try:
        return load_network(file)
    except (OSError, ValueError) as error:
        raise _not_opened(file, error) from None


def check_classes(run: Run, name: str) -> None:
    """Check that a `.keras` file of a run consists of the classes of tlkit's networks.

    Raises:
        RunError
    """
    file = run.checked_file(name)
    try:
        refuse_foreign_classes(file)
    except (OSError, ValueError) as error:
        raise _not_opened(file, error) from None


def _not_opened(file: Path, error: Exception) -> RunError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return RunError(f"'{file}' cannot be opened ({reason}); restore it or train again.")


def refuse_foreign_classes(file: Path) -> None:
    """Check, without Keras, that a `.keras` file has the parts and classes of a network of tlkit.

    Raises:
        ValueError: it names the first class that tlkit does not write
        OSError: if it cannot be read
    """
    try:
        with open_regular(file, MAX_NETWORK_BYTES) as opened, zipfile.ZipFile(opened) as archive:
            infos = {info.filename: info for info in archive.infolist()}
            if len(infos) != len(archive.infolist()) or infos.keys() != MEMBERS:
                raise ValueError("it has other parts than a network of tlkit")
            if sum(info.file_size for info in infos.values()) > MAX_NETWORK_BYTES:
                raise ValueError("it unpacks to more than expected")
            if max(infos[name].file_size for name in ("config.json", "metadata.json")) > MAX_CONFIG_BYTES:
                raise ValueError("its description is too long")
            config = json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, RecursionError) as error:
        raise ValueError(f"it is damaged: {str(error)[:100]}") from None
    waiting = [config]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            _check_class(item)
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def _check_class(item: dict[str, Any]) -> None:
    name, module = item.get("class_name"), item.get("module")
    if name is None and module is None:
        return
    known = CLASSES.get(module, set()) if module is None or isinstance(module, str) else set()
    if not isinstance(name, str) or name not in known or item.get("registered_name") not in (None, name):
        raise ValueError(f"it has a {str(name)[:40]!r} of {str(module)[:40]!r}, which no network of tlkit has")
