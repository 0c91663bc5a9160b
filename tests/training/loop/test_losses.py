"""What is made small, what rare classes weigh, and when F1 decides."""

import numpy as np
import pytest

from tests.networks import keras, lazy_functions

LABELS = np.repeat([0, 1, 2], [60, 30, 10])
class_balanced_weights, is_imbalanced, smooth_labels = lazy_functions(
    "tlkit.training.loop.losses", "class_balanced_weights", "is_imbalanced", "smooth_labels"
)


@pytest.fixture
def losses():
    """A loss function of each kind, by its name."""
    from tlkit.training.loop.losses import LOSSES

    return {name: make() for name, make in LOSSES.items()}


def test_class_balanced_weights_have_mean_one():
    from tlkit.training.loop.losses import WEIGHTS

    means = {kind: class_balanced_weights(LABELS, kind).mean() for kind in WEIGHTS}
    assert means == pytest.approx(dict.fromkeys(("none", "balanced", "sqrt"), 1), abs=1e-6)


def test_class_balanced_weights_sum_alike_and_square_root_lies_between():
    sums = {
        kind: [class_balanced_weights(LABELS, kind)[k == LABELS].sum() for k in range(3)]
        for kind in ("balanced", "sqrt")
    }
    assert sums["balanced"] == pytest.approx([100 / 3] * 3, rel=1e-5)
    assert np.divide(sums["sqrt"], sums["sqrt"][2]) == pytest.approx(np.sqrt([6, 3, 1]), rel=1e-5)


def test_class_balanced_weights_class_without_images_is_finite():
    assert np.isfinite(class_balanced_weights(np.array([0, 0, 2]), "balanced")).all()


def test_class_balanced_weights_equal_duplicates_of_rare_class(losses):
    """The weighted loss of a batch is that of one in which the rare class stands as often as the others."""
    probabilities = np.random.default_rng(0).dirichlet(np.ones(2), 5)
    labels = np.array([0, 0, 0, 0, 1])
    targets, measure = np.eye(2)[labels], losses["cross-entropy"]
    weighted = measure(targets, probabilities, sample_weight=class_balanced_weights(labels, "balanced"))
    repeated = np.array([0, 1, 2, 3, 4, 4, 4, 4])
    assert float(weighted) == pytest.approx(float(measure(targets[repeated], probabilities[repeated])), rel=1e-5)


def test_losses_equal_their_formulas(losses):
    targets, probabilities = np.array([[1.0, 0.0, 0.0]]), np.array([[0.7, 0.2, 0.1]])
    assert {name: float(measure(targets, probabilities)) for name, measure in losses.items()} == pytest.approx(
        {
            "cross-entropy": -np.log(0.7),
            "mean-squared-error": (0.09 + 0.04 + 0.01) / 3,
            "focal": -0.25 * 0.3**2 * np.log(0.7),
        },
        rel=1e-4,
    )


def test_smooth_labels_equals_keras(losses):
    targets, probabilities = np.eye(3, dtype=np.float32)[[0, 2]], np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])
    expected = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)(targets, probabilities)
    smoothed = losses["cross-entropy"](smooth_labels(targets, 0.1), probabilities)
    assert float(smoothed) == pytest.approx(float(expected), rel=1e-6)


def test_is_imbalanced_from_three_to_one():
    counts = ([30, 10], [29, 10], [5, 0, 5])
    assert [is_imbalanced(np.repeat(np.arange(len(each)), each)) for each in counts] == [True, False, False]
