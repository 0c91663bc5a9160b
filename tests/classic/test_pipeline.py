"""The file of a classic pipeline: reading refuses what training did not write."""

import io
import json
import sys
import zipfile

import numpy as np
import pytest

pytest.importorskip("sklearn")

from tests.making import noise
from tlkit.classic import pipeline as pipeline_module
from tlkit.classic.descriptors import DESCRIPTORS
from tlkit.classic.fit import FitOptions, fit_classifier, group_columns
from tlkit.classic.model_selection import GroupedLabels
from tlkit.classic.pipeline import (
    METADATA,
    ClassicPipeline,
    DescriptorEngine,
    DescriptorPipeline,
    classic_engines,
    open_pipeline,
    to_bytes,
)
from tlkit.errors import ModelError


@pytest.fixture(scope="module")
def pipeline():
    descriptors = DescriptorPipeline(("histogram",), (32,), 1)
    values = np.stack([descriptors.transform(noise(32, 32, seed=seed)) for seed in range(30)])
    grouped = GroupedLabels(np.arange(30) % 3, [str(row) for row in range(30)])
    groups = group_columns([("histogram", values.shape[1], False)])
    return ClassicPipeline(descriptors, fit_classifier(values, groups, grouped, FitOptions("random-forest"))[0])


@pytest.fixture(scope="module")
def arrays(pipeline):
    with np.load(io.BytesIO(to_bytes(pipeline)), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def write_file(folder, arrays):
    file = folder / "classic.npz"
    np.savez(file, **arrays)
    return file


def with_metadata(arrays, **changed):
    return arrays | {METADATA: np.array(json.dumps(json.loads(str(arrays[METADATA])) | changed))}


def opened(folder, all_arrays):
    """Those of several changed files, by name, that `open_pipeline` does not refuse with a ValueError."""
    names = []
    for name, arrays in all_arrays.items():
        try:
            open_pipeline(write_file(folder, arrays))
        except ValueError:
            continue
        names.append(name)
    return names


def test_open_pipeline_predicts_as_the_pipeline_that_was_written(pipeline, arrays, tmp_path):
    images = np.stack([noise(32, 32, seed=seed) for seed in range(5)])
    expected = pipeline.predict_proba(images)
    file = write_file(tmp_path, arrays)
    np.testing.assert_array_equal(open_pipeline(file).predict_proba(images), expected)
    extractor, head = classic_engines(file)
    assert extractor.batch_size == head.batch_size == 1 and head.single_threaded_blas
    features = extractor.session()(images[:1])
    np.testing.assert_array_equal(head.session()(features), expected[:1])


def test_descriptor_engine_computes_one_image_at_its_size():
    engine = DescriptorEngine(DESCRIPTORS["histogram"], 32)
    assert engine.batch_size == 1 and engine.single_threaded_blas
    expected = DescriptorPipeline(("histogram",), (32,), 1).transform(noise(64, 64))
    np.testing.assert_array_equal(engine.session()(noise(64, 64)[None]), expected[None])


def test_descriptor_pipeline_concatenates_and_selects_its_descriptors():
    descriptors = DescriptorPipeline(("colors", "histogram"), (32, 48), 1, {"bow": {}})
    computed = [DESCRIPTORS[name].compute(noise(32, 32)) for name in descriptors.descriptors]
    assert descriptors.lengths(computed) == [6, 128]
    np.testing.assert_array_equal(descriptors.concatenate(computed), np.concatenate(computed))
    selected = descriptors.select(["histogram"])
    assert (selected.descriptors, selected.sizes, selected.vocabularies) == (("histogram",), (48,), {})
    assert descriptors.select(["histogram", "colors"]).sizes == (48, 32)
    assert selected.joined(descriptors.select(["colors"])) == descriptors.select(["histogram", "colors"])


def test_to_bytes_keeps_the_vocabulary_of_each_local_descriptor(pipeline, tmp_path):
    vocabularies = {"bow": {"centers": np.eye(128, dtype=np.float32)[:5]}}
    local = DescriptorPipeline(("bow",), (32,), 2, vocabularies)
    values = np.stack([local.transform(noise(32, 32, seed=seed)) for seed in range(12)])
    grouped = GroupedLabels(np.arange(12) % 2, [str(row) for row in range(12)])
    groups = group_columns([("bow", values.shape[1], False)])
    written = ClassicPipeline(local, fit_classifier(values, groups, grouped, FitOptions("logistic"))[0])
    (tmp_path / "classic.npz").write_bytes(to_bytes(written))
    read = open_pipeline(tmp_path / "classic.npz")
    assert read.descriptors.vocabularies.keys() == {"bow"}
    np.testing.assert_array_equal(read.descriptors.vocabularies["bow"]["centers"], vocabularies["bow"]["centers"])
    images = np.stack([noise(32, 32, seed=seed) for seed in range(3)])
    np.testing.assert_array_equal(read.predict_proba(images), written.predict_proba(images))


def test_open_pipeline_refuses_impossible_metadata(arrays, tmp_path):
    changes = [
        {"classifier": "no such"},
        {"descriptors": ["no such"]},
        {"descriptors": ["histogram", "colors"]},
        {"sizes": [10**9]},
        {"levels": 99},
        {"temperature": "hot"},
        {"temperature": 10**400},
        {"temperature": float("inf")},
        {"temperature": float("nan")},
        {"temperature": 0},
        {"temperature": True},
        {"temperature": [1]},
        {"classifier": ["knn"]},
        {"descriptors": []},
        {"descriptors": {}},
        {"descriptors": "histogram"},
        {"descriptors": ["histogram"] * 2, "sizes": [32] * 2},
        {"descriptors": ["lbp"] * 300, "sizes": [4096] * 300},
        {"descriptors": ["hog"], "sizes": [1]},
        {"sizes": [32.5]},
        {"sizes": 32},
        {"levels": "1"},
        {"format_version": 1},
        {"descriptor_version": 1},
    ]
    assert opened(tmp_path, {str(changed): with_metadata(arrays, **changed) for changed in changes}) == []


def test_open_pipeline_refuses_metadata_that_is_no_object(arrays, tmp_path):
    contents = ["5", "[]", '"text"', "{", "null"]
    assert opened(tmp_path, {content: arrays | {METADATA: np.array(content)} for content in contents}) == []


def test_open_pipeline_refuses_a_missing_array(arrays, tmp_path):
    needed = ["scaler/mean", "scaler/factor", "classifier/roots", "classifier/left", "classifier/probabilities"]
    assert {*needed, METADATA} <= arrays.keys()
    all_arrays = {
        missing: {name: array for name, array in arrays.items() if name != missing} for missing in [*needed, METADATA]
    }
    assert opened(tmp_path, all_arrays) == []


def test_open_pipeline_refuses_an_array_of_another_length(arrays, tmp_path):
    names = [
        "scaler/mean",
        *(f"classifier/{name}" for name in ("probabilities", "feature", "left", "right")),
    ]
    assert opened(tmp_path, {name: arrays | {name: arrays[name][:1]} for name in names}) == []


def test_open_pipeline_refuses_a_tree_that_does_not_end(arrays, tmp_path):
    with pytest.raises(ValueError, match="without an end"):
        open_pipeline(write_file(tmp_path, arrays | {"classifier/left": np.zeros_like(arrays["classifier/left"])}))


def test_open_pipeline_refuses_a_column_out_of_range(arrays, tmp_path):
    columns = np.where(arrays["classifier/feature"] >= 0, 10**6, arrays["classifier/feature"])
    with pytest.raises(ValueError):
        open_pipeline(write_file(tmp_path, arrays | {"classifier/feature": columns}))


def test_open_pipeline_refuses_probabilities_that_are_no_numbers(arrays, tmp_path):
    name = "classifier/probabilities"
    with pytest.raises(ValueError, match="not probabilities"):
        open_pipeline(write_file(tmp_path, arrays | {name: np.full_like(arrays[name], np.nan)}))


def test_open_pipeline_never_reads_a_pickle(arrays, tmp_path):
    bomb = np.array([{"no": "array"}], object)
    with pytest.raises(ValueError, match="allow_pickle"):
        open_pipeline(write_file(tmp_path, arrays | {"classifier/roots": bomb}))


def test_open_pipeline_does_not_unpack_what_would_not_fit_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline_module, "MAX_BYTES", 1 << 20)
    file = tmp_path / "classic.npz"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("mean.npy", bytes(2 << 20))
    assert file.stat().st_size < 10 << 10
    with pytest.raises(ValueError, match="unpacks to more than expected"):
        open_pipeline(file)


