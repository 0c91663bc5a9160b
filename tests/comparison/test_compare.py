"""The ladder: the same images for every rung, trained once, stopped and gone on with."""

import csv
import json
import math
import shutil
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skimage")

from tests.cli.test_cli import misused, refused, tlkit
from tests.networks import use_keras_home
from tlkit.comparison import results as measuring
from tlkit.comparison import runner as making
from tlkit.comparison.cache import fingerprint, run_key, start_comparison
from tlkit.comparison.compare import compare, resume_comparison
from tlkit.comparison.ladder import build_candidates, cached_backbones
from tlkit.comparison.report import legend, table_lines
from tlkit.comparison.runner import Deadline, OutOfTimeError
from tlkit.data.folder import read_folder
from tlkit.errors import DataError, ModelError, OptionError, RunError
from tlkit.models.backbones import find_backbone, imagenet_file
from tlkit.runs.run import RUN_FILES, Run, load_run
from tlkit.settings.commands import CompareSettings
from tlkit.settings.training import ClassicSettings, FinetuneSettings, TrainSettings
from tlkit.training import classic
from tlkit.utils.cache import cache_sizes
from tlkit.utils.files import owned_files
from tlkit.utils.progress import Silent
from tlkit.utils.text import parse_duration

SOME = CompareSettings(only="chance,majority,colours,classic")


