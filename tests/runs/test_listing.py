"""A list of runs: facts of finished, stopped and damaged ones; foreign folders are ignored."""

import json
import os
import shutil
from datetime import datetime

import pytest

from tests.cli.commands import posix
from tests.shared_runs import copy_run
from tlkit.errors import RunError
from tlkit.runs.listing import COLUMNS, MAX_JSON_BYTES, list_runs, read_entry
from tlkit.runs.run import DONE, create_run


def stopped(path, command="train", **settings):
    """The folder of a training that was stopped."""
    run = create_run(path, command)
    run.write_json("settings.json", {"command": command, "data": "/images/birds", **settings})
    return run


def test_read_entry_of_finished_runs_says_what_their_files_say(finetuned_run, blocks_run, scratch_run):
    for run, command, network, strategy in (
        (finetuned_run, "finetune", "mobilenet_025", "freeze all"),
        (blocks_run, "finetune", "mobilenet_025", "freeze lower"),
        (scratch_run, "train", "lenet5_relu", "from scratch"),
    ):
        entry, metrics = read_entry(run.path), run.read_json("metrics.json")
        assert (entry.command, entry.network, entry.strategy) == (command, network, strategy)
        assert (entry.state, entry.resume, entry.reason) == ("finished", "", "")
        assert (entry.accuracy, entry.measured_on) == (metrics["accuracy"], "validation")
        assert list(entry.interval) == metrics["accuracy_ci95"]
        assert entry.data == run.read_json("settings.json")["data"]
        assert entry.num_bytes == sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file())
        assert entry.when.timestamp() == pytest.approx((run.path / DONE).stat().st_mtime, abs=1e-4)
        assert entry.when.utcoffset() == datetime.now().astimezone().utcoffset()


def test_read_entry_of_a_classic_run_names_descriptor_and_classifier(classic_run):
    entry = read_entry(classic_run.path)
    assert (entry.command, entry.network, entry.strategy) == ("train", "histogram", "logistic")


def test_read_entry_measured_on_folds_or_test_images_has_their_accuracy(finetuned_run, tmp_path):
    run = copy_run(finetuned_run, tmp_path)
    metrics = run.read_json("metrics.json")
    metrics["test"] = {"accuracy": 0.5, "accuracy_ci95": [0.2, 0.8]}
    run.write_json("metrics.json", metrics | {"headline": "test"})
    assert (read_entry(run.path).accuracy, read_entry(run.path).measured_on) == (0.5, "test")
    run.write_json(
        "metrics.json", metrics | {"headline": "folds", "folds": {"accuracy": 0.6, "accuracy_ci95": [0.5, 0.7]}}
    )
    assert (read_entry(run.path).interval, read_entry(run.path).measured_on) == ((0.5, 0.7), "folds")


def test_list_runs_has_a_comparison_and_its_candidates(comparison):
    entries = {entry.path: entry for entry in list_runs(comparison.run.path, "name")}
    whole, colors, linear = entries.values()
    assert list(entries) == [comparison.run.path, *(comparison.run.path / name for name in ("colors", "linear"))]
    assert (whole.command, whole.network) == ("compare", comparison.recommendation.name)
    assert whole.strategy == "4 models"
    assert whole.accuracy == max(result.accuracy for result in comparison.results)
    assert (colors.network, linear.strategy) == ("colors", "from scratch")
    own = sum(file.stat().st_size for file in comparison.run.path.iterdir() if file.is_file())
    assert whole.num_bytes == own + colors.num_bytes + linear.num_bytes


def test_list_runs_ignores_what_is_no_run(finetuned_run, tmp_path):
    runs = tmp_path / "runs"
    shutil.copytree(finetuned_run.path, runs / "mine")
    (runs / "build").mkdir()
    (runs / "build" / DONE).touch()
    (runs / "settings").mkdir()
    (runs / "settings" / "settings.json").write_text("{}")
    (runs / "notes.txt").touch()
    assert [entry.path.name for entry in list_runs(runs)] == ["mine"]
    assert [entry.path.name for entry in list_runs(runs / "mine")] == ["mine"]
    assert list_runs(runs / "build") == []
    with pytest.raises(RunError, match="there is no folder"):
        list_runs(runs / "none")


