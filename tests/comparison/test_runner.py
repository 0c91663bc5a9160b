"""Order, time limits, caching, resuming and failing, with recipes that train in milliseconds."""

import shutil
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.comparison.recipes import ColorSettings, candidate, nothing, use_candidates
from tlkit.cache.folder import cache_sizes
from tlkit.comparison import slots
from tlkit.comparison.cache import CACHED_RUN_FILES
from tlkit.comparison.compare import compare, resume_comparison
from tlkit.comparison.results import format_training_time
from tlkit.comparison.slots import OutOfTimeError
from tlkit.errors import DataError, OptionError, RunError
from tlkit.models.backbones import find_backbone, imagenet_file
from tlkit.runs.run import load_run
from tlkit.settings.commands import CompareSettings
from tlkit.settings.training import TrainSettings
from tlkit.training.from_scratch import scratch_recipe
from tlkit.utils.files import atomic_write
from tlkit.utils.progress import Silent
from tlkit.utils.text import parse_duration

pytestmark = pytest.mark.usefixtures("cache")
NO_TIME_LEFT = "was skipped: --time-limit is too short for it; use a longer one."


def names_of(comparison):
    return [result.name for result in comparison.results]


def settings_of(comparison, name):
    return load_run(comparison.run.path / name).read_json("settings.json")


class Watching(Silent):
    """Keeps transient notes apart, and fails where it should.

    fail_at  a stage, or a number of epochs
    """

    def __init__(self, fail_at=None, error=None):
        super().__init__()
        self.announced, self.stages, self.epochs = [], [], 0
        self.fail_at, self.error = fail_at, error

    def note(self, text, transient=False):
        (self.announced if transient else self.notes).append(text)

    @contextmanager
    def stage(self, name, total, unit):
        self.stages.append((name, total, unit))
        if name == self.fail_at:
            raise self.error
        yield lambda done: None

    def on_epoch_end(self, row):
        self.epochs += 1
        if self.epochs == self.fail_at:
            raise self.error


# order


def test_compare_candidates_trains_the_quick_ones_first_and_lists_the_simple_ones_first(colors, tmp_path, monkeypatch):
    progress, accuracies_before = Watching(), []

    def settings(accuracies):
        accuracies_before.append(accuracies)
        return ColorSettings()

    use_candidates(monkeypatch, candidate("slow", min_seconds=9, settings=settings), candidate("quick"))
    comparison = compare(colors, tmp_path / "run", progress=progress)
    assert names_of(comparison) == ["chance", "majority", "slow", "quick"]
    assert accuracies_before == [{"quick": 1.0}]
    announced = ["1 of 2: the quick", "the quick: accuracy 100.0 %", "2 of 2: the slow", "the slow: accuracy 100.0 %"]
    assert progress.announced == announced
    assert progress.notes == []  # those of a run stay in it


def test_compare_lower_title_names_the_backbone(colors, tmp_path, monkeypatch):
    upper = candidate("upper", settings=ColorSettings(freeze="lower"), required_freeze="lower")
    use_candidates(monkeypatch, upper)
    comparison = compare(colors, tmp_path / "run", only="upper")
    assert comparison.results[0].title == "colors, the upper"
    assert "the upper: colors are enough." in comparison.notes
    assert not any("of this run only" in note for note in comparison.notes)


def test_compare_fewer_blocks_than_required_leaves_the_candidate_out(colors, tmp_path, monkeypatch):
    """A run of upper blocks ends as a head alone where there was no time for them."""
    head_alone = candidate("upper", settings=ColorSettings(freeze="all"), required_freeze="lower")
    use_candidates(monkeypatch, head_alone)
    with pytest.raises(OutOfTimeError, match="upper was skipped: --time-limit is too short"):
        compare(colors, tmp_path / "run")
    frozen = candidate("upper", settings=ColorSettings(freeze="all"), required_freeze="all")
    use_candidates(monkeypatch, frozen)
    assert "upper" in names_of(compare(colors, tmp_path / "run"))


# the time limit


def test_compare_time_limit_is_given_to_what_can_do_with_less(colors, tmp_path, monkeypatch, cache):
    """What is frozen has all the time it wants, and so is cached."""
    frozen = candidate("frozen", min_seconds=10, settings=ColorSettings(freeze="all"))
    use_candidates(monkeypatch, candidate("linear", min_seconds=15), frozen)
    comparison = compare(colors, tmp_path / "run", time_limit="5m")
    assert settings_of(comparison, "frozen")["time_limit"] == ""
    assert 100 < parse_duration(settings_of(comparison, "linear")["time_limit"]) < 300
    assert len(list((cache / "runs").iterdir())) == 1
    assert "the linear: --time-limit cut it short." in comparison.notes


