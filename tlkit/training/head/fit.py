"""The training of a head on the features of a frozen network, without Keras: `--freeze all`.

With features and the converted network in the cache nothing here imports TensorFlow. `learner.py` trains the
head, `models/keras_file.py` writes it as Keras opens it, and `engines/litert_head.py` as `predict` runs it. Whether a
training takes this way, or that of `phases.py`, `NetworkRecipe.fit` decides. docs/decisions/046.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.data.split import Split
from tlkit.engines.base import EngineSpec
from tlkit.engines.litert_head import head_to_litert
from tlkit.features.extract import Features, extract
from tlkit.features.extractor import completed
from tlkit.features.stored import StoredFeatures
from tlkit.models.head import GRID, Head
from tlkit.models.keras_file import write_keras_file
from tlkit.robustness.adversary import Adversary
from tlkit.runs.manifest import MODEL
from tlkit.runs.run import Run
from tlkit.training.artifacts import Fitted, SavedTop, Stages, save_head_arrays, save_stages
from tlkit.training.hardening import Hardening
from tlkit.training.head.learner import HeadLearner
from tlkit.training.loop.batches import Indexable, OneHot, Samples
from tlkit.training.loop.checkpoint import Checkpoint
from tlkit.training.loop.fit import fit
from tlkit.training.loop.history import choose_criterion
from tlkit.training.loop.losses import class_balanced_weights
from tlkit.training.loop.plan import FitPlan
from tlkit.training.loop.streaming import StreamedFeatures
from tlkit.training.recipe import NetworkDataset, NetworkTraining
from tlkit.utils.parallel import single_threaded_blas
from tlkit.utils.progress import Progress

MAX_HELD = 1 << 30  # bytes of features that training a head holds in memory


class HeadAdvice:
    """The name of the phase that trains the head, and the options to try after it."""

    name = "head"
    overfitting: Mapping[str, Any] = {"dropout": 0.7}
    underfitting: Mapping[str, Any] = {"freeze": "lower"}


@dataclass(frozen=True, kw_only=True)
class FittedHead(Fitted):
    """A trained head on a frozen network."""

    head: Head
    learner: HeadLearner

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Give probabilities of features."""
        with single_threaded_blas():
            return self.learner.predict(rows)

    def save(self, run: Run, engine: EngineSpec) -> tuple[Stages, SavedTop]:
        """Write the classifier; see `Fitted`."""
        converted, arrays = self.extractor.converted, self.learner.arrays()
        assert converted and converted.body, "else it is trained in Keras"
        grid = {GRID: np.array(converted.grid)} if converted.grid else {}
        save_head_arrays(run, arrays | grid)
        write_keras_file(converted.body, self.head, self.learner.weights, run.path / MODEL)
        return save_stages(run, converted.file, None, head_to_litert(arrays), engine)


@dataclass(frozen=True)
class HeadSamples:
    """Samples of features, and the seconds that degraded views took."""

    train: Samples
    validation: Samples
    seconds: float | None


def fit_head(
    training: NetworkTraining,
    hardening: Hardening,
    dataset: NetworkDataset,
    progress: Progress,
    checkpoints: Path | None = None,
    end: float = math.inf,
) -> FittedHead:
    """Train a new head.

    Args:
        checkpoints: a folder to write them to, and to continue from
        end: see `FitPlan`

    Raises:
        ModelError
        RunError
    """
    split, features = dataset.split, dataset.features
    samples, head = head_samples(training, hardening, dataset, progress), training.head(len(split.train))
    num_features = samples.validation.features[:1].shape[1]
    learner = HeadLearner(head, num_features, split.train.num_classes, training.settings.seed)
    plan = hardening.plan(plan_first(training, split, HeadAdvice.name), training.settings.epochs)
    checkpoint = Checkpoint(checkpoints / f"checkpoint-{HeadAdvice.name}.npz") if checkpoints else None
    with single_threaded_blas():
        parts = samples.train, samples.validation, replace(plan, end=end)
        state = fit(learner, *parts, progress, checkpoint)
    return FittedHead(
        head=head,
        learner=learner,
        features=(features, features),
        extractor=dataset.extractor,
        history=tuple(state.history),
        advice=HeadAdvice(),
        notes=tuple(state.notes),
        hardening_seconds=samples.seconds,
    )


def head_samples(
    training: NetworkTraining, hardening: Hardening, dataset: NetworkDataset, progress: Progress
) -> HeadSamples:
    """Open what a head is trained and judged on; where noise hardens it, compute features of degraded views.

    Features of up to `MAX_HELD` bytes are loaded; of more, training streams windows and judging reads on and on.
    """
    split, features, started = dataset.split, dataset.features, time.perf_counter()
    trained_on = _degraded_features(training, hardening, dataset, progress) if hardening.noise else features
    opened, seconds = trained_on.open(split.train, MAX_HELD), time.perf_counter() - started
    rows: Indexable = opened
    if isinstance(opened, StoredFeatures) and len(opened) * opened[:1].nbytes > MAX_HELD:
        rows = StreamedFeatures(opened)
    validation = Samples(features.open(split.validation, MAX_HELD), one_hot(split.validation))
    return HeadSamples(training_samples(rows, split.train, training), validation, seconds)


def _degraded_features(
    training: NetworkTraining, hardening: Hardening, dataset: NetworkDataset, progress: Progress
) -> Features:
    """Compute the features of degraded views of the training images."""
    views = hardening.degraded_views(training)
    return extract(dataset.split.train, completed(dataset.extractor), training.image, progress, views)


def plan_first(training: NetworkTraining, split: Split, phase: str) -> FitPlan:
    """Plan the phase that trains the head, or everything."""
    criterion = choose_criterion(split.train.labels, split.validation.labels)
    return replace(training.plan(len(split.train), criterion), phase=phase)


def training_samples(
    features: Any, images: ImageFolder, training: NetworkTraining, adversary: Adversary | None = None
) -> Samples:
    """Join features, labels, and weights in the loss."""
    weights = class_balanced_weights(images.labels, training.settings.class_weight)
    return Samples(features, one_hot(images), weights, adversary)


def one_hot(images: ImageFolder) -> OneHot:
    """Give the labels as float32 (images, classes)."""
    return OneHot(images.labels, images.num_classes)
