"""Runs that are replaced while they are served."""

import shutil

import pytest

from tests.shared_runs import copy_run
from tlkit.serve.metrics import Metrics
from tlkit.serve.pool import open_served_runs
from tlkit.serve.watch import MAX_FAILURES, Watch, signature_of


@pytest.fixture
def watched(finetuned_run, tmp_path):
    """A served run in a folder that may be replaced, its watch and its log."""
    run, log = copy_run(finetuned_run, tmp_path), []
    (served,) = open_served_runs([run.path], "auto", None).values()
    metrics = Metrics([], [served.name])
    return run.path, served, Watch(served, metrics, log.append), log, metrics


def replace(folder, other):
    new = folder.with_name("new")
    shutil.copytree(other.path, new)
    folder.rename(folder.with_name("old"))
    new.rename(folder)


def test_a_run_that_is_replaced_takes_over(watched, classic_run):
    folder, served, watch, log, metrics = watched
    before = served.predictor
    watch.look()
    assert (served.predictor, log) == (before, [])
    replace(folder, classic_run)
    watch.look()
    assert served.predictor.manifest.engine == "classic"
    assert (served.name, len(log)) == ("copied_run", 1)
    assert 'result="done"} 1' in metrics.text()
    after = served.predictor
    watch.look()
    assert served.predictor is after


def test_a_bad_run_keeps_the_one_before_and_is_logged_once(watched, classic_run):
    folder, served, watch, log, metrics = watched
    before = served.predictor
    replace(folder, classic_run)
    content = (folder / "classic.npz").read_bytes()
    (folder / "classic.npz").write_bytes(content[:-1])
    for _ in range(MAX_FAILURES + 3):
        watch.look()
    assert served.predictor is before
    assert len(log) == 1
    assert "still answers, because" in log[0]
    assert 'result="failed"} 1' in metrics.text()


def test_a_run_that_is_copied_slowly_takes_over_when_it_is_whole(watched, classic_run):
    folder, served, watch, log, _ = watched
    replace(folder, classic_run)
    content = (folder / "classic.npz").read_bytes()
    (folder / "classic.npz").write_bytes(content[:-1])
    watch.look()
    (folder / "classic.npz").write_bytes(content)
    watch.look()
    assert served.predictor.manifest.engine == "classic"
    assert "has taken over" in log[0]


def test_a_folder_that_is_away_for_a_moment_changes_nothing(watched):
    folder, served, watch, log, _ = watched
    before = served.predictor
    folder.rename(folder.with_name("away"))
    watch.look()
    folder.with_name("away").rename(folder)
    watch.look()
    assert (served.predictor, log) == (before, [])
    assert signature_of(folder.with_name("nowhere")) is None
