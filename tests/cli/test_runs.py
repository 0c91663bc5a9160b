"""`tlkit runs`."""

import json
import shutil

import pytest

from tests.cli.commands import read_csv, refused, tlkit
from tests.runs.test_listing import stopped
from tlkit.runs.listing import COLUMNS


@pytest.fixture(scope="module")
def runs(finetuned_run, comparison, tmp_path_factory):
    """A folder with a finished, a stopped and a damaged run, and a comparison."""
    folder = tmp_path_factory.mktemp("several") / "runs"
    shutil.copytree(finetuned_run.path, folder / "finetune-001")
    shutil.copytree(comparison.run.path, folder / "compare-001")
    stopped(folder / "train-001", model="mlp")
    shutil.copytree(finetuned_run.path, folder / "finetune-002")
    (folder / "finetune-002" / "metrics.json").unlink()
    return folder


def test_runs_as_a_table_has_a_row_for_each_and_what_to_do(runs, monkeypatch):
    monkeypatch.chdir(runs.parent)
    done = tlkit("runs", "--format", "table", "--sort", "name")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["run", "when", "data", "network", "accuracy", "interval", "size", "state"]
    assert [line.split()[0] for line in lines[1:7]] == [
        *("runs/compare-001", "runs/compare-001/colors", "runs/compare-001/linear"),
        *("runs/finetune-001", "runs/finetune-002", "runs/train-001"),
    ]
    assert [line.split()[-1] for line in lines[1:7]] == [*["finished"] * 4, "damaged", "stopped"]
    assert lines[8].startswith("damaged     runs/finetune-002: metrics.json cannot be read")
    assert lines[9].split() == ["continue", "tlkit", "train", "--resume", "runs/train-001"]
    quiet = tlkit("runs", "--format", "table", "--sort", "name", "--quiet")
    assert quiet.stdout.splitlines() == lines[:7]


def test_runs_on_a_narrow_terminal_keeps_name_accuracy_and_state(runs, monkeypatch):
    monkeypatch.chdir(runs.parent)
    monkeypatch.setenv("COLUMNS", "50")
    lines = tlkit("runs", "--format", "table").stdout.splitlines()
    assert lines[0].split() == ["run", "accuracy", "state"]
    assert max(map(len, lines)) <= 50


def test_runs_as_json_and_csv_have_the_same_rows(runs):
    rows, listed = read_csv(tlkit("runs", runs).stdout), json.loads(tlkit("runs", runs, "--json").stdout)
    assert tuple(rows[0]) == tuple(listed[0]) == COLUMNS
    for row, content in zip(rows, listed, strict=True):
        assert row == {name: "" if value is None else str(value) for name, value in content.items()}
    assert listed == json.loads(tlkit("runs", runs, "--format", "json").stdout)
    best = max(item["accuracy"] for item in listed if item["accuracy"])
    assert json.loads(tlkit("runs", runs, "--json", "--sort", "accuracy").stdout)[0]["accuracy"] == best


def test_runs_without_any_says_what_makes_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for args in ((), ("--json",), (".",)):
        done = tlkit("runs", *args)
        assert (done.exit_code, "creates one" in done.stderr) == (0, True)
    assert json.loads(tlkit("runs", "--json").stdout) == []
    assert "there is no folder 'else'" in refused(4, "runs", "else")