@pytest.fixture(scope="module", autouse=True)
def quickly():
    """`--descriptor auto` among two that are quick; measured no longer than a moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "MAX_TIMED_SECONDS", 0.1)
        patch.setattr(classic, "CANDIDATES", ("hog", "histogram"))
        yield


@pytest.fixture(scope="module")
def done(colours, tmp_path_factory, quickly):
    return compare(colours, tmp_path_factory.mktemp("ladder") / "run", SOME)


def rungs_of(run):
    with (run / "compare.csv").open(newline="") as lines:
        return {row["rung"]: row for row in csv.DictReader(lines)}


def test_every_rung_is_judged_on_the_same_images(done):
    validation = {name: list(load_run(done.run.path / name).read_rows("split.csv")) for name in ("colours", "classic")}
    assert validation["colours"] == validation["classic"]
    assert [standing.name for standing in done.standings] == ["chance", "majority", "colours", "classic"]
    assert done.num_images == len(done.standings[2].right)


def test_figures_are_those_of_the_runs(done):
    rows = rungs_of(done.run.path)
    for name in ("colours", "classic"):
        metrics = load_run(done.run.path / name).read_json("metrics.json")
        assert float(rows[name]["accuracy"]) == metrics["accuracy"]
        assert [float(rows[name]["ci95_low"]), float(rows[name]["ci95_high"])] == metrics["accuracy_ci95"]
        assert float(rows["majority"]["accuracy"]) == pytest.approx(metrics["baseline_accuracy"])
        assert float(rows[name]["images_per_second"]) > 0
        assert int(rows[name]["bytes"]) == (done.run.path / name / "classic.npz").stat().st_size
    assert float(rows["chance"]["accuracy"]) == pytest.approx(1 / 3)
    assert rows["colours"]["accuracy"] == "1.0"
    assert float(rows["majority"]["p"]) < 0.5
    assert float(rows["majority"]["difference_to_best"]) == pytest.approx(float(rows["majority"]["accuracy"]) - 1)


def test_every_file_of_a_ladder_is_known_as_its_own(done):
    known = [file for name in (".", "colours", "classic") for file in owned_files(done.run.path / name, RUN_FILES)]
    assert sorted(known) == sorted(path for path in done.run.path.rglob("*") if path.is_file())


def test_a_rung_is_a_run_and_the_ladder_is_none(done, colours):
    from tlkit.inference.predictor import predict

    (found,) = predict(done.run.path / "colours", colours / "red" / "0.png")
    assert found.label == "red"
    with pytest.raises(RunError, match="is a comparison of several runs"):
        load_run(done.run.path)


def test_the_command_of_a_rung_gives_the_same(done, colours, tmp_path):
    command = done.standings[2].command.split()
    assert command[:2] == ["tlkit", "train"]
    tlkit(*command[1:], "-o", tmp_path / "again")
    again = load_run(tmp_path / "again")
    assert list(again.read_rows("predictions_val.csv")) == list(
        load_run(done.run.path / "colours").read_rows("predictions_val.csv")
    )


def forbid(monkeypatch):
    """From now on nothing may be trained."""

    def fail(*given, **options):
        raise AssertionError("something was trained again")

    monkeypatch.setattr(making, "TRAININGS", dict.fromkeys(making.TRAININGS, fail))


def test_what_was_trained_before_is_not_again(done, colours, tmp_path, monkeypatch):
    forbid(monkeypatch)
    again = compare(colours, tmp_path / "run", SOME)
    assert again.run.path != done.run.path
    for one, other in zip(again.standings, done.standings, strict=True):
        assert (one.accuracy, one.seconds, one.rate) == (other.accuracy, other.seconds, other.rate)
    assert cache_sizes()["rungs"][0] > 0


def test_a_damaged_rung_in_the_cache_is_trained_anew_and_replaced(done, colours, tmp_path, own_cache, monkeypatch):
    kept = own_cache / "rungs"
    for file in kept.glob("*/classic.npz"):
        file.write_bytes(b"damaged")
    again = compare(colours, tmp_path / "run", SOME)
    assert [one.accuracy for one in again.standings] == [one.accuracy for one in done.standings]
    forbid(monkeypatch)
    compare(colours, tmp_path / "once more", SOME)
    shutil.rmtree(kept)


def test_a_rung_whose_speed_cannot_be_read_is_none(done, colours, tmp_path, own_cache):
    compare(colours, tmp_path / "first", SOME)
    for file in (own_cache / "rungs").glob("*/speed.json"):
        file.write_text("")
    again = compare(colours, tmp_path / "run", SOME)
    assert all(one.rate > 0 for one in again.standings if one.command)


def test_copies_of_kept_rungs_can_be_written_to(done, colours, tmp_path, own_cache):
    compare(colours, tmp_path / "first", SOME)
    kept = [path for path in own_cache.glob("rungs/**/*") if path.is_dir()]
    for path in kept:
        path.chmod(0o555)
    try:
        again = compare(colours, tmp_path / "run", SOME)
    finally:
        for path in kept:
            path.chmod(0o755)
    assert all(path.stat().st_mode & 0o200 for path in again.run.path.rglob("*"))


def test_images_that_changed_since_end_a_comparison(colours, tmp_path, own_cache, monkeypatch):
    images = shutil.copytree(colours, tmp_path / "images")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(making, "TRAININGS", making.TRAININGS | {ClassicSettings: second_fails()})
        compare(images, tmp_path / "run", SOME)
    next(iter(sorted((images / "red").iterdir()))).unlink()
    with pytest.raises(RunError, match="was begun, the images, .* or a package it needs have changed; compare anew"):
        resume_comparison(tmp_path / "run")
    assert (tmp_path / "run" / "colours" / "DONE").exists()


def second_fails():
    """A training that is interrupted when it is called for the second time."""
    real, calls = making.TRAININGS[ClassicSettings], []

    def training(*given):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*given)

    return training


def test_a_network_is_gone_on_with_and_one_that_was_limited_is_not_kept(colours, tmp_path, own_cache, monkeypatch):
    shutil.rmtree(own_cache / "rungs", ignore_errors=True)
    network = CompareSettings(only="majority,linear", time_limit="1h")
    whole = compare(colours, tmp_path / "whole", network)
    assert not (own_cache / "rungs").exists()
    monkeypatch.setattr("tlkit.training.loop.checkpoint.SECONDS_BETWEEN", 0.0)
    with pytest.raises(KeyboardInterrupt):
        compare(colours, tmp_path / "run", network, progress=Stopping(3))
    again = resume_comparison(tmp_path / "run")
    paths = (run.run.path / "linear" / "predictions_val.csv" for run in (whole, again))
    assert len({path.read_bytes() for path in paths}) == 1
    assert (whole.standings[1].selected, again.standings[1].seconds) == (True, None)


class Stopping(Silent):
    """Interrupts in an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.left = epoch

    def epoch(self, row):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_a_training_that_takes_longer_than_it_may_is_ended(colours, tmp_path, own_cache, monkeypatch):
    shutil.rmtree(own_cache / "rungs", ignore_errors=True)
    monkeypatch.setattr(making, "OVERRUN_FACTOR", 0.0)  # every rung is over at its first step
    monkeypatch.setattr(making, "MIN_SECONDS", 0.0)
    with pytest.raises(OptionError, match="trained: colours was left out: --time-limit leaves no time for it; give"):
        compare(colours, tmp_path / "run", CompareSettings(only="colours", time_limit="1h"))


