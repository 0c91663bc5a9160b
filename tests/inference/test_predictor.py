import os
import random
import sys

import numpy as np
import pytest
from tlkit.prediction import CHUNK

from tests.making import touch
from tlkit import predict
from tlkit.errors import RunError
from tlkit.inference.predictor import Predictor, expand_inputs, top_classes
from tlkit.utils.parallel import count_workers

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has none")


@pytest.fixture(scope="module")
def squares(colours):
    return [str(path) for path in sorted(colours.glob("*/*.png"))]


@pytest.fixture(scope="module")
def predictor(run):
    return Predictor(run, top_k=3)


@pytest.fixture(scope="module")
def alone(predictor, squares):
    """The probabilities of each square, predicted by itself."""
    return {path: next(predictor.predict([path])).probabilities for path in squares}


# one row per input


def test_there_is_one_row_per_input_in_their_order(predictor, squares, tmp_path):
    (tmp_path / "text.jpg").write_text("not an image")
    inputs = [squares[0], "missing.jpg", squares[5], str(tmp_path / "text.jpg"), squares[0], str(tmp_path), ""]
    rows = list(predictor.predict(inputs))
    assert [row.path for row in rows] == inputs
    assert [row.status for row in rows] == ["ok", "error", "ok", "error", "ok", "error", "error"]


def test_an_image_has_a_class_with_its_probability(predictor, squares):
    for row in predictor.predict(squares):
        assert row.error is None
        assert row.label == predictor.facts.class_names[row.probabilities.argmax()]
        assert row.confidence == pytest.approx(row.probabilities.max())
        assert row.probabilities.dtype == np.float32
        assert row.probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_what_is_no_image_has_a_reason_and_nothing_else(predictor):
    (row,) = predictor.predict(["missing.jpg"])
    assert row.error == "does not exist"
    assert (row.label, row.confidence, row.top, row.probabilities, row.photo) == (None, None, (), None, None)


def test_no_input_gives_no_row(predictor):
    assert list(predictor.predict([])) == []


def test_only_errors_give_only_errors(predictor):
    assert [row.status for row in predictor.predict(["missing"] * 20)] == ["error"] * 20


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "x/" * 3000], ids=["long", "nul", "deep"])
def test_a_name_that_no_file_can_have_is_an_error_row(predictor, name):
    (row,) = predictor.predict(expand_inputs([name]))
    assert (row.path, row.status) == (name, "error")


