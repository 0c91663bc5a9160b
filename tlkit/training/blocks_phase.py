"""The phase that trains the upper blocks of a backbone with its head, on activations cached at a cut inside it.

The head is trained first, on a frozen backbone: gradients of a random head would spoil the
pretrained blocks below it (LP-FT: Kumar 2022). Batch norms stay as they are, the head's too:
on batches of 32 its statistics are noise, and cost 20 points of accuracy in the first epoch.
"""

import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras

from tlkit.cache.folder import cache_dir
from tlkit.data.augment import AugmentedViews
from tlkit.data.folder import ImageFolder
from tlkit.data.split import Split
from tlkit.distributed.workers import current_workers
from tlkit.engines.cache import conversion_key, load_converted
from tlkit.errors import DataError
from tlkit.features.extract import Features, extract
from tlkit.features.extractor import ExtractorSpec, FrozenExtractor, completed, convert_extractor, feature_key
from tlkit.features.store import cached_fraction
from tlkit.models.cut import Cut, batch_norm_names, choose_cut, cut_points
from tlkit.training.estimate import EstimateInput, graph_seconds, measure_views, step_seconds
from tlkit.training.hardening import NO_HARDENING, Hardening
from tlkit.training.head.fit import one_hot, training_samples
from tlkit.training.hyperparameters import fit_to_disk, plan_blocks
from tlkit.training.loop.batches import Samples
from tlkit.training.loop.cost import CostEstimate
from tlkit.training.loop.history import choose_criterion
from tlkit.training.phases import PhaseInput, frozen_batch_norms, trainable_top
from tlkit.training.recipe import NetworkDataset, NetworkTraining
from tlkit.utils.progress import Progress
from tlkit.utils.storage import Location, exists

UNIMPROVED = "training the upper blocks did not improve the classifier; only its head is trained."
MAX_DISK_FRACTION = 0.25  # of the free disk, that activations may take


class BlocksPhase:
    """Training of the upper blocks and the head; if no epoch is better than the start, the start is kept."""

    name = "blocks"
    overfitting: Mapping[str, Any] = {"freeze": "lower", "augment": "strong"}
    underfitting: Mapping[str, Any] = {"freeze": "lower", "upper_epochs": 60}

    def __init__(self, hardening: Hardening = NO_HARDENING) -> None:
        self._hardening = hardening

    def prepare(
        self, training: NetworkTraining, classifier: keras.Model, dataset: NetworkDataset, progress: Progress
    ) -> PhaseInput:
        """Cut the network, and compute the activations at the cut that are not cached yet."""
        split, network = dataset.split, dataset.network
        images = len(split.train), len(split.validation) + len(split.test)
        cut, views, notes = choose_activations(network, images, training, self._hardening.views(training))
        extractor = extractor_at_cut(network, cut, training)
        if current_workers():
            progress.note("workers compute the activations; the upper blocks are trained on this machine.")
        held_out, train, seconds = _extract_activations(extractor, dataset, views, training, progress)
        top = trainable_top(classifier, cut.tensor, frozen_batch_norms(classifier, training))
        multipliers = layer_lr_multipliers(top, network, training.settings.layer_decay)
        criterion = choose_criterion(split.train.labels, split.validation.labels)
        plan = plan_blocks(training.settings, len(split.train), multipliers, criterion)
        plan = self._hardening.plan(plan, training.settings.upper_epochs)
        below = keras.Model(network.input, cut.tensor), extractor
        adversary = self._hardening.adversary(training, dataset, below, progress)
        train_samples = training_samples(train.open(split.train), split.train, training, adversary)
        validation_samples = Samples(held_out.open(split.validation), one_hot(split.validation))
        features, words = (held_out, train), (notes, (UNIMPROVED,))
        seconds *= views.num_degraded / views.count
        return PhaseInput(
            top, top, train_samples, validation_samples, plan, features, extractor, cut.name, *words, seconds
        )

    def estimate(
        self, training: NetworkTraining, classifier: keras.Model, inputs: EstimateInput, before: CostEstimate
    ) -> CostEstimate:
        """Estimate the time and disk space after those of earlier phases."""
        (train, held_out), speed = inputs.images, inputs.throughput
        wanted = self._hardening.views(training)
        cut, views, _ = choose_activations(inputs.network, inputs.images, training, wanted)
        multipliers = layer_lr_multipliers(classifier, inputs.network, training.settings.layer_decay)
        plan = self._hardening.plan(plan_blocks(training.settings, train, multipliers), training.settings.upper_epochs)
        top = trainable_top(classifier, cut.tensor, batch_norm_names(classifier))
        step = step_seconds(top, plan.batch_size, plan.product_dtype)
        below = speed.infer * fraction_below(inputs.network, top)
        filling = train * (measure_views(inputs.files, inputs.image, views) + views.count * below)
        filling *= 1 - cached_activations(inputs.files, cut, views, training)
        filling += held_out * (speed.decode + below) + graph_seconds(top, inputs)
        if self._hardening.epsilon:
            whole = step_seconds(
                trainable_top(classifier, classifier.input, batch_norm_names(classifier)), plan.batch_size
            )
            step += self._hardening.attack_seconds(whole, speed.infer, plan.batch_size)
        cost = before.then(filling, step, inputs.images, plan)
        return replace(cost, disk=cost.disk + math.prod(cut.shape) * (2 * views.count * train + 4 * held_out))


