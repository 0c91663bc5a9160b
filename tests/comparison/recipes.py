"""A recipe that trains in milliseconds, for tests of what a comparison does with recipes.

It takes every step a real one takes: it reads and caches pixels, splits them, has epochs, and leaves files that
`predict` runs. Its classifier knows the mean color of each class.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from tlkit.classic.pipeline import (
    ClassicPipeline,
    DescriptorPipeline,
    ScaledClassifier,
    Scaler,
    open_pipeline,
    to_bytes,
)
from tlkit.comparison.candidates import Candidate
from tlkit.data.image import ImageSpec
from tlkit.data.split import split_folder
from tlkit.features.extract import Features, extract
from tlkit.features.extractor import completed, pixel_extractor
from tlkit.runs.manifest import InferenceStage
from tlkit.settings.shared import LayoutSettings
from tlkit.settings.training import PageSettings, TrustSettings
from tlkit.training.diagnosis import TrainingRequest
from tlkit.training.recipe import FitDetails, Repeats


@dataclass(frozen=True, kw_only=True)
class ColorSettings(PageSettings, TrustSettings, LayoutSettings):
    """Options of the recipe.

    freeze  what it says it has frozen; with "all" no time limit cuts it short
    """

    seed: int = 0
    image_size: int = 8
    epochs: int = 2
    freeze: str = "none"
    backbone: str = "colors"
    engine: str = "classic"
    time_limit: str = ""
    report: bool = False
    plots: bool = True


@dataclass(frozen=True)
class ColorDataset:
    """Pixels as features."""

    features: Features
    split: object

    @property
    def folder(self):
        return self.features.folder

    @property
    def num_cached(self):
        return self.features.num_cached


def nothing(run, progress):
    """Happens in a fit that goes well."""


@dataclass(frozen=True)
class ColorRecipe:
    """A `Recipe`.

    in_fit   called with run and progress in the middle of a fit
    trained  gets the settings of each fit that was started
    """

    settings: ColorSettings
    in_fit: Callable = nothing
    trained: list = field(default_factory=list)
    command = "train"
    starts_from_stranger = False

    def adapted_to(self, folder):
        return self

    def with_time_limit(self, seconds):
        if self.settings.freeze == "all" or seconds == math.inf:
            return self
        return replace(self, settings=replace(self.settings, time_limit=f"{seconds:.0f}s"))

    def load(self, folder, progress):
        image = ImageSpec(self.settings.image_size, "crop")
        features = extract(folder, completed(pixel_extractor(image)), image, progress)
        return ColorDataset(features, split_folder(features.folder, seed=self.settings.seed))

    def fit(self, dataset, run, progress, stopwatch):
        self.trained.append(self.settings)
        for epoch in range(self.settings.epochs):
            progress.on_epoch_end({"epoch": epoch})
        self.in_fit(run, progress)
        train = dataset.split.train
        describe = DescriptorPipeline(("colors",), (self.settings.image_size,), 1)
        values = np.stack([describe.transform(pixels) for pixels in dataset.features.load(train)])
        means = np.stack([values[train.labels == label].mean(axis=0) for label in range(train.num_classes)])
        arrays = {"weights": 2 * means, "bias": -np.square(means).sum(axis=1)}
        scaler = Scaler(np.zeros(6, np.float32), np.ones(6, np.float32))
        classifier = ScaledClassifier("logistic", 1.0, scaler, arrays)
        return ColorModel(ClassicPipeline(describe, classifier), dataset, self._details(dataset))

    def _details(self, dataset):
        names = ("backbone", "freeze", "image_size")
        manifest = {name: getattr(self.settings, name) for name in names}
        return FitDetails(
            TrainingRequest(self.command, self.settings, dataset.folder.root),
            manifest | ImageSpec(self.settings.image_size).as_json() | {"precision": "float32", "engine": "classic"},
            selected_on_validation=False,
            notes=("of this run only", *["--time-limit cut it short."] * bool(self.settings.time_limit)),
            advice={"reason": "colors are enough."},
        )


@dataclass
class ColorModel:
    """A `FittedModel`."""

    pipeline: ClassicPipeline
    dataset: ColorDataset
    details: FitDetails

    def save(self, run):
        file = run.path / "classic.npz"
        file.write_bytes(to_bytes(self.pipeline))
        self.pipeline = open_pipeline(file)
        return (InferenceStage("classic.npz", "classic"),)

    def extract(self, images):
        return self.pipeline.features(self.dataset.features.load(images))

    def classify(self, features):
        return self.pipeline.classify(features)

    def repeat(self, progress):
        return Repeats()


def candidate(name, *, kind="from scratch", min_seconds=1, in_fit=nothing, trained=None, settings=None, **fields):
    """A candidate with this recipe; `settings` may be a function of the accuracies so far."""
    settings = settings or ColorSettings()
    make_settings = settings if callable(settings) else lambda accuracies: settings
    make_recipe = partial(ColorRecipe, in_fit=in_fit, trained=[] if trained is None else trained)
    return Candidate(name, f"the {name}", kind, min_seconds, make_settings, make_recipe, **fields)


def use_candidates(monkeypatch, *candidates):
    """Let comparisons be of these, and of those that need no training."""
    monkeypatch.setattr("tlkit.comparison.candidates.CANDIDATE_GROUPS", {"tested": lambda settings: list(candidates)})
