import io
import os
import sys

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.making import encoded, noise
from tlkit.data.decode import ORIENTATION_TAG, drafted_size, open_upright, read_header, scale_to_bytes, to_rgb
from tlkit.data.sources.files import MAX_BYTES, read_file
from tlkit.errors import ImageError

needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this platform has no named pipes")
# Pillow warns of much that a person cannot mend; here as outside of tests, a warning is no error.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
HEIC_START = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + b"\0" * 32


def open_rgb(data, short_side, gray_range=None):
    return to_rgb(open_upright(data, short_side), gray_range)


def pixels(data, short_side=8):
    return np.asarray(open_rgb(data, short_side))


def refusal(data, short_side=8):
    with pytest.raises(ImageError) as caught:
        open_rgb(data, short_side)
    return str(caught.value)


def flat(mode, color, **info):
    image = Image.new(mode, (6, 4), color)
    image.info.update(info)
    return image


def all_equal(array, color, within=0):
    return array.shape == (4, 6, 3) and np.abs(array.astype(int) - color).max() <= within


# what a picture's pixels become


def test_every_mode_becomes_rgb():
    for mode, kind, stored, shown in [
        ("RGB", "PNG", (10, 20, 30), (10, 20, 30)),
        ("RGB", "BMP", (10, 20, 30), (10, 20, 30)),
        ("RGB", "TIFF", (10, 20, 30), (10, 20, 30)),
        ("L", "PNG", 77, (77, 77, 77)),
        ("L", "BMP", 77, (77, 77, 77)),
        ("L", "TIFF", 77, (77, 77, 77)),
        ("L", "GIF", 77, (77, 77, 77)),
        ("1", "PNG", 255, (255, 255, 255)),
        ("1", "BMP", 0, (0, 0, 0)),
        ("1", "TIFF", 255, (255, 255, 255)),
        ("LA", "PNG", (77, 255), (77, 77, 77)),
        ("LA", "PNG", (77, 0), (255, 255, 255)),
        ("LA", "PNG", (0, 51), (204, 204, 204)),
        ("LA", "TIFF", (0, 51), (204, 204, 204)),
        ("RGBA", "PNG", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", "PNG", (10, 20, 30, 0), (255, 255, 255)),
        ("RGBA", "PNG", (255, 0, 0, 51), (255, 204, 204)),
        ("RGBA", "TIFF", (255, 0, 0, 51), (255, 204, 204)),
        ("RGBA", "GIF", (10, 20, 30, 0), (255, 255, 255)),
        ("CMYK", "TIFF", (0, 255, 255, 0), (255, 0, 0)),
        ("CMYK", "TIFF", (0, 0, 0, 255), (0, 0, 0)),
        ("YCbCr", "TIFF", (100, 128, 128), (100, 100, 100)),
    ]:
        assert all_equal(pixels(encoded(flat(mode, stored), kind)), shown), (mode, kind, stored, shown)


def test_every_lossy_format_becomes_nearly_the_same_rgb():
    for mode, kind, stored, shown in [
        ("RGB", "JPEG", (10, 120, 230), (10, 120, 230)),
        ("RGB", "WEBP", (10, 120, 230), (10, 120, 230)),
        ("RGB", "AVIF", (10, 120, 230), (10, 120, 230)),
        ("L", "JPEG", 77, (77, 77, 77)),
        ("CMYK", "JPEG", (0, 255, 255, 0), (255, 0, 0)),
        ("YCbCr", "JPEG", (100, 128, 128), (100, 100, 100)),
        ("RGBA", "WEBP", (10, 20, 30, 0), (255, 255, 255)),
        ("RGBA", "AVIF", (10, 20, 30, 0), (255, 255, 255)),
    ]:
        assert all_equal(pixels(encoded(flat(mode, stored), kind)), shown, within=5), (mode, kind, stored, shown)


def palette_picture():
    image = flat("P", 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    return image


def test_a_palette_becomes_its_colors():
    for kind in ["PNG", "BMP", "GIF", "TIFF"]:
        assert all_equal(pixels(encoded(palette_picture(), kind)), (200, 100, 50)), kind


def test_a_transparent_palette_color_shows_white():
    for transparency, shown in [
        (1, (255, 255, 255)),
        (0, (200, 100, 50)),
        (b"\0\xff", (200, 100, 50)),
        (b"\xff\0", (255, 255, 255)),
        (b"\xff\x33", (244, 224, 214)),
    ]:
        assert all_equal(pixels(encoded(palette_picture(), transparency=transparency)), shown), (transparency, shown)


def test_a_color_declared_transparent_shows_white():
    for mode, color in [("L", 77), ("RGB", (1, 2, 3)), ("1", 0)]:
        assert all_equal(pixels(encoded(flat(mode, color), transparency=color)), (255, 255, 255)), (mode, color)


def drawing(color, mode="RGBA"):
    """A ring of one color on transparent ground, and where it is: bool (64, 64)."""
    y, x = np.mgrid[:64, :64]
    ring = np.abs(np.hypot(y - 32, x - 32) - 20) < 4
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[..., :3] = 128  # what nobody sees
    rgba[ring] = (*color, 255)
    return Image.fromarray(rgba).convert(mode), ring


def test_a_drawing_on_transparent_ground_contrasts_with_its_ground():
    for color, ground in [
        ((255, 255, 255), 0),
        ((250, 240, 160), 0),
        ((0, 0, 0), 255),
        ((200, 30, 30), 255),
        ((128, 128, 128), 255),
    ]:
        for mode, kind in [("RGBA", "PNG"), ("RGBA", "WEBP"), ("LA", "PNG"), ("RGBA", "TIFF")]:
            image, ring = drawing(color, mode)
            shown = pixels(encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {})), 64)
            assert (shown[~ring] == ground).all(), (color, mode, kind)
            if mode == "RGBA":
                assert (shown[ring] == color).all(), (color, kind)


