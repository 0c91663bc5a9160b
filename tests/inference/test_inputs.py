"""What can be classified: every kind of input gives the same as the file, and everything else a sentence."""

import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.making import touch
from tlkit import predict
from tlkit.data.image import ImageSpec, decode_square
from tlkit.errors import OptionError
from tlkit.inference.inputs import EXPECTED, each_input, expand_inputs, name_input
from tlkit.inference.predictor import Predictor

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has none")
SPEC = ImageSpec(32)


@pytest.fixture(scope="module")
def squares(colors):
    return [str(path) for path in sorted(colors.glob("*/*.png"))]


@pytest.fixture(scope="module")
def predictor(run):
    return Predictor(run, top_k=3)


def probabilities(predictor, inputs):
    rows = list(predictor.predict(inputs))
    assert [row.error for row in rows] == [None] * len(rows)
    return np.stack([row.probabilities for row in rows])


# images in memory


def test_predict_gives_the_same_of_every_kind_of_input(predictor, squares):
    expected = probabilities(predictor, squares[:1])
    data = Path(squares[0]).read_bytes()
    array = np.asarray(Image.open(squares[0]))
    kinds = (Path(squares[0]), data, bytearray(data), memoryview(data), array, Image.open(squares[0]), io.BytesIO(data))
    assert np.array_equal(probabilities(predictor, kinds), np.repeat(expected, len(kinds), axis=0))
    for kind in (*kinds[:-1], io.BytesIO(data)):
        assert np.array_equal(probabilities(predictor, kind), expected), type(kind)


def test_predict_takes_an_array_of_several_images_apart(predictor, squares):
    arrays = np.stack([np.asarray(Image.open(path)) for path in squares[::9]])
    assert np.array_equal(probabilities(predictor, arrays), probabilities(predictor, squares[::9]))


def test_predict_reads_what_may_change_when_it_takes_it(predictor, squares):
    def inputs():
        buffer = np.empty((48, 48, 3), np.uint8)
        for path in squares[::5]:
            buffer[:] = np.asarray(Image.open(path))
            yield buffer
            buffer[:] = 0
        for path in squares[::5]:
            with Image.open(path) as image, Path(path).open("rb") as file:
                yield image
                yield file

    expected = probabilities(predictor, squares[::5])
    found = probabilities(predictor, inputs())
    assert np.array_equal(found[: len(expected)], expected)
    assert np.array_equal(found[len(expected) :], np.repeat(expected, 2, axis=0))


def test_predict_turns_an_image_upright_that_pillow_has_open(tmp_path):
    pixels = np.zeros((40, 20, 3), np.uint8)
    pixels[:10] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    square = name_input(Image.open(tmp_path / "turned.png"), SPEC).content.pixels
    assert np.array_equal(square, decode_square((tmp_path / "turned.png").read_bytes(), SPEC))
    assert not np.array_equal(square, name_input(pixels, SPEC).content.pixels)


def test_predict_converts_an_image_that_pillow_has_open_as_it_does_a_file(tmp_path):
    gray = Image.fromarray(np.arange(0, 255, 5, dtype=np.uint8).reshape(3, 17))
    clear = Image.new("RGBA", (9, 9), (255, 0, 0, 128))
    for image in (gray, clear, gray.convert("P"), clear.convert("LA")):
        image.save(tmp_path / "image.png")
        assert np.array_equal(
            name_input(image, SPEC).content.pixels, decode_square((tmp_path / "image.png").read_bytes(), SPEC)
        ), image.mode


def test_inputs_are_named_after_their_file_or_what_they_are(squares):
    pixels = np.zeros((4, 4, 3), np.uint8)
    with Path(squares[0]).open("rb") as file:
        names = [name_input(given, SPEC).name for given in (squares[0], Path(squares[0]), Image.open(squares[0]), file)]
    assert names == [squares[0]] * 4
    others = (b"x", pixels, Image.fromarray(pixels), io.BytesIO(b"x"))
    assert [name_input(given, SPEC).name for given in others] == ["<bytes>", "<array>", "<image>", "<file>"]


def test_predict_of_bytes_and_files_that_are_no_image_gives_error_rows(predictor):
    closed = io.BytesIO(b"x")
    closed.close()
    rows = list(predictor.predict([b"", b"text", io.BytesIO(b""), closed, b"\xff\xd8"]))
    assert [row.status for row in rows] == ["error"] * 5
    assert [row.error for row in rows[:3]] == ["is empty (0 bytes)", "is text, not an image", "is empty (0 bytes)"]
    assert rows[3].error.startswith("cannot be read")


def test_predict_of_what_cannot_be_an_image_is_refused_with_what_is_expected(run, predictor):
    for given in (42, None, 3.5, object()):
        for call in (predictor.predict, lambda given: predict(run, given)):
            with pytest.raises(OptionError) as caught:
                call(given)
            assert type(given).__name__ in str(caught.value)
            assert EXPECTED in str(caught.value)
        with pytest.raises(OptionError, match=type(given).__name__):
            list(predict(run, [given]))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3)),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(3, np.uint8),
    ],
    ids=["float", "gray", "alpha", "empty", "flat"],
)
def test_predict_of_an_array_that_is_no_image_is_refused_with_its_type_and_shape(predictor, array):
    with pytest.raises(OptionError) as caught:
        list(predictor.predict([array]))
    assert f"{array.dtype} {array.shape}; expected uint8 (height, width, 3)" in str(caught.value)


