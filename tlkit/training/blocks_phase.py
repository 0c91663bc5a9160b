"""Trains the upper blocks of a backbone with its head, on activations kept at a cut inside it.

The head is trained first, on a frozen backbone: gradients of a random head would spoil the
pretrained blocks below it (LP-FT: Kumar 2022). Batch norms stay as they are, the head's too:
on batches of 32 its statistics are noise, and cost 20 points of accuracy in the first epoch.
"""

import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import keras

from tlkit.data.augment import NO_AUGMENTATION, AugmentedViews, choose_augmentation
from tlkit.data.folder import ImageFolder
from tlkit.data.split import Split
from tlkit.errors import DataError
from tlkit.features.extract import Features, extract
from tlkit.features.extractor import FeatureExtractor, completed, extractor_at_cut
from tlkit.models.cut import Cut, choose_cut, cut_points
from tlkit.settings.training import FinetuneSettings
from tlkit.training.hyperparameters import fit_to_disk, plan_blocks
from tlkit.training.loop.batches import Samples
from tlkit.training.loop.fit import best_epoch
from tlkit.training.loop.losses import is_imbalanced
from tlkit.training.loop.plan import FitPlan
from tlkit.training.phases import (
    FittedNetwork,
    checkpoint_in,
    fit_above,
    frozen_batch_norms,
    one_hot,
    sample_weights,
    trainable_top,
)
from tlkit.utils.files import cache_dir
from tlkit.utils.progress import Progress

MAX_DISK_FRACTION = 0.25  # of the free disk, that activations may take


def train_blocks(
    body: keras.Model,
    head_trained: FittedNetwork,
    split: Split,
    settings: FinetuneSettings,
    progress: Progress,
    checkpoints: Path | None = None,
) -> FittedNetwork:
    """Go on from a classifier whose head is trained, with the blocks above the cut trained, too.

    Where no epoch is better than the start, the start is kept.
    checkpoints: a folder to write them to, and to go on from
    raises: DataError, OptionError, ModelError
    """
    ready = prepare_blocks(body, head_trained, split, settings, progress)
    checkpoint = checkpoint_in(checkpoints, ready.plan)
    fitted = fit_above(ready.upper, ready.seen, ready.unseen, ready.plan, progress, checkpoint)
    notes = (*head_trained.notes, *ready.notes, *fitted.notes)
    if best_epoch(fitted.history) == 0:
        notes = (*notes, "training the upper blocks did not help; the classifier is the one with a trained head alone.")
    history = [*head_trained.history, *fitted.history]
    classifier, lower, cut = head_trained.classifier, ready.lower.file, ready.cut.name
    return FittedNetwork(classifier, ready.upper, ready.held_out, lower, history, cut, notes)


@dataclass(frozen=True)
class PreparedBlocks:
    """Upper blocks, ready to be trained.

    lower         what lies below the cut
    upper         what lies above it, with what learns made trainable
    seen, unseen  what it learns from, and what it is measured on
    held_out      activations of every image that is not for training
    notes         what a person should know
    """

    lower: FeatureExtractor
    cut: Cut
    upper: keras.Model
    seen: Samples
    unseen: Samples
    held_out: Features
    plan: FitPlan
    notes: tuple[str, ...]


def prepare_blocks(
    body: keras.Model, head_trained: FittedNetwork, split: Split, settings: FinetuneSettings, progress: Progress
) -> PreparedBlocks:
    """Cut the network, and compute the activations at the cut that are not kept yet.

    raises: DataError, OptionError, ModelError
    """
    images = len(split.train), len(split.validation) + len(split.test)
    cut, views, notes = choose_activations(body, images, settings)
    lower = extractor_at_cut(body, cut, settings)
    made = AugmentedViews(views, settings.seed, choose_augmentation(settings))
    held_out, train = _activations(lower, head_trained.features, split, made, settings, progress)
    upper = trainable_top(head_trained.classifier, cut.tensor, frozen_batch_norms(head_trained.classifier, settings))
    rates = layer_lr_multipliers(upper, body, settings.layer_decay)
    plan = plan_blocks(settings, len(split.train), rates, is_imbalanced(split.train.labels))
    seen = Samples(train.rows(split.train), one_hot(split.train), sample_weights(split.train, settings))
    unseen = Samples(held_out.rows(split.validation), one_hot(split.validation))
    return PreparedBlocks(lower, cut, upper, seen, unseen, held_out, plan, notes)


