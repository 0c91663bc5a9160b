"""Trains the part of a network above a cut, head included, and leaves it joined to the part below."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.data.split import Split
from tlkit.extraction import Extracted
from tlkit.models.classifier import Head, attach_head
from tlkit.models.cut import batch_norms, freeze, split_at
from tlkit.progress import Progress
from tlkit.settings import FinetuneSettings
from tlkit.training.fit import Plan, Samples, best_epoch, fit
from tlkit.training.recipe import choose_epochs


@dataclass(frozen=True)
class Trained:
    """A classifier after training.

    classifier  pixels to probabilities, the whole
    upper       features at the cut to probabilities; shares the classifier's variables
    history     one row per epoch
    """

    classifier: keras.Model
    upper: keras.Model
    phase: str
    history: list[dict[str, float]]

    @property
    def best(self) -> int:
        """The epoch whose weights were kept, counted from 1."""
        return best_epoch(self.history)


def train_upper(
    body: keras.Model, extracted: Extracted, split: Split, settings: FinetuneSettings, progress: Progress
) -> Trained:
    """Put a head on a body and train what `settings.freeze` leaves above the cut."""
    keras.utils.set_random_seed(settings.seed)
    head = Head(settings.dropout, settings.batch_norm, settings.hidden)
    classifier = attach_head(body, head, split.train.num_classes)
    cut = body.input if settings.freeze == "none" else body.output
    keep = batch_norms(body) if settings.weights != "none" else set()
    upper = trainable_above(classifier, cut, keep)
    train, validation = _samples(extracted, split.train), _samples(extracted, split.validation)
    history = fit(upper, train, validation, _plan(settings, len(split.train)), progress)
    return Trained(classifier, upper, "whole" if settings.freeze == "none" else "head", history)


def trainable_above(classifier: keras.Model, cut: Any, keep: set[str]) -> keras.Model:
    """The part of a classifier above a cut point's tensor, with exactly its layers trainable.

    keep: names of layers that stay as they are all the same: a backbone's batch norms
    """
    if cut is classifier.input:
        freeze(classifier, [], keep)
        return keras.Model(classifier.input, classifier.output, name="upper")  # compiled; the saved one is not
    lower, upper = split_at(classifier, cut)
    freeze(classifier, lower.layers, keep)
    return upper


def _samples(extracted: Extracted, part: ImageFolder) -> Samples:
    return Samples(extracted.values(part), np.eye(part.num_classes, dtype=np.float32)[part.labels])


def _plan(settings: FinetuneSettings, num_images: int) -> Plan:
    return Plan(
        epochs=settings.epochs or choose_epochs(num_images, settings.batch_size),
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        label_smoothing=settings.label_smoothing,
        patience=settings.patience,
        seed=settings.seed,
    )
