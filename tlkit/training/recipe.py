"""Read this first: what a training is made of, and what it results in.

A training is four steps, the same for every kind (`session.py` takes them in this order):

    recipe.load(folder)   ->  Dataset          features of every readable image, and the split
    recipe.fit(dataset)   ->  FittedModel      phases on cached features; or a classic classifier
    model.save(run)       ->  stages           the files predict runs, in order
    finish                ->  TrainingResult   metrics, tables, plots, DONE

There are two recipes: `network.NetworkRecipe` for everything Keras trains, `classic.ClassicRecipe` for the rest.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from tlkit.data.augment import Augmentation
from tlkit.data.folder import ImageFolder
from tlkit.data.image import ImageSpec
from tlkit.data.listing import FileEntry
from tlkit.data.split import Split
from tlkit.engines.base import EngineSpec
from tlkit.evaluation.plots import confusion_figure
from tlkit.evaluation.report import Report, report_html
from tlkit.features.extract import Features
from tlkit.features.extractor import FrozenExtractor
from tlkit.models.head import Head
from tlkit.models.sources import NetworkSource
from tlkit.runs.manifest import InferenceStage
from tlkit.runs.run import Run
from tlkit.training.diagnosis import Diagnosis, TrainingRequest
from tlkit.training.loop.plan import FitPlan
from tlkit.utils.html import html_card, html_facts, html_faint
from tlkit.utils.progress import Progress, Stopwatch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Dataset(Protocol):
    """The result of a pass over the images."""

    @property
    def folder(self) -> ImageFolder:
        """The readable images, with hashes; the others are in its `skipped`."""

    @property
    def split(self) -> Split:
        """Train, validation and test."""

    @property
    def num_cached(self) -> int:
        """Images whose features an earlier run had computed."""


DatasetT = TypeVar("DatasetT", bound=Dataset)


class Recipe(Protocol[DatasetT]):
    """The four steps of training one kind of classifier.

    What only the images can decide (`--freeze auto`, `--descriptor auto`, epochs) is decided by `load` and `fit`.
    """

    @property
    def command(self) -> str:
        """The command that trains it: "finetune" or "train"."""

    @property
    def settings(self) -> Any:
        """Its settings, a dataclass that settings.json keeps."""

    @property
    def starts_from_stranger(self) -> bool:
        """True if it starts from a network that this machine did not make; then its run is a stranger's, too."""

    def adapted_to(self, folder: ImageFolder) -> "Recipe[DatasetT]":
        """Resolve what depends on the names of the classes, or on the headers of the files."""

    def with_time_limit(self, seconds: float) -> "Recipe[DatasetT]":
        """Limit the time it takes, where that changes what it trains."""

    def load(self, folder: ImageFolder, progress: Progress) -> DatasetT:
        """Read every image once, compute the features that are not cached, and split."""

    def fit(self, dataset: DatasetT, run: Run, progress: Progress, stopwatch: Stopwatch) -> "FittedModel":
        """Train on the training images; `run` gets checkpoints, and is continued from those that are there."""