def test_open_pipeline_refuses_a_header_that_promises_too_much(arrays, tmp_path):
    file = write_file(tmp_path, arrays)
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (8796093022208,), }"
    content = b"\x93NUMPY\x01\x00" + (len(header) + 1).to_bytes(2, "little") + header + b"\n"
    with zipfile.ZipFile(file, "a") as members:
        members.writestr("classifier/more.npy", content)
    with pytest.raises(ValueError):
        open_pipeline(file)


def test_open_pipeline_refuses_no_file_and_no_archive(tmp_path):
    with pytest.raises(OSError):
        open_pipeline(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError):
        open_pipeline(tmp_path / "text.npz")


def test_open_pipeline_needs_scikit_image_only_for_its_descriptors(arrays, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    assert open_pipeline(write_file(tmp_path, arrays)).descriptors
    with pytest.raises(ModelError, match="haralick needs scikit-image, which is not installed"):
        open_pipeline(write_file(tmp_path, with_metadata(arrays, descriptors=["haralick"])))


def test_open_pipeline_refuses_missing_descriptors(arrays, tmp_path):
    metadata = json.loads(str(arrays[METADATA]))
    for name in ("descriptors", "sizes", "levels", "descriptor_version", "temperature", "classifier"):
        content = {key: value for key, value in metadata.items() if key != name}
        file = write_file(tmp_path, arrays | {METADATA: np.array(json.dumps(content))})
        if name == "descriptors":  # then its input is features, which these arrays also fit
            assert open_pipeline(file).descriptors is None
            continue
        with pytest.raises(ValueError):
            open_pipeline(file)
    for vocabulary in ({}, {"centers": np.ones((5, 7), np.float32)}, {"centers": np.full((5, 128), np.inf)}):
        local = {f"vocabulary/bow/{name}": array for name, array in vocabulary.items()}
        content = {**metadata, "descriptors": ["bow"], "sizes": [32]}
        with pytest.raises(ValueError, match="damaged"):
            open_pipeline(write_file(tmp_path, arrays | local | {METADATA: np.array(json.dumps(content))}))