def test_compare_short_time_limit_trains_the_quick_ones(colors, tmp_path, monkeypatch):
    use_candidates(monkeypatch, candidate("quick"), *(candidate(name, min_seconds=1e5) for name in ("deep", "wide")))
    comparison = compare(colors, tmp_path / "run", time_limit="10m")
    assert names_of(comparison) == ["chance", "majority", "quick"]
    assert {f"deep {NO_TIME_LEFT}", f"wide {NO_TIME_LEFT}"} < set(comparison.notes)
    assert "too uncertain to compare models" in comparison.notes[-1]


def test_compare_no_time_at_all_trains_nothing(colors, tmp_path, monkeypatch):
    trained = []
    use_candidates(monkeypatch, *(candidate(name, trained=trained) for name in ("first", "second")))
    with pytest.raises(OptionError, match="no model could be trained: second was skipped: --time-limit is too short"):
        compare(colors, tmp_path / "run", time_limit="1s")
    assert trained == []
    assert not (tmp_path / "run").exists()


def test_compare_training_over_its_slot_is_ended(colors, tmp_path, monkeypatch):
    monkeypatch.setattr(slots, "OVERRUN_FACTOR", 0.0)  # every training is over at its first step
    monkeypatch.setattr(slots, "MIN_SECONDS", 0.0)
    trained = []
    use_candidates(monkeypatch, candidate("slow", trained=trained))
    with pytest.raises(OptionError, match="trained: slow was skipped: --time-limit is too short for it; use"):
        compare(colors, tmp_path / "run", time_limit="1h")
    assert trained == []


def test_compare_training_that_takes_too_long_is_left_out_and_removed(colors, tmp_path, monkeypatch):
    def out_of_time(run, progress):
        (run.path / "plots").mkdir()
        raise OutOfTimeError("the time is over")

    use_candidates(monkeypatch, candidate("quick"), candidate("slow", in_fit=out_of_time))
    comparison = compare(colors, tmp_path / "run", time_limit="1h")
    assert names_of(comparison) == ["chance", "majority", "quick"]
    assert "slow was skipped: the time is over" in comparison.notes
    assert not (tmp_path / "run" / "slow").exists()


# the cache


def two_candidates(monkeypatch, trained, in_fit=nothing):
    """Two that differ in their settings."""
    use_candidates(
        monkeypatch,
        candidate("one", trained=trained, in_fit=in_fit),
        candidate("two", trained=trained, in_fit=in_fit, settings=ColorSettings(epochs=3)),
    )


def figures(comparison):
    return [(one.name, one.accuracy, one.seconds, one.images_per_second) for one in comparison.results]


def test_compare_again_copies_what_was_trained(colors, tmp_path, monkeypatch, cache):
    trained = []
    two_candidates(monkeypatch, trained)
    first = compare(colors, tmp_path / "first")
    again = compare(colors, tmp_path / "again")
    assert len(trained) == 2
    assert figures(again) == figures(first)
    assert len(list((cache / "runs").iterdir())) == 2
    assert cache_sizes([CACHED_RUN_FILES])["runs"][0] > 2


@pytest.mark.parametrize("file", ["classic.npz", "speed.json"])
def test_compare_damaged_cached_run_is_trained_anew_and_replaced(file, colors, tmp_path, monkeypatch, cache):
    trained = []
    two_candidates(monkeypatch, trained)
    first = compare(colors, tmp_path / "first")
    for path in cache.glob(f"runs/*/{file}"):
        path.write_text("")
    again = compare(colors, tmp_path / "again")
    assert len(trained) == 4
    assert [one.accuracy for one in again.results] == [one.accuracy for one in first.results]
    assert all(one.images_per_second > 0 for one in again.results if one.command)
    compare(colors, tmp_path / "once more")
    assert len(trained) == 4


def test_compare_copy_that_differs_from_the_cached_run_is_trained_anew(colors, tmp_path, monkeypatch, cache):
    """As it is where another comparison replaces what is being copied."""
    trained = []
    two_candidates(monkeypatch, trained)
    compare(colors, tmp_path / "first")
    copy_file = shutil.copyfile

    def copy_replaced(source, target):
        copy_file(source, target)
        if source.name == "metrics.json" and source.is_relative_to(cache):
            target.write_text("{}")

    monkeypatch.setattr(shutil, "copyfile", copy_replaced)
    again = compare(colors, tmp_path / "again")
    assert len(trained) == 4
    assert load_run(again.run.path / "one").read_json("metrics.json")["features_reused"] == 36


