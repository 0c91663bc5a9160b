"""One prediction per input: in order, streamed, the same whatever stands beside; what inputs mean."""

import json
import os
import pickle
import random
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.making import touch
from tlkit import predict
from tlkit.errors import OptionError, RunError, TlkitError
from tlkit.inference.inputs import expand_inputs
from tlkit.inference.predictor import Prediction, Predictor, is_unsure, open_network, top_classes
from tlkit.runs.run import load_run
from tlkit.utils.files import sha256_file
from tlkit.utils.parallel import CHUNK, count_workers

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has none")


@pytest.fixture(scope="module")
def squares(colors):
    return [str(path) for path in sorted(colors.glob("*/*.png"))]


@pytest.fixture(scope="module")
def predictor(run):
    return Predictor(run, top_k=3)


@pytest.fixture(scope="module")
def alone(predictor, squares):
    """The probabilities of each square, predicted by itself."""
    return {path: next(predictor.predict([path])).probabilities for path in squares}


# one row per input


def test_predict_gives_one_row_per_input_in_their_order(predictor, squares, tmp_path):
    (tmp_path / "text.jpg").write_text("not an image")
    inputs = [squares[0], "missing.jpg", squares[5], str(tmp_path / "text.jpg"), squares[0], str(tmp_path), ""]
    rows = list(predictor.predict(inputs))
    assert [row.path for row in rows] == inputs
    assert [row.status for row in rows] == ["ok", "error", "ok", "error", "ok", "error", "error"]


def test_predict_of_an_image_gives_a_class_with_its_probability(predictor, squares):
    for row in predictor.predict(squares):
        assert row.error is None
        assert row.label == predictor.manifest.class_names[row.probabilities.argmax()]
        assert row.confidence == pytest.approx(row.probabilities.max())
        assert row.probabilities.dtype == np.float32
        assert row.probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_predict_of_no_image_gives_a_reason_and_nothing_else(predictor):
    (row,) = predictor.predict(["missing.jpg"])
    assert row.error == "does not exist"
    assert (row.label, row.confidence, row.top, row.probabilities, row.sha256) == (None, None, (), None, "")


def test_predict_of_no_input_gives_no_row(predictor):
    assert list(predictor.predict([])) == []


def test_predict_of_errors_alone_gives_errors(predictor):
    assert [row.status for row in predictor.predict(["missing"] * 20)] == ["error"] * 20


def test_predict_of_a_name_that_no_file_can_have_is_an_error_row(predictor):
    for name in ("x" * 300, "a\0b", "x/" * 3000):
        (row,) = predictor.predict(expand_inputs([name]))
        assert (row.path, row.status) == (name, "error")