def choose_activations(
    body: keras.Model, images: tuple[int, int], settings: FinetuneSettings
) -> tuple[Cut, int, tuple[str, ...]]:
    """The cut and the number of views that fit on the disk, and a note where they are not what was asked for.

    images: how many there are to train on, and how many held out

    raises: OptionError
    """
    cuts = cut_points(body)
    wanted = choose_cut(body, cuts, settings.cut)
    higher = [cut for cut in cuts[wanted.index :] if len(cut.shape) == 3]
    values = [math.prod(cut.shape) for cut in higher]
    asked = settings.views if choose_augmentation(settings) != NO_AUGMENTATION else 1  # else all would be the same
    position, views = fit_to_disk(values, images, asked, _limit(settings))
    cut = higher[position]
    if (cut, views) == (wanted, asked):
        return cut, views, ()
    note = f"for want of disk space, {views} of {asked} views are kept, at {cut.name}; see --cache-limit."
    return cut, views, (note,)


def layer_lr_multipliers(upper: keras.Model, body: keras.Model, lowest: float) -> dict[str, float]:
    """The share of the learning rate by variable: `lowest` just above the cut, rising to 1 at the head.

    Biases are named for every layer: a folded convolution has one that it had not before.
    """
    inside = {layer.name for layer in body.layers}
    layers = [layer for layer in upper.layers if layer.name in inside]
    shares = {layer.name: lowest ** (1 - place / len(layers)) for place, layer in enumerate(layers)}
    paths = {layer.name: [*(each.path for each in layer.trainable_variables), f"{layer.name}/bias"] for layer in layers}
    return {path: shares[name] for name, found in paths.items() for path in found}


def _limit(settings: FinetuneSettings) -> float:
    """Bytes that activations may take."""
    if settings.cache_limit:
        return settings.cache_limit * 1e9
    place = next(path for path in (cache_dir(), *cache_dir().resolve().parents) if path.exists())
    return shutil.disk_usage(place).free * MAX_DISK_FRACTION


def _activations(
    lower: FeatureExtractor,
    read: Features,
    split: Split,
    views: AugmentedViews,
    settings: FinetuneSettings,
    progress: Progress,
) -> tuple[Features, Features]:
    """Of the held-out images the plain view, as `predict` computes it; of the others all views, in float16."""
    size = (settings.image_size, settings.resize)
    train = set(split.train.paths)
    held = set(split.validation.paths) | set(split.test.paths)
    held_out = extract(_only(read.folder, held), completed(lower), size, progress)
    trained_on = extract(_only(read.folder, train), completed(replace(lower, half=True)), size, progress, views)
    _require_unchanged(read.folder, [held_out.folder, trained_on.folder], len(held) + len(train))
    return held_out, trained_on


def _only(folder: ImageFolder, paths: set[str]) -> ImageFolder:
    return folder.pick([row for row, path in enumerate(folder.paths) if path in paths])


def _require_unchanged(read: ImageFolder, again: list[ImageFolder], expected: int) -> None:
    """Files are read a second time; what they hold must be what was split."""
    before = dict(zip(read.paths, read.sha256, strict=True))
    pairs = [pair for folder in again for pair in zip(folder.paths, folder.sha256, strict=True)]
    changed = [path for path, sha256 in pairs if before[path] != sha256]
    changed += [found.path for folder in again for found in folder.left_out]
    if changed or len(pairs) < expected:
        raise DataError(f"'{changed[0]}' changed or went away while the run was going on; run it again.")