def test_lab_shows_the_colors_it_was_made_from():
    colors = np.repeat(np.repeat(np.array([[[200, 60, 60], [60, 160, 90]]], np.uint8), 2, 0), 2, 1)
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(Image.fromarray(colors), to_lab)
    assert lab.mode == "LAB"
    assert np.abs(pixels(encoded(lab, "TIFF")).astype(int) - colors).max() <= 5


def test_sixteen_bits_keep_their_range():
    for kind in ["PNG", "TIFF"]:
        for stored, shown in [
            ([0, 32768, 65535], [0, 128, 255]),
            ([0, 257, 60000], [0, 1, 233]),
            ([0, 2048, 4095], [0, 128, 255]),
            ([0, 0, 4096], [0, 0, 16]),
            ([0, 0, 0], [0, 0, 0]),
            ([4095, 4095, 4095], [255, 255, 255]),
        ]:
            gray = pixels(encoded(np.array([stored], np.uint16), kind))
            assert gray[0].tolist() == [[value] * 3 for value in shown], (kind, stored, shown)


def test_both_byte_orders_of_sixteen_bits_are_equal():
    for kind in [">u2", "<u2"]:
        mode = "I;16B" if kind == ">u2" else "I;16"
        raw = np.array([[0, 513, 65535]], kind)
        data = encoded(Image.frombytes(mode, (3, 1), raw.tobytes()), "TIFF")
        assert pixels(data)[0, :, 0].tolist() == [0, 2, 255], kind


def test_thirty_two_bit_integers_are_scaled():
    for stored, shown in [
        ([0, 2048, 4095], [0, 128, 255]),
        ([0, 32768, 65535], [0, 128, 255]),
        ([0, 50_000, 100_000], [0, 128, 255]),
        ([-10, 0, 10], [0, 128, 255]),
        ([-(2**31), 0, 2**31 - 1], [0, 128, 255]),
        ([-5, -5, -5], [0, 0, 0]),
    ]:
        assert pixels(encoded(np.array([stored], np.int32), "TIFF"))[0, :, 0].tolist() == shown, (stored, shown)


def test_floats_are_scaled():
    for stored, shown in [
        ([0, 0.5, 1], [0, 128, 255]),
        ([0, 0.2, 0.4], [0, 51, 102]),
        ([0, 128, 255], [0, 128, 255]),
        ([7, 7, 7], [7, 7, 7]),
        ([-1, 0, 1], [0, 128, 255]),
        ([0, 500, 1000], [0, 128, 255]),
        ([-3e38, 0, 3e38], [0, 128, 255]),
    ]:
        assert pixels(encoded(np.array([stored], np.float32), "TIFF"))[0, :, 0].tolist() == shown, (stored, shown)


