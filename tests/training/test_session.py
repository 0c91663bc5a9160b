"""The fixed order of steps: where a run lies, what it writes, and what it leaves where it is refused or stopped."""

from dataclasses import replace

import pytest
from PIL import Image

from tests.making import CHAIN_FILES, RUN_FILES
from tests.training.stops import StopsAtStage, StopsInEpoch, assert_same_training
from tlkit.errors import DataError, ModelError, OptionError, RunError
from tlkit.runs.run import load_run
from tlkit.settings.training import ClassicSettings, FinetuneSettings, TrainSettings, settings_from
from tlkit.training.classic import train_classic
from tlkit.training.finetune import finetune
from tlkit.training.from_scratch import train
from tlkit.training.resume import resume
from tlkit.utils.files import sha256_file
from tlkit.utils.progress import Silent

SMALL = FinetuneSettings(
    backbone="mobilenet_025", weights="none", freeze="all", image_size=32, hidden="0", batch_size=16, epochs=1
)
CLASSIC = ClassicSettings(descriptor="histogram", classifier="logistic")
QUICK = TrainSettings(model="linear", image_size=8, epochs=1, batch_size=16)
CLASSIC_FILES = {"classic.npz"}
KERAS_FILES = {"engine/head.npz", "model.keras", "history.csv", "plots/curves.png"}


def files_of(path):
    return {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}


# what is written


def test_run_has_exactly_the_files_of_its_kind(finetuned_run, blocks_run, scratch_run, classic_run, deep_result):
    assert files_of(finetuned_run.path) == RUN_FILES | CHAIN_FILES
    assert files_of(blocks_run.path) - {"plots/wrong.png"} == RUN_FILES | CHAIN_FILES | {"engine/upper.tflite"}
    assert files_of(scratch_run.path) - {"plots/wrong.png"} == RUN_FILES | {"engine/upper.tflite", "engine/head.tflite"}
    assert files_of(classic_run.path) - {"plots/wrong.png"} == RUN_FILES - KERAS_FILES | CLASSIC_FILES
    assert files_of(deep_result.run.path) - {"plots/wrong.png"} == RUN_FILES - KERAS_FILES | CLASSIC_FILES | {
        "engine/lower.tflite"
    }


def test_run_can_be_loaded_and_every_file_has_its_hash(finetuned_run):
    run = load_run(finetuned_run.path)
    manifest = run.manifest
    assert manifest.class_names == ("blue", "green", "red")
    assert (manifest.image.size, manifest.image.resize) == (32, "crop")
    assert (manifest.precision, manifest.engine) == ("float32", "litert")
    assert set(manifest.sha256) == (RUN_FILES | CHAIN_FILES) - {"DONE", "model.json", "report.html", "MODEL_CARD.md"}
    assert all(sha256_file(run.path / name) == value for name, value in manifest.sha256.items())


def test_seconds_add_up_to_total(finetuned, classic_result):
    for result in (finetuned, classic_result):
        seconds = dict(result.metrics.seconds)
        assert {"scan", "features", "fit", "total"} <= seconds.keys()
        assert 0 <= seconds.pop("total") - sum(seconds.values()) < 5


def test_split_is_that_of_every_other_recipe(finetuned_run, blocks_run, scratch_run, classic_run, deep_result):
    runs = (finetuned_run, blocks_run, scratch_run, classic_run, deep_result.run)
    subsets = [{row["path"]: row["split"] for row in run.read_rows("split.csv")} for run in runs]
    assert all(each == subsets[0] for each in subsets)