@posix
def test_predict_of_a_pipe_is_an_error_row_and_never_opens_it(predictor, squares, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    rows = list(predictor.predict([str(tmp_path / "pipe"), squares[0]]))  # would hang
    assert [row.error for row in rows] == ["is not a regular file (a pipe, socket or device)", None]


def test_predict_of_a_file_that_goes_meanwhile_is_an_error_row(predictor, tmp_path, squares):
    def inputs():
        yield squares[0]
        (tmp_path / "gone.png").unlink()
        yield str(tmp_path / "gone.png")

    touch(tmp_path, "gone.png")
    assert [row.status for row in predictor.predict(inputs())] == ["ok", "error"]


# the same numbers whatever stands beside


def test_probabilities_do_not_depend_on_the_order(predictor, squares, alone):
    for seed in range(3):
        mixed = random.Random(seed).sample(squares, len(squares))
        for row in predictor.predict(mixed):
            assert np.array_equal(row.probabilities, alone[row.path])


def test_probabilities_do_not_depend_on_the_neighbors(predictor, squares, alone):
    for batch in (1, 2, CHUNK - 1, CHUNK, CHUNK + 1):
        broken = [path for start in range(0, 36, batch) for path in [*squares[start : start + batch], "missing"]]
        rows = [row for row in predictor.predict(broken) if row.status == "ok"]
        assert [row.path for row in rows] == squares
        assert all(np.array_equal(row.probabilities, alone[row.path]) for row in rows)


def test_probabilities_are_the_same_of_another_predictor(run, squares, alone):
    for row in predict(run, squares[:5]):
        assert np.array_equal(row.probabilities, alone[row.path])


def test_probabilities_of_different_images_differ(alone):
    assert len({tuple(value) for value in alone.values()}) > 30


def test_predictor_by_keras_agrees_with_the_engine(run, squares, alone):
    rows = list(Predictor(run, "keras").predict(squares))
    for row in rows:
        assert np.abs(row.probabilities - alone[row.path]).max() < 1e-4
        assert row.probabilities.argmax() == alone[row.path].argmax()


def test_predictor_by_keras_does_not_depend_on_neighbors(run, squares):
    predictor = Predictor(run, "keras")
    together = {row.path: row.probabilities for row in predictor.predict(squares[:11])}
    (single,) = predictor.predict([squares[3]])
    assert np.abs(single.probabilities - together[squares[3]]).max() < 1e-6


def test_predictor_by_openvino_agrees_with_the_engine(run, squares, alone):
    pytest.importorskip("openvino")
    for row in Predictor(run, "openvino").predict(squares):
        assert np.abs(row.probabilities - alone[row.path]).max() < 1e-4


def test_predict_of_validation_images_gives_what_the_run_recorded(run, colors, predictor):
    recorded = run.read_rows("predictions_val.csv")
    rows = predictor.predict([colors / row["path"] for row in recorded])
    for found, row in zip(rows, recorded, strict=True):
        assert found.label == row["label"]
        assert np.abs(found.probabilities - [float(row[f"p_{name}"]) for name in ("blue", "green", "red")]).max() < 1e-6


# a stream


def test_predict_takes_inputs_no_faster_than_it_gives_rows(predictor, squares):
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


def test_predict_of_an_endless_stream_can_be_left(predictor, squares):
    def inputs():
        while True:
            yield squares[0]

    rows = predictor.predict(inputs())
    assert [next(rows).status for _ in range(20)] == ["ok"] * 20
    rows.close()


# the likeliest


def test_top_has_the_likeliest_first(run, squares):
    for k in (1, 2, 3):
        (row,) = Predictor(run, top_k=k).predict(squares[:1])
        assert len(row.top) == k
        assert row.top[0] == (row.label, row.confidence)
        probabilities = [probability for _, probability in row.top]
        assert probabilities == sorted(probabilities, reverse=True)


def test_top_has_no_more_classes_than_there_are(run, squares):
    (row,) = Predictor(run, top_k=99).predict(squares[:1])
    assert sorted(name for name, _ in row.top) == ["blue", "green", "red"]
    assert sum(probability for _, probability in row.top) == pytest.approx(1, abs=1e-5)


def test_top_classes_of_equals_takes_the_first_in_label_order():
    assert top_classes(np.array([0.25, 0.5, 0.25, 0.0]), tuple("abcd"), 3) == (("b", 0.5), ("a", 0.25), ("c", 0.25))


# runs and what runs them


def test_predict_takes_a_run_by_its_path_and_a_folder(run, colors):
    rows = list(predict(run.path, colors / "red", top_k=2))
    assert [len(row.top) for row in rows] == [2] * 12
    assert rows[0].path == str(colors / "red" / "0.png")


def test_predict_of_a_missing_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="there is no run folder"):
        predict(tmp_path / "x", "y.jpg")


def test_predict_identifies_files_where_it_is_asked_to(predictor, squares):
    identified, plain = (next(predictor.predict(squares[:1], identify=identify)) for identify in (True, False))
    assert identified.sha256 == sha256_file(Path(squares[0]))
    assert len(identified.digest) == 32
    assert (plain.sha256, plain.digest) == ("", "")


