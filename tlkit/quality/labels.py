"""Checks of labels: images that a simple classifier, trained on the others, gives another class; and odd images."""

import math
from dataclasses import dataclass

import numpy as np

from tlkit.features.neighbors import nearest, unit_rows
from tlkit.quality.base import CheckedData, Issue

PENALTY = 1000.0  # of the ridge regression, for columns of about unit deviation
SURE_MARGIN = 0.5  # by which another class must lead for a warning; labels are 0 and 1
NUM_NEIGHBORS = 5
FAR = 6.0  # deviations above the median distance to the neighbors from which an image is odd


@dataclass(frozen=True)
class LabelErrors:
    """Images whose label the others contradict; one issue for each, the most suspicious first."""

    name: str = "label-errors"

    def find(self, data: CheckedData) -> list[Issue]:
        """List images for which another class leads, by how much it leads."""
        if data.features is None:
            return []
        scores = leave_one_out_scores(data.features, data.folder.labels, data.folder.num_classes)
        rows, labels = np.arange(len(scores)), data.folder.labels
        others = scores.copy()
        others[rows, labels] = -np.inf
        leaders = others.argmax(axis=1)
        leads = others[rows, leaders] - scores[rows, labels]
        issues = []
        for position in np.argsort(-leads, kind="stable").tolist():
            lead = float(leads[position])
            if lead <= 0:
                break
            path, found = data.path(position), data.folder.class_names[int(leaders[position])]
            message = f"{path} looks like '{found}'; its label is '{data.class_of(position)}'."
            severity = "warning" if lead >= SURE_MARGIN else "info"
            remedy = "Look at it, and move it if the label is wrong."
            issues.append(Issue(self.name, severity, (path,), min(lead, 1.0), message, remedy))  # type: ignore[arg-type]
        return issues


def leave_one_out_scores(features: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Score every image for every class by a ridge regression on all the others: float32 (images, classes).

    Each prediction without an image follows from the fit with it: (y_i - h_ii t_i) / (1 - h_ii), where h is the
    diagonal of the hat matrix (Hastie, Tibshirani, Friedman, *The Elements of Statistical Learning*, 7.10).

    Args:
        features: float32 (images, values)
        labels: int (images,)
    """
    columns = unit_rows(features) * np.float32(math.sqrt(features.shape[1]))
    targets = np.eye(num_classes, dtype=np.float32)[labels]
    means: np.ndarray = targets.mean(axis=0)
    centered = targets - means
    if len(columns) > columns.shape[1]:  # the smaller of two systems is solved
        projected = columns @ np.linalg.inv(columns.T @ columns + PENALTY * np.eye(columns.shape[1], dtype=np.float32))
        leverage = np.einsum("ij,ij->i", projected, columns)
        fitted = projected @ (columns.T @ centered)
    else:
        gram = columns @ columns.T
        hat = np.linalg.solve(gram + PENALTY * np.eye(len(gram), dtype=np.float32), gram)
        leverage, fitted = np.diag(hat), hat @ centered
    scores: np.ndarray = means + _without_itself(fitted, centered, leverage)
    return scores


def _without_itself(fitted: np.ndarray, targets: np.ndarray, leverage: np.ndarray) -> np.ndarray:
    kept = np.minimum(leverage, 1 - 1e-6)[:, None]
    scores: np.ndarray = (fitted - kept * targets) / (1 - kept)
    return scores


@dataclass(frozen=True)
class Outliers:
    """Images unlike all others; one issue for each."""

    name: str = "outliers"

    def find(self, data: CheckedData) -> list[Issue]:
        """List images that are far from their nearest neighbors by features, the farthest first."""
        if data.features is None or len(data.folder) <= 2 * NUM_NEIGHBORS:
            return []
        unit, neighbors = unit_rows(data.features), nearest(data.features, NUM_NEIGHBORS)
        distances = 1 - np.einsum("ij,ikj->i", unit, unit[neighbors]) / NUM_NEIGHBORS
        middle = np.median(distances)
        deviation = 1.4826 * np.median(np.abs(distances - middle))  # of a normal distribution
        issues = []
        for position in np.argsort(-distances, kind="stable").tolist():
            if deviation == 0 or (distances[position] - middle) / deviation < FAR:
                break
            path = data.path(position)
            message = f"{path} is unlike all other images."
            score = float(min(distances[position], 1.0))
            issues.append(Issue(self.name, "info", (path,), score, message, "Look whether it belongs here."))
        return issues
