import shutil

import numpy as np
import pytest
from PIL import Image

from tlkit import evaluate, finetune
from tlkit.data.listing import count_reasons
from tlkit.errors import DataError, RunError
from tlkit.inference.evaluate import TRAINED_ON_IT
from tlkit.settings.commands import EvaluateSettings
from tlkit.settings.training import settings_from
from tlkit.training.finetune import finetune as run_finetune

CHANGED = "changed since the run was made"


@pytest.fixture
def new_images(tmp_path):
    """Squares of the run's colours that it has never seen, three per class."""
    from tests.conftest import COLOURS

    random = np.random.default_rng(7)
    for name, colour in COLOURS.items():
        (tmp_path / "new" / name).mkdir(parents=True)
        for number in range(3):
            pixels = np.clip(random.normal(colour, 20, (48, 48, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "new" / name / f"{number}.png")
    return tmp_path / "new"


@pytest.fixture(scope="module")
def movable(finetuned, colours, tmp_path_factory):
    """Makes a run whose images a test may change; returns its images and its folder."""
    settings = settings_from(finetuned.run.read_json("settings.json"))
    home = tmp_path_factory.mktemp("movable")
    data = shutil.copytree(colours, home / "data")
    run = run_finetune(data, home / "run", settings).run

    def make(folder):
        shutil.copytree(data, folder / "data")
        copy = shutil.copytree(run.path, folder / "run")
        text = (copy / "settings.json").read_text()
        (copy / "settings.json").write_text(text.replace(str(data), str(folder / "data")))
        return folder / "data", copy

    return make


def settings(**values):
    return EvaluateSettings(**values)


def paths_of(run, side):
    return [row["path"] for row in run.read_rows("split.csv") if row["split"] == side]


# the run's own images


def test_its_own_validation_images_give_the_figures_of_the_run(run, finetuned):
    found = evaluate(run)
    metrics = run.read_json("metrics.json")
    assert found.what == "validation"
    assert found.left_out == ()
    assert found.report.accuracy == metrics["accuracy"]
    assert list(found.report.interval) == metrics["accuracy_ci95"]
    assert np.array_equal(found.report.confusion, finetuned.report.confusion)


def test_its_own_validation_images_reproduce_the_recorded_predictions(run):
    found, recorded = evaluate(run.path), run.read_rows("predictions_val.csv")
    names = found.report.class_names
    assert list(found.paths) == [row["path"] for row in recorded]
    assert [names[label] for label in found.report.labels] == [row["class"] for row in recorded]
    assert [names[label] for label in found.report.predicted] == [row["label"] for row in recorded]
    expected = [[float(row[f"p_{name}"]) for name in names] for row in recorded]
    assert np.abs(found.report.probabilities - expected).max() < 1e-6


def test_keras_reproduces_them_too(run):
    ours, keras = evaluate(run), evaluate(run, settings=settings(engine="keras"))
    assert np.abs(ours.report.probabilities - keras.report.probabilities).max() < 1e-4
    assert np.array_equal(ours.report.predicted, keras.report.predicted)


@pytest.mark.parametrize(("split", "count"), [("train", "num_train"), ("validation", "num_validation")])
def test_another_side_of_the_run_can_be_asked_for(run, split, count):
    found = evaluate(run, settings=settings(split=split))
    assert found.what == split
    assert len(found.paths) == run.read_json("metrics.json")[count]
    assert list(found.paths) == paths_of(run, split)


def test_all_images_of_the_run_can_be_asked_for(run):
    assert len(evaluate(run, settings=settings(split="all")).paths) == 36


def test_a_side_the_run_has_not_got_is_refused(run):
    with pytest.raises(DataError, match="has no test images; give a folder as DATA or another --split"):
        evaluate(run, settings=settings(split="test"))


def test_changed_and_missing_images_are_left_out_with_their_reasons(movable, tmp_path):
    data, run = movable(tmp_path)
    first, second, third, *others = evaluate(run).paths
    (data / first).unlink()
    Image.new("RGB", (48, 48), "white").save(data / second)
    (data / third).write_bytes(b"no image")
    found = evaluate(run)
    assert list(found.paths) == others
    assert [item.path for item in found.left_out] == [first, second, third]
    assert [item.problem for item in found.left_out][:2] == ["does not exist", CHANGED]


def test_images_that_are_all_gone_are_told(movable, tmp_path):
    data, run = movable(tmp_path)
    for file in data.glob("*/*"):
        file.unlink()
    with pytest.raises(DataError, match=r"no image is left to evaluate \(\d were left out, such as '.*': does not"):
        evaluate(run)


def test_a_folder_that_moved_is_told_with_its_old_place(movable, tmp_path):
    data, run = movable(tmp_path)
    data.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=f"are no longer at '{data}'; give a folder as DATA"):
        evaluate(run)


# a folder


def test_new_images_are_all_counted(run, new_images):
    found = evaluate(run, new_images)
    assert (found.what, len(found.paths), found.left_out) == ("new", 9, ())


def test_images_the_run_was_trained_on_are_left_out_and_counted(run, colours):
    found = evaluate(run, colours)
    assert sorted(item.path for item in found.left_out) == sorted(paths_of(run, "train"))
    assert count_reasons(found.left_out) == {TRAINED_ON_IT: len(paths_of(run, "train"))}
    assert sorted(found.paths) == sorted(paths_of(run, "validation"))


def test_training_images_count_where_they_are_asked_for(run, colours):
    found = evaluate(run, colours, settings(include_training=True))
    assert (len(found.paths), found.left_out) == (36, ())


def test_a_copy_in_another_format_is_known_by_its_pixels(run, colours, new_images):
    path = paths_of(run, "train")[0]
    with Image.open(colours / path) as image:
        image.save(new_images / path.split("/")[0] / "renamed.bmp")
    found = evaluate(run, new_images)
    assert [(item.path.split("/")[1], item.problem) for item in found.left_out] == [("renamed.bmp", TRAINED_ON_IT)]


def test_an_unknown_class_is_named(run, new_images):
    (new_images / "mauve").mkdir()
    with pytest.raises(DataError, match="has a class 'mauve' that was not learnt; expected only blue, green, red"):
        evaluate(run, new_images)


def test_fewer_classes_are_fine_and_keep_their_labels(run, new_images):
    shutil.rmtree(new_images / "blue")
    shutil.rmtree(new_images / "green")
    found = evaluate(run, new_images)
    assert found.report.labels.tolist() == [2, 2, 2]
    assert found.report.confusion.shape == (3, 3)


def test_files_that_are_no_images_are_left_out_with_a_reason(run, new_images):
    (new_images / "red" / "notes.txt").write_text("hello")
    found = evaluate(run, new_images)
    assert [item.path for item in found.left_out] == ["red/notes.txt"]
    assert len(found.paths) == 9


def test_an_empty_folder_is_refused(run, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image is left to evaluate"):
        evaluate(run, tmp_path / "empty")


def test_a_missing_folder_is_refused(run, tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        evaluate(run, tmp_path / "nowhere")


def sided(new_images, *sides):
    """The new images below these sides, one of each class in each."""
    root = new_images.parent / "sided"
    for number, side in enumerate(sides):
        for folder in new_images.iterdir():
            (root / side / folder.name).mkdir(parents=True)
            shutil.copy(folder / f"{number}.png", root / side / folder.name)
    return root


@pytest.mark.parametrize(
    ("sides", "what", "folder"),
    [
        (("train", "val", "test"), "test", "test"),
        (("train", "valid"), "validation", "valid"),
        (("test",), "test", "test"),
        (("val",), "validation", "val"),
    ],
)
def test_of_a_folder_with_sides_the_test_side_is_used_or_else_the_validation_side(run, new_images, sides, what, folder):
    found = evaluate(run, sided(new_images, *sides))
    assert found.what == what
    assert len(found.paths) == 3
    assert {path.split("/")[0] for path in found.paths} == {folder}


def test_a_folder_with_a_training_side_alone_is_used_whole(run, new_images):
    assert len(evaluate(run, sided(new_images, "train")).paths) == 3


@pytest.mark.parametrize(("split", "count"), [("train", 3), ("validation", 3), ("test", 3), ("all", 9)])
def test_a_side_of_a_folder_can_be_asked_for(run, new_images, split, count):
    found = evaluate(run, sided(new_images, "train", "val", "test"), settings(split=split))
    assert len(found.paths) == count


def test_a_side_that_a_folder_has_not_got_is_refused(run, new_images):
    with pytest.raises(DataError, match="has no test folder; leave out --split or use --split all"):
        evaluate(run, sided(new_images, "train", "val"), settings(split="test"))


def test_a_plain_folder_has_no_sides_to_ask_for(run, new_images):
    with pytest.raises(DataError, match="has no validation folder"):
        evaluate(run, new_images, settings(split="validation"))


def test_evaluating_writes_nothing(run, new_images):
    files = [*run.path.rglob("*"), *new_images.rglob("*")]
    before = {file: file.stat().st_mtime_ns for file in files}
    evaluate(run, new_images)
    after = [*run.path.rglob("*"), *new_images.rglob("*")]
    assert {file: file.stat().st_mtime_ns for file in after} == before


def test_a_damaged_split_is_refused(own_run):
    with (own_run.path / "split.csv").open("a") as file:
        file.write("x,red,validation,0,0\n")
    with pytest.raises(RunError, match=r"split\.csv' is not what the run wrote"):
        evaluate(own_run)


def test_a_test_side_of_the_run_is_measured_as_the_run_did(finetuned, colours, tmp_path):
    values = finetuned.run.read_json("settings.json") | {"test_split": 0.3, "epochs": 2}
    done = finetune(colours, tmp_path / "run", settings_from(values))
    found = evaluate(done.run, settings=settings(split="test"))
    assert found.report.accuracy == done.metrics["test"]["accuracy"]
    assert np.abs(found.report.probabilities - done.test.probabilities).max() < 1e-6
