"""model.json: its content as a manifest, and the refusal of a damaged one."""

import json
import os

import pytest

from tlkit.data.image import ImageSpec
from tlkit.errors import RunError
from tlkit.runs.manifest import FIELDS, InferenceStage
from tlkit.runs.run import load_run


def refusal(run):
    """The sentence with which a run is refused."""
    with pytest.raises(RunError) as caught:
        load_run(run.path)
    assert str(caught.value).endswith(".")
    return str(caught.value)


def test_manifest_is_what_model_json_says(finetuned_run):
    manifest = finetuned_run.manifest
    assert (manifest.class_names, manifest.image) == (("blue", "green", "red"), ImageSpec(32, "crop"))
    assert manifest.stages == tuple(InferenceStage(f"engine/{name}.tflite", "litert") for name in ("lower", "head"))
    assert (manifest.engine, manifest.precision) == ("litert", "float32")


DAMAGE = {
    "empty": "",
    "half": '{"format": 2, "class_na',
    "no JSON": "<html>",
    "a list": "[]",
    "a number": "3",
    "null": "null",
    "nothing in it": "{}",
    "bytes": b"\xff\xfe\x00",
    "deep": "[" * 100_000,
}


def test_manifest_that_is_damaged_is_refused_by_name(own_run):
    file = own_run.path / "model.json"
    for kind, content in DAMAGE.items():
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        words = refusal(own_run)
        assert f"'{file}'" in words, kind
        assert "train again" in words, kind


IMPOSSIBLE = (
    *({"image_size": value} for value in (-1, 10**9, "wide", None)),
    *({"resize": value} for value in ("fit", "auto", None)),
    *({"gray_range": value} for value in ([5, 5], [9, 1], [0, 1e999], ["a", "b"], [1], 3)),
    *({"max_megapixels": value} for value in ("many", None)),
    *({"temperature": value} for value in (0, -1, 1e9, "1", None, True)),
    *({"unknown": value} for value in (None, {}, [], {"coverage": 0.9, "threshold": 1, "balance": 0})),
    *({"class_names": value} for value in (["a"], None, 3)),
    *({"stages": value} for value in (3, [], [{}], ["x"], None)),
    {"stages": [{"file": "engine/lower.tflite", "precision": "float32"}]},  # of format 1
    {"stages": [{"file": "engine/lower.tflite", "engine": "torch", "precision": "float32"}]},
    *({"sha256": value} for value in (None, 5)),
)


def test_manifest_with_impossible_values_is_refused(own_run):
    file = own_run.path / "model.json"
    content = json.loads(file.read_text())
    for values in IMPOSSIBLE:
        file.write_text(json.dumps(content | values))
        assert f"'{file}' is damaged" in refusal(own_run), values
    for name in ("class_names", "image_size", "resize", "gray_range", "stages", "sha256", "engine", "precision"):
        file.write_text(json.dumps({key: value for key, value in content.items() if key != name}))
        assert f"'{file}' is damaged" in refusal(own_run), name


def test_manifest_of_another_version_is_refused_with_that_version(own_run):
    file = own_run.path / "model.json"
    content = json.loads(file.read_text()) | {"versions": {"tlkit": "9.8"}}
    for values in ({"format": 1}, {"format": 2}, {"format": 0}, {"decode_version": 99}, {"format": None}):
        file.write_text(json.dumps(content | values))
        words = refusal(own_run)
        assert "tlkit 9.8" in words, values
        assert "train again" in words, values


def test_every_field_of_a_real_model_json_is_a_row_of_the_schema(finetuned_run, blocks_run, scratch_run, classic_run):
    checked = {*FIELDS, "format", "decode_version"}
    optional = set()
    for run in (finetuned_run, blocks_run, scratch_run, classic_run):
        content = run.read_json("model.json")
        assert set(content) - checked <= {"pyramid", "pca"}, run  # which are not read
        optional |= set(content)
    required = {name for name, rule in FIELDS.items() if rule.is_required}
    assert required <= optional


def test_manifest_accepts_names_that_are_not_utf8(own_run):
    file = own_run.path / "model.json"
    content = json.loads(file.read_text())
    for name in (os.fsdecode(b"caf\xe9"), "花", "a" * 4096, "\x1b[31m", "../x"):
        file.write_text(json.dumps(content | {"class_names": [name, "green", "red"]}))
        assert load_run(own_run.path).manifest.class_names[0] == name


def test_manifest_accepts_the_temperature_and_threshold_of_a_run(own_run):
    file = own_run.path / "model.json"
    content = json.loads(file.read_text())
    rule = content["unknown"]
    for values in (
        *({"temperature": value} for value in (1, 0.03, 100)),
        *({"unknown": rule | change} for change in ({"threshold": None}, {"threshold": -2.5}, {"coverage": 1})),
    ):
        file.write_text(json.dumps(content | values))
        assert load_run(own_run.path) == own_run
