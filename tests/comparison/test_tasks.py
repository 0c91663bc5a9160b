"""Candidates on the workers of a Ray cluster of this machine, with recipes that train in milliseconds."""

import json
import os
import signal
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("ray")

from tests.comparison.recipes import ColorSettings, candidate, use_candidates
from tlkit.comparison import runner, tasks
from tlkit.comparison.cache import KEY_FILE
from tlkit.comparison.compare import compare, resume_comparison
from tlkit.comparison.tasks import CandidateTask, TasksSpec, TrainCandidates, Trained, train_on_workers
from tlkit.data.folder import read_folder
from tlkit.distributed.ray_cluster import RayWorkers
from tlkit.distributed.workers import use_workers
from tlkit.errors import DataError, OptionError, RunError
from tlkit.runs.ledger import is_recorded
from tlkit.runs.run import Run
from tlkit.settings.commands import CompareSettings
from tlkit.utils.files import sha256_file
from tlkit.utils.progress import Silent
from tlkit.utils.text import parse_duration

pytestmark = [pytest.mark.training, pytest.mark.usefixtures("cache")]
TIMES = ("metrics.json", "model.json", "speed.json", "history.csv", "MODEL_CARD.md")  # files with seconds or dates


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """One cluster for all comparisons of this module: starting one takes seconds."""
    workers = RayWorkers(2)
    assert workers.count == 2
    yield
    workers.close()


def compare_on_workers(*words, **options):
    with use_workers("ray", 2):
        return compare(*words, **options)


def fail(run, progress):
    raise DataError("there is nothing to learn.")