def test_compare_copies_of_cached_runs_can_be_written_to(colors, tmp_path, monkeypatch, cache):
    two_candidates(monkeypatch, [])
    compare(colors, tmp_path / "first")
    folders = [path for path in cache.glob("runs/**/*") if path.is_dir()]
    for path in folders:
        path.chmod(0o555)
    try:
        again = compare(colors, tmp_path / "run")
    finally:
        for path in folders:
            path.chmod(0o755)
    assert all(path.stat().st_mode & 0o200 for path in again.run.path.rglob("*"))


def test_compare_features_cached_before_it_are_no_saving(colors, tmp_path, monkeypatch, cache):
    two_candidates(monkeypatch, [])
    first = compare(colors, tmp_path / "first")
    shutil.rmtree(cache / "runs")  # as if only features had been cached
    again = compare(colors, tmp_path / "again")
    assert [one.features_cached for one in first.results] == [False] * 4
    assert [one.features_cached for one in again.results] == [False, False, True, True]
    assert not any("≥" in format_training_time(one) for one in first.results)
    assert [format_training_time(one).count("≥ ") for one in again.results] == [0, 0, 1, 1]
    copied = compare(colors, tmp_path / "copied")  # a cached run says the same
    assert [one.features_cached for one in copied.results] == [one.features_cached for one in again.results]


def test_compare_features_of_an_earlier_candidate_are_counted(colors, tmp_path, monkeypatch):
    two_candidates(monkeypatch, [])
    comparison = compare(colors, tmp_path / "run", only="one,two")
    one, two = (load_run(tmp_path / "run" / name).read_json("metrics.json") for name in ("one", "two"))
    assert (one["features_reused"], two["features_reused"]) == (0, 36)
    assert [result.features_cached for result in comparison.results] == [False, False]
    assert comparison.results[0].seconds == one["seconds"]["total"]
    assert comparison.results[1].seconds == pytest.approx(two["seconds"]["total"] + one["seconds"]["features"])


# stopped and resumed


def interrupt_fit(number):
    """What interrupts the fit of this number."""
    fits = []

    def in_fit(run, progress):
        fits.append(run)
        if len(fits) == number:
            raise KeyboardInterrupt

    return in_fit


def test_resume_comparison_trains_what_is_missing(colors, tmp_path, monkeypatch, cache):
    trained = []
    two_candidates(monkeypatch, trained, interrupt_fit(2))
    with pytest.raises(KeyboardInterrupt):
        compare(colors, tmp_path / "run")
    assert (tmp_path / "run" / "UNFINISHED").exists()
    with pytest.raises(RunError, match="is unfinished"):
        load_run(tmp_path / "run")
    shutil.rmtree(cache / "runs")  # what is in the folder is enough
    again = resume_comparison(tmp_path / "run")
    assert [settings.epochs for settings in trained] == [2, 3, 3]
    assert [one.accuracy for one in again.results][2:] == [1.0, 1.0]
    with pytest.raises(RunError, match=r"is finished .*compare.csv' has its results, and `tlkit predict` accepts each"):
        resume_comparison(tmp_path / "run")


def test_resume_comparison_half_a_copy_is_no_run(colors, tmp_path, monkeypatch, cache):
    trained = []
    two_candidates(monkeypatch, trained, interrupt_fit(2))
    with pytest.raises(KeyboardInterrupt):
        compare(colors, tmp_path / "run")
    (tmp_path / "run" / "one" / "speed.json").unlink()  # killed when it was done, but not measured
    (tmp_path / "run" / "two").mkdir()  # as a copy that was killed leaves it
    (tmp_path / "run" / "two" / "history.csv").touch()
    shutil.rmtree(cache / "runs")
    again = resume_comparison(tmp_path / "run")
    assert len(trained) == 3
    for result in again.results[2:]:
        metrics = load_run(again.run.path / result.name).read_json("metrics.json")
        assert result.accuracy == metrics["accuracy"]
    assert again.results[2].seconds == load_run(tmp_path / "run" / "one").read_json("metrics.json")["seconds"]["total"]
    compare(colors, tmp_path / "copied")  # both were cached
    assert len(trained) == 3


def test_resume_comparison_changed_images_are_refused(colors, tmp_path, monkeypatch):
    images = shutil.copytree(colors, tmp_path / "images")
    two_candidates(monkeypatch, [], interrupt_fit(2))
    with pytest.raises(KeyboardInterrupt):
        compare(images, tmp_path / "run")
    next(iter(sorted((images / "red").iterdir()))).unlink()
    with pytest.raises(RunError, match="the images, .* or a package it needs changed since .* start a new comparison"):
        resume_comparison(tmp_path / "run")
    assert (tmp_path / "run" / "one" / "DONE").exists()


