"""The loss functions, and what rare classes weigh."""

import numpy as np
import pytest

from tests.networks import keras, lazy_functions

LABELS = np.repeat([0, 1, 2], [60, 30, 10])
class_balanced_weights, divergence_bound, smooth_labels = lazy_functions(
    "tlkit.training.loop.losses", "class_balanced_weights", "divergence_bound", "smooth_labels"
)


@pytest.fixture
def losses():
    """A loss function of each kind, by its name."""
    from tlkit.training.loop.keras_losses import LOSSES

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
            "hinge": (np.log(0.2 / 0.7) + 1 if 0.7 / np.e < 0.2 else 0) + max(0, np.log(0.1 / 0.7) + 1),
        },
        rel=1e-4,
    )


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def weston_watkins(scores, labels):
    """The sum over j other than y of max(0, s_j - s_y + 1), of each image."""
    rows = range(len(labels))
    others = [[j for j in range(scores.shape[1]) if j != label] for label in labels]
    return np.array([sum(max(0, scores[i, j] - scores[i, labels[i]] + 1) for j in others[i]) for i in rows])


def test_hinge_is_that_of_the_scores_behind_the_probabilities(losses):
    random = np.random.default_rng(3)
    for num_classes in (2, 3, 50):
        scores, labels = random.normal(0, 3, (20, num_classes)), random.integers(0, num_classes, 20)
        of_images = losses["hinge"].call(np.eye(num_classes)[labels], softmax(scores))
        np.testing.assert_allclose(np.asarray(of_images), weston_watkins(scores, labels), rtol=1e-5, atol=1e-5)


def test_hinge_of_a_mixed_image_is_mixed_of_both_classes(losses):
    scores = np.array([[2.0, 1.0, -1.0, 0.5]])
    targets = 0.3 * np.eye(4)[[1]] + 0.7 * np.eye(4)[[3]]
    expected = 0.3 * weston_watkins(scores, [1]) + 0.7 * weston_watkins(scores, [3])
    assert np.asarray(losses["hinge"].call(targets, softmax(scores))) == pytest.approx(expected, rel=1e-5)


def test_hinge_gradient_by_scores_equals_finite_differences(losses):
    random = np.random.default_rng(4)
    scores, labels = random.normal(0, 2, (6, 5)), np.array([0, 1, 2, 3, 4, 0])

    from tensorflow import GradientTape, Variable, nn

    variable = Variable(scores, dtype="float64")
    with GradientTape() as tape:
        total = losses["hinge"].call(np.eye(5)[labels], nn.softmax(variable))
        total = keras.ops.sum(total)
    analytic, numeric, step = tape.gradient(total, variable).numpy(), np.zeros_like(scores), 1e-6
    for index in np.ndindex(*scores.shape):
        moved = [scores.copy(), scores.copy()]
        moved[0][index] += step
        moved[1][index] -= step
        up, down = (weston_watkins(values, labels).sum() for values in moved)
        numeric[index] = (up - down) / (2 * step)
    np.testing.assert_allclose(analytic, numeric, rtol=1e-6, atol=1e-7)


def test_hinge_of_certain_mistakes_is_finite(losses):
    assert np.isfinite(float(losses["hinge"](np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]], np.float32))))


def test_divergence_bound_lies_above_the_loss_of_an_untrained_classifier(losses):
    for num_classes in (2, 10, 200):
        uniform, targets = np.full((1, num_classes), 1 / num_classes), np.eye(num_classes)[:1]
        for name, measure in losses.items():
            assert float(measure(targets, uniform)) < divergence_bound(name, num_classes)


def test_smooth_labels_equals_keras(losses):
    targets, probabilities = np.eye(3, dtype=np.float32)[[0, 2]], np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])
    expected = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)(targets, probabilities)
    smoothed = losses["cross-entropy"](smooth_labels(targets, 0.1), probabilities)
    assert float(smoothed) == pytest.approx(float(expected), rel=1e-6)