def die(mark, run, progress):
    """Kill this worker, the first time; nothing that can be continued is there yet."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def die_always(run, progress):
    os.kill(os.getpid(), signal.SIGKILL)


def leave_process(folder, run, progress):
    """Leave a file with the name of this process."""
    (folder / f"{run.path.name}-{os.getpid()}").touch()


def contents(run: Path) -> dict[str, bytes]:
    """Read the files of a run that have no times in them."""
    files = [path for path in run.rglob("*") if path.is_file() and path.name not in TIMES]
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


def metrics_without_times(run: Path) -> dict[str, object]:
    metrics = json.loads((run / "metrics.json").read_text().replace(str(run.parent), ""))
    return {name: value for name, value in metrics.items() if name not in ("seconds", "forecast")}


def test_candidates_are_trained_by_workers_as_they_are_here(colors, tmp_path, monkeypatch):
    """Also the one that depends on their accuracies, which follows here; one fails, and is left out."""
    asked = []

    def best(accuracies):
        asked.append(accuracies)
        return ColorSettings(epochs=4)

    where = partial(leave_process, tmp_path)
    use_candidates(
        monkeypatch,
        candidate("one", in_fit=where),
        candidate("bad", in_fit=fail, settings=ColorSettings(epochs=5)),
        candidate("two", in_fit=where, settings=ColorSettings(image_size=16, backbone="other")),
        candidate("last", min_seconds=9, in_fit=where, settings=best, depends_on_others=True),
    )
    here = compare(colors, tmp_path / "here")
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "other cache"))
    there = compare_on_workers(colors, tmp_path / "there")
    for name in ("one", "two", "last"):
        ours, theirs = here.run.path / name, there.run.path / name
        assert contents(ours) == contents(theirs), name
        assert metrics_without_times(ours) == metrics_without_times(theirs), name
    assert asked == [{"one": 1.0, "two": 1.0}] * 2
    assert [(one.name, one.accuracy) for one in here.results] == [(one.name, one.accuracy) for one in there.results]
    assert [one.features_cached for one in there.results] == [one.features_cached for one in here.results]
    assert "bad was skipped: there is nothing to learn." in there.notes
    assert not (there.run.path / "bad").exists()
    processes = {
        name: {int(path.name.split("-")[1]) for path in tmp_path.glob(f"{name}-*")} for name in ("one", "last")
    }
    assert os.getpid() in processes["one"]
    assert len(processes["one"]) == 2
    assert processes["last"] == {os.getpid()}
    assert any("training times are those of a worker" in note for note in there.notes)
    again = compare_on_workers(colors, tmp_path / "again")  # from the cache: nobody trains
    assert len(list(tmp_path.glob("one-*"))) == 2
    assert [one.seconds for one in again.results] == [one.seconds for one in there.results]


def test_a_worker_that_dies_costs_nothing_but_time(colors, tmp_path, monkeypatch):
    use_candidates(monkeypatch, candidate("one", in_fit=partial(die, tmp_path / "mark")), candidate("two"))
    comparison = compare_on_workers(colors, tmp_path / "run")
    assert [(one.name, one.accuracy) for one in comparison.results[2:]] == [("one", 1.0), ("two", 1.0)]
    assert (tmp_path / "mark").exists()
    assert not list(comparison.run.path.rglob("UNFINISHED"))


@pytest.mark.slow
def test_a_candidate_that_kills_every_worker_is_left_out(colors, tmp_path, monkeypatch):
    """Those that share features with it, and so its worker, are not."""
    bad = candidate("bad", in_fit=die_always, settings=ColorSettings(backbone="other"))
    use_candidates(monkeypatch, candidate("before", settings=ColorSettings(epochs=3)), bad, candidate("after"))
    comparison = compare_on_workers(colors, tmp_path / "run")
    assert [one.name for one in comparison.results] == ["chance", "majority", "before", "after"]
    assert any("bad was skipped: workers died 10 times" in note for note in comparison.notes)


def test_many_images_are_read_by_all_workers_first(colors, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "MIN_READ_BY_ALL", 10)
    use_candidates(monkeypatch, candidate("one"), candidate("two", settings=ColorSettings(epochs=3)))
    comparison = compare_on_workers(colors, tmp_path / "run")
    assert [one.features_cached for one in comparison.results] == [False] * 4  # both count the pass
    for result in comparison.results[2:]:
        run = Run(comparison.run.path / result.name)
        metrics, speed = run.read_json("metrics.json"), run.read_json("speed.json")
        assert metrics["features_reused"] == 36
        assert speed["features_reused"] == 0
        assert result.seconds == pytest.approx(metrics["seconds"]["total"] + speed["reading_seconds"])


def test_a_time_limit_is_divided_among_those_that_are_trained_at_once(colors, tmp_path, monkeypatch):
    settings = [ColorSettings(backbone=name) for name in ("a", "b")]
    use_candidates(
        monkeypatch,
        candidate("one", min_seconds=10, settings=settings[0]),
        candidate("two", min_seconds=10, settings=settings[1]),
        candidate("endless", min_seconds=1e5),
        candidate("last", min_seconds=20, settings=lambda accuracies: ColorSettings(), depends_on_others=True),
    )
    asked = "one,two,last"
    comparison = compare_on_workers(colors, tmp_path / "run", only=asked, time_limit="10m")
    limits = [parse_duration(Run(comparison.run.path / name).read_settings()["time_limit"]) for name in ("one", "two")]
    assert all(120 < seconds <= 340 for seconds in limits)  # a third of the time, and half of what is left then
    short = compare_on_workers(colors, tmp_path / "short", only=f"{asked},endless", time_limit="10m")
    assert any("endless was skipped: --time-limit is too short" in note for note in short.notes)


class Interrupted(Silent):
    """Interrupts the driver when the first candidate is there."""

    def note(self, text, transient=False):
        if "accuracy" in text:
            raise KeyboardInterrupt


def test_a_stopped_comparison_continues_with_or_without_workers(colors, tmp_path, monkeypatch):
    candidates = [candidate(name, settings=ColorSettings(backbone=name)) for name in ("one", "two", "three")]
    use_candidates(monkeypatch, *candidates)
    with pytest.raises(KeyboardInterrupt):
        compare_on_workers(colors, tmp_path / "run", CompareSettings(), Interrupted())
    assert (tmp_path / "run" / "UNFINISHED").exists()
    finished = {path.parent for path in (tmp_path / "run").glob("*/DONE")}
    assert finished
    before = {path: (path / "metrics.json").read_bytes() for path in finished}
    comparison = resume_comparison(tmp_path / "run")
    assert [one.name for one in comparison.results[2:]] == ["one", "two", "three"]
    assert before == {path: (path / "metrics.json").read_bytes() for path in finished}  # they were not trained again


def spec_of(folder: Path, colors: Path, key: str = "key") -> TasksSpec:
    folder.mkdir()
    (folder / KEY_FILE).write_text(json.dumps("key"))
    return TasksSpec(folder, key, read_folder(colors).surveyed(), {"data": str(colors), "images": ""})


def task_of(name: str) -> CandidateTask:
    one = candidate(name)
    assert one.make_recipe
    return CandidateTask(name, one.title, one.make_recipe(ColorSettings()), runner.time_slot(one, []))


def test_a_worker_without_the_folder_of_the_comparison_says_so_before_it_works(colors, tmp_path):
    spec = spec_of(tmp_path / "run", colors, key="of another folder")
    with pytest.raises(RunError, match="a worker does not find the comparison .* expected storage that all workers"):
        TrainCandidates(spec)
    with use_workers("ray", 2), pytest.raises(RunError, match="a worker does not find the comparison"):
        train_on_workers(runner.current_workers(), spec, [[task_of("one")]], Silent())


def test_a_task_that_is_done_twice_trains_once(colors, tmp_path):
    work = TrainCandidates(spec_of(tmp_path / "run", colors))
    first = work([task_of("one")])
    assert work([task_of("one")]) == first == [Trained("one", sha256_file(tmp_path / "run/one/model.json"), 1.0)]


def test_a_task_replaces_what_was_only_begun_and_keeps_what_is_not_tlkits(colors, tmp_path):
    work = TrainCandidates(spec_of(tmp_path / "run", colors))
    for name, file in (("begun", "UNFINISHED"), ("mine", "thesis.txt")):
        (tmp_path / "run" / name).mkdir()
        (tmp_path / "run" / name / file).write_text("")
    begun, mine = work([task_of("begun"), task_of("mine")])
    assert begun.accuracy == 1.0
    assert isinstance(mine.error, OptionError)
    assert "already exists" in str(mine.error)
    assert [path.name for path in (tmp_path / "run" / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["linear", "lenet"], "linear, lenet"),
        (["mobilenet_v2_035", "mobilenet_025", "classic", "linear"], "mobilenet_v2_035, 3 more"),
        (["a_network_with_a_name_of_more_than_32", "b"], "a_network_with_a_name_of_more_than_32, 1 more"),
    ],
)
def test_a_bar_names_what_it_has_room_for(names, text):
    assert tasks.name_some(names) == text


class Lying:
    """Workers that answer without having written anything."""

    count = 1

    def map(self, task, spec, blocks):
        raise AssertionError

    def each(self, task, spec, blocks):
        for position, block in enumerate(blocks):
            yield position, [Trained(one.name, "0" * 64, 1.0) for one in block]

    def describe(self, unit):
        return ""


def test_a_run_that_does_not_arrive_is_told(colors, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "ARRIVAL_SECONDS", 0.1)
    with pytest.raises(RunError, match="a worker has trained '.*one', but this machine does not find it; expected"):
        train_on_workers(Lying(), spec_of(tmp_path / "run", colors), [[task_of("one")]], Silent())
    assert not is_recorded("0" * 64)
