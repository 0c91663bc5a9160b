"""Evaluation of a finished run: on its own validation images, or on a folder."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.data.listing import FileEntry, list_files, listed
from tlkit.data.reader import DataOptions
from tlkit.data.split import VALIDATION
from tlkit.errors import DataError
from tlkit.evaluation.rejection import auroc
from tlkit.evaluation.report import Report, report_html
from tlkit.evaluation.tables import prediction_rows
from tlkit.inference.labeled import CHANGED, NEW, NOT_COUNTED, TRAINING, LabeledImages, labeled_images
from tlkit.inference.predictor import Predictor
from tlkit.runs.manifest import UNKNOWN_IMAGES
from tlkit.runs.run import Run, load_run
from tlkit.settings.base import settings_or_options
from tlkit.settings.commands import EvaluateSettings
from tlkit.utils.html import html_card, html_facts, html_faint
from tlkit.utils.progress import Progress, Silent
from tlkit.utils.storage import Location, as_location, is_folder
from tlkit.utils.tables import data_frame

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

FITTED_ON = "the rule for unknown was fitted on it"


@dataclass(frozen=True)
class UnknownFigures:
    """The separation of known images from images of no class.

    Attributes:
        auroc: how often an image of no class has a higher score than a known one, 0.5 by chance
        num_images: of no class
        num_refused: of these, called unknown; None where the run has no threshold
    """

    auroc: float
    num_images: int
    num_refused: int | None


@dataclass(frozen=True)
class Evaluation:
    """The figures of a run on some images.

    Attributes:
        report: the figures, of the images that count
        counted: what these are for the run: "new", "validation" or "training"; "all" where all of a folder count
        subset: of the run, or of the folder: "train", "validation", "test" or "all"
        paths: of the images that count, in the order of the report's rows
        skipped: files that do not count, each with its reason
        apart: figures of each kind of images in a folder, by what they are for the run
        recorded: correct and all validation images when the run was trained
        answered: bool (images,), which images of the report get an answer; None where the run has no threshold
        unknown: how well images of no class are separated from these; None where there are none
    """

    report: Report
    counted: str
    subset: str
    paths: tuple[str, ...] = field(repr=False)
    skipped: tuple[FileEntry, ...] = field(repr=False)
    apart: Mapping[str, Report] = field(repr=False)
    recorded: tuple[int, int] = field(repr=False)
    answered: np.ndarray | None = field(default=None, repr=False)
    unknown: UnknownFigures | None = None

    def to_pandas(self) -> "pandas.DataFrame":
        """Make a data frame with one row per image: path, class, label, confidence and p_<class> of every class.

        Raises:
            ModelError: if pandas is not installed
        """
        return data_frame(*prediction_rows(self.report, self.paths))

    def plot_confusion(self) -> "Figure":
        """Draw the confusion matrix of the images that count."""
        from tlkit.evaluation.plots import confusion_figure

        return confusion_figure(self.report, self._images)

    def _repr_html_(self) -> str:
        facts = [(f"{kind} images", f"{100 * report.accuracy:.1f} %") for kind, report in self.apart.items()]
        apart = html_facts(facts) if len(facts) > 1 else ""
        return html_card("Evaluation", html_faint(self._images), report_html(self.report), apart)

    @property
    def _images(self) -> str:
        return "images" if self.counted == "all" else f"{self.counted} images"


def evaluate(
    run: Run | str | Path,
    data: str | Location | None = None,
    settings: EvaluateSettings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Evaluation:
    """Measure how well a run classifies.

    Of a folder the images count that are new to the run: those it was trained on, and its validation images, on which
    its best epoch was selected, are found by the hashes of their files and pixels, and measured apart. Where no image
    is new, the validation images count.

    Args:
        run: a finished run, or its folder
        data: a folder of classes, matched by name; the run's own images where it is None
        settings: the options; the defaults where it is None
        progress: shows what is done; nothing is shown where it is None
        options: fields of `EvaluateSettings`, in place of `settings`

    Returns:
        The figures of the images that count, and of the others apart

    Raises:
        DataError
        RunError
        ModelError
    """
    run = run if isinstance(run, Run) else load_run(run)
    options |= {"unknown_data": str(options["unknown_data"])} if "unknown_data" in options else {}
    settings = settings_or_options(EvaluateSettings, settings, options, data=data)
    images = labeled_images(run, data, DataOptions(**settings.data_options), settings.split)
    names, skipped = run.manifest.class_names, images.skipped
    others = _unknown_files(settings.unknown_data, images.folder)
    predictor = Predictor(run, settings.engine, trust_model=settings.trust_model)
    classified = _classify(images, predictor, skipped, progress or Silent())
    if data is None or settings.include_training:
        counted, chosen = images.subset if data is None else "all", classified
    else:
        counted, chosen = _choose(classified, skipped)
    if not chosen:
        reason = f", e.g. '{skipped[0].path}': {skipped[0].reason}" if skipped else ""
        raise DataError(f"no image to evaluate: {len(skipped)} were left out{reason}; give other images.")
    unknown = _separate(chosen, others, predictor, (_fitted_on(run), skipped), progress or Silent())
    apart = {kind: [image for image in classified if image.kind == kind] for kind in (NEW, VALIDATION, TRAINING)}
    return Evaluation(
        _report(names, chosen),
        counted,
        images.subset,
        tuple(image.path for image in chosen),
        tuple(skipped),
        {kind: _report(names, some) for kind, some in apart.items() if some and data is not None},
        _recorded_accuracy(run),
        np.array([image.is_answered for image in chosen]) if predictor.answers_unknown else None,
        unknown,
    )


@dataclass(frozen=True)
class _ClassifiedImage:
    """An image after classification, and what it is for the run."""

    path: str
    label: int
    probabilities: np.ndarray
    kind: str
    is_answered: bool
    unknown_score: float


def _choose(classified: list[_ClassifiedImage], skipped: list[FileEntry]) -> tuple[str, list[_ClassifiedImage]]:
    """Take the images that are new to the run, or its validation images where none is; add the others to `skipped`."""
    counted = NEW if any(image.kind == NEW for image in classified) else VALIDATION
    skipped += [FileEntry(image.path, NOT_COUNTED[image.kind]) for image in classified if image.kind != counted]
    return counted, [image for image in classified if image.kind == counted]


def _classify(
    images: LabeledImages, predictor: Predictor, skipped: list[FileEntry], progress: Progress
) -> list[_ClassifiedImage]:
    """Classify images; those that cannot be are added to `skipped`."""
    classified = []
    with progress.stage("evaluating", len(images.files), "images") as advance:
        predictions = predictor.predict((image.file for image in images.files), identify=True)
        for image, prediction in zip(images.files, predictions, strict=True):
            if prediction.probabilities is None:
                skipped.append(FileEntry(image.path, str(prediction.error)))
            elif image.sha256 and image.sha256 != prediction.sha256:
                skipped.append(FileEntry(image.path, CHANGED))
            else:
                kind = images.kind_of(prediction.sha256, prediction.digest)
                assert prediction.unknown_score is not None
                answered, score = prediction.status == "ok", prediction.unknown_score
                classified.append(
                    _ClassifiedImage(image.path, image.label, prediction.probabilities, kind, answered, score)
                )
            advance(1)
    return classified


def _fitted_on(run: Run) -> set[str]:
    """Give the hashes of the images of no class that the run's rule for "unknown" was fitted on."""
    if UNKNOWN_IMAGES not in run.manifest.sha256:
        return set()
    return {row["sha256"] for row in run.read_rows(UNKNOWN_IMAGES)}


