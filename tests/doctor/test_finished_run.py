"""Checks of a finished run."""

import json

import pytest

import tlkit
from tlkit.doctor.finished_run import check_run
from tlkit.runs.run import load_run
from tlkit.utils.files import sha256_file


def by_topic(path):
    return {found.topic: found for found in check_run(path)}


def rewrite(run, **values):
    """Change entries of model.json."""
    content = run.read_json("model.json")
    (run.path / "model.json").write_text(json.dumps(content | values))


@pytest.mark.parametrize("kind", ["finetuned_run", "blocks_run", "scratch_run", "classic_run"])
def test_whole_run_has_nothing_wrong(kind, request):
    run = request.getfixturevalue(kind)
    found = by_topic(run.path)
    assert {item.state for item in found.values()} == {"ok"}
    assert found["run"].text.startswith(f"{run.path}: 3 classes, ")
    assert found["files"].text.startswith(f"{len(run.manifest.sha256)} files, ")
    assert all(stage.file in found["predict"].text for stage in run.manifest.stages)
    assert found["golden"].text.endswith("images give the same answers as when the run was made")


def test_damaged_and_missing_files_are_named(own_run):
    names = list(own_run.manifest.sha256)
    file = own_run.path / own_run.manifest.stages[0].file
    content = file.read_bytes()
    file.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
    (own_run.path / "metrics.json").unlink()
    found = [item for item in check_run(own_run.path) if item.state == "problem"]
    assert {item.exit_code for item in found} == {4}
    assert [item.topic for item in found] == ["files", "files", "predict"]
    assert any(f"'{file}' is not the file that the run wrote" in item.text for item in found[:2])
    assert any(f"'{own_run.path / 'metrics.json'}' is missing" in item.text for item in found[:2])
    for name in names:
        (own_run.path / name).unlink(missing_ok=True)
    found = [item for item in check_run(own_run.path) if item.topic == "files"]
    assert len(found) == 4
    assert found[-1].text == f"{len(names) - 3} more files are missing or differ"


def test_run_that_cannot_be_loaded_is_the_problem(own_run, tmp_path):
    (own_run.path / "model.json").write_text("{")
    (tmp_path / "empty").mkdir()
    for path, words in (
        (own_run.path, "cannot be read"),
        (tmp_path / "no", "no run folder"),
        (tmp_path / "empty", "DONE"),
    ):
        (found,) = check_run(path)
        assert (found.topic, found.state, found.exit_code) == ("run", "problem", 4)
        assert words in found.text


def test_other_versions_are_named_with_their_effect(own_run):
    recorded = own_run.read_json("model.json")["versions"]
    rewrite(own_run, versions=recorded | {"python": "3.9.1", "tensorflow": "1.0"})
    found = by_topic(own_run.path)["versions"]
    assert found.state == "ok"
    assert f"tensorflow 1.0, here {recorded['tensorflow']}" in found.text
    assert "does not change what it predicts" in found.text
    rewrite(
        own_run, versions=recorded | {"pillow": "9.0", "litert": "1.0", "no-such-package": "1", "scikit-learn": "0"}
    )
    found = by_topic(own_run.path)["versions"]
    assert found.state == "remark"
    assert f"pillow 9.0, here {recorded['pillow']}" in found.text
    assert "scikit-learn 0, here " in found.text
    assert "no-such-package" not in found.text
    assert "because of pillow (decodes images), litert (computes the result)" in found.text


def test_run_with_other_answers_is_a_problem(own_run):
    content = own_run.read_json("golden.json")
    content["samples"][1]["answer"] = [value * 2 for value in content["samples"][1]["answer"]]
    (own_run.path / "golden.json").write_text(json.dumps(content))
    hashes = own_run.manifest.sha256 | {"golden.json": sha256_file(own_run.path / "golden.json")}
    rewrite(own_run, sha256=hashes)
    found = by_topic(own_run.path)
    assert (found["golden"].state, found["golden"].exit_code) == ("problem", 4)
    assert "calibration gives other values for golden/1.png" in found["golden"].text
    rewrite(own_run, sha256={name: digest for name, digest in hashes.items() if not name.startswith("golden")})
    found = by_topic(own_run.path)["golden"]
    assert (found.state, found.text) == ("ok", "this run has no golden samples (--no-golden)")


@pytest.mark.training
def test_network_of_a_stranger_is_not_opened(colors, tmp_path):
    settings = tlkit.TrainSettings(model="linear", image_size=8, epochs=1, batch_size=8, engine="keras")
    run = tlkit.train(colors, tmp_path / "run", settings).run
    assert by_topic(run.path)["golden"].state == "ok"
    assert by_topic(run.path)["run"].text.endswith("engine keras, made on this machine")
    rewrite(run, note="another model.json, which this machine did not write")
    found = by_topic(run.path)
    assert found["run"].text.endswith("engine keras, not made on this machine")
    assert (found["predict"].state, "golden" in found) == ("remark", False)
    assert found["predict"].remedy == f"tlkit predict {run.path} IMAGES --verify --trust-model"


def test_run_that_no_engine_can_open_is_a_problem(own_run):
    file = own_run.manifest.stages[0].file
    (own_run.path / file).write_bytes(b"TFL3")
    rewrite(own_run, sha256=own_run.manifest.sha256 | {file: sha256_file(own_run.path / file)})
    assert load_run(own_run.path)
    found = by_topic(own_run.path)
    assert found["files"].state == "ok"
    assert (found["predict"].state, found["predict"].exit_code) == ("problem", 4)
    assert file in found["predict"].text