def test_floats_that_are_no_numbers_are_refused():
    for value in [np.nan, np.inf, -np.inf]:
        assert "not numbers" in refusal(encoded(np.array([[0, value]], np.float32), "TIFF")), value


def test_one_range_of_gray_holds_for_every_image():
    for stored, shown in [([51200, 51700, 52200], [0, 128, 255]), ([0, 51700, 65535], [0, 128, 255])]:
        gray = open_rgb(encoded(np.array([stored], np.uint16), "TIFF"), 8, (51200, 52200))
        assert np.asarray(gray)[0, :, 0].tolist() == shown, stored


def test_a_range_of_gray_changes_no_image_of_eight_bits():
    for image in [noise(5, 9), Image.fromarray(noise(5, 9)).convert("L"), flat("LA", (77, 200)), flat("1", 255)]:
        data = encoded(image)
        assert (np.asarray(open_rgb(data, 8, (10, 20))) == pixels(data)).all()


def test_deep_images_are_turned_upright():
    for kind in ["uint16", "int32", "float32"]:
        upright = noise(5, 9)[..., 0].astype(kind)
        for orientation in range(1, 9):
            stored = np.ascontiguousarray(as_stored_gray(upright, orientation))
            shown = pixels(encoded(stored, "TIFF", exif=with_orientation(orientation)))
            expected = scale_to_bytes(upright)
            assert (shown[..., 0] == expected).all(), (kind, orientation)


def as_stored_gray(upright, orientation):
    return as_stored(np.stack([upright] * 3, axis=2), orientation)[..., 0]


def test_scaled_values_keep_their_order():
    for kind in ["uint8", "uint16", "int32", "float32"]:
        values = np.sort(np.random.default_rng(0).uniform(0, 255, 50)).astype(kind)
        assert (np.diff(scale_to_bytes(values).astype(int)) >= 0).all(), kind


# what a header says


def test_a_header_says_what_an_image_will_be(tmp_path):
    first, second = flat("RGB", (200, 0, 0)), flat("RGB", (0, 0, 200))
    series = {"save_all": True, "append_images": [second]}
    for name, data, is_deep, is_series in [
        ("photo.jpg", encoded(first, "JPEG"), False, False),
        ("gray.png", encoded(flat("L", 7)), False, False),
        ("deep.png", encoded(np.zeros((4, 6), np.uint16)), True, False),
        ("deep.tif", encoded(np.zeros((4, 6), np.uint16), "TIFF"), True, False),
        ("float.tif", encoded(np.zeros((4, 6), np.float32), "TIFF"), True, False),
        ("pages.tif", encoded(first, "TIFF", **series), False, True),
        ("moving.gif", encoded(first, "GIF", **series), False, True),
        ("moving.png", encoded(first, "PNG", **series), False, True),
        ("moving.webp", encoded(first, "WEBP", **series), False, True),
        ("two.mpo", encoded(first, "MPO", **series), False, False),
    ]:
        (tmp_path / name).write_bytes(data)
        header = read_header(tmp_path / name)
        assert (header.size, header.is_deep, header.is_series) == ((6, 4), is_deep, is_series), name


