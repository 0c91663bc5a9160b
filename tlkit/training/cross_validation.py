"""Trainings in folds, so that every image is held out once, and with other seeds: `--folds` and `--seeds`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.data.split import Split, fold_splits, split_folder
from tlkit.errors import DataError
from tlkit.evaluation.report import Report
from tlkit.settings.shared import parse_seeds
from tlkit.settings.training import NetworkSettings
from tlkit.training.artifacts import Fitted
from tlkit.training.diagnosis import NUM_FOLDS
from tlkit.training.recipe import CrossValidation, NetworkDataset, Repeats
from tlkit.utils.progress import Progress

EVAL_BATCH = 256  # images evaluated at a time


@dataclass(frozen=True)
class RepeatedTraining:
    """A training that can be repeated from the same initial weights.

    Attributes:
        fit: trains on a split, with some options changed
        settings: of the training that is repeated
    """

    fit: Callable[[Split, Mapping[str, Any]], Fitted]
    settings: NetworkSettings


def cross_validate(training: RepeatedTraining, dataset: NetworkDataset, progress: Progress) -> Repeats:
    """Train in folds and with other seeds, as far as that is asked for."""
    settings = training.settings
    return Repeats(
        folds=_fit_folds(training, dataset, progress) if settings.folds else None,
        seeds=_fit_seeds(training, dataset, progress) if settings.seeds else None,
    )


def check_repeats(dataset: NetworkDataset, settings: NetworkSettings) -> None:
    """Check that every fold and every seed has images to train on and to hold out, before anything is trained.

    Raises:
        DataError: if one has not
    """
    _fold_splits(dataset, settings)
    _seed_splits(dataset, settings)


def can_fold(dataset: NetworkDataset, settings: NetworkSettings) -> bool:
    """Tell whether the folds that a diagnosis advises can be made."""
    try:
        check_repeats(dataset, replace(settings, folds=NUM_FOLDS, seeds=""))
    except DataError:
        return False
    return True


def _fold_splits(dataset: NetworkDataset, settings: NetworkSettings) -> list[Split]:
    if not settings.folds:
        return []
    split, folder = dataset.split, dataset.folder
    known = {*split.train.paths, *split.validation.paths}  # the test images stay out of everything
    folder = folder.subset([index for index, path in enumerate(folder.paths) if path in known])
    return fold_splits(folder, settings.folds, settings.validation_split, settings.seed)


def _seed_splits(dataset: NetworkDataset, settings: NetworkSettings) -> dict[int, Split]:
    fractions = settings.validation_split, settings.test_split
    return {seed: split_folder(dataset.folder, *fractions, seed) for seed in parse_seeds(settings.seeds)}


def _fit_folds(training: RepeatedTraining, dataset: NetworkDataset, progress: Progress) -> CrossValidation:
    """Train once per fold, and classify it by the training that held it out."""
    splits, rows = _fold_splits(dataset, training.settings), list[tuple[str, int, int, np.ndarray]]()
    for number, fold in enumerate(splits, 1):
        progress.note(
            f"fold {number} of {len(splits)}: {len(fold.train)} training images, {len(fold.validation)} to select the "
            f"epoch, {len(fold.test)} to measure."
        )
        probabilities = predict_fitted(training.fit(fold, {}), fold.test)
        labels = fold.test.labels.tolist()
        rows += [(*row[:2], number, row[2]) for row in zip(fold.test.paths, labels, probabilities, strict=True)]
    order = {path: index for index, path in enumerate(dataset.folder.paths)}
    paths, labels, folds, values = zip(*sorted(rows, key=lambda row: order[row[0]]), strict=True)
    report = Report(dataset.folder.class_names, np.array(labels, np.int32), np.stack(values))
    return CrossValidation(report, paths, np.array(folds))


def _fit_seeds(training: RepeatedTraining, dataset: NetworkDataset, progress: Progress) -> dict[str, Any]:
    accuracies = {}
    for seed, split in _seed_splits(dataset, training.settings).items():
        progress.note(f"seed {seed}: training with another split, image order and initial weights.")
        fitted = training.fit(split, {"seed": seed})
        predicted = predict_fitted(fitted, split.validation).argmax(axis=1)
        accuracies[str(seed)] = float(np.mean(predicted == split.validation.labels))
    values = list(accuracies.values())
    spread = {"least": min(values), "median": median(values), "greatest": max(values)}
    return {"accuracies": accuracies} | spread


def predict_fitted(fitted: Fitted, images: ImageFolder) -> np.ndarray:
    """Classify images on their cached features: float32 (images, classes)."""
    stored = fitted.features[0].open(images)
    starts = range(0, len(images), EVAL_BATCH)
    return np.concatenate([fitted.predict(stored[start : start + EVAL_BATCH]) for start in starts])