def test_of_a_short_limit_the_quick_rungs_are_made(colours, tmp_path, own_cache, monkeypatch):
    """Ten minutes are short for what takes hours."""
    from tlkit.comparison import runner as climb

    def slow_but_for_colours(settings, built=climb.build_ladder):
        return [replace(rung, least=1e5) if rung.name in ("linear", "classic") else rung for rung in built(settings)]

    shutil.rmtree(own_cache / "rungs", ignore_errors=True)
    monkeypatch.setattr(climb, "build_ladder", slow_but_for_colours)
    short = CompareSettings(only="majority,colours,classic,linear", time_limit="10m")
    found = compare(colours, tmp_path / "run", short)
    assert [standing.name for standing in found.standings] == ["majority", "colours"]
    left_out = "was left out: --time-limit leaves no time for it; give it more."
    assert {f"linear {left_out}", f"classic {left_out}"} < set(found.notes)
    assert "too few images to validate on" in found.notes[-1]


class Failing(Silent):
    """Raises an error in a stage, or in an epoch."""

    def __init__(self, where, error):
        super().__init__()
        self.where, self.error, self.epochs = where, error, 0

    @contextmanager
    def stage(self, name, total, unit):
        if name == self.where:
            raise self.error
        yield lambda done: None

    def epoch(self, row):
        self.epochs += 1
        if self.epochs == self.where:
            raise self.error


FAILURES = {
    "something unexpected happened (ValueError: The least populated class has 1 member).": ValueError(
        "The least populated class has 1 member\nand more of that"
    ),
    "something unexpected happened (MemoryError: no reason given).": MemoryError(),
    "'x' has no image left.": DataError("'x' has no image left."),
}


@pytest.mark.parametrize("words", FAILURES)
def test_a_rung_that_fails_is_left_out_and_the_others_are_made(words, colours, tmp_path, own_cache):
    shutil.rmtree(own_cache / "rungs", ignore_errors=True)
    found = compare(colours, tmp_path / "run", SOME, Failing("colours", FAILURES[words]))
    assert [standing.name for standing in found.standings] == ["chance", "majority", "classic"]
    assert f"colours was left out: {words}" in found.notes
    assert not (tmp_path / "run" / "colours").exists()
    assert (tmp_path / "run" / "DONE").exists()


def test_a_folder_nothing_can_be_learnt_from_ends_it(tmp_path):
    for name in ("ant", "bee"):
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "1.png").write_text("no picture")
    with pytest.raises(DataError, match="nothing could be trained: classic was left out: "):
        compare(tmp_path / "images", tmp_path / "run", SOME)
    assert not (tmp_path / "run").exists()


def test_an_interrupt_that_became_an_error_ends_it_and_nothing_is_removed(colours, tmp_path, own_cache, monkeypatch):
    """As the terminal's line does, which looks for signals that C code has swallowed."""
    shutil.rmtree(own_cache / "rungs", ignore_errors=True)
    monkeypatch.setattr("tlkit.training.loop.checkpoint.SECONDS_BETWEEN", 0.0)

    def tell(line):
        if "left out" in line:
            raise KeyboardInterrupt

    network = CompareSettings(only="majority,linear")
    with pytest.raises(KeyboardInterrupt):
        compare(colours, tmp_path / "run", network, Failing(3, ValueError("interrupted")), tell)
    assert list((tmp_path / "run" / "linear").glob("checkpoint-*.npz"))
    assert [one.name for one in resume_comparison(tmp_path / "run").standings] == ["majority", "linear"]


