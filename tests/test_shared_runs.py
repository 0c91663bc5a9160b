"""Runs shared by all workers: made once, whole or not at all."""

import multiprocessing
import pickle

import pytest

from tests.shared_runs import copy_run, group_of_test, make_once
from tlkit.runs.run import load_run


class Factory:
    """A temporary folder, as pytest's factory gives it to a process without workers."""

    def __init__(self, folder):
        self.folder = folder

    def getbasetemp(self):
        return self.folder


@pytest.fixture
def without_workers(monkeypatch):
    """For tests of `make_once` alone: a shared run that is made meanwhile would be of this worker only."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


def count_up(folder):
    """Write down that it was called; the numbers of several calls at a time would be lost."""
    calls = folder.parent / "calls"
    number = int(calls.read_text()) if calls.exists() else 0
    (folder / "file").write_text("content")
    calls.write_text(str(number + 1))
    return number


def ask(folder):
    return make_once(Factory(folder), "thing", count_up)


def test_make_once_by_many_processes_makes_it_once(without_workers, tmp_path):
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert pool.map(ask, [tmp_path] * 8) == [0] * 8
    assert (tmp_path / "calls").read_text() == "1"
    assert (tmp_path / "shared-thing/file").read_text() == "content"


def test_make_once_after_a_failure_begins_anew(without_workers, tmp_path):
    def fail(folder):
        (folder / "half").touch()
        raise ValueError

    with pytest.raises(ValueError):
        make_once(Factory(tmp_path), "thing", fail)
    assert ask(tmp_path) == 0
    assert [path.name for path in (tmp_path / "shared-thing").iterdir()] == ["file"]


def test_make_once_with_workers_uses_the_folder_of_their_session(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw1")
    for worker in ("popen-gw0", "popen-gw1"):
        (tmp_path / worker).mkdir()
        assert ask(tmp_path / worker) == 0
    assert pickle.loads((tmp_path / "shared-thing.pickle").read_bytes()) == 0


def test_group_of_test_is_its_folder_where_that_shares_a_fixture(tmp_path):
    for name, scope in (("one", "package"), ("two", "session")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "conftest.py").write_text(f'@pytest.fixture(scope="{scope}")\n')
        (tmp_path / name / "test_a.py").touch()
    names = [f"{name}/test_a.py::test_b" for name in ("one", "two")]
    assert [group_of_test(tmp_path, name) for name in names] == ["one", names[1]]


def test_group_of_test_is_its_file_where_it_shares_a_training(tmp_path):
    fixture, mark = '@pytest.fixture(scope="module")\n', "@pytest.mark.training\n"
    for name, text in {"both": fixture + mark, "fixture": fixture, "mark": mark}.items():
        (tmp_path / f"test_{name}.py").write_text(text)
    names = [f"test_{name}.py::test_a[1]" for name in ("both", "fixture", "mark")]
    assert [group_of_test(tmp_path, name) for name in names] == ["test_both.py", *names[1:]]


def test_copy_run_leaves_the_original_alone(finetuned_run, tmp_path):
    copied = copy_run(finetuned_run, tmp_path)
    (copied.path / "model.json").unlink()
    assert (finetuned_run.path / "model.json").exists()


@pytest.mark.parametrize("name", ["finetuned_run", "blocks_run", "scratch_run", "classic_run"])
def test_every_shared_run_is_finished(name, request):
    run = request.getfixturevalue(name)
    assert load_run(run.path).manifest.class_names == ("blue", "green", "red")


def test_the_shared_comparison_has_a_run_of_each_candidate_that_was_trained(comparison):
    assert {path.name for path in comparison.run.path.iterdir() if path.is_dir()} == {"colors", "linear"}
