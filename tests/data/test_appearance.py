"""What an image looks like: size, colors, border, contrast, sharpness."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.making import encoded, noise
from tlkit.data.appearance import describe_appearance
from tlkit.data.image import ImageSpec, decode_image


def described(image, size=None):
    return describe_appearance(image, size or image.size, "PNG", 7)


def test_size_is_that_of_the_upright_file():
    wide = Image.new("RGB", (40, 30))
    assert (described(wide, (400, 300))["width"], described(wide, (400, 300))["height"]) == (400, 300)
    turned = Image.new("RGB", (30, 40))
    assert (described(turned, (400, 300))["width"], described(turned, (400, 300))["height"]) == (300, 400)


def test_colors_and_border_of_a_frame():
    image = Image.new("RGB", (320, 320), (10, 200, 30))
    image.paste((200, 0, 100), (20, 20, 300, 300))
    found = described(image)
    assert found["border"] == pytest.approx([10, 200, 30], abs=2)
    inner = (280 / 320) ** 2
    assert found["color"] == pytest.approx([10 + inner * 190, 200 - inner * 200, 30 + inner * 70], abs=1)
    assert found["border_deviation"] < 2
    assert found["contrast"] > 10
    assert (found["format"], found["num_bytes"]) == (b"PNG", 7)


def test_sharpness_falls_with_blur_and_is_zero_where_nothing_is_seen():
    image = Image.fromarray(noise(256, 256))
    sharp, blurred = (described(item)["sharpness"] for item in (image, image.filter(ImageFilter.GaussianBlur(4))))
    assert sharp > 10 * blurred
    blank = described(Image.new("RGB", (99, 50), "red"))
    assert (blank["sharpness"], blank["contrast"]) == (0, 0)


def test_thumbnail_of_a_mirrored_image_is_the_mirrored_thumbnail():
    image = Image.fromarray(noise(300, 517)).filter(ImageFilter.GaussianBlur(3))
    plain = described(image)["thumbnail"].astype(int)
    mirrored = described(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))["thumbnail"].astype(int)
    assert np.abs(plain - mirrored[:, ::-1]).max() <= 2
    assert plain.std() > 1


def test_decode_image_describes_files_of_any_kind():
    pixels = noise(60, 90)
    for kind, name in (("JPEG", b"JPEG"), ("PNG", b"PNG"), ("WEBP", b"WEBP")):
        data = encoded(pixels, kind)
        found = decode_image(data, ImageSpec(32)).appearance
        assert (found["format"], found["width"], found["height"], found["num_bytes"]) == (name, 90, 60, len(data))
    deep = Image.fromarray(np.arange(60 * 60, dtype=np.uint16).reshape(60, 60) * 10)
    assert decode_image(encoded(deep), ImageSpec(32)).appearance["contrast"] > 30