@pytest.mark.training
def test_run_is_numbered_where_no_output_is_given(colors, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/train-004").mkdir(parents=True)
    assert train_classic(colors, None, CLASSIC).run.path.as_posix() == "runs/train-005"
    (tmp_path / "runs/finetune-006").mkdir()
    assert train(colors, None, QUICK).run.path.as_posix() == "runs/train-006"


@pytest.mark.training
def test_corrupt_files_are_left_out_and_counted(copied_colors, tmp_path):
    (copied_colors / "red/bad.png").write_bytes((copied_colors / "red/0.png").read_bytes()[:500])
    (copied_colors / "blue/empty.jpg").write_bytes(b"")
    (copied_colors / "green/notes.txt").write_text("notes")
    result = finetune(copied_colors, tmp_path / "run", SMALL)
    rows = result.run.read_rows("left_out.csv")
    assert [row["path"] for row in rows] == ["blue/empty.jpg", "green/notes.txt", "red/bad.png"]
    assert all(row["reason"] for row in rows)
    assert sum(result.metrics.left_out.values()) == 3
    assert result.metrics.num_train + result.metrics.num_validation == 36
    assert files_of(result.run.path) - {"plots/wrong.png"} == RUN_FILES | CHAIN_FILES | {"left_out.csv"}


@pytest.mark.training
def test_identical_images_of_two_classes_are_listed_in_a_file_that_the_run_owns(copied_colors, tmp_path):
    for source, copy in (("red/0", "blue/x"), ("red/1", "green/y")):
        (copied_colors / f"{copy}.png").write_bytes((copied_colors / f"{source}.png").read_bytes())
    result = train_classic(copied_colors, tmp_path / "run", CLASSIC)
    rows = result.run.read_rows("conflicts.csv")  # checked against its hash
    assert [(row["path"], row["class"]) for row in rows] == [
        *(("blue/x.png", "blue"), ("red/0.png", "red")),
        *(("green/y.png", "green"), ("red/1.png", "red")),
    ]
    group_of = {row["path"]: row["group"] for row in result.run.read_rows("split.csv")}
    assert all(row["group"] == group_of[row["path"]] for row in rows)
    assert result.metrics.notes[-1] == (
        "2 sets of identical images have different labels: blue/x.png and red/0.png are the same image; so are "
        "green/y.png and red/1.png. Remove the wrong ones; conflicts.csv lists them."
    )


# what is refused


def test_class_of_corrupt_files_alone_is_refused_and_leaves_no_run(copied_colors, tmp_path):
    for file in (copied_colors / "red").iterdir():
        file.write_bytes(b"no image")
    for number, start in enumerate((lambda path: train(copied_colors, path, QUICK),
                                    lambda path: train_classic(copied_colors, path, CLASSIC))):  # fmt: skip
        with pytest.raises(DataError, match="class 'red' has no readable image to train on"):
            start(tmp_path / f"run-{number}")
        assert not (tmp_path / f"run-{number}").exists()


def test_unreadable_weights_leave_no_run(colors, tmp_path):
    (tmp_path / "bad.h5").write_text("no weights")
    with pytest.raises(ModelError, match="is not a weights file"):
        finetune(colors, tmp_path / "run", replace(SMALL, weights=str(tmp_path / "bad.h5")))
    assert not (tmp_path / "run").exists()


def test_existing_output_is_refused_and_untouched(colors, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/precious.txt").write_text("mine")
    for path in ("mine", "mine/precious.txt"):
        with pytest.raises(OptionError, match="already exists"):
            finetune(colors, tmp_path / path, SMALL)
    assert files_of(tmp_path) == {"mine/precious.txt"}
    assert (tmp_path / "mine/precious.txt").read_text() == "mine"


@pytest.mark.parametrize("inside", ["run", "red/run", "."])
def test_output_among_images_is_refused(inside, copied_colors):
    before = files_of(copied_colors)
    with pytest.raises(OptionError, match="inside the image folder"):
        finetune(copied_colors, copied_colors / inside, SMALL)
    assert files_of(copied_colors) == before


def test_default_output_among_images_is_refused(copied_colors, monkeypatch):
    monkeypatch.chdir(copied_colors)
    before = files_of(copied_colors)
    with pytest.raises(OptionError, match="inside the image folder"):
        finetune(".", None, SMALL)
    assert files_of(copied_colors) == before


def test_folder_without_classes_is_refused_before_anything_is_made(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        finetune(tmp_path / "empty", tmp_path / "run", SMALL)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_size": 31}, "--image-size is 31; mobilenet_025 needs at least 32"),
        ({"backbone": "mobilnet_025"}, "did you mean mobilenet_025"),
        ({"engine": "keras", "precision": "bfloat16"}, "--precision bfloat16 needs --engine openvino"),
    ],
)
def test_options_that_mean_nothing_are_refused_before_anything_is_made(changes, words, colors, tmp_path):
    with pytest.raises(OptionError, match=words):
        finetune(colors, tmp_path / "run", replace(SMALL, **changes))
    assert not (tmp_path / "run").exists()


# what is left where it is stopped


@pytest.mark.parametrize("stage", ["features", "whole"])
def test_interrupt_before_anything_is_trained_leaves_no_run(stage, colors, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(colors, tmp_path / "run", QUICK, StopsAtStage(stage, KeyboardInterrupt))
    assert not (tmp_path / "run").exists()


@pytest.mark.training
def test_interrupt_after_an_epoch_keeps_run(colors, tmp_path, monkeypatch):
    monkeypatch.setattr("tlkit.training.loop.checkpoint.SECONDS_BETWEEN", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(colors, tmp_path / "run", replace(QUICK, epochs=3), progress=StopsInEpoch(1, KeyboardInterrupt))
    assert {"UNFINISHED", "settings.json", "split.csv", "checkpoint-whole.npz"} <= files_of(tmp_path / "run")


@pytest.mark.training
def test_interrupt_while_run_is_written_leaves_what_says_it_is_unfinished(colors, tmp_path, monkeypatch):
    import keras

    def interrupted(self, *args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(keras.Model, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(colors, tmp_path / "run", replace(QUICK, epochs=3))
    files = files_of(tmp_path / "run")
    assert "DONE" not in files
    assert {"UNFINISHED", "settings.json", "split.csv"} <= files
    assert "model.keras" not in files
    assert not any(name.startswith(".") for name in files)
    with pytest.raises(RunError, match="is unfinished"):
        load_run(tmp_path / "run")


class WritesOwnPage(Silent):
    """A person who saves a page of that name into the run folder while the training runs."""

    def run_started(self, run):
        self.file = run / "report.html"

    def on_epoch_end(self, row):
        self.file.write_text("my notes")


@pytest.mark.training
def test_a_page_that_cannot_be_written_is_a_note_of_a_finished_run(colors, tmp_path):
    result = train(colors, tmp_path / "run", QUICK, WritesOwnPage())
    assert (result.run.path / "report.html").read_text() == "my notes"
    assert "report.html was not written" in result.metrics.notes[-1]
    assert load_run(result.run.path).read_json("metrics.json")["notes"] == result.metrics.notes
    result.run.checked_file("metrics.json")


@pytest.mark.training
def test_an_interrupt_while_the_page_is_written_loses_nothing_that_was_trained(
    colors, scratch_run, tmp_path, monkeypatch
):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "thumbnail", interrupted)
    settings = settings_from(scratch_run.read_settings())
    with pytest.raises(KeyboardInterrupt):
        train(colors, tmp_path / "run", settings)
    assert {"UNFINISHED", "model.keras", "metrics.json"} <= files_of(tmp_path / "run")
    assert not any(name.startswith(".") for name in files_of(tmp_path / "run"))
    monkeypatch.undo()
    resumed = resume(tmp_path / "run")
    assert_same_training(resumed.run, scratch_run)
    assert (resumed.run.path / "report.html").is_file()


@pytest.mark.training
def test_no_report_leaves_the_page_out(colors, tmp_path):
    run = train(colors, tmp_path / "run", replace(QUICK, report=False)).run
    assert "report.html" not in files_of(run.path)
    assert "map.csv" in files_of(run.path)