def choose_activations(
    network: keras.Model, images: tuple[int, int], training: NetworkTraining, asked: AugmentedViews
) -> tuple[Cut, AugmentedViews, tuple[str, ...]]:
    """Choose the cut and the views that fit on the disk, and note where they are not what was asked for.

    Args:
        images: how many there are to train on, and how many held out

    Raises:
        OptionError
    """
    cuts = cut_points(network)
    wanted = choose_cut(network, cuts, training.settings.cut)
    higher = [cut for cut in cuts[wanted.index :] if len(cut.shape) == 3]
    sizes = [math.prod(cut.shape) for cut in higher]
    position, count = fit_to_disk(sizes, images, asked.count, _disk_limit(training.settings.cache_limit))
    cut, views = higher[position], replace(asked, count=count)
    if (cut, views) == (wanted, asked):
        return cut, views, ()
    note = (
        f"not enough disk space: caching {count} of {asked.count} augmented views per image at {cut.name}. "
        "Raise --cache-limit for more."
    )
    return cut, views, (note,)


def extractor_at_cut(network: keras.Model, cut: Cut, training: NetworkTraining) -> FrozenExtractor:
    """Prepare the part of a network below a cut inside it, converted where it was not before.

    Args:
        network: with the weights it was built with below the cut

    Raises:
        ModelError
    """
    spec = _spec_at_cut(cut, training)
    extractor = keras.Model(network.input, cut.tensor, name="extractor")
    return convert_extractor(extractor, training.source.identity(spec.cut), spec)


def _spec_at_cut(cut: Cut, training: NetworkTraining) -> ExtractorSpec:
    return ExtractorSpec(training.image, training.engine, f"cut {cut.index}")


def fraction_below(network: keras.Model, top: keras.Model) -> float:
    """Give the fraction of a network's layers below the top; about as much of its time is spent there."""
    inside = {layer.name for layer in top.layers}
    return sum(layer.name not in inside for layer in network.layers) / len(network.layers)


def cached_activations(files: Sequence[Location], cut: Cut, views: AugmentedViews, training: NetworkTraining) -> float:
    """Give the fraction of training images whose activations in all views are cached."""
    spec = _spec_at_cut(cut, training)
    identity = training.source.identity(spec.cut)
    converted = load_converted(conversion_key(identity)) if identity else None
    if converted is None:
        return 0.0
    return cached_fraction(files, replace(feature_key(spec, converted.weights_sha256), view=views.key))


def layer_lr_multipliers(top: keras.Model, network: keras.Model, lowest: float) -> dict[str, float]:
    """Compute the multiplier of the learning rate by variable: `lowest` just above the cut, rising to 1 at the head.

    Biases are named for every layer: a folded convolution has one that it had not before.
    """
    inside = {layer.name for layer in network.layers}
    layers = [layer for layer in top.layers if layer.name in inside]
    multipliers: dict[str, float] = {}
    for position, layer in enumerate(layers):
        multiplier = lowest ** (1 - position / len(layers))
        paths = [*(variable.path for variable in layer.trainable_variables), f"{layer.name}/bias"]
        multipliers |= dict.fromkeys(paths, multiplier)
    return multipliers


def _disk_limit(cache_limit: float) -> float:
    """Compute the bytes that activations may take.

    Args:
        cache_limit: in GB; 0 for a fraction of the free disk
    """
    if cache_limit:
        return cache_limit * 1e9
    folder = next(path for path in (cache_dir(), *cache_dir().resolve().parents) if exists(path))
    return shutil.disk_usage(folder).free * MAX_DISK_FRACTION


def _extract_activations(
    extractor: FrozenExtractor,
    dataset: NetworkDataset,
    views: AugmentedViews,
    training: NetworkTraining,
    progress: Progress,
) -> tuple[Features, Features, float]:
    """Extract the plain view of held-out images, as `predict` does, and all views of the others, in float16.

    Returns:
        Both, and the seconds that the views took
    """
    folder, split = dataset.folder, dataset.split
    train = set(split.train.paths)
    held = set(split.validation.paths) | set(split.test.paths)
    held_out = extract(_only(folder, held), completed(extractor), training.image, progress)
    half = completed(replace(extractor, half=True))
    started = time.perf_counter()
    trained_on = extract(_only(folder, train), half, training.image, progress, views)
    seconds = time.perf_counter() - started
    _require_unchanged(folder, split, [held_out.folder, trained_on.folder])
    return held_out, trained_on, seconds


def _only(folder: ImageFolder, paths: set[str]) -> ImageFolder:
    return folder.subset([index for index, path in enumerate(folder.paths) if path in paths])


def _require_unchanged(folder: ImageFolder, split: Split, again: list[ImageFolder]) -> None:
    """Require that files, which are read a second time, still hold what was split."""
    before = dict(zip(folder.paths, folder.sha256, strict=True))
    pairs = [pair for images in again for pair in zip(images.paths, images.sha256, strict=True)]
    changed = [path for path, sha256 in pairs if before[path] != sha256]
    changed += [entry.path for images in again for entry in images.skipped]
    if changed or len(pairs) < sum(len(images) for images in split.subsets.values()):
        raise DataError(f"'{changed[0]}' was changed or removed during the run; start the run again.")
