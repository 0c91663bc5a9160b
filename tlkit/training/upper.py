"""Trains the part of a network above a cut, head included, and leaves it joined to the part below."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.data.split import Split
from tlkit.extraction import Extracted
from tlkit.models.classifier import Head, attach_head
from tlkit.models.cut import batch_norms, freeze, split_at
from tlkit.models.folding import fold
from tlkit.progress import Progress
from tlkit.settings import FinetuneSettings, is_random
from tlkit.training.checkpoint import Checkpoint, Epoch, Standing
from tlkit.training.fit import Samples, best_epoch, fit
from tlkit.training.former import adopt_head
from tlkit.training.plan import Plan, plan_head
from tlkit.training.recipe import choose_hidden


@dataclass(frozen=True)
class Trained:
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
    features: Extracted
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


def train_upper(
    body: keras.Model,
    extracted: tuple[Extracted, Path | None],
    split: Split,
    settings: FinetuneSettings,
    progress: Progress,
    checkpoints: Path | None = None,
) -> Trained:
    """Put a head on a body and train it; or, where nothing is frozen, the whole.

    extracted: the features at the cut, and the converted network that computed them
    checkpoints: a folder to write them to, and to go on from
    """
    keras.utils.set_random_seed(settings.seed)
    classifier = attach_head(body, choose_head(settings, len(split.train)), split.train.num_classes)
    if settings.from_run:
        adopt_head(classifier, split.train.class_names, settings)
    cut = body.input if settings.freeze == "none" else body.output
    keep = batch_norms(body) if not is_random(settings) else set()
    upper = trainable_above(classifier, cut, keep)
    features, lower = extracted
    look = features.rows if settings.freeze == "none" else features.values
    train, validation = (Samples(look(part), one_hot(part)) for part in (split.train, split.validation))
    plan = plan_head(settings, len(split.train))
    fitted = fit_above(upper, train, validation, plan, progress, checkpoint_in(checkpoints, plan))
    return Trained(classifier, upper, features, lower, fitted.history, notes=tuple(fitted.notes))


def choose_head(settings: FinetuneSettings, num_images: int) -> Head:
    """The head that settings ask for, given the number of images to train on."""
    hidden = choose_hidden(num_images) if settings.hidden < 0 else settings.hidden
    return Head(settings.dropout, settings.batch_norm, hidden)


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


def fit_above(
    upper: keras.Model,
    train: Samples,
    validation: Samples,
    plan: Plan,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
) -> Standing:
    """`fit`, with frozen batch norms folded into their convolutions as long as it lasts."""
    folded = fold(upper, plan.shifts)
    fitted = fit(folded.network, train, validation, plan, progress, checkpoint)
    if best_epoch(fitted.history):
        folded.unfold()
    return fitted


def checkpoint_in(folder: Path | None, plan: Plan) -> Checkpoint | None:
    """The checkpoint of a phase, where a folder for it is given."""
    return Checkpoint(folder / f"checkpoint-{plan.phase}.npz") if folder else None


def one_hot(part: ImageFolder) -> np.ndarray:
    """The labels as float32 (images, classes)."""
    targets: np.ndarray = np.eye(part.num_classes, dtype=np.float32)[part.labels]
    return targets
