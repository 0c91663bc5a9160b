"""What is made small, what rare classes weigh, and when F1 decides."""

import numpy as np
import pytest

from tests.networks import keras
from tlkit.training.loop.losses import LOSSES, class_balanced_weights, is_imbalanced, smooth_labels

LABELS = np.repeat([0, 1, 2], [60, 30, 10])


@pytest.mark.parametrize("kind", ["none", "balanced", "sqrt"])
def test_weights_have_mean_one(kind):
    assert class_balanced_weights(LABELS, kind).mean() == pytest.approx(1, abs=1e-6)


def test_balanced_classes_weigh_the_same_and_the_square_root_lies_between():
    sums = {
        kind: [class_balanced_weights(LABELS, kind)[k == LABELS].sum() for k in range(3)]
        for kind in ("balanced", "sqrt")
    }
    assert sums["balanced"] == pytest.approx([100 / 3] * 3, rel=1e-5)
    assert np.divide(sums["sqrt"], sums["sqrt"][2]) == pytest.approx(np.sqrt([6, 3, 1]), rel=1e-5)


def test_a_class_without_images_does_no_harm():
    assert np.isfinite(class_balanced_weights(np.array([0, 0, 2]), "balanced")).all()


def test_duplicating_a_rare_class_is_weighing_it():
    """The weighted loss of a batch is that of one in which the rare class stands as often as the others."""
    random = np.random.default_rng(0)
    shares = random.dirichlet(np.ones(2), 5)
    labels = np.array([0, 0, 0, 0, 1])
    targets = np.eye(2)[labels]
    weighted = LOSSES["cross-entropy"]()(targets, shares, sample_weight=class_balanced_weights(labels, "balanced"))
    often = np.array([0, 1, 2, 3, 4, 4, 4, 4])
    assert float(weighted) == pytest.approx(float(LOSSES["cross-entropy"]()(targets[often], shares[often])), rel=1e-5)


def test_losses_are_what_their_formulas_say():
    targets, shares = np.array([[1.0, 0.0, 0.0]]), np.array([[0.7, 0.2, 0.1]])
    found = {name: float(make()(targets, shares)) for name, make in LOSSES.items()}
    assert found["cross-entropy"] == pytest.approx(-np.log(0.7), rel=1e-5)
    assert found["mean-squared-error"] == pytest.approx((0.09 + 0.04 + 0.01) / 3, rel=1e-5)
    assert found["focal"] == pytest.approx(-0.25 * 0.3**2 * np.log(0.7), rel=1e-4)


def test_smoothing_is_keras_own():
    targets, shares = np.eye(3, dtype=np.float32)[[0, 2]], np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])
    expected = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)(targets, shares)
    assert float(LOSSES["cross-entropy"]()(smooth_labels(targets, 0.1), shares)) == pytest.approx(
        float(expected), rel=1e-6
    )


@pytest.mark.parametrize(("counts", "expected"), [([30, 10], True), ([29, 10], False), ([5, 0, 5], False)])
def test_three_to_one_is_imbalanced(counts, expected):
    assert is_imbalanced(np.repeat(np.arange(len(counts)), counts)) == expected
