"""Training phases: the head on a frozen network, or everything; and the loop over phases.

The third phase, the upper blocks, is in `blocks_phase.py`; which phases a training has, `network.py` says.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from tlkit.data.augment import NO_AUGMENTATION
from tlkit.engines.base import EngineSpec
from tlkit.features.extract import Features
from tlkit.features.extractor import FrozenExtractor
from tlkit.models.cut import batch_norm_names, freeze, split_at
from tlkit.models.fold_batch_norm import fold_batch_norms
from tlkit.models.head import attach_head
from tlkit.runs.run import Run
from tlkit.training.artifacts import Fitted, SavedTop, Stages, save_network_files
from tlkit.training.estimate import EstimateInput, graph_seconds, step_seconds
from tlkit.training.hardening import NO_HARDENING, Hardening, augmented_images
from tlkit.training.head.cost import head_step_seconds
from tlkit.training.head.fit import HeadAdvice, head_samples, one_hot, plan_first, training_samples
from tlkit.training.loop.batches import Samples
from tlkit.training.loop.checkpoint import Checkpoint, TrainingState
from tlkit.training.loop.cost import HEAD_GRAPH_SECONDS, CostEstimate
from tlkit.training.loop.fit import fit
from tlkit.training.loop.history import LOSS, EpochRecord, best_epoch
from tlkit.training.loop.keras_learner import KerasLearner
from tlkit.training.loop.plan import FitPlan
from tlkit.training.recipe import NetworkDataset, NetworkTraining
from tlkit.utils.progress import Progress


@dataclass(frozen=True)
class PhaseInput:
    """A phase, ready to be trained.

    Attributes:
        top: the part of the classifier that is trained, with exactly its layers trainable
        model: the same for training, perhaps with auxiliary outputs; shares the top's variables
        train, validation: samples at the cut
        features: at the cut, of the held-out images and of the training images
        extractor: the network below the cut
        cut: the name of the cut point, where it lies inside the backbone
        notes: what a person should know
        unimproved: what a person should know where no epoch was better than the start
        hardening_seconds: that degraded views took; None where they are made while it trains, or there are none
    """

    top: keras.Model
    model: keras.Model
    train: Samples
    validation: Samples
    plan: FitPlan
    features: tuple[Features, Features]
    extractor: FrozenExtractor
    cut: str | None = None
    notes: tuple[str, ...] = ()
    unimproved: tuple[str, ...] = ()
    hardening_seconds: float | None = None


class Phase(Protocol):
    """One phase of a training; it holds no state.

    Attributes:
        name: in history.csv and of its checkpoint
        overfitting: options to try if it overfits, by name
        underfitting: options to try if it underfits
    """

    name: str
    overfitting: Mapping[str, Any]
    underfitting: Mapping[str, Any]

    def prepare(
        self, training: NetworkTraining, classifier: keras.Model, dataset: NetworkDataset, progress: Progress
    ) -> PhaseInput:
        """Compute what is trained on and is not cached yet, and plan the phase.

        Args:
            classifier: pixels to probabilities, as the phases before left it

        Raises:
            DataError
            OptionError
            ModelError
        """

    def estimate(
        self, training: NetworkTraining, classifier: keras.Model, inputs: EstimateInput, before: CostEstimate
    ) -> CostEstimate:
        """Add what the phase takes to what comes before it.

        Raises:
            OptionError: if it cannot be done
        """


class HeadPhase(HeadAdvice):
    """Training of the head on the features of a frozen network."""

    def __init__(self, hardening: Hardening = NO_HARDENING, in_numpy: bool = False) -> None:
        """Make the phase.

        Args:
            in_numpy: whether NumPy trains it, which needs no graph
        """
        self._hardening, self._in_numpy = hardening, in_numpy

    def prepare(
        self, training: NetworkTraining, classifier: keras.Model, dataset: NetworkDataset, progress: Progress
    ) -> PhaseInput:
        """Choose what to train, its samples and its plan."""
        split, both = dataset.split, (dataset.features, dataset.features)
        top = trainable_top(classifier, dataset.network.output, frozen_batch_norms(dataset.network, training))
        samples = head_samples(training, self._hardening, dataset, progress)
        model = training.source.prepare_top(top)
        plan = self._hardening.plan(plan_first(training, split, self.name), training.settings.epochs)
        parts = samples.train, samples.validation
        return PhaseInput(top, model, *parts, plan, both, dataset.extractor, hardening_seconds=samples.seconds)

    def estimate(
        self, training: NetworkTraining, classifier: keras.Model, inputs: EstimateInput, before: CostEstimate
    ) -> CostEstimate:
        """Estimate the time and disk space; features are float32."""
        num_features = math.prod(inputs.network.output.shape[1:])
        plan = self._hardening.plan(training.plan(inputs.images[0], LOSS), training.settings.epochs)
        if plan.batch_size not in inputs.head_step:
            head = training.head(inputs.images[0])
            step = head_step_seconds(head, num_features, inputs.num_classes, plan.batch_size)
            inputs.head_step[plan.batch_size] = step
        views = training.settings.views if self._hardening.noise else 0
        filling = inputs.images[0] * (inputs.throughput.decode + views * inputs.throughput.infer) if views else 0.0
        filling += 0.0 if self._in_numpy else HEAD_GRAPH_SECONDS * inputs.slowness
        cost = before.then(filling, inputs.head_step[plan.batch_size], inputs.images, plan)
        num_rows = sum(inputs.images) + (1 + views) * inputs.images[0] * bool(views)
        return replace(cost, disk=cost.disk + 4 * num_features * num_rows)


class FullPhase:
    """Training of everything, on images with new augmentation in every epoch."""

    name = "whole"
    overfitting: Mapping[str, Any] = {"augment": "strong"}
    underfitting: Mapping[str, Any] = {"epochs": 200}

    def __init__(self, hardening: Hardening = NO_HARDENING) -> None:
        self._hardening = hardening

    def prepare(
        self, training: NetworkTraining, classifier: keras.Model, dataset: NetworkDataset, progress: Progress
    ) -> PhaseInput:
        """Choose what to train, its samples and its plan."""
        split, features = dataset.split, dataset.features
        hardening, images = self._hardening, None
        if hardening.noise or training.augmentation != NO_AUGMENTATION:
            images = augmented_images(training, dataset, progress, hardening.noise)
        top = trainable_top(classifier, classifier.input, frozen_batch_norms(dataset.network, training))
        adversary = hardening.adversary(training, dataset, None, progress)
        train = training_samples(images or features.open(split.train), split.train, training, adversary)
        validation = Samples(features.open(split.validation), one_hot(split.validation))
        model = training.source.prepare_top(top)
        plan = hardening.plan(plan_first(training, split, self.name), training.settings.epochs)
        return PhaseInput(top, model, train, validation, plan, (features, features), dataset.extractor)

    def estimate(
        self, training: NetworkTraining, classifier: keras.Model, inputs: EstimateInput, before: CostEstimate
    ) -> CostEstimate:
        """Estimate the time and disk space; pixels are uint8."""
        top = trainable_top(classifier, classifier.input, batch_norm_names(inputs.network))
        plan = self._hardening.plan(training.plan(inputs.images[0], LOSS), training.settings.epochs)
        step = step_seconds(top, plan.batch_size)
        step += self._hardening.attack_seconds(step, 0.0, plan.batch_size)
        cost = before.then(graph_seconds(top, inputs), step, inputs.images, plan)
        return replace(cost, disk=cost.disk + math.prod(classifier.input.shape[1:]) * sum(inputs.images))


@dataclass(frozen=True, kw_only=True)
class FittedNetwork(Fitted):
    """A classifier after its phases.

    Attributes:
        classifier: pixels to probabilities, the whole
        top: features at the cut to probabilities; shares the classifier's variables
    """

    classifier: keras.Model
    top: keras.Model

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Give probabilities of what is cached at the cut."""
        return np.asarray(self.top.predict_on_batch(rows))

    def save(self, run: Run, engine: EngineSpec) -> tuple[Stages, SavedTop]:
        """Write the classifier; see `Fitted`."""
        return save_network_files(run, self.classifier, self.top, self.extractor.file, engine)


