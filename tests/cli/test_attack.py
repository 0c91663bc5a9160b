"""`tlkit attack`."""

import csv
import json

import pytest
from PIL import Image

from tests.cli.commands import refused, tlkit


def test_adversarial_images_in_the_tree_of_data_are_what_predict_says(finetuned_run, colors, tmp_path):
    output = tmp_path / "adversarial"
    done = tlkit("attack", finetuned_run.path, colors, "--epsilon", 30, "--steps", 5, "-o", output, "--json")
    assert done.exit_code == 0, done.stderr
    content = json.loads(done.stdout)
    assert {"clean_accuracy", "adversarial_accuracy", "ci95"} <= content.keys()
    said = tlkit("predict", finetuned_run.path, output, "--format", "csv")
    rows = {row["path"]: row for row in csv.DictReader(said.stdout.splitlines())}
    assert said.exit_code == 0 and len(rows) == content["num_images"] == len(content["images"])
    for image in content["images"]:
        row = rows[image["file"]]
        assert row["label"] == image["after"] and float(row["confidence"]) == pytest.approx(
            image["confidence"], abs=1e-5
        )
        assert image["file"] == str(output / image["path"]) and Image.open(image["file"]).size == (32, 32)
    correct = sum(image["after"] == image["class"] for image in content["images"])
    assert content["adversarial_accuracy"] == correct / content["num_images"] < content["clean_accuracy"]


def test_a_folder_has_a_table_by_class(finetuned_run, colors, tmp_path):
    done = tlkit("attack", finetuned_run.path, colors, "--epsilon", "10,40", "--steps", 3, "--tables", tmp_path / "t")
    assert done.exit_code == 0, done.stderr
    for words in ("before", "epsilon 10", "epsilon 40", "PGD of 3 steps", "is taken for", "adversarial images"):
        assert words in done.stdout
    names = {"accuracy.csv", "images.csv", "confusion.csv", "attack.json", "accuracy.png"}
    assert {path.name for path in (tmp_path / "t").iterdir()} == names


def test_one_image_is_a_page_and_the_first_change(finetuned_run, colors, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = tlkit("attack", finetuned_run.path, colors / "red" / "0.png", "--epsilon", 30, "--steps", 3)
    assert done.exit_code == 0, done.stderr
    assert "→" in done.stdout and "the answer changes at epsilon" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["attack.png"]
    done = tlkit("attack", finetuned_run.path, colors / "red" / "0.png", "--steps", 3, "--json")
    assert json.loads(done.stdout)["first_change"] > 0 and len(list(tmp_path.iterdir())) == 1


def test_images_of_the_same_name_get_different_files(classic_run, colors, tmp_path):
    files = [colors / name / "0.png" for name in ("red", "blue")]
    done = tlkit("attack", classic_run.path, *files, "--steps", 1, "-o", tmp_path / "out", "--json")
    content = json.loads(done.stdout)
    assert [image["file"] for image in content["images"]] == [str(tmp_path / "out" / n) for n in ("0.png", "0-2.png")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0-2.png", "0.png"]
    assert content["clean_accuracy"] is None and all(image["class"] is None for image in content["images"])


def test_outputs_are_checked_before_any_work(finetuned_run, colors, tmp_path):
    (tmp_path / "taken.png").write_text("mine")
    for words, *options in (
        ("already exists", "--sheet", tmp_path / "taken.png"),
        ("does not end in .png", "--sheet", tmp_path / "sheet.jpg"),
        ("inside the image folder", "-o", colors / "out"),
        ("same name", "-o", tmp_path / "a", "--tables", tmp_path / "a"),
        ("no class", "--target", "cat"),
    ):
        assert words in refused(2, "attack", finetuned_run.path, colors, *options)
    assert "--label-regex has no effect" in refused(
        2, "attack", finetuned_run.path, colors / "red" / "0.png", "--label-regex", "(a)"
    )
    assert (tmp_path / "taken.png").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


def test_a_patch_is_written_for_a_printer(finetuned_run, tmp_path):
    file = tmp_path / "patch.png"
    done = tlkit("attack", finetuned_run.path, "--method", "patch", "--steps", 2, "--target", "red", "--pattern", file)
    assert done.exit_code == 0, done.stderr
    image = Image.open(file)
    assert image.size == (1200, 1200) and round(image.info["dpi"][0]) == 300
    assert "patched" in done.stdout and "epsilon" not in done.stdout
    assert "with a gray patch instead" in done.stdout and "one patch, learned on" in done.stdout


def test_options_of_other_methods_are_refused(finetuned_run, colors):
    for words, *options in (
        ("--pattern has no effect", "--pattern", "x.png"),
        ("--epsilon has no effect", "--method", "patch", "--epsilon", 3),
        ("--patch-size has no effect", "--method", "universal", "--patch-size", 0.5),
        ("is not a folder", "--method", "universal", "--learn-from", "nowhere"),
    ):
        assert words in refused(2, "attack", finetuned_run.path, colors, *options)