def test_resume_comparison_weights_that_come_or_go_are_refused(colors, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    two_candidates(monkeypatch, [], interrupt_fit(2))
    with pytest.raises(KeyboardInterrupt):
        compare(colors, tmp_path / "run")
    file = imagenet_file(find_backbone("mobilenet_025"), 224)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"some")
    with pytest.raises(RunError, match="the cached pretrained weights, .* changed since .*; start a new comparison"):
        resume_comparison(tmp_path / "run")
    file.unlink()
    assert len(resume_comparison(tmp_path / "run").results) == 4


def test_compare_folder_with_what_tlkit_did_not_write_is_left_alone(colors, tmp_path, monkeypatch):
    two_candidates(monkeypatch, [], interrupt_fit(2))
    with pytest.raises(KeyboardInterrupt):
        compare(colors, tmp_path / "run")
    (tmp_path / "run" / "two").mkdir()
    (tmp_path / "run" / "two" / "thesis.txt").write_text("mine")
    again = resume_comparison(tmp_path / "run")
    assert names_of(again) == ["chance", "majority", "one"]
    assert any("has files that tlkit did not write; move them elsewhere" in note for note in again.notes)
    assert (tmp_path / "run" / "two" / "thesis.txt").read_text() == "mine"


# failures

FAILURES = {
    "unexpected ValueError: The least populated class has 1 member.": ValueError(
        "The least populated class has 1 member\nand more of that"
    ),
    "unexpected MemoryError: no reason given.": MemoryError(),
    "'x' has no image left.": DataError("'x' has no image left."),
}


@pytest.mark.parametrize("words", FAILURES)
def test_compare_failing_candidate_is_left_out_and_the_others_are_trained(words, colors, tmp_path, monkeypatch):
    def fail(run, progress):
        raise FAILURES[words]

    progress = Watching()
    use_candidates(monkeypatch, candidate("bad", in_fit=fail), candidate("good"))
    comparison = compare(colors, tmp_path / "run", progress=progress)
    assert names_of(comparison) == ["chance", "majority", "good"]
    assert f"bad was skipped: {words}" in comparison.notes
    assert f"bad was skipped: {words}" in progress.announced
    assert not (tmp_path / "run" / "bad").exists()
    assert (tmp_path / "run" / "DONE").exists()


def test_compare_recipe_that_cannot_be_made_is_left_out(colors, tmp_path, monkeypatch):
    """Options are resolved at the candidate's turn, and what they ask for may be missing."""
    unknown = candidate("bad", settings=TrainSettings(model="no such"))
    use_candidates(monkeypatch, replace(unknown, make_recipe=scratch_recipe))
    with pytest.raises(OptionError, match="no model could be trained: bad was skipped: unknown .* 'no such'"):
        compare(colors, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_compare_images_that_nothing_can_be_learnt_from_end_it(tmp_path, monkeypatch):
    for name in ("ant", "bee"):
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "1.png").write_text("no image")
    two_candidates(monkeypatch, [])
    with pytest.raises(DataError, match="no model could be trained: two was skipped: "):
        compare(tmp_path / "images", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_compare_interrupt_that_became_an_error_ends_it_and_removes_nothing(colors, tmp_path, monkeypatch):
    """As the terminal does, which looks for signals that C code has swallowed."""

    class Interrupting(Silent):
        def note(self, text, transient=False):
            if "skipped" in text:
                raise KeyboardInterrupt

    def fail(run, progress):
        atomic_write(run.path / "checkpoint-head.npz", b"")
        raise ValueError("interrupted")

    use_candidates(monkeypatch, candidate("bad", in_fit=fail))
    with pytest.raises(KeyboardInterrupt):
        compare(colors, tmp_path / "run", progress=Interrupting())
    assert (tmp_path / "run" / "bad" / "checkpoint-head.npz").exists()


@pytest.mark.parametrize("fail_at", ["hashing", "features", 3])
def test_compare_interrupt_leaves_what_was_trained_and_else_nothing(fail_at, colors, tmp_path, monkeypatch):
    two_candidates(monkeypatch, [])
    with pytest.raises(KeyboardInterrupt):
        compare(colors, tmp_path / "run", CompareSettings(), Watching(fail_at, KeyboardInterrupt()))
    assert (tmp_path / "run").exists() == (fail_at == 3)
    assert not (tmp_path / "run" / "two").exists()