def test_predict_of_a_file_opened_as_text_is_refused(predictor):
    with pytest.raises(OptionError, match="mode 'rb'"):
        list(predictor.predict(io.StringIO("x")))


def test_each_input_gives_one_and_several(squares):
    assert list(each_input("a.jpg")) == ["a.jpg"]
    assert list(each_input(b"ab")) == [b"ab"]
    assert list(each_input(["a", b"b"])) == ["a", b"b"]
    assert list(each_input(iter(squares))) == squares


# files, folders, patterns


def test_expand_inputs_gives_what_is_no_path_as_it_is():
    given = [b"*", Image.new("RGB", (1, 1)), np.zeros((1, 1, 3), np.uint8)]
    assert all(one is other for one, other in zip(expand_inputs(given), given, strict=True))


def expanded(*inputs):
    return list(expand_inputs(str(item) for item in inputs))


def test_expand_inputs_of_a_folder_gives_every_file_that_is_not_hidden_or_a_systems(tmp_path):
    touch(tmp_path, "b10.jpg", "b2.jpg", "notes.txt", "deep/er/c", ".hidden", ".git/x", "deep/.x", "Thumbs.db")
    names = [path.removeprefix(f"{tmp_path}{os.sep}") for path in expanded(tmp_path)]
    assert names == ["b2.jpg", "b10.jpg", "notes.txt", "deep/er/c"]


def test_expand_inputs_of_an_empty_folder_gives_nothing(tmp_path):
    assert expanded(tmp_path) == []


def test_expand_inputs_of_a_folder_keeps_its_name_as_typed(tmp_path, monkeypatch):
    touch(tmp_path, "in/a.jpg")
    monkeypatch.chdir(tmp_path)
    assert expanded("in") == expanded("in/") == expanded("./in") == ["in/a.jpg"]


def test_expand_inputs_of_a_pattern_gives_what_it_matches_sorted(tmp_path):
    touch(tmp_path, "b.jpg", "a.jpg", "c.png", ".d.jpg")
    assert expanded(tmp_path / "*.jpg") == [str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg")]


def test_expand_inputs_of_a_pattern_of_folders_gives_their_files(tmp_path):
    touch(tmp_path, "x1/a.jpg", "x2/b.jpg", "y/c.jpg")
    assert expanded(tmp_path / "x*") == [str(tmp_path / "x1" / "a.jpg"), str(tmp_path / "x2" / "b.jpg")]


def test_expand_inputs_with_two_stars_matches_at_any_depth(tmp_path):
    paths = ["a.jpg", "x/b.jpg", "x/y/c.jpg"]
    touch(tmp_path, *paths)
    assert expanded(tmp_path / "**" / "*.jpg") == sorted(str(tmp_path / path) for path in paths)
    assert expanded(tmp_path / "x" / "**" / "c.jpg") == [str(tmp_path / "x/y/c.jpg")]


def test_expand_inputs_of_a_pattern_without_a_match_gives_it_as_it_is(tmp_path):
    assert expanded(tmp_path / "*.jpg") == [str(tmp_path / "*.jpg")]


@posix
def test_expand_inputs_of_a_file_named_like_a_pattern_gives_itself(tmp_path):
    names = ("photo[1].jpg", "what?.jpg", "[ab]")
    touch(tmp_path, *names, "photo1.jpg", "whatx.jpg", "a")
    for name in names:
        assert expanded(tmp_path / name) == [str(tmp_path / name)]


@posix
def test_expand_inputs_of_a_folder_named_like_a_pattern_gives_its_files(tmp_path):
    touch(tmp_path, "[x]/a.jpg", "x/b.jpg")
    assert expanded(tmp_path / "[x]") == [str(tmp_path / "[x]" / "a.jpg")]


@posix
def test_expand_inputs_of_a_broken_link_named_like_a_pattern_ends(tmp_path):
    (tmp_path / "*").symlink_to("nowhere")
    assert expanded(tmp_path / "*") == [str(tmp_path / "*")]


@posix
def test_expand_inputs_of_a_link_that_leads_back_ends(tmp_path):
    touch(tmp_path, "deep/a.jpg")
    (tmp_path / "deep" / "back").symlink_to(tmp_path)
    assert expanded(tmp_path)[0] == str(tmp_path / "deep" / "a.jpg")
    assert len(expanded(tmp_path)) <= 2


@posix
def test_expand_inputs_gives_a_linked_file(tmp_path, squares):
    (tmp_path / "link.png").symlink_to(squares[0])
    assert expanded(tmp_path) == [str(tmp_path / "link.png")]


def test_expand_inputs_gives_what_is_missing_as_it_is():
    assert expanded("nowhere.jpg", "no/where", "") == ["nowhere.jpg", "no/where", ""]
