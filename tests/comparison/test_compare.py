"""The ladder: the same images for every rung, trained once, stopped and gone on with."""

import csv
import json
import shutil

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skimage")

from tests.cli.test_cli import misused, refused, tlkit
from tests.networks import use_keras_home
from tlkit.cache import measure
from tlkit.comparison import climb as climbing
from tlkit.comparison.compare import compare, resume_comparison
from tlkit.comparison.deadline import Deadline, OutOfTimeError
from tlkit.comparison.keeping import fingerprint, rung_key
from tlkit.comparison.rungs import backbones_at_hand, build_ladder
from tlkit.data.folder import read_folder
from tlkit.errors import OptionError, RunError
from tlkit.models.backbones import find_backbone, imagenet_file
from tlkit.progress import Silent
from tlkit.runs import load_run
from tlkit.settings import ClassicSettings, CompareSettings, FinetuneSettings, TrainSettings
from tlkit.training import classic

SOME = CompareSettings(only="chance,majority,colours,classic")


@pytest.fixture(scope="module", autouse=True)
def few_candidates():
    """`--descriptor auto` among two that are quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classic, "CANDIDATES", ("hog", "histogram"))
        yield


@pytest.fixture(scope="module")
def done(colours, tmp_path_factory, few_candidates):
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


def test_a_rung_is_a_run_and_the_ladder_is_none(done, colours):
    from tlkit.prediction import predict

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

    monkeypatch.setattr(climbing, "TRAININGS", dict.fromkeys(climbing.TRAININGS, fail))


def test_what_was_trained_before_is_not_again(done, colours, tmp_path, monkeypatch):
    forbid(monkeypatch)
    again = compare(colours, tmp_path / "run", SOME)
    assert again.run.path != done.run.path
    for one, other in zip(again.standings, done.standings, strict=True):
        assert (one.accuracy, one.seconds, one.rate) == (other.accuracy, other.seconds, other.rate)
    assert measure()["rungs"][0] > 0


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
        patch.setattr(climbing, "TRAININGS", climbing.TRAININGS | {ClassicSettings: second_fails()})
        compare(images, tmp_path / "run", SOME)
    next(iter(sorted((images / "red").iterdir()))).unlink()
    with pytest.raises(RunError, match="was begun, the images, tlkit or a package it needs have changed; compare anew"):
        resume_comparison(tmp_path / "run")
    assert (tmp_path / "run" / "colours" / "DONE").exists()


def second_fails():
    """A training that is interrupted when it is called for the second time."""
    real, calls = climbing.TRAININGS[ClassicSettings], []

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
    monkeypatch.setattr("tlkit.training.checkpoint.SECONDS_BETWEEN", 0.0)
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
    monkeypatch.setattr(climbing, "PATIENCE", 0.0)  # every rung is over at its first step
    monkeypatch.setattr(climbing, "LEAST", 0.0)
    with pytest.raises(OptionError, match="colours was left out, for --time-limit leaves no time"):
        compare(colours, tmp_path / "run", CompareSettings(only="colours", time_limit="1h"))


def test_stopped_it_goes_on_with_what_is_missing(done, colours, tmp_path, monkeypatch, own_cache):
    shutil.rmtree(own_cache / "rungs", ignore_errors=True)
    trained = []
    real = climbing.TRAININGS[ClassicSettings]

    def counting(data, output, settings, progress):
        trained.append(output.name)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return real(data, output, settings, progress)

    monkeypatch.setattr(climbing, "TRAININGS", {ClassicSettings: counting})
    with pytest.raises(KeyboardInterrupt):
        compare(colours, tmp_path / "run", SOME)
    assert (tmp_path / "run" / "UNFINISHED").exists()
    assert "is an unfinished run" in refused(4, "predict", tmp_path / "run", colours)
    shutil.rmtree(own_cache / "rungs")  # what is in the folder is enough
    again = resume_comparison(tmp_path / "run")
    assert trained == ["colours", "classic", "classic"]
    assert [one.accuracy for one in again.standings] == [one.accuracy for one in done.standings]
    with pytest.raises(RunError, match="is finished"):
        resume_comparison(tmp_path / "run")


def test_only_a_comparison_is_gone_on_with(colours, tmp_path, own_run):
    (own_run.path / "DONE").unlink()
    (own_run.path / "UNFINISHED").touch()
    with pytest.raises(RunError, match=r"is no comparison; `tlkit finetune --resume"):
        resume_comparison(own_run.path)


def test_what_fits_in_no_time_is_left_out_and_said(colours, tmp_path, own_cache):
    shutil.rmtree(own_cache / "rungs", ignore_errors=True)
    with pytest.raises(OptionError, match="be trained: classic was left out, for --time-limit leaves no time"):
        compare(colours, tmp_path / "run", CompareSettings(only="colours,classic", time_limit="1s"))
    assert not (tmp_path / "run").exists()


def test_weights_that_cannot_be_read_make_no_rung(colours, tmp_path, monkeypatch):
    use_keras_home(monkeypatch, tmp_path)
    file = imagenet_file(find_backbone("mobilenet_025"), 224)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(OptionError, match="nothing could be trained: mobilenet_025 was left out: .* cannot be loaded"):
        compare(colours, tmp_path / "run", CompareSettings(only="mobilenet_025"))
    assert not (tmp_path / "run").exists()


def test_a_copy_that_was_cut_off_is_no_rung(done, colours, tmp_path, monkeypatch, own_cache):
    shutil.rmtree(own_cache / "rungs", ignore_errors=True)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(climbing, "measure_speed", interrupt)
        compare(colours, tmp_path / "run", SOME)
    (tmp_path / "run" / "classic").mkdir()  # as a copy that was killed leaves it
    (tmp_path / "run" / "classic" / "history.csv").touch()
    again = resume_comparison(tmp_path / "run")
    assert [one.accuracy for one in again.standings] == [one.accuracy for one in done.standings]
    assert again.standings[2].seconds is None  # nobody knows how long it took
    assert again.standings[3].seconds > 0


def interrupt(*given):
    raise KeyboardInterrupt


def test_a_rung_that_takes_too_long_is_left_out(colours, tmp_path, monkeypatch, own_cache):
    shutil.rmtree(own_cache / "rungs", ignore_errors=True)
    real = climbing.TRAININGS[ClassicSettings]

    def slow(data, output, settings, progress):
        if settings.descriptor == "auto":
            (output / "part").mkdir(parents=True)
            raise OutOfTimeError("the time is over")
        return real(data, output, settings, progress)

    monkeypatch.setattr(climbing, "TRAININGS", {ClassicSettings: slow})
    found = compare(colours, tmp_path / "run", CompareSettings(only="colours,classic", time_limit="1h"))
    assert [standing.name for standing in found.standings] == ["colours"]
    assert any("classic was left out" in note for note in found.notes)
    assert not (tmp_path / "run" / "classic").exists()


def test_a_deadline_ends_work_at_its_next_step():
    over, ample = Deadline(Silent(), -1), Deadline(Silent(), 1000)
    with pytest.raises(OutOfTimeError), over.stage("reading", 3, "images") as advance:
        advance(1)
    with pytest.raises(OutOfTimeError):
        over.epoch({})
    with ample.stage("reading", 3, "images") as advance:
        advance(1)


def test_a_rung_depends_on_its_images_and_its_settings(colours, tmp_path):
    copied = shutil.copytree(colours, tmp_path / "copy")
    one, images = ClassicSettings(descriptor="hog"), fingerprint(read_folder(copied))
    others = (ClassicSettings(descriptor="hog", seed=1), TrainSettings(), FinetuneSettings(), CompareSettings())
    keys = {rung_key(images, settings) for settings in (one, *others)}
    assert rung_key(fingerprint(read_folder(copied)), one) in keys
    (copied / "red" / "0.png").write_bytes((copied / "red" / "1.png").read_bytes())
    keys.add(rung_key(fingerprint(read_folder(copied)), one))
    assert len(keys) == 6


def test_a_rung_depends_on_the_weights_it_starts_from(tmp_path, monkeypatch):
    use_keras_home(monkeypatch, tmp_path)
    keys = {rung_key("images", FinetuneSettings())}
    file = imagenet_file(find_backbone("mobilenet_v2"), 224)
    file.parent.mkdir(parents=True)
    for content in (b"some", b"others"):
        file.write_bytes(content)
        keys.add(rung_key("images", FinetuneSettings()))
    assert len(keys) == 3


def test_only_backbones_whose_weights_are_there_are_tried(tmp_path, monkeypatch, shared_data):
    use_keras_home(monkeypatch, tmp_path)
    assert backbones_at_hand() == []
    names = [rung.name for rung in build_ladder(CompareSettings())]
    assert names == ["chance", "majority", "colours", "classic", "linear", "mlp", "lenet"]
    use_keras_home(monkeypatch, shared_data / "keras_home")
    at_hand = backbones_at_hand()
    rungs = {rung.name: rung for rung in build_ladder(CompareSettings())}
    assert set(at_hand) < set(rungs)
    chosen = rungs["lower"].choose({name: place / 10 for place, name in enumerate(at_hand)})
    assert (chosen.backbone, chosen.freeze) == (at_hand[-1], "lower")
    assert rungs["lower"].choose({}).backbone == "mobilenet_v2"


def test_the_command(done, colours, tmp_path):
    found = tlkit("compare", colours, "-o", tmp_path / "run", "--only", "colours,majority")
    assert "two colours, linear" in found.stdout
    assert "take nothing yet" in found.stdout  # seven images do not tell all right from two right: p = 0.06
    assert found.stderr == ""
    assert {"compare.csv", "compare.png", "compare.json", "DONE"} < {file.name for file in (tmp_path / "run").iterdir()}
    assert json.loads((tmp_path / "run" / "compare.json").read_text())["best"] == "colours"
    assert "already there" in refused(4, "compare", colours, "-o", tmp_path / "run")
    assert "names 'lenets'; the rungs here are chance" in refused(2, "compare", colours, "--only", "lenets")
    assert "names no rung that is trained" in refused(2, "compare", colours, "--only", "chance")
    assert "would lie inside the images" in refused(2, "compare", colours, "-o", colours / "run")
    assert "Missing argument 'DATA'" in misused("compare")
    said = refused(2, "compare", "--resume", tmp_path / "run", "--seed", "3")
    assert "--seed is what" in said
    assert np.all([standing.right is None or len(standing.right) == done.num_images for standing in done.standings])
