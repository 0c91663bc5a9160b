"""A classifier's file: what is not what training wrote is refused when it is opened."""

import io
import json
import sys
import zipfile

import numpy as np
import pytest

pytest.importorskip("sklearn")

from tests.making import noise
from tlkit.classic import pipeline as pipeline_file
from tlkit.classic.fit import FitOptions, fit_classifier, group_columns
from tlkit.classic.model_selection import GroupedLabels
from tlkit.classic.pipeline import FACTS, ClassicPipeline, DescriptorPipeline, open_pipeline, to_bytes
from tlkit.errors import ModelError

LABELS = np.arange(30) % 3


def pipeline(descriptor="histogram", classifier="random-forest"):
    describer = DescriptorPipeline((descriptor,), (32,), 1)
    rows = np.stack([describer.describe(noise(32, 32, seed=seed)) for seed in range(30)])
    sides = GroupedLabels(LABELS, [str(row) for row in range(30)])
    parts = group_columns([(descriptor, rows.shape[1], False)])
    return ClassicPipeline(describer, fit_classifier(rows, parts, sides, FitOptions(classifier))[0])


@pytest.fixture(scope="module")
def arrays():
    with np.load(io.BytesIO(to_bytes(pipeline())), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def written(folder, arrays):
    file = folder / "classic.npz"
    np.savez(file, **arrays)
    return file


def facts(arrays, **others):
    return {FACTS: np.array(json.dumps(json.loads(str(arrays[FACTS])) | others))}


def test_what_was_written_opens(arrays, tmp_path):
    pixels = np.stack([noise(32, 32, seed=seed) for seed in range(5)])
    found = open_pipeline(written(tmp_path, arrays)).classify(pixels)
    np.testing.assert_array_equal(found, pipeline().classify(pixels))


@pytest.mark.parametrize(
    "others",
    [
        {"classifier": "no such"},
        {"descriptors": ["no such"]},
        {"descriptors": ["histogram", "colours"]},
        {"sizes": [10**9]},
        {"levels": 99},
        {"temperature": "hot"},
        {"version": 1},
    ],
    ids=str,
)
def test_impossible_facts_are_refused(others, arrays, tmp_path):
    with pytest.raises(ValueError):
        open_pipeline(written(tmp_path, arrays | facts(arrays, **others)))


@pytest.mark.parametrize("content", ["5", "[]", '"text"', "{", "null"])
def test_facts_that_are_none_are_refused(content, arrays, tmp_path):
    with pytest.raises(ValueError):
        open_pipeline(written(tmp_path, arrays | {FACTS: np.array(content)}))


@pytest.mark.parametrize("name", ["scaling/mean", "scaling/factor", "kept/roots", "kept/left", "kept/shares", FACTS])
def test_a_missing_array_is_found_out(name, arrays, tmp_path):
    with pytest.raises(ValueError):
        open_pipeline(written(tmp_path, {other: array for other, array in arrays.items() if other != name}))


@pytest.mark.parametrize("name", ["scaling/mean", "kept/shares", "kept/feature", "kept/left", "kept/right"])
def test_an_array_of_another_length_is_found_out(name, arrays, tmp_path):
    with pytest.raises(ValueError):
        open_pipeline(written(tmp_path, arrays | {name: arrays[name][:1]}))


def test_a_walk_that_would_never_end_is_refused(arrays, tmp_path):
    with pytest.raises(ValueError, match="does not end"):
        open_pipeline(written(tmp_path, arrays | {"kept/left": np.zeros_like(arrays["kept/left"])}))


def test_a_column_there_is_not_is_refused(arrays, tmp_path):
    columns = np.where(arrays["kept/feature"] >= 0, 10**6, arrays["kept/feature"])
    with pytest.raises(ValueError):
        open_pipeline(written(tmp_path, arrays | {"kept/feature": columns}))


def test_answers_that_are_no_numbers_are_refused(arrays, tmp_path):
    with pytest.raises(ValueError, match="no probabilities"):
        open_pipeline(written(tmp_path, arrays | {"kept/shares": np.full_like(arrays["kept/shares"], np.nan)}))


def test_pickles_are_never_read(arrays, tmp_path):
    bomb = np.array([{"no": "array"}], object)
    with pytest.raises(ValueError, match="allow_pickle"):
        open_pipeline(written(tmp_path, arrays | {"kept/roots": bomb}))


def test_what_would_not_fit_into_memory_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline_file, "MAX_BYTES", 1 << 20)
    file = tmp_path / "classic.npz"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("mean.npy", bytes(2 << 20))
    assert file.stat().st_size < 10 << 10
    with pytest.raises(ValueError, match="unpacks to more than"):
        open_pipeline(file)


def test_a_header_that_promises_too_much_is_refused(arrays, tmp_path):
    file = written(tmp_path, arrays)
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (8796093022208,), }"
    content = b"\x93NUMPY\x01\x00" + (len(header) + 1).to_bytes(2, "little") + header + b"\n"
    with zipfile.ZipFile(file, "a") as members:
        members.writestr("kept/more.npy", content)
    with pytest.raises(ValueError):
        open_pipeline(file)


def test_no_file_and_no_archive(tmp_path):
    with pytest.raises(OSError):
        open_pipeline(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError):
        open_pipeline(tmp_path / "text.npz")


def test_what_needs_no_scikit_image_opens_without_it(arrays, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    assert open_pipeline(written(tmp_path, arrays)).describer
    with pytest.raises(ModelError, match="lbp needs scikit-image, which is not installed"):
        open_pipeline(written(tmp_path, arrays | facts(arrays, descriptors=["lbp"])))