def test_predictions_keep_no_pixels(predictor, squares):
    rows = list(predictor.predict(squares[:9], identify=True))
    assert len(pickle.dumps(rows)) < 9 * 1000  # the 32-pixel square alone has 3,072 bytes


def test_predictions_can_be_compared_and_printed(predictor, squares):
    first, again, other = predictor.predict([squares[0], squares[0], squares[1]])
    assert first == again != other
    assert first.label in repr(first)
    assert len(repr(first)) < 500


def test_predictor_refuses_an_impossible_top_k_or_engine(run):
    for options in ({"top_k": 0}, {"engine": "onnx"}, {"engine": "classic"}):
        with pytest.raises(OptionError):
            Predictor(run, **options)


def changed(run, **values):
    """A run whose model.json says something else."""
    content = run.read_json("model.json")
    (run.path / "model.json").write_text(json.dumps(content | values))
    return load_run(run.path)


def test_open_network_finds_one_flipped_byte_before_it_opens_a_file(own_run):
    for name, engine in (("engine/lower.tflite", "auto"), ("engine/head.tflite", "auto"), ("model.keras", "keras")):
        file = own_run.path / name
        before = file.read_bytes()
        file.write_bytes(before[:99] + bytes([before[99] ^ 1]) + before[100:])
        with pytest.raises(RunError, match="is not the file that the run wrote") as caught:
            open_network(own_run, engine)
        assert f"'{file}'" in str(caught.value)
        file.write_bytes(before)
    open_network(own_run)


def test_open_network_names_a_file_that_is_missing(own_run):
    for name in ("engine/head.tflite", "engine/lower.tflite"):
        (own_run.path / name).unlink()
        with pytest.raises(RunError, match=f"'{own_run.path / name}' is missing"):
            open_network(own_run)


def test_open_network_refuses_a_file_of_no_known_hash(own_run):
    kept = (own_run.path / "model.json").read_text()
    (own_run.path / "engine" / "other.tflite").write_bytes(b"TFL3")
    (own_run.path.parent / "outside.tflite").write_bytes(b"TFL3")
    for file in ("../outside.tflite", "/etc/hostname", "engine/other.tflite"):
        with pytest.raises(RunError, match="stages is not a list of files of the run"):
            changed(own_run, stages=[{"file": file, "engine": "litert", "precision": "float32"}])
    (own_run.path / "model.json").write_text(kept)
    hashes = {name: digest for name, digest in own_run.manifest.sha256.items() if name != "engine/lower.tflite"}
    with pytest.raises(RunError, match="lower.tflite' is not the file"):
        open_network(changed(own_run, sha256=hashes))


def test_open_network_refuses_what_is_no_network(own_run):
    file = own_run.path / "engine" / "lower.tflite"
    file.write_bytes(b"<html>")
    hashes = own_run.manifest.sha256 | {"engine/lower.tflite": sha256_file(file)}
    with pytest.raises(TlkitError, match="litert engine cannot open") as caught:
        open_network(changed(own_run, sha256=hashes))
    assert caught.value.exit_code == 4


def test_open_network_refuses_an_engine_that_cannot_run_it(classic_run):
    for engine in ("keras", "litert", "openvino"):
        with pytest.raises(OptionError, match=f"--engine {engine}"):
            open_network(classic_run, engine)


def test_predict_refuses_probabilities_of_another_number_of_classes(own_run, squares):
    run = changed(own_run, class_names=["blue", "green"])
    with pytest.raises(RunError, match=r"2 classes.* 3;"):
        list(predict(run, squares[:1]))


def test_is_unsure_where_the_second_class_is_half_as_likely():
    def answer(*probabilities):
        return Prediction("a.jpg", "ok", probabilities=np.array(probabilities, np.float32))

    assert is_unsure(answer(0.5, 0.25, 0.25))
    assert not is_unsure(answer(0.5, 0.2, 0.2, 0.1))
    assert is_unsure(answer(0.1, 0.45, 0.45))
