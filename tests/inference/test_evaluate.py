"""Measuring a finished run on its own images, or on a folder."""

import shutil

import numpy as np
import pytest
from PIL import Image

from tests.shared_runs import rewrite_json
from tlkit import evaluate
from tlkit.data.listing import count_reasons
from tlkit.errors import DataError, RunError
from tlkit.inference.labeled import NOT_COUNTED
from tlkit.settings.commands import EvaluateSettings
from tlkit.settings.training import settings_from
from tlkit.training.finetune import finetune

CHANGED = "changed since the run was made"


@pytest.fixture
def new_images(tmp_path):
    """Squares of the run's colors that it has never seen, three per class."""
    from tests.conftest import COLORS

    random = np.random.default_rng(7)
    for name, color in COLORS.items():
        (tmp_path / "new" / name).mkdir(parents=True)
        for number in range(3):
            pixels = np.clip(random.normal(color, 20, (48, 48, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "new" / name / f"{number}.png")
    return tmp_path / "new"


@pytest.fixture
def moved(own_run, colors, tmp_path):
    """A copy of the run, and of its images, which a test may change."""
    data = shutil.copytree(colors, tmp_path / "data")
    settings = own_run.read_json("settings.json") | {"data": str(data)}
    rewrite_json(own_run, "settings.json", settings)
    return data, own_run


def settings(**values):
    return EvaluateSettings(**values)


def paths_of(run, subset):
    return [row["path"] for row in run.read_rows("split.csv") if row["split"] == subset]


# the run's own images


def test_evaluate_without_a_folder_gives_the_figures_of_the_run(run, finetuned):
    found = evaluate(run)
    metrics = run.read_json("metrics.json")
    assert (found.subset, found.counted, found.apart) == ("validation", "validation", {})
    assert found.skipped == ()
    assert found.report.accuracy == metrics["accuracy"]
    assert list(found.report.interval) == metrics["accuracy_ci95"]
    assert np.array_equal(found.report.confusion, finetuned.report.confusion)


def test_evaluate_without_a_folder_reproduces_the_recorded_predictions(run):
    found, recorded = evaluate(run.path), run.read_rows("predictions_val.csv")
    names = found.report.class_names
    assert list(found.paths) == [row["path"] for row in recorded]
    assert [names[label] for label in found.report.labels] == [row["class"] for row in recorded]
    assert [names[label] for label in found.report.predicted] == [row["label"] for row in recorded]
    expected = [[float(row[f"p_{name}"]) for name in names] for row in recorded]
    assert np.abs(found.report.probabilities - expected).max() < 1e-6


def test_evaluate_by_keras_reproduces_them_too(run):
    ours, keras = evaluate(run), evaluate(run, settings=settings(engine="keras"))
    assert np.abs(ours.report.probabilities - keras.report.probabilities).max() < 1e-4
    assert np.array_equal(ours.report.predicted, keras.report.predicted)


def test_evaluate_gives_the_subset_of_the_run_asked_for(run):
    for split, count in (("train", "num_train"), ("validation", "num_validation")):
        found = evaluate(run, settings=settings(split=split))
        assert found.subset == split
        assert len(found.paths) == run.read_json("metrics.json")[count]
        assert list(found.paths) == paths_of(run, split)
    assert len(evaluate(run, settings=settings(split="all")).paths) == 36


def test_evaluate_of_a_subset_the_run_lacks_is_refused(run):
    with pytest.raises(DataError, match="no test images.*--split"):
        evaluate(run, settings=settings(split="test"))


def test_evaluate_skips_changed_and_missing_images_with_their_reasons(moved):
    data, run = moved
    first, second, third, *others = evaluate(run).paths
    (data / first).unlink()
    Image.new("RGB", (48, 48), "white").save(data / second)
    (data / third).write_bytes(b"no image")
    found = evaluate(run)
    assert list(found.paths) == others
    assert [item.path for item in found.skipped] == [first, second, third]
    assert [item.reason for item in found.skipped][:2] == ["does not exist", CHANGED]


def test_evaluate_of_images_that_are_all_gone_says_so(moved):
    data, run = moved
    for file in data.glob("*/*"):
        file.unlink()
    with pytest.raises(DataError, match=r"no image to evaluate: \d were left out, e.g. '.*': does not"):
        evaluate(run)


def test_evaluate_of_a_folder_that_moved_names_its_old_place(moved, tmp_path):
    data, run = moved
    data.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=f"are not in '{data}'"):
        evaluate(run)


# a folder


def test_evaluate_of_new_images_counts_all(run, new_images):
    found = evaluate(run, new_images)
    assert (found.counted, found.subset, len(found.paths), found.skipped) == ("new", "all", 9, ())
    assert list(found.apart) == ["new"]
    recorded = run.read_json("metrics.json")
    assert found.recorded == (round(recorded["accuracy"] * 6), recorded["num_validation"])


def test_evaluate_of_the_images_of_the_run_counts_its_validation_images(run, colors):
    found = evaluate(run, colors)
    assert sorted(item.path for item in found.skipped) == sorted(paths_of(run, "train"))
    assert count_reasons(found.skipped) == {NOT_COUNTED["training"]: len(paths_of(run, "train"))}
    assert (found.counted, sorted(found.paths)) == ("validation", sorted(paths_of(run, "validation")))
    assert {kind: len(report.labels) for kind, report in found.apart.items()} == {"validation": 6, "training": 30}


def test_evaluate_of_new_and_known_images_counts_the_new_ones(run, colors, new_images):
    known = {subset: paths_of(run, subset)[:count] for subset, count in (("train", 4), ("validation", 2))}
    for subset, paths in known.items():
        for path in paths:
            folder, name = path.split("/")
            shutil.copy(colors / path, new_images / folder / f"{subset} {name}")
    found = evaluate(run, new_images)
    assert found.counted == "new"
    assert sorted(found.paths) == sorted(
        f"{name}/{number}.png" for name in found.report.class_names for number in range(3)
    )
    assert {kind: len(report.labels) for kind, report in found.apart.items()} == {
        "new": 9,
        "validation": 2,
        "training": 4,
    }
    assert count_reasons(found.skipped) == {NOT_COUNTED["training"]: 4, NOT_COUNTED["validation"]: 2}
    assert np.array_equal(found.apart["new"].labels, found.report.labels)


def test_evaluate_of_nothing_but_training_images_is_refused(run, colors, tmp_path):
    for path in paths_of(run, "train"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copy(colors / path, tmp_path / path)
    with pytest.raises(DataError, match="30 were left out, e.g. '.*': the run was trained on it"):
        evaluate(run, tmp_path)


def test_evaluate_counts_training_images_where_they_are_asked_for(run, colors):
    found = evaluate(run, colors, settings(include_training=True))
    assert (found.counted, len(found.paths), found.skipped) == ("all", 36, ())


def test_evaluate_knows_a_copy_in_another_format_by_its_pixels(run, colors, new_images):
    path = paths_of(run, "train")[0]
    with Image.open(colors / path) as image:
        image.save(new_images / path.split("/")[0] / "renamed.bmp")
    found = evaluate(run, new_images)
    assert [(item.path.split("/")[1], item.reason) for item in found.skipped] == [
        ("renamed.bmp", NOT_COUNTED["training"])
    ]


def test_evaluate_of_an_unknown_class_names_it(run, new_images):
    (new_images / "mauve").mkdir()
    with pytest.raises(DataError, match="'mauve'.*blue, green, red"):
        evaluate(run, new_images)


def test_evaluate_of_fewer_classes_keeps_their_labels(run, new_images):
    shutil.rmtree(new_images / "blue")
    shutil.rmtree(new_images / "green")
    found = evaluate(run, new_images)
    assert found.report.labels.tolist() == [2, 2, 2]
    assert found.report.confusion.shape == (3, 3)


def test_evaluate_skips_files_that_are_no_images(run, new_images):
    (new_images / "red" / "notes.txt").write_text("hello")
    found = evaluate(run, new_images)
    assert [item.path for item in found.skipped] == ["red/notes.txt"]
    assert len(found.paths) == 9


def test_evaluate_of_an_empty_folder_is_refused(run, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image to evaluate"):
        evaluate(run, tmp_path / "empty")


def test_evaluate_of_a_missing_folder_is_refused(run, tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        evaluate(run, tmp_path / "nowhere")


def sorted_into(new_images, *subsets):
    """The new images below folders of subsets, one of each class in each."""
    root = new_images.parent / "sorted"
    for number, subset in enumerate(subsets):
        for folder in new_images.iterdir():
            (root / subset / folder.name).mkdir(parents=True)
            shutil.copy(folder / f"{number}.png", root / subset / folder.name)
    return root


def test_evaluate_of_a_sorted_folder_uses_its_test_images_or_else_its_validation_images(run, new_images):
    for subsets, expected, folder in (
        (("train", "val", "test"), "test", "test"),
        (("train", "valid"), "validation", "valid"),
        (("test",), "test", "test"),
        (("val",), "validation", "val"),
    ):
        root = sorted_into(new_images, *subsets)
        found = evaluate(run, root)
        assert (found.subset, len(found.paths)) == (expected, 3), subsets
        assert {path.split("/")[0] for path in found.paths} == {folder}, subsets
        shutil.rmtree(root)


def test_evaluate_of_a_folder_of_training_images_alone_uses_all(run, new_images):
    assert len(evaluate(run, sorted_into(new_images, "train")).paths) == 3


def test_evaluate_of_a_sorted_folder_gives_the_subset_asked_for(run, new_images):
    root = sorted_into(new_images, "train", "val", "test")
    counts = {"train": 3, "validation": 3, "test": 3, "all": 9}
    assert {split: len(evaluate(run, root, settings(split=split)).paths) for split in counts} == counts


def test_evaluate_of_a_subset_a_folder_lacks_is_refused(run, new_images):
    with pytest.raises(DataError, match="no test folder.*--split all"):
        evaluate(run, sorted_into(new_images, "train", "val"), settings(split="test"))


def test_evaluate_of_a_plain_folder_has_no_subset_to_ask_for(run, new_images):
    with pytest.raises(DataError, match="no validation folder"):
        evaluate(run, new_images, settings(split="validation"))


def test_evaluate_writes_nothing(run, new_images):
    files = [*run.path.rglob("*"), *new_images.rglob("*")]
    before = {file: file.stat().st_mtime_ns for file in files}
    evaluate(run, new_images)
    after = [*run.path.rglob("*"), *new_images.rglob("*")]
    assert {file: file.stat().st_mtime_ns for file in after} == before


def test_evaluate_of_a_damaged_split_is_refused(own_run):
    with (own_run.path / "split.csv").open("a") as file:
        file.write("x,red,validation,0,0\n")
    with pytest.raises(RunError, match=r"split\.csv' is not the file that the run wrote"):
        evaluate(own_run)


@pytest.mark.training
def test_evaluate_of_test_images_gives_what_the_run_measured(finetuned, colors, tmp_path):
    values = finetuned.run.read_json("settings.json") | {"test_split": 0.3, "epochs": 1}
    done = finetune(colors, tmp_path / "run", settings_from(values))
    found = evaluate(done.run, settings=settings(split="test"))
    assert found.report.accuracy == done.metrics.test["accuracy"]
    assert np.abs(found.report.probabilities - done.test.probabilities).max() < 1e-6
