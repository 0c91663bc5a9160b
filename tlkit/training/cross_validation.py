"""Trainings besides the one that is kept: in folds, so that every image is held out once, and with other seeds."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.data.split import Split, fold_splits, split_folder
from tlkit.evaluation.metrics import wilson_interval
from tlkit.features.extract import Features
from tlkit.settings.shared import parse_seeds
from tlkit.settings.training import TrainingSettings
from tlkit.utils.progress import Progress

if TYPE_CHECKING:
    from tlkit.training.phases import FittedNetwork


EVAL_BATCH = 256  # evaluated at a time


@dataclass(frozen=True)
class RepeatedTraining:
    """Trains a network from its first weights, as often as asked.

    network   what is trained; put back to `weights` before each time
    train     from a split and settings to what came of them
    """

    network: Any
    weights: list[np.ndarray]
    train: Callable[[Split, TrainingSettings], "FittedNetwork"]

    def __call__(self, split: Split, settings: TrainingSettings) -> "FittedNetwork":
        """Train once."""
        self.network.set_weights(self.weights)
        return self.train(split, settings)


def cross_validate(
    trainer: RepeatedTraining, extracted: Features, split: Split, settings: TrainingSettings, progress: Progress
) -> dict[str, Any]:
    """What `metrics.json` says of folds and seeds; None for what was not asked for.

    folds: accuracy on each fold, which nothing was chosen on; their mean over all images and its interval
    seeds: accuracy on the validation images of each seed's own split
    """
    known = {*split.train.paths, *split.validation.paths}  # the test side stays out of everything
    folder = extracted.folder.pick([row for row, path in enumerate(extracted.folder.paths) if path in known])
    folds = _folds(trainer, folder, settings, progress) if settings.folds else None
    seeds = _seeds(trainer, extracted, settings, progress) if settings.seeds else None
    return {"folds": folds, "seeds": seeds}


def _folds(
    trainer: RepeatedTraining, folder: ImageFolder, settings: TrainingSettings, progress: Progress
) -> dict[str, Any]:
    splits = fold_splits(folder, settings.folds, settings.validation_split, settings.seed)
    right, counts = [], [len(each.test) for each in splits]
    for number, each in enumerate(splits, 1):
        progress.note(
            f"fold {number} of {len(splits)}: {len(each.train)} images to train on, {len(each.test)} held out."
        )
        right.append(num_correct(trainer(each, settings), each.test))
    return {
        "accuracies": [correct / count for correct, count in zip(right, counts, strict=True)],
        "accuracy": sum(right) / sum(counts),
        "accuracy_ci95": list(wilson_interval(sum(right), sum(counts))),
        "num_images": sum(counts),
    }


def _seeds(
    trainer: RepeatedTraining, extracted: Features, settings: TrainingSettings, progress: Progress
) -> dict[str, Any]:
    found = {}
    for seed in parse_seeds(settings.seeds):
        progress.note(f"seed {seed}: a split, an order and random weights of its own.")
        split = split_folder(extracted.folder, settings.validation_split, settings.test_split, seed)
        trained = trainer(split, replace(settings, seed=seed))
        found[seed] = num_correct(trained, split.validation) / len(split.validation)
    values = list(found.values())
    spread = {"least": min(values), "median": median(values), "greatest": max(values)}
    return {"accuracies": {str(seed): value for seed, value in found.items()}} | spread


def num_correct(trained: "FittedNetwork", part: ImageFolder) -> int:
    """How many images of a part are told right."""
    rows = trained.features.rows(part)
    shares = [
        trained.upper.predict_on_batch(rows[start : start + EVAL_BATCH]) for start in range(0, len(part), EVAL_BATCH)
    ]
    return int(np.sum(np.concatenate(shares).argmax(axis=1) == part.labels))