def fit_phases(
    phases: Sequence[Phase],
    training: NetworkTraining,
    dataset: NetworkDataset,
    progress: Progress,
    checkpoints: Path | None = None,
    end: float = math.inf,
) -> FittedNetwork:
    """Put a head on a network and train one phase after the other.

    Args:
        checkpoints: a folder to write them to, and to continue from
        end: see `FitPlan`

    Raises:
        DataError
        OptionError
        ModelError
        RunError
    """
    train = dataset.split.train
    classifier = new_classifier(training, dataset.network, len(train), train.num_classes)
    training.source.transfer_head(classifier, train.class_names)
    history, notes = list[EpochRecord](), list[str]()
    for phase in phases:
        inputs = phase.prepare(training, classifier, dataset, progress)
        checkpoint = Checkpoint(checkpoints / f"checkpoint-{phase.name}.npz") if checkpoints else None
        samples = inputs.train, inputs.validation
        state = fit_top(inputs.model, *samples, replace(inputs.plan, end=end), progress, checkpoint)
        history += state.history
        notes += [*inputs.notes, *state.notes]
        if best_epoch(state.history) == 0:
            notes += inputs.unimproved
    hardening_seconds = inputs.hardening_seconds
    if inputs.train.adversary:
        hardening_seconds = (hardening_seconds or 0.0) + inputs.train.adversary.seconds
    return FittedNetwork(
        classifier=classifier,
        top=inputs.top,
        features=inputs.features,
        extractor=inputs.extractor,
        history=tuple(history),
        advice=phases[-1],
        cut=inputs.cut,
        notes=tuple(notes),
        hardening_seconds=hardening_seconds,
    )


def fit_top(
    model: keras.Model,
    train: Samples,
    validation: Samples,
    plan: FitPlan,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
) -> TrainingState:
    """Train the part above a cut, with frozen batch norms folded into their convolutions as long as it lasts."""
    folded = fold_batch_norms(model, plan.train_bn_offsets, plan.product_dtype)
    if train.adversary:
        train.adversary.aim_at(folded.network)
    state = fit(KerasLearner(folded.network), train, validation, plan, progress, checkpoint)
    if best_epoch(state.history):
        folded.unfold()
    return state


def new_classifier(training: NetworkTraining, network: keras.Model, num_images: int, num_classes: int) -> keras.Model:
    """Put a new head on a network, for a number of training images."""
    keras.utils.set_random_seed(training.settings.seed)
    return attach_head(network, training.head(num_images), num_classes)


def trainable_top(classifier: keras.Model, cut: Any, frozen: set[str]) -> keras.Model:
    """Give the part of a classifier above a cut point's tensor, with exactly its layers trainable.

    Args:
        frozen: names of layers that keep their weights all the same: a backbone's batch norms
    """
    if cut is classifier.input:
        freeze(classifier, [], frozen)
        return keras.Model(classifier.input, classifier.output, name="top")  # compiled; the saved one is not
    extractor, top = split_at(classifier, cut)
    freeze(classifier, extractor.layers, frozen)
    return top


def frozen_batch_norms(network: keras.Model, training: NetworkTraining) -> set[str]:
    """Give the names of batch norms that keep their weights: all, unless they are trained."""
    return set() if training.trains_batch_norms else batch_norm_names(network)
