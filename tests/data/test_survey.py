import os

import numpy as np
import pytest
from PIL import Image

from tests.making import encoded, noise
from tlkit.data.folder import read_folder
from tlkit.data.image import ImageSpec, decode_image
from tlkit.data.survey import (
    MAX_MEASURED,
    Survey,
    choose_gray_range,
    choose_pixels,
    choose_resize,
    fitted_to,
    measure_gray_range,
    pixel_notes,
    sample_files,
    survey_files,
)

needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this platform has no named pipes")
NOTHING = Survey((), 0, 0, ())


def write(folder, images, kind="TIFF", start=0):
    """The paths of these images as files, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{start + number:03}.{kind.lower()}" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        path.write_bytes(encoded(image, kind))
    return paths


def thermal(count, low=51_200, high=52_200, seed=0, size=32, dtype=np.uint16):
    random = np.random.default_rng(seed)
    return [random.uniform(low, high, (size, size)).astype(dtype) for _ in range(count)]


# the range of gray


def test_the_range_of_gray_is_that_of_the_images(tmp_path):
    assert measure_gray_range(write(tmp_path, thermal(20))) == (51_200, 52_200)
    floats = thermal(20, 270.5, 329.5, dtype=np.float32)
    assert measure_gray_range(write(tmp_path / "floats", floats)) == (270, 330)


def test_values_that_use_much_of_a_usual_range_are_left_in_it(tmp_path):
    for number, (low, high, dtype, expected) in enumerate(
        [
            (200, 3_900, np.uint16, (0, 4095)),
            (0, 60_000, np.uint16, (0, 65535)),
            (0.1, 0.9, np.float32, (0, 1)),
            (5, 250, np.float32, (0, 255)),
            (0, 3_000, np.int32, (0, 4095)),
        ]
    ):
        files = write(tmp_path / str(number), thermal(5, low, high, dtype=dtype))
        assert measure_gray_range(files) == expected, (low, high)


def test_a_hot_pixel_in_every_image_changes_nothing(tmp_path):
    images = thermal(20)
    for image in images:
        image[0, 0], image[0, 1] = 65_535, 0
    assert measure_gray_range(write(tmp_path, images)) == (51_200, 52_200)


def test_an_odd_image_changes_nothing(tmp_path):
    white = np.full((32, 32), 65_535, np.uint16)
    assert measure_gray_range(write(tmp_path, [*thermal(40), white])) == (51_200, 52_200)


def test_a_class_that_is_hot_is_in_the_range(tmp_path):
    images = [*thermal(90, 270, 300, dtype=np.float32), *thermal(10, 300, 330, dtype=np.float32)]
    low, high = measure_gray_range(write(tmp_path, images))
    assert low <= 270.1
    assert high >= 329.9


def test_a_few_more_images_leave_the_range_as_it_is(tmp_path):
    files = write(tmp_path, thermal(40))
    more = write(tmp_path, thermal(3, seed=1), start=40)
    assert measure_gray_range([*files, *more]) == measure_gray_range(files)


def test_flat_images_have_a_range_all_the_same(tmp_path):
    low, high = measure_gray_range(write(tmp_path, [np.full((8, 8), 700, np.uint16)] * 3))
    assert low <= 700 < high


def test_the_full_range_is_all_that_the_format_holds(tmp_path):
    assert measure_gray_range(write(tmp_path, thermal(3)), is_full=True) == (0, 65535)
    low, high = measure_gray_range(write(tmp_path / "f", thermal(3, -5, 5, dtype=np.float32)), is_full=True)
    assert -5 <= low < -4.9
    assert 4.9 < high <= 5


def test_what_cannot_be_read_is_not_measured(tmp_path):
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    not_numbers = write(tmp_path, [np.full((8, 8), np.nan, np.float32)])
    files = [tmp_path / "broken.tif", *not_numbers, *write(tmp_path / "good", thermal(3))]
    assert measure_gray_range(files) == (51_200, 52_200)
    assert measure_gray_range(files[:2]) == (0, 65535)


def test_gray_range_is_resolved_only_where_images_are_deep(tmp_path):
    deep = Survey(tuple(write(tmp_path, thermal(5))), 5, 0, ())
    assert choose_gray_range("auto", deep) == "51200,52200"
    assert choose_gray_range("full", deep) == "0,65535"
    assert choose_gray_range("1,2", deep) == "1,2"
    assert [choose_gray_range(text, NOTHING) for text in ("auto", "full", "1,2")] == ["auto", "full", "1,2"]


def test_a_range_of_gray_makes_no_images_equal():
    images = [encoded(image, "TIFF") for image in thermal(2)]
    dark = [decode_image(data, ImageSpec(16, gray_range=(60_000, 61_000))) for data in images]
    assert (dark[0].pixels == dark[1].pixels).all()
    assert dark[0].digest != dark[1].digest
    assert dark[0].digest == decode_image(images[0], ImageSpec(16)).digest


def test_the_held_out_images_of_a_folder_are_not_measured(tmp_path):
    for label in "ab":
        write(tmp_path / "train" / label, thermal(5, seed=ord(label)))
        write(tmp_path / "test" / label, thermal(5, 0, 60_000, seed=ord(label)))
    survey = read_folder(tmp_path).surveyed().survey
    assert {path.relative_to(tmp_path).parts[0] for path in survey.deep} == {"train"}
    assert survey.num_deep == 20
    assert choose_gray_range("auto", survey) == "51200,52200"


# the shape


@pytest.mark.parametrize(
    ("size", "resize"),
    [((300, 200), "crop"), ((400, 300), "crop"), ((160, 90), "crop"), ((90, 160), "crop"), ((200, 100), "crop"),
     ((240, 40), "pad"), ((40, 240), "pad"), ((210, 100), "pad")],
)  # fmt: skip
def test_auto_pads_where_a_crop_would_lose_more_than_half(tmp_path, size, resize):
    survey = survey_files(write(tmp_path, [Image.new("RGB", size)] * 3, "JPEG"), [""] * 3)
    assert choose_resize("auto", survey) == resize
    assert choose_resize("squash", survey) == "squash"


def test_auto_goes_by_the_typical_image(tmp_path):
    files = write(tmp_path, [*[Image.new("RGB", (300, 200))] * 4, *[Image.new("RGB", (600, 50))] * 3], "PNG")
    assert choose_resize("auto", survey_files(files, [""] * 7)) == "crop"
    assert choose_resize("auto", NOTHING) == "crop"


def test_options_are_resolved_together(tmp_path):
    survey = survey_files(write(tmp_path, thermal(3)), [""] * 3)
    assert choose_pixels("auto", "auto", survey) == {"resize": "crop", "gray_range": "51200,52200"}
    assert choose_pixels("auto", "auto", None) == {"resize": "auto", "gray_range": "auto"}
    assert fitted_to(survey, ImageSpec(8, "auto")) == ImageSpec(8, "crop", (51_200, 52_200))
    assert fitted_to(NOTHING, ImageSpec(8, "pad")) == ImageSpec(8, "pad")


# the headers


def test_every_series_is_counted_and_only_a_sample_of_the_shapes(tmp_path):
    pages = [Image.new("L", (9, 9), value) for value in (1, 2)]
    files = write(tmp_path, [Image.new("RGB", (8, 8))] * (MAX_MEASURED + 50), "JPEG")
    (tmp_path / "stack.tif").write_bytes(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    survey = survey_files([*files, tmp_path / "stack.tif"], [""] * (len(files) + 1))
    assert survey.num_series == 1
    assert MAX_MEASURED - 1 <= len(survey.cut_off) <= MAX_MEASURED


@needs_fifo
def test_files_that_are_no_images_are_passed_by(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    files = [tmp_path / "notes.txt", tmp_path / "pipe", tmp_path / "nowhere"]
    assert survey_files(files, [""] * 3) == NOTHING


@pytest.fixture
def settled(tmp_path, monkeypatch):
    """Files count as unchanged at once, in a cache of this test."""
    monkeypatch.setattr("tlkit.cache.file_memory.SETTLED_NS", -(10**9))
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))


def test_files_that_have_not_changed_are_not_looked_at_again(tmp_path, settled, monkeypatch):
    pages = [Image.new("L", (9, 9), value) for value in (1, 2)]
    files = [*write(tmp_path / "images", [noise(30, 40)] * 300, "JPEG"), *write(tmp_path / "images", thermal(20))]
    (tmp_path / "images" / "stack.tif").write_bytes(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    (tmp_path / "images" / "notes.txt").write_text("x")
    files += [tmp_path / "images" / name for name in ("stack.tif", "notes.txt")]
    subsets = ["train", "validation"] * (len(files) // 2)
    first, gray = survey_files(files, subsets), measure_gray_range(files[300:320])
    assert (first.num_deep, first.num_series, len(first.deep)) == (20, 1, 10)
    for name in ("read_header", "read_file", "_may_be_more"):
        monkeypatch.setattr(f"tlkit.data.survey.{name}", lambda file: pytest.fail(f"'{file}' is read"))
    assert survey_files(files, subsets) == first
    assert measure_gray_range(files[300:320]) == gray


def test_a_file_that_has_changed_is_looked_at_again(tmp_path, settled):
    files = write(tmp_path / "images", [noise(30, 40)] * 3, "PNG")
    assert survey_files(files, [""] * 3).num_deep == 0
    write(tmp_path / "new", thermal(1), "TIFF")[0].replace(files[1])
    assert survey_files(files, [""] * 3).num_deep == 1


def test_a_sample_is_spread_evenly():
    assert list(sample_files(range(1000)))[:3] == [0, 3, 7]
    assert len(list(sample_files(range(1000)))) == MAX_MEASURED
    assert list(sample_files(range(5))) == [0, 1, 2, 3, 4]
    assert list(sample_files([])) == []


# what is said


def test_notes_say_what_becomes_of_the_files():
    assert pixel_notes(None, ImageSpec(8)) == []
    assert pixel_notes(NOTHING, ImageSpec(8)) == []
    (deep,) = pixel_notes(Survey((), 40, 0, ()), ImageSpec(8, gray_range=(51_200, 52_200)))
    assert "40 images" in deep
    assert "51,200 becomes black and 52,200 white" in deep
    assert "--gray-range" in deep
    (series,) = pixel_notes(Survey((), 0, 12, ()), ImageSpec(8))
    assert series == "12 files hold several pages or frames; only the first of each is used."
    wide = Survey((), 0, 0, (0.8, 0.83, 0.9))
    assert pixel_notes(wide, ImageSpec(8, "crop")) == [
        "--resize crop cuts off 83 % of the typical image; --resize pad keeps all of it."
    ]
    assert "83 %" in pixel_notes(wide, ImageSpec(8, "pad"))[0]
    assert pixel_notes(wide, ImageSpec(8, "squash")) == []
    mixed = Survey((), 0, 0, (*[0.3] * 8, 0.8, 0.8))
    assert "more than half of 20 % of the images" in pixel_notes(mixed, ImageSpec(8, "crop"))[0]


def test_photos_of_usual_shapes_are_not_noted(tmp_path):
    files = write(tmp_path, [noise(90, 160)] * 3, "JPEG")
    assert pixel_notes(survey_files(files, [""] * 3), ImageSpec(8)) == []
