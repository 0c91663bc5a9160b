"""MixUp and CutMix: features and targets in the same proportion, decided by their draws."""

import numpy as np
import pytest

from tlkit.training.loop.batches import Mixing, mix


def batch(shape=(8, 6, 6, 2), kind=np.float32):
    """The features of image k are all k, and its target and weight say so, too."""
    count = shape[0]
    features = np.broadcast_to(np.arange(count).reshape(-1, *[1] * (len(shape) - 1)), shape).astype(kind)
    return features, np.eye(count, dtype=np.float32), np.arange(count, dtype=np.float32)


def mixed(mixing, seed=0, **options):
    return mix(batch(**options), mixing, np.random.default_rng(seed))


def test_nothing_is_mixed_where_nothing_is_asked_for():
    given = batch()
    assert mix(given, Mixing(), np.random.default_rng(0)) is given


@pytest.mark.parametrize("mixing", [Mixing(mixup=0.4), Mixing(cutmix=1.0), Mixing(0.4, 1.0)], ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_targets_and_weights_say_what_the_features_are_made_of(mixing, seed):
    features, targets, weights = mixed(mixing, seed)
    numbers = np.arange(8)
    np.testing.assert_allclose(features.mean(axis=(1, 2, 3)), targets @ numbers, atol=1e-5)
    np.testing.assert_allclose(weights, targets @ numbers, atol=1e-5)
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)


def test_mixup_blends_and_cutmix_replaces_a_piece():
    blended, _, _ = mixed(Mixing(mixup=1.0))
    assert np.ptp(blended, axis=(1, 2, 3)).max() < 1e-6
    pieced, _, _ = mixed(Mixing(cutmix=1.0))
    assert np.array_equal(pieced, np.round(pieced))
    assert np.ptp(pieced, axis=(1, 2, 3)).max() > 0


def test_vectors_have_no_pieces():
    given = batch(shape=(8, 5))
    assert mix(given, Mixing(cutmix=1.0), np.random.default_rng(0)) is given
    assert not np.array_equal(mix(given, Mixing(0.5, 1.0), np.random.default_rng(0))[0], given[0])


def test_the_draws_decide_and_the_precision_stays():
    first, again, other = (mixed(Mixing(0.4, 1.0), seed, kind=np.float16)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.dtype == np.float16