@posix
def test_a_pipe_is_an_error_row_and_is_never_opened(predictor, squares, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    rows = list(predictor.predict([str(tmp_path / "pipe"), squares[0]]))  # would hang
    assert [row.error for row in rows] == ["is not a regular file (a pipe, socket or device)", None]


def test_a_file_that_goes_while_predicting_is_an_error_row(predictor, tmp_path, squares):
    def inputs():
        yield squares[0]
        (tmp_path / "gone.png").unlink()
        yield str(tmp_path / "gone.png")

    touch(tmp_path, "gone.png")
    assert [row.status for row in predictor.predict(inputs())] == ["ok", "error"]


# the same numbers whatever stands beside


@pytest.mark.parametrize("seed", range(3))
def test_probabilities_do_not_depend_on_the_order(predictor, squares, alone, seed):
    mixed = random.Random(seed).sample(squares, len(squares))
    for row in predictor.predict(mixed):
        assert np.array_equal(row.probabilities, alone[row.path])


@pytest.mark.parametrize("batch", [1, 2, CHUNK - 1, CHUNK, CHUNK + 1])
def test_probabilities_do_not_depend_on_the_neighbours(predictor, squares, alone, batch):
    broken = [path for start in range(0, 36, batch) for path in [*squares[start : start + batch], "missing"]]
    rows = [row for row in predictor.predict(broken) if row.status == "ok"]
    assert [row.path for row in rows] == squares
    assert all(np.array_equal(row.probabilities, alone[row.path]) for row in rows)


def test_probabilities_are_the_same_in_another_process_of_the_engine(run, squares, alone):
    for row in predict(run, squares[:5]):
        assert np.array_equal(row.probabilities, alone[row.path])


def test_images_of_different_colours_differ(alone):
    assert len({tuple(value) for value in alone.values()}) > 30


def test_keras_agrees_with_the_engine(run, squares, alone):
    rows = list(Predictor(run, "keras").predict(squares))
    for row in rows:
        assert np.abs(row.probabilities - alone[row.path]).max() < 1e-4
        assert row.probabilities.argmax() == alone[row.path].argmax()


def test_keras_rows_do_not_depend_on_their_neighbours(run, squares):
    predictor = Predictor(run, "keras")
    together = {row.path: row.probabilities for row in predictor.predict(squares[:11])}
    (single,) = predictor.predict([squares[3]])
    assert np.abs(single.probabilities - together[squares[3]]).max() < 1e-6


def test_openvino_agrees_with_the_engine(run, squares, alone):
    pytest.importorskip("openvino")
    for row in Predictor(run, "openvino").predict(squares):
        assert np.abs(row.probabilities - alone[row.path]).max() < 1e-4


def test_validation_images_are_predicted_as_the_run_recorded(run, colours, predictor):
    recorded = run.read_rows("predictions_val.csv")
    rows = predictor.predict([colours / row["path"] for row in recorded])
    for found, row in zip(rows, recorded, strict=True):
        assert found.label == row["label"]
        assert np.abs(found.probabilities - [float(row[f"p_{name}"]) for name in ("blue", "green", "red")]).max() < 1e-6


# a stream


def test_inputs_are_taken_no_faster_than_rows_are_given(predictor, squares):
    taken = 0

    def inputs():
        nonlocal taken
        for number in range(4000):
            taken += 1
            yield squares[number % 3]

    bound = (4 * count_workers() + 1) * CHUNK
    for given, _ in enumerate(predictor.predict(inputs()), 1):
        assert taken - given <= bound
    assert given == 4000


def test_an_endless_stream_can_be_left(predictor, squares):
    def inputs():
        while True:
            yield squares[0]

    rows = predictor.predict(inputs())
    assert [next(rows).status for _ in range(20)] == ["ok"] * 20
    rows.close()


# the likeliest


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_likeliest_come_first(run, squares, k):
    (row,) = Predictor(run, top_k=k).predict(squares[:1])
    assert len(row.top) == k
    assert row.top[0] == (row.label, row.confidence)
    shares = [share for _, share in row.top]
    assert shares == sorted(shares, reverse=True)


def test_no_more_classes_are_given_than_there_are(run, squares):
    (row,) = Predictor(run, top_k=99).predict(squares[:1])
    assert sorted(name for name, _ in row.top) == ["blue", "green", "red"]
    assert sum(share for _, share in row.top) == pytest.approx(1, abs=1e-5)


def test_of_equal_classes_the_first_in_label_order_is_likelier():
    assert top_classes(np.array([0.25, 0.5, 0.25, 0.0]), tuple("abcd"), 3) == (("b", 0.5), ("a", 0.25), ("c", 0.25))


# what inputs mean


def expanded(*inputs):
    return list(expand_inputs(str(item) for item in inputs))


def test_a_folder_gives_every_file_that_is_not_hidden(tmp_path):
    touch(tmp_path, "b10.jpg", "b2.jpg", "notes.txt", "deep/er/c", ".hidden", ".git/x", "deep/.x", "Thumbs.db")
    names = [path.removeprefix(f"{tmp_path}{os.sep}") for path in expanded(tmp_path)]
    assert names == ["b2.jpg", "b10.jpg", "notes.txt", "Thumbs.db", "deep/er/c"]


def test_an_empty_folder_gives_nothing(tmp_path):
    assert expanded(tmp_path) == []


def test_a_folder_gives_the_files_behind_its_name_as_typed(tmp_path, monkeypatch):
    touch(tmp_path, "in/a.jpg")
    monkeypatch.chdir(tmp_path)
    assert expanded("in") == expanded("in/") == expanded("./in") == ["in/a.jpg"]


def test_a_pattern_gives_what_it_matches_sorted(tmp_path):
    touch(tmp_path, "b.jpg", "a.jpg", "c.png", ".d.jpg")
    assert expanded(tmp_path / "*.jpg") == [str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg")]


def test_a_pattern_of_folders_gives_their_files(tmp_path):
    touch(tmp_path, "x1/a.jpg", "x2/b.jpg", "y/c.jpg")
    assert expanded(tmp_path / "x*") == [str(tmp_path / "x1" / "a.jpg"), str(tmp_path / "x2" / "b.jpg")]


@pytest.mark.parametrize("paths", [["a.jpg"], ["x/y/a.jpg"], ["a.jpg", "x/b.jpg", "x/y/c.jpg"]])
def test_two_stars_match_at_any_depth(tmp_path, paths):
    touch(tmp_path, *paths)
    assert expanded(tmp_path / "**" / "*.jpg") == sorted(str(tmp_path / path) for path in paths)


def test_a_pattern_without_a_match_is_given_as_it_is(tmp_path):
    assert expanded(tmp_path / "*.jpg") == [str(tmp_path / "*.jpg")]


@pytest.mark.parametrize("name", ["photo[1].jpg", "what?.jpg", "[ab]"])
@posix
def test_a_file_named_like_a_pattern_is_itself(tmp_path, name):
    touch(tmp_path, name, "photo1.jpg", "whatx.jpg", "a")
    assert expanded(tmp_path / name) == [str(tmp_path / name)]


@posix
def test_a_folder_named_like_a_pattern_is_itself(tmp_path):
    touch(tmp_path, "[x]/a.jpg", "x/b.jpg")
    assert expanded(tmp_path / "[x]") == [str(tmp_path / "[x]" / "a.jpg")]


@posix
def test_a_broken_link_named_like_a_pattern_ends(tmp_path):
    (tmp_path / "*").symlink_to("nowhere")
    assert expanded(tmp_path / "*") == [str(tmp_path / "*")]


@posix
def test_a_link_that_leads_back_ends(tmp_path):
    touch(tmp_path, "deep/a.jpg")
    (tmp_path / "deep" / "back").symlink_to(tmp_path)
    assert expanded(tmp_path)[0] == str(tmp_path / "deep" / "a.jpg")
    assert len(expanded(tmp_path)) <= 2


@posix
def test_a_linked_file_is_an_input(tmp_path, squares):
    (tmp_path / "link.png").symlink_to(squares[0])
    assert expanded(tmp_path) == [str(tmp_path / "link.png")]


def test_what_is_not_there_is_given_as_it_is():
    assert expanded("nowhere.jpg", "no/where", "") == ["nowhere.jpg", "no/where", ""]


def test_the_library_takes_a_run_by_path_and_a_folder(run, colours):
    rows = list(predict(run.path, colours / "red", top_k=2))
    assert [len(row.top) for row in rows] == [2] * 12
    assert rows[0].path == str(colours / "red" / "0.png")


def test_the_library_refuses_a_missing_run(tmp_path):
    with pytest.raises(RunError, match="there is no run folder"):
        predict(tmp_path / "x", "y.jpg")
