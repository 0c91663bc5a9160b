"""The order of images, and images mixed in pairs: features and targets in one proportion, decided by their draws."""

import numpy as np
import pytest

from tlkit.training.loop.batches import Mixing, Samples, batch_indices, mix, prefetch, steps_per_epoch


def test_batch_indices_every_image_each_epoch_in_batches_of_one_size():
    for num_images, batch_size in [(1, 1), (7, 7), (10, 3), (100, 32), (33, 32), (31, 16)]:
        indices = batch_indices(num_images, batch_size, seed=0, epoch=1)
        assert indices.shape == (-(-num_images // batch_size), batch_size)
        assert len(indices) == steps_per_epoch(num_images, batch_size)
        assert set(indices.ravel().tolist()) == set(range(num_images))
        assert sorted(indices.ravel()[:num_images].tolist()) == list(range(num_images))


def test_batch_indices_fill_last_batch_with_first_images():
    indices = batch_indices(10, 4, seed=0, epoch=1).ravel()
    assert indices[10:].tolist() == indices[:2].tolist()


def test_batch_indices_depend_on_seed_and_epoch_alone():
    def order(seed, epoch):
        return batch_indices(50, 8, seed, epoch).ravel().tolist()

    np.random.seed(7)  # noqa: NPY002
    first = order(0, 1)
    assert order(0, 1) == first
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (1, 2)}) == 4


def test_samples_weigh_alike_and_features_follow_epochs():
    class Varied:
        def in_epoch(self, epoch):
            return np.full((2, 3), epoch)

    plain, targets = np.zeros((2, 3)), np.eye(2, dtype=np.float32)
    assert Samples(plain, targets).weights.tolist() == [1, 1]
    assert Samples(plain, targets).in_epoch(4) is plain
    assert Samples(Varied(), targets).in_epoch(4)[0].tolist() == [4, 4, 4]


def test_prefetch_makes_all_in_order_and_passes_errors_on():
    assert list(prefetch(lambda number, part: (number, part), "abc")) == [(0, "a"), (1, "b"), (2, "c")]
    assert list(prefetch(lambda number, part: part, "")) == []

    def fail(number, part):
        raise ValueError(part)

    with pytest.raises(ValueError, match="a"):
        list(prefetch(fail, "abc"))


def batch(shape=(8, 6, 6, 2), kind=np.float32):
    """The features of image k are all k, and its target and weight say so, too."""
    count = shape[0]
    features = np.broadcast_to(np.arange(count).reshape(-1, *[1] * (len(shape) - 1)), shape).astype(kind)
    return features, np.eye(count, dtype=np.float32), np.arange(count, dtype=np.float32)


def mixed(mixing, seed=0, **options):
    return mix(batch(**options), mixing, np.random.default_rng(seed))


def test_mix_without_alpha_is_the_batch():
    given = batch()
    assert mix(given, Mixing(), np.random.default_rng(0)) is given


@pytest.mark.parametrize("mixing", [Mixing(mixup=0.4), Mixing(cutmix=1.0), Mixing(0.4, 1.0)], ids=str)
def test_mix_targets_and_weights_say_what_features_are_made_of(mixing):
    numbers = np.arange(8)
    for seed in range(5):
        features, targets, weights = mixed(mixing, seed)
        np.testing.assert_allclose(features.mean(axis=(1, 2, 3)), targets @ numbers, atol=1e-5)
        np.testing.assert_allclose(weights, targets @ numbers, atol=1e-5)
        np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)


def test_mix_mixup_blends_and_cutmix_replaces_a_piece():
    blended, _, _ = mixed(Mixing(mixup=1.0))
    assert np.ptp(blended, axis=(1, 2, 3)).max() < 1e-6
    pieced, _, _ = mixed(Mixing(cutmix=1.0))
    assert np.array_equal(pieced, np.round(pieced))
    assert np.ptp(pieced, axis=(1, 2, 3)).max() > 0


def test_mix_cutmix_leaves_vectors_alone():
    given = batch(shape=(8, 5))
    assert mix(given, Mixing(cutmix=1.0), np.random.default_rng(0)) is given
    assert not np.array_equal(mix(given, Mixing(0.5, 1.0), np.random.default_rng(0))[0], given[0])


def test_mix_draws_decide_and_precision_stays():
    first, again, other = (mixed(Mixing(0.4, 1.0), seed, kind=np.float16)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.dtype == np.float16