@needs_fifo
def test_what_is_no_image_has_no_header(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    assert [read_header(tmp_path / name) for name in ("notes.txt", "pipe", "nowhere", ".")] == [None] * 4


# which way up


def as_stored(upright, orientation):
    """What a camera stores for this EXIF orientation: where its row 0 and its column 0 lie."""
    return {
        1: lambda: upright,
        2: lambda: upright[:, ::-1],
        3: lambda: upright[::-1, ::-1],
        4: lambda: upright[::-1],
        5: lambda: upright.transpose(1, 0, 2),
        6: lambda: upright[:, ::-1].transpose(1, 0, 2),
        7: lambda: upright[::-1, ::-1].transpose(1, 0, 2),
        8: lambda: upright[::-1].transpose(1, 0, 2),
    }[orientation]()


def with_orientation(value):
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = value
    return exif


BROKEN_EXIF = [
    b"Exif\0\0garbage",
    b"Exif\0\0",
    b"Exif\0\0II*\0\xff\xff\xff\xff",
    b"Exif\0\0MM\0*\0\0\0\x08\0\5",
]


def test_every_orientation_is_turned_upright():
    for options in [{"kind": "PNG"}, {"kind": "WEBP", "lossless": True}, {"kind": "TIFF"}]:
        for orientation in range(1, 9):
            upright = noise(5, 9)
            stored = np.ascontiguousarray(as_stored(upright, orientation))
            shown = pixels(encoded(stored, exif=with_orientation(orientation), **options))
            assert (shown == upright).all(), (options, orientation)


def test_a_compressed_tiff_is_turned_once():
    for orientation in range(1, 9):
        upright = noise(5, 9)
        stored = np.ascontiguousarray(as_stored(upright, orientation))
        data = encoded(stored, "TIFF", compression="tiff_lzw", exif=with_orientation(orientation))
        assert (pixels(data) == upright).all(), orientation


def test_a_reduced_jpeg_is_turned_upright():
    for orientation in range(1, 9):
        upright = np.full((300, 400, 3), 20, np.uint8)
        upright[:150, :100] = 230
        stored = np.ascontiguousarray(as_stored(upright, orientation))
        shown = pixels(encoded(stored, "JPEG", exif=with_orientation(orientation)), short_side=75)
        assert shown.shape == (75, 100, 3), orientation
        assert shown[:35, :22].min() > 200, orientation
        assert shown[40:].max() < 50, orientation
        assert shown[:, 28:].max() < 50, orientation


def test_a_nonsense_orientation_is_no_orientation():
    for orientation in [0, 9, 99, 65535]:
        upright = noise(5, 9)
        assert (pixels(encoded(upright, exif=with_orientation(orientation))) == upright).all(), orientation


def test_broken_exif_costs_no_picture():
    for exif in BROKEN_EXIF:
        assert pixels(encoded(noise(5, 9), "JPEG", exif=exif)).shape == (5, 9, 3), exif


# formats, frames and names


def test_the_first_of_several_frames_is_read():
    for options in [
        {"kind": "GIF"},
        {"kind": "PNG"},
        {"kind": "WEBP", "lossless": True},
        {"kind": "TIFF"},
        {"kind": "TIFF", "compression": "tiff_lzw"},
    ]:
        first, second = flat("RGB", (200, 0, 0)), flat("RGB", (0, 0, 200))
        assert all_equal(pixels(encoded(first, save_all=True, append_images=[second], **options)), (200, 0, 0)), options


def test_the_first_picture_of_an_mpo_is_read():
    first, second = flat("RGB", (200, 0, 0)), flat("RGB", (0, 0, 200))
    data = encoded(first, "MPO", save_all=True, append_images=[second])
    assert all_equal(pixels(data), (200, 0, 0), within=3)


def test_bytes_after_the_end_of_a_picture_change_nothing():
    for kind in ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"]:
        data = encoded(flat("RGB", (200, 0, 0)), kind)
        assert (pixels(data + b"garbage" * 50) == pixels(data)).all(), kind


def test_a_broken_color_profile_costs_no_picture():
    assert all_equal(pixels(encoded(flat("RGB", (10, 20, 30)), icc_profile=b"broken")), (10, 20, 30))


def test_interlaced_and_progressive_pictures_are_read():
    image = Image.fromarray(noise(40, 60))
    assert (pixels(encoded(image, "JPEG", progressive=True), 40) == pixels(encoded(image, "JPEG"), 40)).all()


# reduced while decoding


def test_a_jpeg_is_reduced_no_further_than_its_caller_needs():
    for short_side in [8, 48, 56, 100, 258]:
        for scale in [1, 2, 4, 8]:
            for more in [-8, -2, -1, 0, 1, 2]:
                width = max(1, scale * short_side + more)
                reduced = min(drafted_size(encoded(Image.new("L", (width, width)), "JPEG"), short_side))
                assert reduced >= min(short_side, width), (short_side, scale, more)


def test_a_large_jpeg_is_reduced_to_an_eighth():
    assert drafted_size(encoded(Image.new("L", (1600, 2400)), "JPEG"), 200) == (200, 300)
    assert drafted_size(encoded(Image.new("L", (1600, 2400)), "JPEG"), 201) == (400, 600)


def test_other_formats_are_not_reduced():
    for kind in ["PNG", "BMP", "WEBP", "TIFF"]:
        assert drafted_size(encoded(Image.new("RGB", (300, 200)), kind), 10) == (300, 200), kind


def test_the_announced_size_is_the_decoded_one():
    for short_side in [10, 50, 100, 1000]:
        data = encoded(noise(300, 500), "JPEG")
        assert open_rgb(data, short_side).size == drafted_size(data, short_side), short_side


# too large


@pytest.fixture(scope="module")
def huge():
    return Image.new("L", (9000, 8000), 77)


def test_a_baseline_jpeg_over_the_cap_is_reduced(huge):
    assert (pixels(encoded(huge, "JPEG"), 64) == 77).all()


def test_a_baseline_jpeg_over_the_cap_is_refused_where_it_cannot_be_reduced(huge):
    assert "9000×8000 pixels" in refusal(encoded(huge, "JPEG"), 8000)


def test_a_progressive_jpeg_over_the_cap_is_refused(huge):
    assert refusal(encoded(huge, "JPEG", progressive=True), 64) == (
        "has 9000×8000 pixels, more than --max-megapixels 64 allows"
    )


def test_a_png_over_the_cap_is_refused(huge):
    assert "9000×8000 pixels" in refusal(encoded(huge, "PNG", compress_level=1), 64)


def test_a_picture_of_exactly_the_cap_is_read():
    assert drafted_size(encoded(Image.new("1", (8000, 8000)), "TIFF", compression="group4"), 64) == (8000, 8000)


def test_a_gif_that_declares_billions_of_pixels_is_refused():
    data = bytearray(encoded(flat("P", 0), "GIF"))
    data[6:10] = b"\xff\xff\xff\xff"
    assert "more than 178 megapixels" in refusal(bytes(data))


# what cannot be read, and the words for it


def icon():
    return encoded(Image.new("RGB", (16, 16)), "ICO")


def test_what_is_no_image_is_refused_with_what_it_is():
    for data, words in [
        (b"", "empty (0 bytes)"),
        (b"404 not found\n", "text, not an image"),
        ("größer als 0\n".encode(), "text, not an image"),
        (b"<html><body>404</body></html>", "a web page, not a photo"),
        (b"\xef\xbb\xbf\r\n<!DOCTYPE html>\n<html>", "a web page, not a photo"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing, not a photo"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "a PDF document"),
        (icon(), "a Windows icon (ICO)"),
        (b"8BPS\0\1\0\0\0\0\0\0\0\3", "a Photoshop file"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 file"),
        (b"PK\3\4\x14\0\0\0", "a ZIP archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer: run `git lfs pull`"),
        (b"\0" * 128 + b"DICM\2\0\0\0UL", "a DICOM file"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "a video"),
        (b"\0" * 1000, "not an image of a known format"),
        (bytes(range(256)), "not an image of a known format"),
        (b"\xff\xd8\xff\xe0", "a broken JPEG file"),
        (b"\x89PNG\r\n\x1a\n", "a broken PNG file"),
        (b"GIF89a", "a broken GIF file"),
        (b"RIFF\0\0\0\0WAVE", "a broken WebP file, or sound or video"),
        (b"BM\0\0", "a broken BMP file"),
        (b"II*\0\xff\xff\xff\xff", "TIFF or camera RAW"),
        (b"MM\0*\0\0\0\0", "TIFF or camera RAW"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF"),
    ]:
        assert words in refusal(data), words


def test_formats_that_are_not_on_the_list_are_refused():
    for kind in ["ICO", "PPM", "TGA", "PDF", "EPS", "PCX", "SGI", "ICNS", "DDS", "JPEG2000"]:
        assert refusal(encoded(Image.new("RGB", (16, 16)), kind)).startswith("is "), kind


def test_a_file_cut_short_is_refused():
    for kind in ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]:
        for fraction in [0.25, 0.5, 0.75]:
            data = encoded(noise(64, 64), kind)
            reason = refusal(data[: int(len(data) * fraction)])
            assert reason.startswith("is "), (kind, fraction)
            assert reason.strip() == reason, (kind, fraction)


def test_a_png_with_a_wrong_checksum_is_refused():
    data = bytearray(encoded(noise(16, 16)))
    end = data.index(b"IEND") - 4
    data[end - 1] ^= 1
    assert "damaged" in refusal(bytes(data))


def test_a_png_without_its_end_is_refused():
    data = encoded(noise(16, 16))
    assert "damaged" in refusal(data[: data.index(b"IEND") - 4])


def test_flipped_bits_give_a_picture_or_a_reason():
    for start in range(0, 400, 7):
        data = bytearray(encoded(noise(24, 24), ("PNG", "JPEG", "GIF", "TIFF")[start % 4]))
        for position in range(start, len(data), 97):
            data[position] ^= 0x55
        try:
            assert open_rgb(bytes(data), 24).mode == "RGB", start
        except ImageError as error:
            assert str(error), start


def test_heic_without_its_extra_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert refusal(HEIC_START) == "is a HEIC photo, which needs `pip install 'tlkit[heic]'`"


def heic(image, **options):
    file = io.BytesIO()
    pytest.importorskip("pillow_heif").from_pillow(image).save(file, quality=95, **options)
    return file.getvalue()


def test_heic_is_read_with_its_extra():
    assert np.abs(pixels(heic(Image.new("RGB", (64, 48), (200, 60, 60)))).astype(int) - (200, 60, 60)).max() < 6


def test_heic_is_turned_upright_once():
    upright = np.full((64, 96, 3), 20, np.uint8)
    upright[:32, :32] = 230
    stored = Image.fromarray(np.ascontiguousarray(as_stored(upright, 6)))
    shown = pixels(heic(stored, exif=with_orientation(6).tobytes()))
    assert shown.shape == upright.shape
    assert np.abs(shown[4:28, 4:28].astype(int) - 230).max() < 20
    assert shown[40:].max() < 50


def test_a_broken_heic_is_called_so_and_no_video():
    for length in [24, 100]:
        assert "video" not in refusal(heic(Image.new("RGB", (64, 48)))[:length]), length


@pytest.mark.parametrize("extra", [True, False])
def test_an_avif_with_the_common_brand_is_read(monkeypatch, extra):
    if extra:
        pytest.importorskip("pillow_heif")
    else:
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
    data = bytearray(encoded(flat("RGB", (10, 120, 230)), "AVIF"))
    data[8:12] = b"mif1"
    assert all_equal(pixels(bytes(data)), (10, 120, 230), within=5)


def test_a_reason_is_one_line_without_the_name_of_a_class():
    data = encoded(noise(16, 16), "JPEG")
    reason = refusal(data[: len(data) // 2])
    assert "\n" not in reason
    assert "Error" not in reason


# from a path


def test_the_bytes_of_a_file_are_read(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert read_file(tmp_path / "x") == b"abc"


def unreadable(path):
    with pytest.raises(ImageError) as caught:
        read_file(path)
    return str(caught.value)


def test_a_missing_file_does_not_exist(tmp_path):
    assert unreadable(tmp_path / "nowhere.jpg") == "does not exist"


def test_a_file_below_a_file_cannot_be_read(tmp_path):
    (tmp_path / "x").touch()
    assert unreadable(tmp_path / "x" / "y.jpg").startswith("cannot be read")


def test_a_folder_is_no_file(tmp_path):
    assert unreadable(tmp_path) == "is a folder"


@needs_fifo
def test_a_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert unreadable(tmp_path / "pipe") == "is not a regular file (a pipe, socket or device)"


def test_a_link_to_itself_cannot_be_read(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    assert unreadable(tmp_path / "loop").startswith("cannot be read")


@pytest.mark.parametrize("name", ["a\0b.jpg", "x" * 300])
def test_an_impossible_name_cannot_be_read(tmp_path, name):
    assert unreadable(tmp_path / name).startswith("cannot be read")


def test_an_enormous_file_is_not_read(tmp_path):
    with (tmp_path / "x").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert unreadable(tmp_path / "x") == "is 512 MiB large; at most 512 MiB are read"


def test_truncated_files_have_one_reason_whatever_is_missing():
    data = encoded(noise(60, 60), "JPEG")
    assert len({refusal(data[: len(data) // 2 + cut]) for cut in range(9)}) == 1
    assert refusal(data[: len(data) // 2]) == "is damaged (image file is truncated)"
