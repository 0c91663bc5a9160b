import hashlib
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tests.making import encoded, noise
from tlkit.data.augment import AUGMENT_VERSION, AugmentedViews
from tlkit.data.image import (
    DECODE_VERSION,
    PADDING,
    RESIZES,
    DecodedImage,
    ImageSpec,
    decode_image,
    decode_square,
    prepare_image,
)
from tlkit.data.sources.files import read_file
from tlkit.errors import ImageError

needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this platform has no named pipes")
ROOT = Path(__file__).resolve().parents[2]
RED, GREEN, BLUE = (220, 30, 30), (30, 200, 40), (40, 50, 230)

AWKWARD_REFUSED = {  # file name: words of its reason; every other awkward file is a picture
    "bmp_badwidth.bmp": "megapixels",
    "bomb.gif": "megapixels",
    "bomb_17000.avif": "broken or too large AVIF",
    "broken.png": "broken PNG",
    "header_only.jpg": "broken JPEG",
    "icon.ico": "Windows icon",
    "png_text_bomb.png": "damaged",
    "truncated_end_chunk.png": "damaged",
    "truncated_jpeg.jpg": "truncated",
    "truncated_vips.gif": "truncated",
    "ultrahdr.jpg": "truncated",
    "vector.svg": "SVG drawing",
    "zero_byte.jpg": "empty",
    "zero_width.gif": "broken GIF",
}


