"""Trains the part of a network above a cut, head included, and leaves it joined to the part below."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkit.data.augment import NO_AUGMENTATION, AugmentedBatches, OversizedImage, choose_augmentation
from tlkit.data.folder import ImageFolder
from tlkit.data.split import Split
from tlkit.features.extract import Features, extract
from tlkit.features.extractor import FeatureExtractor, completed
from tlkit.models.architectures.auxiliary import add_auxiliary_outputs
from tlkit.models.architectures.registry import ARCHITECTURES
from tlkit.models.cut import batch_norm_names, freeze, split_at
from tlkit.models.fold_batch_norm import fold_batch_norms
from tlkit.models.head import Head, attach_head
from tlkit.runs.warm_start import transfer_head
from tlkit.settings.shared import hidden_units
from tlkit.settings.training import TrainingSettings, TrainSettings, is_random
from tlkit.training.hyperparameters import choose_hidden, plan_head
from tlkit.training.loop.batches import Rows, Samples
from tlkit.training.loop.checkpoint import Checkpoint, Epoch, TrainingState
from tlkit.training.loop.fit import best_epoch, fit
from tlkit.training.loop.losses import class_balanced_weights, is_imbalanced
from tlkit.training.loop.plan import FitPlan
from tlkit.utils.progress import Progress


@dataclass(frozen=True)
class FittedNetwork:
    """A classifier after training.

    classifier  pixels to probabilities, the whole
    upper       features at the cut to probabilities; shares the classifier's variables
    features    what was extracted for it, at least of the held-out images
    lower       the converted network below the cut, where there is one
    cut         the name of the cut point, where it lies inside the backbone
    history     one row per epoch, of one phase after the other
    notes       what a person should know
    """

    classifier: keras.Model
    upper: keras.Model
    features: Features
    lower: Path | None
    history: list[Epoch]
    cut: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def last_phase(self) -> list[Epoch]:
        """The epochs of the phase that ended the training."""
        return [row for row in self.history if row["phase"] == self.history[-1]["phase"]]

    @property
    def best(self) -> int:
        """The epoch of the last phase whose weights were kept; 0 for those it started from."""
        return best_epoch(self.last_phase)


@dataclass(frozen=True)
class Below:
    """What the part of a network below the cut has given.

    features  of every image
    lower     the converted network that computed them, where there is one
    seen      what is learnt from instead of the training images' features: pictures that are augmented
    """

    features: Features
    lower: Path | None = None
    seen: Rows | None = None


def train_top(
    body: keras.Model,
    below: Below,
    split: Split,
    settings: TrainingSettings,
    progress: Progress,
    checkpoints: Path | None = None,
) -> FittedNetwork:
    """Put a head on a body and train it; or, where nothing is frozen, the whole.

    checkpoints: a folder to write them to, and to go on from
    """
    classifier, upper = build_top(body, split, settings)
    if settings.freeze == "lower" and not settings.head_first:
        return FittedNetwork(classifier, upper, below.features, below.lower, [])
    look = below.features.rows if settings.freeze == "none" else below.features.values
    train = Samples(below.seen or look(split.train), one_hot(split.train), sample_weights(split.train, settings))
    validation = Samples(look(split.validation), one_hot(split.validation))
    plan = plan_head(settings, len(split.train), is_imbalanced(split.train.labels))
    fitted = fit_above(
        _supervised(upper, settings), train, validation, plan, progress, checkpoint_in(checkpoints, plan)
    )
    return FittedNetwork(classifier, upper, below.features, below.lower, fitted.history, notes=tuple(fitted.notes))


def build_top(body: keras.Model, split: Split, settings: TrainingSettings) -> tuple[keras.Model, keras.Model]:
    """The whole classifier with a new head, and the part of it that is trained first: head or everything."""
    keras.utils.set_random_seed(settings.seed)
    classifier = attach_head(body, choose_head(settings, len(split.train)), split.train.num_classes)
    if settings.from_run:
        transfer_head(classifier, split.train.class_names, settings)
    cut = body.input if settings.freeze == "none" else body.output
    return classifier, trainable_top(classifier, cut, frozen_batch_norms(body, settings))


def choose_head(settings: TrainingSettings, num_images: int) -> Head:
    """The head that settings ask for, given the number of images to train on."""
    if isinstance(settings, TrainSettings):
        return Head(0.0, False, (), settings.l1, settings.l2)  # a linear layer; the rest is the network's own
    hidden = (choose_hidden(num_images),) if settings.hidden == "auto" else hidden_units(settings.hidden)
    return Head(settings.dropout, settings.batch_norm, hidden, settings.l1, settings.l2)


def trainable_top(classifier: keras.Model, cut: Any, keep: set[str]) -> keras.Model:
    """The part of a classifier above a cut point's tensor, with exactly its layers trainable.

    keep: names of layers that stay as they are all the same: a backbone's batch norms
    """
    if cut is classifier.input:
        freeze(classifier, [], keep)
        return keras.Model(classifier.input, classifier.output, name="upper")  # compiled; the saved one is not
    lower, upper = split_at(classifier, cut)
    freeze(classifier, lower.layers, keep)
    return upper


def fit_above(
    upper: keras.Model,
    train: Samples,
    validation: Samples,
    plan: FitPlan,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
) -> TrainingState:
    """`fit`, with frozen batch norms folded into their convolutions as long as it lasts."""
    folded = fold_batch_norms(upper, plan.shifts)
    fitted = fit(folded.network, train, validation, plan, progress, checkpoint)
    if best_epoch(fitted.history):
        folded.unfold()
    return fitted


def _supervised(upper: keras.Model, settings: TrainingSettings) -> keras.Model:
    """With the auxiliary classifiers that a network of the course is trained with."""
    if isinstance(settings, TrainSettings) and settings.model in ARCHITECTURES:
        return add_auxiliary_outputs(ARCHITECTURES[settings.model], upper, settings.changes)
    return upper


def frozen_batch_norms(network: keras.Model, settings: TrainingSettings) -> set[str]:
    """Names of batch norms that stay as they are: all, unless they are to learn or nothing has learnt yet."""
    from_scratch = settings.freeze == "none" and is_random(settings)
    return set() if from_scratch or settings.batch_norms == "trained" else batch_norm_names(network)


def sample_weights(part: ImageFolder, settings: TrainingSettings) -> np.ndarray:
    """What each image counts in the loss: float32 (images,)."""
    return class_balanced_weights(part.labels, settings.class_weight)


def checkpoint_in(folder: Path | None, plan: FitPlan) -> Checkpoint | None:
    """The checkpoint of a phase, where a folder for it is given."""
    return Checkpoint(folder / f"checkpoint-{plan.phase}.npz") if folder else None


def one_hot(part: ImageFolder) -> np.ndarray:
    """The labels as float32 (images, classes)."""
    targets: np.ndarray = np.eye(part.num_classes, dtype=np.float32)[part.labels]
    return targets


def augmented_training_images(
    lower: FeatureExtractor, part: ImageFolder, settings: TrainingSettings, progress: Progress
) -> AugmentedBatches | None:
    """What such a training learns from; None where something is frozen or nothing is to be varied.

    lower: that leaves pixels as they are
    """
    augmentation = choose_augmentation(settings)
    if settings.freeze != "none" or augmentation == NO_AUGMENTATION:
        return None
    working = extract(part, completed(lower), (settings.image_size, settings.resize), progress, OversizedImage())
    return AugmentedBatches(working.rows(part), part.sha256, augmentation, settings.image_size, settings.seed)
