"""Measures a finished run: on its own validation images, or on a folder it was not trained on."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tlkit.data.folder import ImageFolder, read_folder
from tlkit.data.listing import FileEntry
from tlkit.data.split import SUBSETS, TEST, VALIDATION
from tlkit.errors import DataError
from tlkit.evaluation.report import Report
from tlkit.evaluation.tables import prediction_rows
from tlkit.inference.predictor import Prediction, Predictor
from tlkit.runs.run import Run, load_run
from tlkit.settings.base import settings_or_options
from tlkit.settings.commands import EvaluateSettings
from tlkit.utils.progress import Progress, Silent
from tlkit.utils.tables import data_frame

if TYPE_CHECKING:
    import pandas

TRAINED_ON_IT = "the run was trained on it"


@dataclass(frozen=True)
class Evaluation:
    """The figures of a run on some images.

    report   the figures
    subset   the images in a word: "validation", "test", "new", …
    paths    of the images counted, in the order of the report's rows
    skipped  files that were not counted, each with its reason
    """

    report: Report
    subset: str
    paths: tuple[str, ...] = field(repr=False)
    skipped: tuple[FileEntry, ...] = field(repr=False)

    def to_pandas(self) -> "pandas.DataFrame":
        """Make a data frame with one row per image: path, class, label, confidence and p_<class> of every class.

        raises: ModelError where pandas is not installed
        """
        return data_frame(*prediction_rows(self.report, self.paths))


@dataclass(frozen=True)
class _LabeledFile:
    """An image to be evaluated; its hash where that is known."""

    path: str
    file: Path
    label: int
    sha256: str = ""


def evaluate(
    run: Run | str | Path,
    data: str | Path | None = None,
    settings: EvaluateSettings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Evaluation:
    """Measure how well a run classifies.

    data: a folder of classes, matched by name; the run's own images where it is None
    options: fields of `EvaluateSettings`, in place of `settings`
    raises: DataError, RunError, ModelError
    """
    run = run if isinstance(run, Run) else load_run(run)
    settings = settings_or_options(EvaluateSettings, settings, options, data=data)
    names, predictor = run.manifest.class_names, Predictor(run, settings.engine)
    trained_on, skipped = set[str](), list[FileEntry]()
    if data is None:
        images, subset = _own_images(run, names, settings.split)
    else:
        folder = read_folder(data, names)
        images, subset = _images_of(folder, settings.split)
        skipped += folder.skipped
        trained_on = set() if settings.include_training else _trained_on(run)
    counted: list[tuple[_LabeledFile, np.ndarray]] = []
    with (progress or Silent()).stage("evaluating", len(images), "images") as advance:
        predictions = predictor.predict((image.file for image in images), identify=True)
        for image, prediction in zip(images, predictions, strict=True):
            if reason := _reason_to_skip(image, prediction, trained_on):
                skipped.append(FileEntry(image.path, reason))
            elif prediction.probabilities is not None:
                counted.append((image, prediction.probabilities))
            advance(1)
    if not counted:
        reason = f", e.g. '{skipped[0].path}': {skipped[0].reason}" if skipped else ""
        raise DataError(f"no image to evaluate: {len(skipped)} were left out{reason}; give other images.")
    labels = [image.label for image, _ in counted]
    report = Report(names, np.array(labels, np.int32), np.stack([probabilities for _, probabilities in counted]))
    return Evaluation(report, subset, tuple(image.path for image, _ in counted), tuple(skipped))


def _reason_to_skip(image: _LabeledFile, prediction: Prediction, trained_on: set[str]) -> str | None:
    if prediction.error is not None:
        return prediction.error
    if image.sha256 and image.sha256 != prediction.sha256:
        return "changed since the run was made"
    if {prediction.sha256, prediction.group} & trained_on:
        return TRAINED_ON_IT
    return None


def _own_images(run: Run, names: tuple[str, ...], split: str) -> tuple[list[_LabeledFile], str]:
    """The images of the run's own `split.csv`."""
    subset = VALIDATION if split == "auto" else split
    root = Path(run.read_settings()["data"])
    if not root.is_dir():
        raise DataError(f"the images of '{run.path}' are not in '{root}' any more; give their folder as DATA.")
    rows = [row for row in run.read_rows("split.csv") if subset in (row["split"], "all")]
    if not rows:
        raise DataError(f"'{run.path}' has no {subset} images; give a folder as DATA or another --split.")
    label = {name: index for index, name in enumerate(names)}
    return [_LabeledFile(row["path"], root / row["path"], label[row["class"]], row["sha256"]) for row in rows], subset


def _images_of(folder: ImageFolder, split: str) -> tuple[list[_LabeledFile], str]:
    """The images of a folder: its test images, else its validation images, else all."""
    present = [subset for subset in (TEST, VALIDATION) if subset in folder.subsets]
    subset = (present or ["all"])[0] if split == "auto" else split
    if subset in SUBSETS and subset not in folder.subsets:
        raise DataError(f"'{folder.root}' has no {subset} folder; omit --split or use --split all.")
    images = [
        _LabeledFile(path, folder.root / path, label)
        for path, label, own in zip(folder.paths, folder.labels.tolist(), folder.subsets, strict=True)
        if subset in (own, "all")
    ]
    return images, subset if subset != "all" else "new"


def _trained_on(run: Run) -> set[str]:
    """Hashes of the files a run was trained on, and of their pixels."""
    rows = [row for row in run.read_rows("split.csv") if row["split"] == "train"]
    return {value for row in rows for value in (row["sha256"], row["group"])}
