"""Augmented views: where their pixels come from, and that every draw is decided by its seed."""

import numpy as np
import pytest

from tlkit.data.augment import (
    NO_AUGMENTATION,
    OUTSIDE,
    PRESETS,
    Augmentation,
    AugmentedBatches,
    AugmentedViews,
    ViewKey,
    augment_images,
)
from tlkit.data.transforms import ImageDraws, sample_affine
from tlkit.settings.training import FinetuneSettings

SIDE, SIZE = 74, 64
LIGHT = PRESETS["light"]
SHA, OTHER = "ab" * 32, "cd" * 32


def ramp(side=SIDE):
    """Red says the column, green the row."""
    column, row = np.meshgrid(np.arange(side), np.arange(side))
    return np.stack([column, row, np.zeros_like(row)], axis=2).astype(np.uint8)


def augmentation_of(settings):
    return Augmentation.from_options(settings.augment, settings.amounts)


def view_of(working, augmentation=LIGHT, number=0):
    return augment_images([working], len(working), SIZE, augmentation, [key_of(number)])[0]


def key_of(number, sha256=SHA):
    return ViewKey(0, number, sha256)


def noise(side=SIDE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def plain():
    return np.full((SIZE, SIZE, 3), 7, np.uint8)


def test_a_view_is_what_its_affine_says():
    """On a ramp of colors, each pixel tells where it was taken from."""
    for augmentation in [LIGHT, Augmentation(shear=20, zoom=0.2, shift=0.1, rotation=30)]:
        for number in range(20):
            a, b, c, d, e, f = sample_affine(SIDE, SIZE, augmentation, ImageDraws([f"0 {number} {SHA}"]))[0]
            view = view_of(ramp(), augmentation, number).astype(float)
            x, y = np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5)
            column, row = a * x + b * y + c - 0.5, d * x + e * y + f - 0.5
            inside = (column >= 1) & (column < SIDE - 2) & (row >= 1) & (row < SIDE - 2)
            assert inside.mean() > 0.4, augmentation
            np.testing.assert_allclose(view[inside][:, 0], column[inside], atol=1.01)
            np.testing.assert_allclose(view[inside][:, 1], row[inside], atol=1.01)


def test_what_lies_outside_the_picture_is_gray():
    black = np.zeros((SIDE, SIDE, 3), np.uint8)
    views = np.stack([view_of(black, number=number) for number in range(50)])
    assert views.max() == OUTSIDE[0]
    assert (views == 0).mean() > 0.9


def test_the_first_view_is_the_plain_one():
    views = AugmentedViews(4, seed=0)(plain(), ramp(), SHA)
    assert (views.shape, views.dtype) == ((4, SIZE, SIZE, 3), np.uint8)
    np.testing.assert_array_equal(views[0], plain())
    assert len({view.tobytes() for view in views}) == 4


def test_one_view_is_the_plain_one_alone():
    np.testing.assert_array_equal(AugmentedViews(1, seed=0)(plain(), ramp(), SHA), plain()[None])


def test_more_views_change_none_of_the_fewer():
    np.testing.assert_array_equal(
        AugmentedViews(5, 3)(plain(), ramp(), SHA)[:3], AugmentedViews(3, 3)(plain(), ramp(), SHA)
    )


def test_seed_and_image_decide_the_views():
    for seed, sha256 in [(1, SHA), (0, OTHER)]:
        first = AugmentedViews(3, 0)(plain(), ramp(), SHA)
        np.testing.assert_array_equal(first, AugmentedViews(3, 0)(plain(), ramp(), SHA))
        assert not np.array_equal(first[1:], AugmentedViews(3, seed)(plain(), ramp(), sha256)[1:]), (seed, sha256)


def test_the_key_names_what_views_depend_on():
    keys = {
        AugmentedViews(5, 0).key,
        AugmentedViews(4, 0).key,
        AugmentedViews(5, 1).key,
        AugmentedViews(5, 0, PRESETS["medium"]).key,
    }
    assert len(keys) == 4


# each amount


def test_without_any_amount_a_view_is_the_picture_itself():
    picture = noise(SIZE)
    np.testing.assert_array_equal(view_of(picture, NO_AUGMENTATION), picture)


def test_colors_keep_within_their_limits():
    """Red 130, green 100, blue 70: of mean 100 and range 60."""
    for name, measure in [
        ("brightness", lambda view: view.mean() / 100),
        ("contrast", lambda view: (view.max() - view.min()) / 60),
        ("saturation", lambda view: (view[..., 0] - view[..., 2]).mean() / 60),
    ]:
        picture = np.tile(np.array([130, 100, 70], np.uint8), (SIZE, SIZE, 1))
        views = [view_of(picture, Augmentation(**{name: 0.3}), number).astype(float) for number in range(200)]
        found = [measure(view) for view in views]
        assert (min(found), max(found)) == pytest.approx((0.7, 1.3), abs=0.03), (name, measure)


