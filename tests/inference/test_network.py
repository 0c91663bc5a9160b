"""A run's network in stages, and its rule for "unknown"."""

import io
import json

import numpy as np
import pytest

from tests.making import noise
from tlkit.errors import RunError
from tlkit.inference.network import open_detector, open_network
from tlkit.inference.predictor import Predictor
from tlkit.runs.manifest import REFERENCES
from tlkit.utils.files import sha256_file


@pytest.fixture
def any_run(finetuned_run, blocks_run, scratch_run, classic_run):
    """Runs of every kind, by name."""
    return {"all": finetuned_run, "lower": blocks_run, "none": scratch_run, "classic": classic_run}


def test_open_network_stages_joined_are_what_predict_answers(any_run):
    for kind, run in any_run.items():
        size = run.manifest.image.size
        pixels = np.stack([noise(size, size, seed=seed) for seed in range(3)])
        network = open_network(run)
        features = network.extract(pixels)
        assert len(features) == 3 and features.dtype == np.float32, kind
        predicted = [prediction.probabilities for prediction in Predictor(run).predict(list(pixels))]
        np.testing.assert_allclose(network.classify(features), predicted, atol=1e-6, err_msg=kind)


def test_open_network_gives_the_same_features_with_keras(any_run):
    for kind in ("all", "lower", "none"):
        run = any_run[kind]
        size = run.manifest.image.size
        pixels = np.stack([noise(size, size, seed=seed) for seed in range(3)])
        expected = open_network(run).extract(pixels)
        found = open_network(run, "keras").extract(pixels)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max(), err_msg=kind)


def test_open_detector_measures_no_distance_from_a_training_image_to_itself(any_run):
    for kind, run in any_run.items():
        detector = open_detector(run)
        lengths = np.linalg.norm(detector.references, axis=1)
        np.testing.assert_allclose(lengths[lengths > 0], 1, atol=2e-3, err_msg=kind)
        assert 0 < len(detector.references) <= 1000
        nearest = 1 - (detector.references @ detector.references.T).max(axis=1)
        np.testing.assert_allclose(nearest[lengths > 0], 0, atol=5e-3, err_msg=kind)


def put_references(run, content):
    """Replace the references, with the hash of the new ones."""
    file = run.path / REFERENCES
    file.write_bytes(content)
    manifest = json.loads((run.path / "model.json").read_text())
    manifest["sha256"][REFERENCES] = sha256_file(file)
    (run.path / "model.json").write_text(json.dumps(manifest))


def test_open_detector_refuses_references_that_are_not_those_of_a_run(own_run):
    good = (own_run.path / REFERENCES).read_bytes()
    header = good[: good.index(b"\n") + 1]
    body = good[len(header) :]
    shape = json.loads(
        header.decode("latin-1").split("'shape': ")[1].split("}")[0].replace("(", "[").replace("), ", "]")
    )
    forged = {
        "empty": b"",
        "cut": good[:-2],
        "longer": good + b"\0\0",
        "another kind": header.replace(b"'<f2'", b"'|O' ") + body,
        "a larger shape": header.replace(
            str(tuple(shape)).encode(), b"(9, 99999999)".ljust(len(str(tuple(shape))))[:99]
        )
        + body,
        "an expression": header.replace(b"False", b"1/0  ") + body,
        "not finite": header + b"\x00\x7c" + body[2:],
        "another version": good[:6] + b"\x03" + good[7:],
        "a pickle": b"\x80\x04K\x01.",
    }
    for kind, content in forged.items():
        put_references(own_run, content)
        with pytest.raises(RunError, match="references.npy' is damaged") as caught:
            open_detector(own_run)
        assert str(caught.value).endswith("train again."), kind
    put_references(own_run, good)
    open_detector(own_run)


def test_predictor_refuses_references_of_another_width(own_run):
    narrow = io.BytesIO()
    np.save(narrow, np.eye(5, dtype=np.float16))
    put_references(own_run, narrow.getvalue())
    with pytest.raises(RunError, match="has rows of 5 values, but the features have"):
        list(Predictor(own_run).predict(noise(40, 40)))


def test_open_detector_refuses_rows_that_are_not_of_length_one(own_run):
    references = np.load(own_run.path / REFERENCES)
    long = io.BytesIO()
    np.save(long, references * np.float16(100))
    put_references(own_run, long.getvalue())
    with pytest.raises(RunError, match="its rows do not have length 1"):
        open_detector(own_run)


def test_open_detector_without_references_names_the_file(own_run):
    (own_run.path / REFERENCES).unlink()
    with pytest.raises(RunError, match="references.npy' is missing"):
        open_detector(own_run)
