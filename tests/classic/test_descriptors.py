"""Handcrafted descriptors on images whose content is known."""

import sys

import numpy as np
import pytest

pytest.importorskip("skimage")

from tests.making import noise
from tlkit.classic.descriptors import (
    DESCRIPTORS,
    descriptor_sizes,
    find_descriptors,
    require_packages,
    resize_square,
)
from tlkit.data.image import ImageSpec
from tlkit.errors import ModelError, OptionError
from tlkit.features.store import FeatureKey


def two_colors(first, second, side=64):
    """An image of two colors, the first on three quarters of it."""
    pixels = np.empty((side, side, 3), np.uint8)
    pixels[:] = first
    pixels[: side // 4] = second
    return pixels


def test_compute_gives_equal_images_equal_values_and_others_others():
    for name, descriptor in DESCRIPTORS.items():
        first, again, other = (descriptor.compute(noise(64, 64, seed=seed)) for seed in (0, 0, 1))
        np.testing.assert_array_equal(first, again, err_msg=name)
        assert first.shape == other.shape, name
        assert first.dtype in (np.float32, np.float16), name
        assert np.isfinite(first).all(), name
        assert not np.array_equal(first, other), name


def test_compute_of_an_image_of_one_color_is_finite():
    images = {shade: np.full((64, 64, 3), shade, np.uint8) for shade in (0, 128, 255)}
    not_finite = [
        (name, shade)
        for name, descriptor in DESCRIPTORS.items()
        for shade, pixels in images.items()
        if not np.isfinite(descriptor.compute(pixels)).all()
    ]
    assert not_finite == []


def test_compute_accepts_images_of_the_minimal_size():
    for name, descriptor in DESCRIPTORS.items():
        size = max(8, descriptor.min_size)
        assert descriptor.compute(noise(size, size)).size > 0, name


def test_pixels_are_red_green_and_blue_of_one_pixel_after_the_other():
    values = DESCRIPTORS["pixels"].compute(two_colors((255, 0, 51), (0, 102, 255), side=4))
    np.testing.assert_allclose(values.reshape(4, 4, 3)[0], [[0, 0.4, 1]] * 4, atol=1e-6)
    np.testing.assert_allclose(values[12:], [1, 0, 0.2] * 12, atol=1e-6)


def test_colors_are_the_two_most_frequent_ones():
    colors = DESCRIPTORS["colors"].compute(two_colors((255, 0, 0), (0, 0, 255)))
    np.testing.assert_allclose(colors, [1, 0, 0, 0, 0, 1], atol=0.02)


def test_histogram_counts_hues_wherever_they_are():
    pixels = two_colors((255, 0, 0), (0, 0, 255))
    histogram = DESCRIPTORS["histogram"].compute(pixels) ** 2
    assert sorted(histogram[histogram > 0].tolist()) == pytest.approx([0.25, 0.75])
    np.testing.assert_allclose(DESCRIPTORS["histogram"].compute(pixels.transpose(1, 0, 2)) ** 2, histogram)


def test_lbp_does_not_change_with_brightness():
    gray = np.repeat(noise(64, 64)[:, :, :1] // 2, 3, axis=2)
    first, brighter = (DESCRIPTORS["lbp"].compute(gray + np.uint8(offset)) for offset in (0, 60))
    np.testing.assert_allclose(first**2, brighter**2, atol=0.01)  # where neighbors are equal, rounding decides
    assert len(first) == 10 + 18 + 26


def test_hog_tells_horizontal_from_vertical_stripes():
    stripes = np.repeat((np.arange(64) // 4 % 2 * 255).astype(np.uint8)[:, None], 64, axis=1)
    horizontal = np.repeat(stripes[:, :, None], 3, axis=2)
    images = (horizontal, horizontal.transpose(1, 0, 2))
    first, second = (DESCRIPTORS["hog"].compute(pixels).reshape(-1, 12).sum(axis=0) for pixels in images)
    assert set(np.argsort(first)[-2:]) == {3, 9}  # down and up, of twelve orientations in a turn
    assert set(np.argsort(second)[-2:]) == {0, 6}
    assert len(DESCRIPTORS["hog"].compute(horizontal)) == 2 * 2 * 9 * 12


def test_hog_tells_bright_on_dark_from_dark_on_bright():
    ramp = np.repeat(np.repeat(np.arange(64, dtype=np.uint8)[:, None] * 4, 64, axis=1)[:, :, None], 3, axis=2)
    rising, falling = (DESCRIPTORS["hog"].compute(pixels).reshape(-1, 12).sum(axis=0) for pixels in (ramp, ramp[::-1]))
    assert (rising.argmax(), falling.argmax()) == (3, 9)
    assert rising[9] < 1e-3 * rising[3]


def test_haralick_tells_smooth_from_rough_textures():
    images = (np.full((64, 64, 3), 9, np.uint8), noise(64, 64))
    smooth, rough = (DESCRIPTORS["haralick"].compute(pixels) for pixels in images)
    contrast, energy = 0, 3 * 3  # of seven properties at three distances
    assert smooth[contrast] == 0 < rough[contrast]
    assert smooth[energy] == pytest.approx(1) and rough[energy] < 0.2
    assert len(smooth) == 42


def test_sift_gives_the_center_of_each_patch():
    patches = DESCRIPTORS["bow"].compute(noise(64, 64)).astype(np.float32)
    assert patches.shape[1] == 130
    centers = patches[:, -2:]
    assert 0 < centers.min() < 0.2 and 0.8 < centers.max() < 1
    np.testing.assert_allclose(centers.mean(axis=0), 0.5, atol=1e-3)


def test_find_descriptors_splits_names_at_plus():
    assert [descriptor.name for descriptor in find_descriptors("hog+lbp")] == ["hog", "lbp"]
    for names, message in (
        ("hog+", "'' is unknown"),
        ("sobel", "'sobel' is unknown"),
        ("hog+auto", "cannot be combined"),
        ("hog+hog", "each descriptor once"),
    ):
        with pytest.raises(OptionError, match=message):
            find_descriptors(names)


def test_descriptor_sizes_of_one_is_the_size_asked_for_and_of_several_at_most_their_own():
    one, several = [DESCRIPTORS["hog"]], [DESCRIPTORS["colors"], DESCRIPTORS["hog"]]
    assert [descriptor_sizes(one, size) for size in (0, 50, 300)] == [(96,), (50,), (300,)]
    assert [descriptor_sizes(several, size) for size in (0, 50, 300)] == [(64, 96), (50, 50), (64, 96)]
    with pytest.raises(OptionError, match="--image-size is 40; hog needs at least 48"):
        descriptor_sizes(several, 40)


def test_require_packages_names_the_descriptor_and_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    require_packages([DESCRIPTORS["hog"], DESCRIPTORS["colors"]])
    message = "^haralick needs scikit-image, which is not installed: pip install 'tlkit\\[classic\\]'.$"
    with pytest.raises(ModelError, match=message):
        require_packages([DESCRIPTORS["hog"], DESCRIPTORS["haralick"], DESCRIPTORS["lbp"]])


def test_resize_square_keeps_an_image_of_that_size():
    np.testing.assert_array_equal(resize_square(noise(64, 64), 64), noise(64, 64))
    assert resize_square(noise(64, 64), 32).shape == (32, 32, 3)


CACHE_DIGESTS = {  # of features of 96 pixels, descriptor version 3
    "colors": "86e49d9b6233fc8848ed13456843c5bb26f3662f360e8a1bf4a718eb01765b6e",
    "histogram": "aed7750b74887de74c559d6394804f4dd4b646467686d2eee1c2a4aa9f46d423",
    "lbp": "57a61ee7eb8f207d20f89dd3ece7a8e20addaa31998dbbe887260c763b49ffde",
    "hog": "5bd0122623170535b88a78b00841328b5fa1cf322449ccd73a6d7ee92d309659",
    "fisher": "a8409d85722182b3b73ecf09eb74e6cc87d8c7a08dbbcf3be173a2e1acc6416f",
}


def test_descriptor_key_gives_the_pinned_cache_digests():
    digests = {}
    for name in CACHE_DIGESTS:
        cut = f"{DESCRIPTORS[name].key} of 96 pixels, version 3"
        digests[name] = FeatureKey(2, ImageSpec(96), "classic", "1.0", "float32", "", cut).digest
    assert digests == CACHE_DIGESTS


def test_descriptor_key_is_shared_only_by_encodings_of_the_same_patches():
    keys = [descriptor.key for descriptor in DESCRIPTORS.values()]
    assert DESCRIPTORS["bow"].key == DESCRIPTORS["fisher"].key
    assert len(set(keys)) == len(keys) - 1