def test_list_runs_orders_by_time_accuracy_size_and_name(finetuned_run, tmp_path):
    for number, name in enumerate(("run10", "run2", "run1")):
        run = shutil.copytree(finetuned_run.path, tmp_path / name)
        metrics = json.loads((run / "metrics.json").read_text()) | {"accuracy": (0.3, 0.9, 0.6)[number]}
        (run / "metrics.json").write_text(json.dumps(metrics) + " " * 1000 * (2 - number))
        os.utime(run / DONE, (1000 + number, 1000 + number))
    stopped(tmp_path / "stopped")

    def order(sort):
        return [entry.path.name for entry in list_runs(tmp_path, sort)]

    assert order("when") == ["stopped", "run1", "run2", "run10"]
    assert order("accuracy") == ["run2", "run1", "run10", "stopped"]
    assert order("size") == ["run10", "run2", "run1", "stopped"]
    assert order("name") == ["run1", "run2", "run10", "stopped"]


def test_read_entry_of_a_stopped_run_has_the_command_that_continues_it(tmp_path):
    run = stopped(tmp_path / "my run", model="mlp")
    entry = read_entry(run.path)
    assert (entry.state, entry.accuracy, entry.network) == ("stopped", None, "mlp")
    assert entry.resume == f"tlkit train --resume '{run.path}'"
    assert read_entry(stopped(tmp_path / "all", "compare").path).resume == f"tlkit compare --resume {tmp_path / 'all'}"


DAMAGE = {
    "settings.json": ["[]", "{", "", '{"command": "train"}', '{"command": "cat", "data": "x"}', "[" * 100_000],
    "metrics.json": [
        "{}",
        "3",
        '{"accuracy": 2, "accuracy_ci95": [0, 1]}',
        '{"accuracy": NaN, "accuracy_ci95": [0, 1]}',
    ],
    "model.json": ["{}", '{"format": 1, "decode_version": 1, "versions": {"tlkit": "0.0"}}'],
}


@pytest.mark.parametrize("name", DAMAGE)
def test_read_entry_of_a_damaged_run_has_a_reason(finetuned_run, tmp_path, name):
    run = copy_run(finetuned_run, tmp_path)
    for content in DAMAGE[name]:
        (run.path / name).write_text(content)
        entry = read_entry(run.path)
        assert (entry.state, entry.resume) == ("damaged", ""), content
        assert entry.reason
        assert "\n" not in entry.reason
    (run.path / name).unlink()
    assert read_entry(run.path).state == "damaged"


def test_read_entry_of_a_comparison_without_its_results_is_damaged(comparison, tmp_path):
    run = copy_run(comparison.run, tmp_path)
    for content in ("{}", '{"best": "x", "models": [{"model": "y"}]}', '{"models": 3, "best": 1}'):
        (run.path / "compare.json").write_text(content)
        assert read_entry(run.path).state == "damaged"
        assert len(list_runs(run.path)) == 3  # its candidates are runs of their own


@posix
def test_read_entry_opens_no_pipe_no_link_and_no_large_file(finetuned_run, tmp_path):
    run = copy_run(finetuned_run, tmp_path)
    for make in (
        os.mkfifo,
        lambda file: file.symlink_to(finetuned_run.path / "metrics.json"),
        lambda file: file.symlink_to("/dev/zero"),
        lambda file: file.write_bytes(b" " * (MAX_JSON_BYTES + 1)),
        lambda file: file.mkdir(),
    ):
        file = run.path / "metrics.json"
        if file.exists() or file.is_symlink():
            file.unlink()
        make(file)
        assert read_entry(run.path).state == "damaged"


def test_read_entry_changes_nothing(finetuned_run):
    before = {file: file.stat().st_mtime_ns for file in finetuned_run.path.rglob("*")}
    read_entry(finetuned_run.path)
    assert {file: file.stat().st_mtime_ns for file in finetuned_run.path.rglob("*")} == before


def test_as_json_has_all_columns(finetuned_run, tmp_path):
    for path in (finetuned_run.path, stopped(tmp_path / "x").path):
        content = json.loads(json.dumps(read_entry(path).as_json()))
        assert tuple(content) == COLUMNS
        assert content["path"] == str(path)
        assert datetime.fromisoformat(content["when"]).tzinfo is not None


def test_list_runs_loads_nothing_heavy():
    from tests.test_structure import run_python

    code = "import sys; import tlkit.runs.listing; print({'tensorflow', 'keras', 'matplotlib'} & set(sys.modules))"
    assert run_python(code).stdout == "set()\n"
