"""The two halves of the features of a head: together they are what the whole would give."""

import numpy as np
import pytest

from tlkit.training.head.halves import FeatureHalf

RANDOM = np.random.default_rng(0)
NAMES = {
    "wide and deep": ("kernel_1", "linear", "kernel", "gamma", "beta", "mean", "variance"),
    "linear on a batch norm": ("kernel", "gamma", "beta", "mean", "variance"),
    "linear": ("kernel",),
}


def halves(names, num_features=5):
    """Both halves of new weights, and these weights and gradients."""
    columns = {"kernel_1": 4, "linear": 3, "kernel": 3}
    shapes = {name: (num_features, columns[name]) if name in columns else (num_features,) for name in names}
    if "kernel_1" in names:
        shapes["kernel"] = 4, 3
    weights = {name: RANDOM.uniform(0.5, 1.5, shape).astype(np.float32) for name, shape in shapes.items()}
    gradients = {name: np.zeros_like(value) for name, value in weights.items() if name not in ("mean", "variance")}
    return [FeatureHalf(weights, gradients, part) for part in (slice(0, 2), slice(2, num_features))], weights, gradients


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_sums_of_both_halves_are_those_of_all_features(names):
    parts, weights, _ = halves(names)
    features = RANDOM.normal(1, 2, (8, 5)).astype(np.float32)
    before = weights["mean"].copy() if "mean" in weights else None
    (first, direct), (second, other) = (part.forward(features, None) for part in parts)
    values = features
    if "gamma" in weights:
        values = (features - features.mean(0)) / np.sqrt(features.var(0) + 1e-3) * weights["gamma"] + weights["beta"]
        np.testing.assert_allclose(weights["mean"], 0.9 * before + 0.1 * features.mean(0), rtol=1e-5)
    np.testing.assert_allclose(first + second, values @ weights[names[0]], rtol=1e-4)
    if "linear" in names:
        np.testing.assert_allclose(direct + other, features @ weights["linear"], rtol=1e-4)
    else:
        assert direct is other is None


def test_each_half_fills_its_own_gradients_alone():
    parts, _, gradients = halves(NAMES["wide and deep"])
    features, scores = RANDOM.normal(size=(8, 5)).astype(np.float32), RANDOM.normal(size=(8, 3)).astype(np.float32)
    gradient = RANDOM.normal(size=(8, 4)).astype(np.float32)
    parts[1].forward(features, None)
    parts[1].backward(gradient, scores, gradient.sum(0))
    for name in ("kernel_1", "linear", "gamma", "beta"):
        assert not gradients[name][:2].any()
        assert gradients[name][2:].all()
    assert not gradients["kernel"].any()  # of the layer above the hidden one
    np.testing.assert_allclose(gradients["linear"][2:], features[:, 2:].T @ scores, rtol=1e-4)


def test_finished_head_scales_each_half_by_its_part_of_the_arrays():
    parts, weights, _ = halves(NAMES["wide and deep"])
    features = RANDOM.normal(size=(8, 5)).astype(np.float32)
    arrays = {"scale": np.arange(1, 6, dtype=np.float32), "offset": np.full(5, 0.5, np.float32)}
    sums = [part.predict(features, arrays)[0] for part in parts]
    expected = (features * arrays["scale"] + arrays["offset"]) @ weights["kernel_1"]
    np.testing.assert_allclose(sums[0] + sums[1], expected, rtol=1e-4, atol=1e-5)