def test_a_comparison_of_another_version_is_not_gone_on_with(colours, tmp_path):
    run = start_comparison(colours, tmp_path / "run", SOME)
    settings = run.read_json("settings.json")
    for odd in (settings | {"rungs": 3}, {name: settings[name] for name in settings if name != "seed"}):
        run.write_json("settings.json", odd)
        said = refused(4, "compare", "--resume", run.path)
        assert f"'{run.path}' was begun by another tlkit, whose settings differ from this one's in " in said
        assert said.endswith("compare anew, or go on with that version.")


def test_another_command_names_the_one_that_goes_on_with_a_comparison(colours, tmp_path):
    run = start_comparison(colours, tmp_path / "run", SOME)
    for command in ("finetune", "train"):
        said = refused(4, command, "--resume", run.path)
        assert said.endswith(f"'{run.path}' is a comparison; `tlkit compare --resume {run.path}` goes on with it.")


def test_weights_that_come_or_go_end_a_comparison(colours, tmp_path, own_cache, monkeypatch):
    shutil.rmtree(own_cache / "rungs", ignore_errors=True)
    use_keras_home(monkeypatch, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        compare(colours, tmp_path / "run", SOME, Failing("hog", KeyboardInterrupt()))
    file = imagenet_file(find_backbone("mobilenet_025"), 224)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"some")
    with pytest.raises(RunError, match="the pretrained weights at hand, .* have changed; compare anew"):
        resume_comparison(tmp_path / "run")
    file.unlink()
    assert len(resume_comparison(tmp_path / "run").standings) == 4


