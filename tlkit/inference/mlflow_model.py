"""A run as an MLflow model: its `python_function` gives the rows of `tlkit predict`.

The model is the files of the run and the name of this module, which MLflow calls to load it; it holds no pickle.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tlkit.engines.base import installed_version
from tlkit.errors import OptionError, require
from tlkit.inference.inputs import ImageInput
from tlkit.inference.predictor import Predictor
from tlkit.inference.tables import predictions_to_pandas
from tlkit.runs.run import Run, load_run
from tlkit.utils.storage import exists


def save_mlflow(run: Run | str | Path, folder: str | Path) -> Path:
    """Write a finished run as a model of MLflow, with the flavor `python_function`.

    `mlflow.pyfunc.load_model(folder).predict(images)` takes a list or a column of paths, of bytes of image files, or of
    such bytes as base64 text; it gives a data frame with the columns of `tlkit predict`, one row per image.

    Args:
        run: a finished run, or its folder
        folder: a new folder

    Returns:
        The folder

    Raises:
        RunError
        ModelError: if MLflow or pandas is not installed
        OptionError: if the folder exists
    """
    run, folder = run if isinstance(run, Run) else load_run(run), Path(folder)
    require("mlflow", "mlflow", "an MLflow model")
    require("pandas", "pandas", "an MLflow model")
    if exists(folder):
        raise OptionError(f"'{folder}' already exists; choose another folder.")
    from mlflow import pyfunc

    packages = [f"tlkit=={installed_version('tlkit')}", f"pandas=={installed_version('pandas')}"]
    names = {"class_names": list(run.manifest.class_names)}
    pyfunc.save_model(folder, loader_module=__name__, data_path=run.path, pip_requirements=packages, metadata=names)
    return folder


class RowsModel:
    """The model that MLflow calls: images in, the rows of `tlkit predict` out."""

    def __init__(self, run: Path) -> None:
        """Open a run, in the folder of an MLflow model."""
        self._predictor = Predictor(load_run(run))

    def predict(self, images: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Classify images: a data frame with one row each.

        Args:
            images: paths, bytes or base64 texts, in a list or in the first column of a data frame
            params: not used
        """
        column = images.iloc[:, 0] if hasattr(images, "iloc") and images.ndim == 2 else images
        return predictions_to_pandas(self._predictor.predict(_inputs(column)))


def _load_pyfunc(path: str) -> RowsModel:
    """Load a model; MLflow calls this by its name."""
    return RowsModel(Path(path))


def _inputs(column: Iterable[Any]) -> Iterable[ImageInput]:
    """Give images one by one; a text that is no existing file but base64 is the content of a file."""
    for value in column:
        if isinstance(value, str) and not exists(value):
            try:
                yield base64.b64decode(value, validate=True)
                continue
            except (binascii.Error, ValueError):
                pass
        yield value
