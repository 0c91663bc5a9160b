"""Three real comparisons: classic classifiers, a network that is stopped, and a pretrained one (slow)."""

import csv

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skimage")

from tests.cli.commands import tlkit
from tests.report.making import Page
from tlkit.comparison.cache import read_request
from tlkit.comparison.compare import compare, resume_comparison, start_comparison
from tlkit.errors import ModelError, OptionError, RunError
from tlkit.models.backbones import find_backbone, imagenet_file
from tlkit.runs.manifest import RUN_FILES
from tlkit.runs.run import create_run, load_run
from tlkit.settings.commands import CompareSettings
from tlkit.utils.files import owned_files
from tlkit.utils.progress import Silent
from tlkit.utils.text import parse_duration


def table_of(run):
    with (run.path / "compare.csv").open(newline="") as lines:
        return {row["model"]: row for row in csv.DictReader(lines)}


def test_compare_measures_all_on_the_same_images(finished):
    colors, classic = (load_run(finished.run.path / name).read_rows("split.csv") for name in ("colors", "classic"))
    assert colors == classic
    assert [result.name for result in finished.results] == ["chance", "majority", "colors", "classic"]
    assert all(result.correct is None or len(result.correct) == finished.num_images for result in finished.results)


def test_compare_figures_are_those_of_the_runs(finished):
    table = table_of(finished.run)
    for name in ("colors", "classic"):
        metrics = load_run(finished.run.path / name).read_json("metrics.json")
        assert float(table[name]["accuracy"]) == metrics["accuracy"]
        assert [float(table[name]["ci95_low"]), float(table[name]["ci95_high"])] == metrics["accuracy_ci95"]
        assert float(table["majority"]["accuracy"]) == pytest.approx(metrics["baseline_accuracy"])
        assert float(table[name]["images_per_second"]) > 0
        assert int(table[name]["bytes"]) == (finished.run.path / name / "classic.npz").stat().st_size
        assert table[name]["features_reused"] in ("False", "True")
    assert float(table["chance"]["accuracy"]) == pytest.approx(1 / 3)
    assert table["colors"]["accuracy"] == "1.0"
    assert float(table["majority"]["p"]) < 0.5
    assert float(table["majority"]["difference_to_best"]) == pytest.approx(float(table["majority"]["accuracy"]) - 1)


def test_compare_writes_a_page_of_its_figures(finished):
    page = Page((finished.run.path / "compare.html").read_text(encoding="utf-8"))
    assert finished.recommendation.reason in page.text
    for result in finished.results:
        assert result.title in page.text
        assert f"{100 * result.accuracy:.1f} %" in page.text.replace("\xa0", " ")
        if result.command:
            wrong = finished.num_images - result.correct.sum()
            assert f"{result.title}: {wrong} of {finished.num_images} images wrong" in page.text


def test_a_page_that_cannot_be_written_is_a_note(colors, tmp_path, monkeypatch):
    from tlkit.comparison.compare import resume_comparison

    comparison = compare(colors, tmp_path / "run", only="majority,colors")
    for name in ("DONE", "compare.csv"):
        (tmp_path / "run" / name).unlink()
    (tmp_path / "run" / "UNFINISHED").write_text("")
    (tmp_path / "run" / "compare.html").write_text("mine")
    again = resume_comparison(tmp_path / "run")
    assert [result.accuracy for result in again.results] == [result.accuracy for result in comparison.results]
    assert any("compare.html was not written" in note and "is not a page" in note for note in again.notes)
    assert (tmp_path / "run" / "compare.html").read_text() == "mine"


def test_compare_every_file_is_known_as_its_own(finished):
    known = [file for name in (".", "colors", "classic") for file in owned_files(finished.run.path / name, RUN_FILES)]
    assert sorted(known) == sorted(path for path in finished.run.path.rglob("*") if path.is_file())