@dataclass(frozen=True)
class FitDetails:
    """The entries of a fit in metrics.json and model.json that are not in its report.

    Attributes:
        request: what was asked for, from which commands to try next are made
        manifest: entries of model.json
        figures: entries of metrics.json that only this kind of training has
        history: one row per epoch, phase after phase, by the columns of history.csv; empty without epochs
        best_epoch: of the last phase, whose weights were kept; None without epochs
        advice: what was decided for the user, and why; with the key "reason"
        forecast: seconds and disk_bytes that were expected
        diagnosis: findings, the most serious first
    """

    request: TrainingRequest
    manifest: Mapping[str, Any]
    selected_on_validation: bool
    notes: tuple[str, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()
    best_epoch: int | None = None
    advice: Mapping[str, Any] | None = None
    forecast: Mapping[str, Any] | None = None
    diagnosis: tuple[Diagnosis, ...] = ()


@dataclass(frozen=True)
class CrossValidation:
    """Every image, classified by the training that held it out: `--folds`.

    Attributes:
        report: of all these images; nothing was selected on them
        paths: in the order of the report's rows
        folds: the fold that each image was held out in, from 1
    """

    report: Report
    paths: tuple[str, ...] = field(repr=False)
    folds: np.ndarray = field(repr=False)

    @property
    def accuracies(self) -> list[float]:
        """The accuracy of each fold."""
        correct = self.report.predicted == self.report.labels
        return [float(np.mean(correct[self.folds == fold])) for fold in range(1, int(self.folds.max()) + 1)]

    def as_json(self) -> dict[str, Any]:
        """Give the entry of metrics.json."""
        return self.report.as_json() | {"accuracies": self.accuracies}


@dataclass(frozen=True)
class Repeats:
    """Results of trainings in folds and with other seeds; None where they were not asked for."""

    folds: CrossValidation | None = None
    seeds: dict[str, Any] | None = None


class FittedModel(Protocol):
    """A classifier after training."""

    @property
    def details(self) -> FitDetails:
        """The details of its training."""

    def save(self, run: Run) -> tuple[InferenceStage, ...]:
        """Write the files that predict runs, and give them in order."""

    def extract(self, images: ImageFolder) -> np.ndarray:
        """Give the features of images of the dataset, the input of the head: float32 (images, …)."""

    def classify(self, features: np.ndarray) -> np.ndarray:
        """Turn features into probabilities by the saved files, as predict does: float32 (images, classes)."""

    def repeat(self, progress: Progress) -> Repeats:
        """Train again in folds and with other seeds, where that was asked for."""


@dataclass(frozen=True)
class TrainingMetrics:
    """The content of metrics.json.

    Attributes:
        accuracy: on the validation images, with its 95 % interval `accuracy_ci95`
        macro_f1: mean of the F1 of the classes, 0 to 1
        baseline_accuracy: of always answering `baseline_class`, the commonest class of the validation images
        beats_baseline: whether the accuracy is significantly above that
        headline: which figures to quote: "folds", "test" or "validation"
        num_train, num_validation, num_test: images of the subsets
        selected_on_validation: whether epochs or strategy were chosen on these images
        features_reused: images whose features were cached
        left_out: files by the reason why they were skipped
        seconds: of each part of the training, and their total
        calibration: see `evaluation.calibration.Calibration`
        unknown: asked `coverage`, `threshold`, `auroc` on images of no class, and per subset how many images get an
            answer and how many of these are correct; None where there is no threshold
        test: figures on the test images; None without any
        advice: what was decided for the user, and why, with the key "reason"; None where nothing was
        forecast: seconds and disk_bytes that were expected; None where nothing was estimated
        diagnosis: findings as "words", and as "next" the command to try; "" if there is none
        notes: what a person should know of the images and the training
        folds: cross-validated figures, see `CrossValidation`; None where not asked for
        seeds: see `cross_validation.py`; None where not asked for
        figures: what only one kind of training has, such as `epochs` or `classifier`
    """

    accuracy: float
    accuracy_ci95: tuple[float, float]
    macro_f1: float
    baseline_accuracy: float
    baseline_class: str
    beats_baseline: bool
    headline: str
    num_train: int
    num_validation: int
    num_test: int
    selected_on_validation: bool
    features_reused: int
    left_out: dict[str, int] = field(repr=False)
    seconds: dict[str, float] = field(repr=False)
    calibration: dict[str, Any] = field(repr=False)
    unknown: dict[str, Any] = field(repr=False)
    test: dict[str, Any] | None = field(default=None, repr=False)
    advice: dict[str, Any] | None = field(default=None, repr=False)
    forecast: dict[str, Any] | None = field(default=None, repr=False)
    diagnosis: list[dict[str, str]] = field(default_factory=list, repr=False)
    notes: list[str] = field(default_factory=list, repr=False)
    folds: dict[str, Any] | None = field(default=None, repr=False)
    seeds: dict[str, Any] | None = field(default=None, repr=False)
    figures: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def headline_accuracy(self) -> tuple[float, tuple[float, float]]:
        """The accuracy to quote, with its 95 % interval."""
        figures = {"folds": self.folds, "test": self.test}.get(self.headline)
        if figures is None:
            return self.accuracy, self.accuracy_ci95
        low, high = figures["accuracy_ci95"]
        return figures["accuracy"], (low, high)

    def as_json(self) -> dict[str, Any]:
        """Give the content of metrics.json."""
        values = asdict(self)
        figures: dict[str, Any] = values.pop("figures")
        return values | figures | {"accuracy_ci95": list(self.accuracy_ci95)}

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "TrainingMetrics":
        """Read the `content` of a metrics.json.

        Raises:
            KeyError, TypeError: if something is missing
        """
        names = set(TrainingMetrics.__dataclass_fields__) - {"figures"}
        known = {name: content[name] for name in names}
        figures = {name: value for name, value in content.items() if name not in names}
        return TrainingMetrics(**known | {"accuracy_ci95": tuple(content["accuracy_ci95"]), "figures": figures})


@dataclass(frozen=True)
class TrainingResult:
    """A finished run and what it showed.

    Attributes:
        run: the finished run
        split: the subsets of the images
        report: on the validation images, on which the best epoch was chosen
        test: on the test images, which nothing was chosen on; None without any
        metrics: what metrics.json holds
        history: one row per epoch, phase after phase
        skipped: files of DATA that were left out, with the reason
        folds: on all images, each held out once; None without `--folds`
    """

    run: Run
    split: Split = field(repr=False)
    report: Report
    test: Report | None
    metrics: TrainingMetrics = field(repr=False)
    history: tuple[Mapping[str, Any], ...] = field(repr=False)
    skipped: tuple[FileEntry, ...] = field(default=(), repr=False)
    folds: CrossValidation | None = field(default=None, repr=False)

    def plot_confusion(self) -> "Figure":
        """Draw the confusion matrix of the validation images."""
        return confusion_figure(self.report, self.split.validation.root.resolve().name)

    def _repr_html_(self) -> str:
        reports = {"test images": self.test, "validation images": self.report}
        reports = {"all images, each held out once": self.folds.report if self.folds else None} | reports
        parts = [part for name, report in reports.items() if report for part in (html_faint(name), report_html(report))]
        return html_card("TrainingResult", html_facts([("run", self.run.path)]), *parts)


@dataclass(frozen=True)
class NetworkDataset:
    """A `Dataset` for a network.

    Attributes:
        build: builds the network, once: a `keras.Model` from pixels to features, without a head
        extractor: its frozen part, ready to run
        features: of every readable image, by the extractor
    """

    build: Callable[[], Any]
    extractor: FrozenExtractor
    features: Features
    split: Split

    @property
    def network(self) -> Any:
        """The network; this imports Keras where nothing else has."""
        return self.build()

    @property
    def folder(self) -> ImageFolder:
        """The readable images."""
        return self.features.folder

    @property
    def num_cached(self) -> int:
        """Images whose features an earlier run had computed."""
        return self.features.num_cached


class NetworkTraining(Protocol):
    """The part of a network's recipe that phases use."""

    @property
    def settings(self) -> Any:
        """Its settings."""

    @property
    def source(self) -> NetworkSource:
        """The source of the network."""

    @property
    def image(self) -> ImageSpec:
        """The square it sees."""

    @property
    def engine(self) -> EngineSpec:
        """The engine of its frozen part."""

    @property
    def augmentation(self) -> Augmentation:
        """The augmentation of training images."""

    @property
    def trains_batch_norms(self) -> bool:
        """True if batch norms learn offsets, scales and statistics."""

    def head(self, num_images: int) -> Head:
        """Choose the head for a number of training images."""

    def plan(self, num_images: int, criterion: str) -> FitPlan:
        """Plan the phase that trains the head, or everything."""
