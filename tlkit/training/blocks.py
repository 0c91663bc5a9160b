"""Trains the upper blocks of a backbone with its head, on activations kept at a cut inside it.

The head is trained first, on a frozen backbone: gradients of a random head would spoil the
pretrained blocks below it (LP-FT: Kumar 2022). Batch norms stay as they are, the head's too:
on batches of 32 its statistics are noise, and cost 20 points of accuracy in the first epoch.
"""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import keras

from tlkit.data.augment import Views
from tlkit.data.folder import ImageFolder
from tlkit.data.split import Split
from tlkit.errors import DataError
from tlkit.extraction import Extracted, extract
from tlkit.files import cache_root
from tlkit.models.cut import Cut, batch_norms, choose_cut, cut_points
from tlkit.progress import Progress
from tlkit.reading import Lower
from tlkit.settings import FinetuneSettings
from tlkit.training.fit import Samples, best_epoch
from tlkit.training.lower import lower_at, there
from tlkit.training.plan import plan_blocks
from tlkit.training.recipe import choose_kept
from tlkit.training.upper import Trained, checkpoint_in, fit_above, one_hot, trainable_above

LOWEST_RATE = 0.5  # of the head's rate, for the first layer above the cut
FREE_SHARE = 0.25  # of the free disk, that activations may take


def train_blocks(
    body: keras.Model,
    head_trained: Trained,
    split: Split,
    settings: FinetuneSettings,
    progress: Progress,
    checkpoints: Path | None = None,
) -> Trained:
    """Go on from a classifier whose head is trained, with the blocks above the cut trained, too.

    Where no epoch is better than the start, the start is kept.
    checkpoints: a folder to write them to, and to go on from
    raises: DataError, OptionError, ModelError
    """
    images = len(split.train), len(split.validation) + len(split.test)
    cut, views, notes = choose_activations(body, images, settings)
    lower = lower_at(body, cut, settings)
    held_out, train = _activations(lower, head_trained.features, split, Views(views, settings.seed), settings, progress)
    upper = trainable_above(head_trained.classifier, cut.tensor, batch_norms(head_trained.classifier))
    plan = plan_blocks(settings, len(split.train), layer_rates(upper, body))
    seen = Samples(train.rows(split.train), one_hot(split.train))
    unseen = Samples(held_out.rows(split.validation), one_hot(split.validation))
    fitted = fit_above(upper, seen, unseen, plan, progress, checkpoint_in(checkpoints, plan))
    notes = (*head_trained.notes, *notes, *fitted.notes)
    if best_epoch(fitted.history) == 0:
        notes = (*notes, "training the upper blocks did not help; the classifier is the one with a trained head alone.")
    history = [*head_trained.history, *fitted.history]
    return Trained(head_trained.classifier, upper, held_out, lower.file, history, cut.name, notes)


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
    position, views = choose_kept(values, images, settings.views, _limit(settings))
    cut = higher[position]
    if (cut, views) == (wanted, settings.views):
        return cut, views, ()
    note = f"for want of disk space, {views} of {settings.views} views are kept, at {cut.name}; see --cache-limit."
    return cut, views, (note,)


def layer_rates(upper: keras.Model, body: keras.Model) -> dict[str, float]:
    """The share of the learning rate by variable: `LOWEST_RATE` just above the cut, rising to 1 at the head."""
    inside = {layer.name for layer in body.layers}
    layers = [layer for layer in upper.layers if layer.name in inside]
    shares = {layer.name: LOWEST_RATE ** (1 - place / len(layers)) for place, layer in enumerate(layers)}
    return {variable.path: shares[layer.name] for layer in layers for variable in layer.trainable_variables}


def _limit(settings: FinetuneSettings) -> float:
    """Bytes that activations may take."""
    if settings.cache_limit:
        return settings.cache_limit * 1e9
    place = next(path for path in (cache_root(), *cache_root().resolve().parents) if path.exists())
    return shutil.disk_usage(place).free * FREE_SHARE


def _activations(
    lower: Lower, read: Extracted, split: Split, views: Views, settings: FinetuneSettings, progress: Progress
) -> tuple[Extracted, Extracted]:
    """Of the held-out images the plain view, as `predict` computes it; of the others all views, in float16."""
    size = (settings.image_size, settings.resize)
    train = set(split.train.paths)
    held = set(split.validation.paths) | set(split.test.paths)
    held_out = extract(_only(read.folder, held), there(lower), size, progress)
    trained_on = extract(_only(read.folder, train), there(replace(lower, half=True)), size, progress, views)
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