def _unknown_files(unknown_data: str, folder: ImageFolder | None) -> list[Location]:
    """List the images of no class: of the folder that is named, else those in `_unknown/` of the data.

    Raises:
        DataError: if the folder does not exist, or has no file
    """
    if not unknown_data:
        return [folder.root / path for path in folder.unknown] if folder else []
    root = as_location(unknown_data)
    if not is_folder(root):
        raise DataError(f"--unknown-data '{root}' is not a folder; expected a folder of images of no class.")
    files = [root / entry.path for entry in list_files(listed(root)) if not entry.reason]
    if not files:
        raise DataError(f"--unknown-data '{root}' has no file; expected images of no class.")
    return files


def _separate(
    known: Sequence[_ClassifiedImage],
    files: Sequence[Location],
    predictor: Predictor,
    left_out: tuple[set[str], list[FileEntry]],
    progress: Progress,
) -> UnknownFigures | None:
    """Measure how well the run separates images of no class from known ones; None where none can be measured.

    Args:
        left_out: hashes of files that are not measured, and the list to which these and unreadable ones are added
    """
    predictions, (fitted, skipped) = [], left_out
    with progress.stage("unknown", len(files), "images") if files else nullcontext(lambda count: None) as advance:
        for prediction in predictor.predict(files, identify=True):
            advance(1)
            if prediction.sha256 in fitted:
                skipped.append(FileEntry(prediction.path, FITTED_ON))
            elif prediction.unknown_score is None:
                skipped.append(FileEntry(prediction.path, str(prediction.error)))
            else:
                predictions.append(prediction)
    if not predictions:
        return None
    scores = np.array([prediction.unknown_score for prediction in predictions])
    refused = sum(prediction.status == "unknown" for prediction in predictions)
    separation = auroc(np.array([image.unknown_score for image in known]), scores)
    return UnknownFigures(separation, len(predictions), refused if predictor.answers_unknown else None)


def _report(names: tuple[str, ...], images: Sequence[_ClassifiedImage]) -> Report:
    labels = np.array([image.label for image in images], np.int32)
    return Report(names, labels, np.stack([image.probabilities for image in images]))


def _recorded_accuracy(run: Run) -> tuple[int, int]:
    rows = run.read_rows("predictions_val.csv")
    return sum(row["class"] == row["label"] for row in rows), len(rows)