def test_what_an_earlier_training_had_read_is_no_saving(colours, tmp_path, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    first = compare(colours, tmp_path / "first", SOME)
    shutil.rmtree(tmp_path / "cache" / "rungs")  # as if only features had been kept
    again = compare(colours, tmp_path / "again", SOME)
    assert [one.reused for one in first.standings] == [False] * 4
    assert [one.reused for one in again.standings] == [False, False, True, True]
    assert not any("≥" in line for line in table_lines(first.standings))
    assert [line.count("≥ ") for line in table_lines(again.standings)] == [0, 0, 0, 1, 1]
    assert [row["features_reused"] for row in rungs_of(again.run.path).values()] == ["False", "False", "True", "True"]
    assert "≥ leaves out reading that was done before" in legend(again.standings)
    assert "≥" not in legend(first.standings)
    copied = compare(colours, tmp_path / "copied", SOME)  # what was kept keeps its sign
    assert [one.reused for one in copied.standings] == [one.reused for one in again.standings]


def test_what_a_rung_of_the_same_ladder_had_read_is_counted(colours, tmp_path, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    found = compare(colours, tmp_path / "run", CompareSettings(only="linear,mlp"))
    linear, mlp = (load_run(tmp_path / "run" / name).read_json("metrics.json") for name in ("linear", "mlp"))
    assert (linear["features_reused"], mlp["features_reused"]) == (0, 36)  # both see 28 pixels
    assert [one.reused for one in found.standings] == [False, False]
    assert found.standings[0].seconds == linear["seconds"]["total"]
    assert found.standings[1].seconds == pytest.approx(mlp["seconds"]["total"] + linear["seconds"]["features"])


def test_a_copy_that_differs_from_what_was_kept_is_none(colours, tmp_path, monkeypatch):
    """As it is where another comparison replaces what is being copied."""
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    first = compare(colours, tmp_path / "first", SOME)
    real = shutil.copyfile

    def replaced(source, target):
        real(source, target)
        if source.name == "metrics.json" and source.is_relative_to(tmp_path / "cache"):
            target.write_text("{}")

    monkeypatch.setattr(shutil, "copyfile", replaced)
    again = compare(colours, tmp_path / "again", SOME)
    assert [one.accuracy for one in again.standings] == [one.accuracy for one in first.standings]
    assert load_run(tmp_path / "again" / "colours").read_json("metrics.json")["features_reused"] == 36  # made anew


def test_hashing_a_folder_shows(colours):
    stages = []

    class Watching(Silent):
        def stage(self, *given):
            stages.append(given)
            return super().stage(*given)

    fingerprint(read_folder(colours), Watching())
    assert stages == [("hashing", 36, "images")]


def test_speed_is_known_however_slow_a_rung_is(done, colours, tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "MAX_TIMED_SECONDS", 0.0)  # the first few images have taken longer
    run = Run(shutil.copytree(done.run.path / "colours", tmp_path / "run"))
    (run.path / "speed.json").unlink()
    measuring.measure_speed(run, colours)
    assert run.read_json("speed.json")["images_per_second"] > 0


def test_a_head_alone_is_no_rung_of_upper_blocks(own_run, colours):
    """As which it ends where there was no time for them."""
    share = making.TimeSlot(seconds=math.inf, left=math.inf, least=0)
    with pytest.raises(OutOfTimeError):
        making.obtain_run(colours, own_run.path, FinetuneSettings(freeze="lower"), "key", share, Silent())
    making.obtain_run(colours, own_run.path, FinetuneSettings(freeze="all"), "key", share, Silent())
    assert own_run.read_json("speed.json")["training_seconds"] > 0


def test_stopped_it_goes_on_with_what_is_missing(done, colours, tmp_path, monkeypatch, own_cache):
    shutil.rmtree(own_cache / "rungs", ignore_errors=True)
    trained = []
    real = making.TRAININGS[ClassicSettings]

    def counting(data, output, settings, progress):
        trained.append(output.name)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return real(data, output, settings, progress)

    monkeypatch.setattr(making, "TRAININGS", {ClassicSettings: counting})
    with pytest.raises(KeyboardInterrupt):
        compare(colours, tmp_path / "run", SOME)
    assert (tmp_path / "run" / "UNFINISHED").exists()
    assert "is an unfinished run" in refused(4, "predict", tmp_path / "run", colours)
    shutil.rmtree(own_cache / "rungs")  # what is in the folder is enough
    again = resume_comparison(tmp_path / "run")
    assert trained == ["colours", "classic", "classic"]
    assert [one.accuracy for one in again.standings] == [one.accuracy for one in done.standings]
    with pytest.raises(RunError, match=r"is finished, .*compare.csv' has its figures, and `tlkit predict` takes each"):
        resume_comparison(tmp_path / "run")


def test_only_a_comparison_is_gone_on_with(colours, tmp_path, own_run):
    (own_run.path / "DONE").unlink()
    (own_run.path / "UNFINISHED").touch()
    with pytest.raises(RunError, match=r"is no comparison; `tlkit finetune --resume"):
        resume_comparison(own_run.path)


def test_what_fits_in_no_time_is_left_out_and_said(colours, tmp_path, own_cache):
    shutil.rmtree(own_cache / "rungs", ignore_errors=True)
    with pytest.raises(OptionError, match="be trained: classic was left out: --time-limit leaves no time"):
        compare(colours, tmp_path / "run", CompareSettings(only="colours,classic", time_limit="1s"))
    assert not (tmp_path / "run").exists()


def test_weights_that_cannot_be_read_make_no_rung(colours, tmp_path, monkeypatch):
    use_keras_home(monkeypatch, tmp_path)
    file = imagenet_file(find_backbone("mobilenet_025"), 224)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(ModelError, match="nothing could be trained: mobilenet_025 was left out: .* cannot be loaded"):
        compare(colours, tmp_path / "run", CompareSettings(only="mobilenet_025"))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_limit_is_told_to_what_can_do_with_less(colours, tmp_path, monkeypatch, shared_data):
    """What is frozen has all the time it wants, and so is kept."""
    use_keras_home(monkeypatch, shared_data / "keras_home")
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    found = compare(colours, tmp_path / "run", CompareSettings(only="linear,mobilenet_025", time_limit="5m"))
    assert [standing.name for standing in found.standings] == ["linear", "mobilenet_025"]
    told = {
        name: load_run(tmp_path / "run" / name).read_json("settings.json")["time_limit"]
        for name in rungs_of(found.run.path)
    }
    assert told["mobilenet_025"] == ""
    assert 100 < parse_duration(told["linear"]) < 300
    assert len(list((tmp_path / "cache" / "rungs").iterdir())) == 1


def test_a_copy_that_was_cut_off_is_no_rung(done, colours, tmp_path, monkeypatch, own_cache):
    shutil.rmtree(own_cache / "rungs", ignore_errors=True)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(making, "measure_speed", interrupt)
        compare(colours, tmp_path / "run", SOME)
    (tmp_path / "run" / "classic").mkdir()  # as a copy that was killed leaves it
    (tmp_path / "run" / "classic" / "history.csv").touch()
    again = resume_comparison(tmp_path / "run")
    assert [one.accuracy for one in again.standings] == [one.accuracy for one in done.standings]
    for standing in again.standings[2:]:  # the first was killed when it was done, but not measured
        metrics = load_run(again.run.path / standing.name).read_json("metrics.json")
        assert standing.seconds == metrics["seconds"]["total"]
    forbid(monkeypatch)  # both have been kept
    assert len(compare(colours, tmp_path / "copied", SOME).standings) == len(SOME.only.split(","))


def interrupt(*given):
    raise KeyboardInterrupt


def test_a_rung_that_takes_too_long_is_left_out(colours, tmp_path, monkeypatch, own_cache):
    shutil.rmtree(own_cache / "rungs", ignore_errors=True)
    real = making.TRAININGS[ClassicSettings]

    def slow(data, output, settings, progress):
        if settings.descriptor == "auto":
            (output / "plots").mkdir(parents=True)
            raise OutOfTimeError("the time is over")
        return real(data, output, settings, progress)

    monkeypatch.setattr(making, "TRAININGS", {ClassicSettings: slow})
    found = compare(colours, tmp_path / "run", CompareSettings(only="colours,classic", time_limit="1h"))
    assert [standing.name for standing in found.standings] == ["colours"]
    assert any("classic was left out" in note for note in found.notes)
    assert not (tmp_path / "run" / "classic").exists()


def test_a_deadline_ends_work_at_its_next_step():
    over, ample = Deadline(Silent(), -1), Deadline(Silent(), 1000)
    with pytest.raises(OutOfTimeError), over.stage("reading", 3, "images"):
        pytest.fail("it was begun")
    with pytest.raises(OutOfTimeError):
        over.epoch({})
    with ample.stage("reading", 3, "images") as advance:
        advance(1)
    short = Deadline(Silent(), 0.05)
    with pytest.raises(OutOfTimeError), short.stage("reading", 3, "images") as advance:
        time.sleep(0.1)
        advance(1)


def test_a_rung_depends_on_its_images_and_its_settings(colours, tmp_path):
    copied = shutil.copytree(colours, tmp_path / "copy")
    one, images = ClassicSettings(descriptor="hog"), fingerprint(read_folder(copied), Silent())
    others = (ClassicSettings(descriptor="hog", seed=1), TrainSettings(), FinetuneSettings(), CompareSettings())
    keys = {run_key(images, settings) for settings in (one, *others)}
    assert run_key(fingerprint(read_folder(copied), Silent()), one) in keys
    (copied / "red" / "0.png").write_bytes((copied / "red" / "1.png").read_bytes())
    keys.add(run_key(fingerprint(read_folder(copied), Silent()), one))
    assert len(keys) == 6


def test_a_rung_depends_on_the_weights_it_starts_from(tmp_path, monkeypatch):
    use_keras_home(monkeypatch, tmp_path)
    keys = {run_key("images", FinetuneSettings())}
    file = imagenet_file(find_backbone("mobilenet_v2"), 224)
    file.parent.mkdir(parents=True)
    for content in (b"some", b"others"):
        file.write_bytes(content)
        keys.add(run_key("images", FinetuneSettings()))
    assert len(keys) == 3


def test_a_ladder_depends_on_all_weights_at_hand(tmp_path, monkeypatch):
    use_keras_home(monkeypatch, tmp_path)
    keys = {run_key("images", CompareSettings())}
    for name, content in (("mobilenet_v2", b"some"), ("mobilenet_v2", b"others"), ("mobilenet_025", b"some")):
        file = imagenet_file(find_backbone(name), 224)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        keys.add(run_key("images", CompareSettings()))
    assert len(keys) == 4


def test_only_backbones_whose_weights_are_there_are_tried(tmp_path, monkeypatch, shared_data):
    use_keras_home(monkeypatch, tmp_path)
    assert cached_backbones() == []
    names = [rung.name for rung in build_candidates(CompareSettings())]
    assert names == ["chance", "majority", "colours", "classic", "linear", "mlp", "lenet"]
    use_keras_home(monkeypatch, shared_data / "keras_home")
    at_hand = cached_backbones()
    rungs = {rung.name: rung for rung in build_candidates(CompareSettings())}
    assert set(at_hand) < set(rungs)
    chosen = rungs["lower"].choose({name: place / 10 for place, name in enumerate(at_hand)})
    assert (chosen.backbone, chosen.freeze) == (at_hand[-1], "lower")
    assert rungs["lower"].choose({}).backbone == "mobilenet_v2"


def test_the_command(done, colours, tmp_path):
    found = tlkit("compare", colours, "-o", tmp_path / "run", "--only", "colours,majority", "--format", "table")
    assert "two colours, linear" in found.stdout
    assert "take nothing yet" in found.stdout  # seven images do not tell all right from two right: p = 0.06
    assert found.stderr == ""
    assert {"compare.csv", "compare.png", "compare.json", "DONE"} < {file.name for file in (tmp_path / "run").iterdir()}
    assert json.loads((tmp_path / "run" / "compare.json").read_text())["best"] == "colours"
    assert "already there" in refused(2, "compare", colours, "-o", tmp_path / "run")
    assert "names 'lenets'; the rungs here are chance" in refused(2, "compare", colours, "--only", "lenets")
    assert "names no rung that is trained" in refused(2, "compare", colours, "--only", "chance")
    assert "would lie inside the images" in refused(2, "compare", colours, "-o", colours / "run")
    assert "Missing argument 'DATA'" in misused("compare")
    said = refused(2, "compare", "--resume", tmp_path / "run", "--seed", "3")
    assert "--seed is what" in said
    assert "is finished" in refused(4, "compare", "--resume", tmp_path / "run", "--format", "json")
    assert np.all([standing.right is None or len(standing.right) == done.num_images for standing in done.standings])


def test_piped_it_gives_rows_and_tells_people_elsewhere(colours, tmp_path):
    found = tlkit("compare", colours, "-o", tmp_path / "run", "--only", "colours,majority")
    assert found.stdout == (tmp_path / "run" / "compare.csv").read_text()
    lines = found.stderr.splitlines()
    assert [line[:4] for line in lines if line][-3:] == ["take", "run ", "next"]
    assert lines[-2:] == [f"run   {tmp_path / 'run'}", f"next  {rungs_of(tmp_path / 'run')['colours']['command']}"]


def test_as_json_it_gives_all_of_it(colours, tmp_path):
    found = tlkit("compare", colours, "-o", tmp_path / "run", "--only", "colours,majority", "--format", "json")
    assert found.stderr == ""
    all_of_it = json.loads(found.stdout)
    assert (all_of_it.pop("run"), all_of_it.pop("num_images")) == (str(tmp_path / "run"), 7)
    assert all_of_it == json.loads((tmp_path / "run" / "compare.json").read_text())