def test_contrast_turns_about_middle_gray_and_saturation_leaves_gray_alone():
    gray = np.full((SIZE, SIZE, 3), 128, np.uint8)
    for name in ("contrast", "saturation"):
        np.testing.assert_array_equal(view_of(gray, Augmentation(**{name: 0.5})), gray)


def test_noise_has_the_deviation_that_was_drawn():
    gray = np.full((SIZE, SIZE, 3), 128, np.uint8)
    found = [view_of(gray, Augmentation(noise=0.1), number).std() / 255 for number in range(100)]
    assert max(found) == pytest.approx(0.1, abs=0.006)
    assert min(found) < 0.01
    assert np.mean(found) == pytest.approx(0.05, abs=0.01)


def test_half_of_the_views_lose_one_rectangle_within_the_limit():
    white = np.full((SIZE, SIZE, 3), 255, np.uint8)
    shares = np.array([(view_of(white, Augmentation(erase=0.3), number) == 128).mean() for number in range(300)])
    assert 0.4 < np.mean(shares > 0) < 0.6
    assert 0.25 < shares.max() <= 0.32
    view = next(view for number in range(9) if (view := view_of(white, Augmentation(erase=0.3), number)).min() < 255)
    rows, columns = np.nonzero((view == 128).all(axis=2))
    assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


def test_every_preset_gives_different_views_of_one_picture():
    for name in PRESETS:
        views = {view_of(noise(), PRESETS[name], number).tobytes() for number in range(8)}
        assert len(views) == (1 if name == "none" else 8), name


# what settings choose


def test_a_single_amount_takes_the_place_of_the_presets():
    assert augmentation_of(FinetuneSettings()) == LIGHT
    chosen = augmentation_of(FinetuneSettings(augment="medium", hflip=False, rotation=0.0, noise=0.05))
    medium = PRESETS["medium"]
    assert (chosen.hflip, chosen.rotation, chosen.noise) == (False, 0, 0.05)
    assert (chosen.crop, chosen.brightness) == (medium.crop, medium.brightness)
    assert augmentation_of(FinetuneSettings(augment="none", hflip=True)) == Augmentation(hflip=True)


# epochs


def rows(epoch=1, seed=0):
    working = np.stack([noise(seed=number) for number in range(6)])
    hashes = [f"{number:016x}" * 4 for number in range(6)]
    return AugmentedBatches(working, hashes, LIGHT, SIZE, seed).in_epoch(epoch)


def test_a_picture_looks_the_same_in_every_batch_of_an_epoch_and_different_in_the_next():
    first = rows()
    picked = first[np.array([4, 1, 1])]
    np.testing.assert_array_equal(picked, np.stack([first[np.array([4])][0], *[first[1:2][0]] * 2]))
    assert not np.array_equal(first[:], rows(epoch=2)[:])
    assert not np.array_equal(first[:], rows(seed=1)[:])
    np.testing.assert_array_equal(first[:], rows()[:])
    expected = augment_images([noise(seed=4)], SIDE, SIZE, LIGHT, [key_of(1, f"{4:016x}" * 4)])
    np.testing.assert_array_equal(picked[0], expected[0])


# degraded views, of `--harden noise`


def test_every_second_view_is_degraded_and_the_others_are_as_without():
    usual = AugmentedViews(6, seed=0)(noise(SIZE), noise(), SHA)
    views = AugmentedViews(6, 0, LIGHT, "every second")
    degraded = views(noise(SIZE), noise(), SHA)
    same = [np.array_equal(*pair) for pair in zip(degraded, usual, strict=True)]
    assert same == [True, False, True, False, True, False]
    assert views.num_degraded == 3
    assert views.key != AugmentedViews(6, 0).key


def test_all_views_but_the_plain_one_are_degraded_without_augmentation():
    views = AugmentedViews(4, 0, NO_AUGMENTATION, "all")
    degraded = views(noise(SIZE), noise(), SHA)
    same = [np.array_equal(view, noise(SIZE)) for view in degraded]
    assert same == [True, False, False, False]
    assert len({view.tobytes() for view in degraded}) == 4
    assert views.num_degraded == 3


def test_batches_degrade_half_of_the_images_and_each_in_every_second_epoch():
    images, hashes = (
        np.stack([noise(seed=number) for number in range(4)]),
        [f"{number + 1:x}" * 64 for number in range(4)],
    )
    usual, hardened = (AugmentedBatches(images, hashes, LIGHT, SIZE, 0, degraded) for degraded in (False, True))
    for epoch in (1, 2):
        pairs = zip(usual.in_epoch(epoch)[:], hardened.in_epoch(epoch)[:], strict=True)
        same = [np.array_equal(*pair) for pair in pairs]
        assert same == [(position + epoch) % 2 == 0 for position in range(4)]