def thirds(height, width, *, upright=False):
    """Red, green and blue: side by side, or one above the other."""
    picture = np.repeat(np.array([[RED, GREEN, BLUE]], np.uint8), width // 3, axis=1).repeat(height, axis=0)
    return picture.transpose(1, 0, 2).copy() if upright else picture


def group(data, image_size=32, resize="crop"):
    return decode_image(data, ImageSpec(image_size, resize)).digest


# sizes


def test_a_working_image_is_larger_than_the_input_by_a_margin():
    for image_size, side in [(1, 1), (32, 37), (96, 110), (128, 147), (224, 258), (299, 344), (600, 690)]:
        assert ImageSpec(image_size).oversized.size == side, (image_size, side)


def test_every_shape_fits_every_resize():
    for resize in RESIZES:
        for size in [(1, 1), (1, 4000), (4000, 1), (2, 3), (37, 37), (500, 40)]:
            photo = decode_image(encoded(Image.new("RGB", size, RED)), ImageSpec(32, resize))
            assert photo.pixels.shape == (32, 32, 3), (resize, size)
            assert photo.pixels.dtype == np.uint8, (resize, size)


def test_every_resize_keeps_the_color_of_the_middle():
    for resize in RESIZES:
        for size in [(1, 1), (2, 3), (37, 37), (500, 40)]:
            assert (decode_square(encoded(Image.new("RGB", size, RED)), ImageSpec(32, resize))[16, 16] == RED).all(), (
                resize,
                size,
            )


def test_a_line_of_pixels_fills_the_view():
    for resize in ["crop", "squash"]:
        for size in [(1, 4000), (4000, 1)]:
            assert (decode_square(encoded(Image.new("RGB", size, RED)), ImageSpec(32, resize)) == RED).all(), (
                resize,
                size,
            )


def test_a_working_image_is_a_square_of_the_working_side():
    for resize in RESIZES:
        working = decode_square(encoded(noise(50, 70)), ImageSpec(32, resize).oversized)
        assert working.shape == (37, 37, 3), resize
        assert working.dtype == np.uint8, resize


def test_one_decode_gives_the_same_pixels_everywhere():
    for resize in RESIZES:
        for kind in ["PNG", "JPEG"]:
            data = encoded(noise(300, 400), kind)
            photo = decode_image(data, ImageSpec(32, resize))
            assert (photo.pixels == decode_square(data, ImageSpec(32, resize))).all(), (resize, kind)


# crop, pad, squash


def test_a_crop_takes_the_middle_of_a_wide_picture():
    view = decode_square(encoded(thirds(60, 180)), ImageSpec(32, "crop"))
    assert (view[:, 1:-1] == GREEN).all()  # the outermost columns are interpolated with their neighbors


def test_a_crop_takes_the_middle_of_a_tall_picture():
    view = decode_square(encoded(thirds(60, 180, upright=True)), ImageSpec(32, "crop"))
    assert (view[1:-1] == GREEN).all()


def test_a_crop_of_a_square_loses_nothing():
    view = decode_square(encoded(thirds(60, 60)), ImageSpec(30, "crop"))
    assert (view[:, 0] == RED).all()
    assert (view[:, -1] == BLUE).all()


def test_padding_keeps_the_whole_picture_between_bars():
    view = decode_square(encoded(thirds(60, 180)), ImageSpec(30, "pad"))
    assert (view[15, [1, 15, 28]] == (RED, GREEN, BLUE)).all()
    assert (view[:8] == PADDING).all()
    assert (view[-8:] == PADDING).all()


def test_padding_a_tall_picture_puts_bars_beside_it():
    view = decode_square(encoded(thirds(60, 180, upright=True)), ImageSpec(30, "pad"))
    assert (view[[1, 15, 28], 15] == (RED, GREEN, BLUE)).all()
    assert (view[:, :8] == PADDING).all()
    assert (view[:, -8:] == PADDING).all()


def test_padding_a_square_adds_nothing():
    data = encoded(noise(60, 60))
    assert (decode_square(data, ImageSpec(32, "pad")) == decode_square(data, ImageSpec(32, "squash"))).all()


def test_squashing_keeps_the_whole_picture_without_bars():
    for upright in [False, True]:
        view = decode_square(encoded(thirds(60, 180, upright=upright)), ImageSpec(30, "squash"))
        view = view.transpose(1, 0, 2) if upright else view
        assert (view[:, 1] == RED).all(), upright
        assert (view[:, 15] == GREEN).all(), upright
        assert (view[:, 28] == BLUE).all(), upright


def test_reducing_averages_fine_patterns():
    board = np.indices((400, 400)).sum(axis=0) % 2 * 255
    view = decode_square(encoded(np.stack([board] * 3, axis=2).astype(np.uint8)), ImageSpec(32, "crop"))
    assert np.abs(view.astype(int) - 127).max() <= 3


def test_a_small_picture_is_enlarged():
    assert (decode_square(encoded(np.full((3, 3, 3), GREEN, np.uint8)), ImageSpec(64)) == GREEN).all()


def test_a_reduced_jpeg_shows_what_the_whole_shows():
    ramp = np.linspace(0, 255, 1600).astype(np.uint8)
    picture = np.stack([np.tile(ramp, (1200, 1))] * 3, axis=2)
    reduced = decode_square(encoded(picture, "JPEG", quality=95), ImageSpec(32, "squash"))
    whole = decode_square(encoded(picture, "PNG", compress_level=1), ImageSpec(32, "squash"))
    assert np.abs(reduced.astype(int) - whole).max() <= 4


# identity


def test_the_hash_is_that_of_the_file():
    data = encoded(noise(20, 20))
    assert decode_image(data, ImageSpec(32, "crop")).sha256 == hashlib.sha256(data).hexdigest()


def test_a_group_is_32_hexadecimal_digits():
    assert len(group(encoded(noise(20, 20)))) == 32
    assert set(group(encoded(noise(20, 20)))) <= set("0123456789abcdef")


def test_equal_pixels_in_another_format_are_one_group():
    for kind in ["PNG", "BMP", "TIFF"]:
        assert group(encoded(noise(40, 60), kind)) == group(encoded(noise(40, 60))), kind


def test_equal_pixels_with_other_metadata_are_one_group():
    note = PngImagePlugin.PngInfo()
    note.add_text("Comment", "another")
    plain, noted = encoded(noise(40, 60)), encoded(noise(40, 60), pnginfo=note, compress_level=1)
    assert plain != noted
    assert group(plain) == group(noted)


def test_a_jpeg_with_other_metadata_is_one_group():
    picture = noise(600, 800)
    assert group(encoded(picture, "JPEG", comment=b"a")) == group(encoded(picture, "JPEG", comment=b"b"))


def test_a_picture_stored_sideways_is_one_group_with_the_upright_one():
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = np.ascontiguousarray(noise(40, 60)[::-1, ::-1])
    assert group(encoded(turned, exif=exif)) == group(encoded(noise(40, 60)))


def test_no_option_changes_the_group():
    for kind in ["PNG", "JPEG"]:
        for image_size, resize in [(8, "crop"), (224, "crop"), (32, "pad"), (32, "squash"), (450, "pad")]:
            data = encoded(noise(600, 800), kind)
            assert group(data, image_size, resize) == group(data, 32, "crop"), (kind, image_size, resize)


def test_one_changed_pixel_is_another_group():
    changed = noise(40, 60)
    changed[39, 59, 2] ^= 1
    assert group(encoded(changed)) != group(encoded(noise(40, 60)))


def test_one_changed_pixel_outside_the_crop_is_another_group():
    changed = noise(40, 160)
    changed[0, 0, 0] ^= 1
    assert group(encoded(changed)) != group(encoded(noise(40, 160)))


def test_the_same_bytes_in_another_shape_are_another_group():
    assert group(encoded(Image.new("RGB", (20, 30)))) != group(encoded(Image.new("RGB", (30, 20))))


def test_different_pictures_of_real_size_are_different_groups():
    assert len({group(encoded(noise(30, 30, seed))) for seed in range(50)}) == 50


# files


def read_and_decode(path):
    """The image in a file, or the reason why there is none."""
    try:
        return decode_image(read_file(path), ImageSpec(32))
    except ImageError as error:
        return error


@pytest.mark.parametrize(
    ("kind", "name"), [("JPEG", "x.png"), ("PNG", "x.jpg"), ("WEBP", "x.jpg"), ("GIF", "x"), ("BMP", "x.txt")]
)
def test_a_file_is_judged_by_its_content_not_its_name(tmp_path, kind, name):
    (tmp_path / name).write_bytes(encoded(noise(20, 20), kind))
    assert isinstance(read_and_decode(tmp_path / name), DecodedImage)


def test_a_readable_file_is_decoded_as_its_bytes_are(tmp_path):
    data = encoded(noise(40, 60))
    (tmp_path / "x.png").write_bytes(data)
    photo, direct = read_and_decode(tmp_path / "x.png"), decode_image(data, ImageSpec(32, "crop"))
    assert (photo.pixels == direct.pixels).all()
    assert (photo.sha256, photo.digest) == (direct.sha256, direct.digest)


def reason(path):
    error = read_and_decode(path)
    assert isinstance(error, ImageError)
    return str(error)


def test_a_missing_file_is_a_value(tmp_path):
    assert reason(tmp_path / "nowhere.jpg") == "does not exist"


def test_a_folder_is_a_value(tmp_path):
    assert reason(tmp_path) == "is a folder"


@needs_fifo
def test_a_pipe_is_a_value(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "pipe" in reason(tmp_path / "pipe.jpg")


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\xff\xd8\xff\xe0 broken", b"\0" * 100])
def test_a_file_that_is_no_image_is_a_value(tmp_path, content):
    (tmp_path / "x.jpg").write_bytes(content)
    assert reason(tmp_path / "x.jpg").startswith("is ")


@pytest.fixture(scope="module")
def awkward(shared_data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as outside of tests, a warning is no error
        files = sorted((shared_data / "awkward/images").iterdir())
        return {path.name: read_and_decode(path) for path in files}


def test_every_awkward_image_is_a_photo_or_a_reason(awkward):
    assert len(awkward) == 48
    for result in awkward.values():
        assert isinstance(result, DecodedImage) or str(result).strip()


def test_exactly_the_broken_awkward_images_are_refused(awkward):
    assert {name for name, result in awkward.items() if isinstance(result, ImageError)} == AWKWARD_REFUSED.keys()


def test_a_broken_awkward_image_has_its_reason(awkward):
    assert [name for name, words in AWKWARD_REFUSED.items() if words not in str(awkward[name])] == []


def messages_of(path):
    """What Python writes on stderr while it reads this file, in a process with no settings of pytest's."""
    code = (
        "import sys; from pathlib import Path\n"
        "from tlkit.data.sources.files import read_file; from tlkit.data import image\n"
        "image.decode_image(read_file(Path(sys.argv[1])), image.ImageSpec(32))"
    )
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return done.stderr


def test_a_picture_with_broken_exif_is_read_without_a_word(tmp_path):
    data = encoded(noise(20, 20), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    (tmp_path / "x.jpg").write_bytes(data)
    assert messages_of(tmp_path / "x.jpg") == ""


def test_a_picture_with_a_bad_mpo_header_is_read_without_a_word(shared_data):
    assert messages_of(shared_data / "awkward/images/mpo_bad_header.jpg") == ""


def test_copies_under_other_names_are_one_group(awkward):
    assert awkward["png_named.jpg"].digest == awkward["no_extension"].digest


def test_the_colored_squares_are_all_different(colors):
    photos = [read_and_decode(path) for path in colors.glob("*/*.png")]
    assert len({photo.digest for photo in photos}) == 36


# versions


def pixels_digest(views=None, brightness=()):
    """Of what pictures without any loss in their files become, in every resize mode.

    brightness: of transparent pictures that are looked at, too
    """
    photos = []
    for offset in (None, *brightness):
        image = Image.fromarray(noise(97, 131))
        if offset is not None:
            alpha = image.convert("L")
            image = Image.fromarray(noise(97, 131) // 4 + np.uint8(offset))
            image.putalpha(alpha)
        photos += [decode_image(encoded(image), ImageSpec(64, resize), views).pixels for resize in RESIZES]
    return hashlib.sha256(np.concatenate(photos).tobytes()).hexdigest()[:16]


def test_pixels_are_those_of_their_version():
    """Features are kept by `DECODE_VERSION`: where this fails, raise it and put the new digest here."""
    assert (DECODE_VERSION, pixels_digest(brightness=(0, 190))) == (4, "f72408a6449a6f1b")


def test_views_are_those_of_their_version():
    """The same for `AUGMENT_VERSION`."""
    assert (AUGMENT_VERSION, pixels_digest(AugmentedViews(3, seed=0))) == (3, "3f0f5d4ff5967724")


def test_a_transparent_image_has_the_same_pixels_in_training_and_in_every_kind_of_prediction():
    for color in (0, 255):
        rgba = np.full((40, 40, 4), color, np.uint8)
        rgba[..., 3] = 0
        rgba[10:20, 5:35, 3] = 255
        spec, image = ImageSpec(40), Image.fromarray(rgba)
        trained = decode_image(encoded(image), spec).pixels
        assert trained[15, 20].tolist() == [color] * 3
        assert trained[2, 2].tolist() == [255 - color] * 3
        assert (decode_square(encoded(image), spec) == trained).all()
        assert (prepare_image(image, spec).pixels == trained).all()
