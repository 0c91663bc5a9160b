"""What the tests of classic classifiers share."""

import numpy as np


def blobs(num_classes, count=60, length=7, seed=0):
    """Rows of overlapping Gaussian classes: float32 (rows, values), int (rows,)."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % num_classes
    centers = random.normal(0, 1.2, (num_classes, length))
    return (centers[labels] + random.normal(0, 1, (count, length))).astype(np.float32), labels


def middle_options(classifier):
    """The middle value of each hyperparameter."""
    return {name: values[len(values) // 2] for name, values in classifier.grid.items()}


def fit(classifier, values, labels):
    return classifier.create(middle_options(classifier), 0).fit(values, labels)


def fit_and_export(classifier, values, labels):
    return classifier.export(fit(classifier, values, labels))