def test_compare_leaves_runs_and_stands_for_the_recommended_one(finished, colors):
    from tlkit.inference.predictor import predict

    for run in (finished.run.path / "colors", finished.run.path):
        (prediction,) = predict(run, colors / "red" / "0.png")
        assert prediction.label == "red"
    assert load_run(finished.run.path).path == finished.run.path / finished.recommendation.name


def test_compare_command_of_a_result_trains_the_same(finished, tmp_path):
    command = finished.results[2].command.split()
    assert command[:2] == ["tlkit", "train"]
    assert command[3:] == ["--descriptor", "colors", "--classifier", "logistic"]
    tlkit(*command[1:], "-o", tmp_path / "again")
    again, first = (load_run(path) for path in (tmp_path / "again", finished.run.path / "colors"))
    assert again.read_rows("predictions_val.csv") == first.read_rows("predictions_val.csv")


class Interrupting(Silent):
    """Ends an epoch with an interrupt."""

    def __init__(self, epoch):
        super().__init__()
        self.epochs_left = epoch

    def on_epoch_end(self, row):
        self.epochs_left -= 1
        if not self.epochs_left:
            raise KeyboardInterrupt


def test_resume_comparison_continues_a_network_to_the_same_result(colors, tmp_path, cache, monkeypatch):
    """What had a time limit is not cached."""
    settings = CompareSettings(only="majority,linear", time_limit="1h")
    whole = compare(colors, tmp_path / "whole", settings)
    assert not (cache / "runs").exists()
    monkeypatch.setattr("tlkit.training.loop.checkpoint.SECONDS_BETWEEN", 0.0)
    with pytest.raises(KeyboardInterrupt):
        compare(colors, tmp_path / "run", settings, Interrupting(3))
    again = resume_comparison(tmp_path / "run")
    tables = (one.run.path / "linear" / "predictions_val.csv" for one in (whole, again))
    assert len({path.read_bytes() for path in tables}) == 1
    assert (whole.results[1].selected_on_validation, again.results[1].seconds) == (True, None)
    assert not (cache / "runs").exists()


@pytest.mark.slow
def test_compare_pretrained_network_is_not_cut_short(colors, tmp_path, monkeypatch, cache, shared_data):
    """What is frozen has all the time it wants, and so is cached."""
    monkeypatch.setenv("KERAS_HOME", str(shared_data / "keras_home"))
    comparison = compare(colors, tmp_path / "run", only="linear,mobilenet_025", time_limit="5m")
    assert [result.name for result in comparison.results] == ["linear", "mobilenet_025"]
    limits = {
        name: load_run(tmp_path / "run" / name).read_json("settings.json")["time_limit"]
        for name in table_of(comparison.run)
    }
    assert limits["mobilenet_025"] == ""
    assert 100 < parse_duration(limits["linear"]) < 300
    assert len(list((cache / "runs").iterdir())) == 1


def test_compare_weights_that_cannot_be_read_leave_a_candidate_out(colors, tmp_path, monkeypatch):
    from tests.networks import use_keras_home

    use_keras_home(monkeypatch, tmp_path)
    file = imagenet_file(find_backbone("mobilenet_025"), 224)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(ModelError, match="no model could be trained: mobilenet_025 was skipped: .* cannot be loaded"):
        compare(colors, tmp_path / "run", only="mobilenet_025")
    assert not (tmp_path / "run").exists()


def test_resume_comparison_other_runs_are_refused(tmp_path):
    run = create_run(tmp_path / "run", "finetune")
    run.write_json("settings.json", {"command": "finetune"})
    with pytest.raises(RunError, match=r"is not a comparison; `tlkit finetune --resume"):
        resume_comparison(run.path)


def test_start_comparison_keeps_what_was_asked_for(colors, tmp_path):
    settings = CompareSettings(only="chance,colors", seed=3)
    run = start_comparison(colors, tmp_path / "run", settings)
    assert read_request(run) == (colors.resolve(), settings)
    with pytest.raises(OptionError, match="only has baselines only; add a trained model"):
        start_comparison(colors, tmp_path / "other", CompareSettings(only="chance"))
