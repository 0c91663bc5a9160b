"""`tlkit evaluate`: figures in words and as JSON, and a gate."""

import json
import re
import shutil
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from tests.cli.commands import refused, tlkit


def test_evaluate_json_has_the_figures_of_the_run(finetuned_run):
    done = tlkit("evaluate", finetuned_run.path, "--json")
    figures, metrics = json.loads(done.stdout), finetuned_run.read_json("metrics.json")
    names = ("accuracy", "macro_f1", "accuracy_ci95")
    assert {name: figures[name] for name in names} == {name: metrics[name] for name in names}
    assert figures["split"] == "validation"
    assert figures["num_images"] == np.sum(figures["confusion_matrix"]) == 6
    assert [row["name"] for row in figures["per_class"]] == figures["class_names"] == ["blue", "green", "red"]
    assert figures["top_k"] == {"3": 1.0}
    assert figures["left_out"] == {}


def test_evaluate_in_words_counts_images_of_the_run_apart(finetuned_run, colors, tmp_path):
    lines = tlkit("evaluate", finetuned_run.path, colors).stdout.splitlines()
    assert lines[0] == "  accuracy  100.0 %  6 of 6 validation images correct"
    assert lines[2].startswith("  baseline   33.3 %")
    assert "check       No image is new to the run; add images for an unbiased accuracy." in lines
    assert "not counted 30 images that the run was trained on: 100.0 % correct" in lines
    data = shutil.copytree(colors, tmp_path / "data")
    Image.new("RGB", (48, 48), "#3050d0").save(data / "blue" / "new.png")
    lines = tlkit("evaluate", finetuned_run.path, data).stdout.splitlines()
    assert lines[0] == "  accuracy  100.0 %  1 of 1 new images correct"
    assert "  run       100.0 %  on the validation images of the run: not significantly different" in lines
    assert "not counted 6 validation images of the run: 100.0 % correct" in lines
    assert not any(line.startswith(("check", "left out")) for line in lines)


def test_evaluate_json_has_images_of_the_run_apart(finetuned_run, colors):
    figures = json.loads(tlkit("evaluate", finetuned_run.path, colors, "--json").stdout)
    assert figures["counted"] == "validation"
    assert {kind: (part["num_images"], part["accuracy"]) for kind, part in figures["apart"].items()} == {
        "validation": (6, 1.0),
        "training": (30, 1.0),
    }
    assert (figures["recorded"]["accuracy"], figures["recorded"]["num_images"]) == (1.0, 6)
    low, high = figures["recorded"]["difference_ci95"]
    assert low == -high < 0


def test_evaluate_top_k_is_as_it_was_asked(finetuned_run):
    assert "among the 2 most probable" in tlkit("evaluate", finetuned_run.path, "--top-k", "2").stdout


def test_evaluate_below_the_gate_ends_with_5_after_the_figures(finetuned_run, colors, tmp_path):
    shutil.copytree(colors / "red", tmp_path / "wrong" / "blue")
    args = ["--include-training", "--min-accuracy", "1"]
    done = tlkit("evaluate", finetuned_run.path, tmp_path / "wrong", *args)
    assert done.exit_code == 5
    assert done.stdout.startswith("  accuracy ")
    words = r"^Error: accuracy [\d.]+ % \(\d+ of \d+, 95 % interval [\d.]+ to [\d.]+ %\) is below --min-accuracy 1\.$"
    assert re.search(words, done.stderr, re.MULTILINE)


def test_every_gate_that_fails_is_named_and_is_a_test_case(finetuned_run, colors, tmp_path):
    shutil.copytree(colors / "red", tmp_path / "wrong" / "blue")
    gates = ["--min-accuracy", "0.9", "--min-recall", "blue=0.5", "--min-recall", "red=0.1", "--max-ece", "0.2"]
    args = ("evaluate", finetuned_run.path, tmp_path / "wrong", "--include-training", *gates)
    error = refused(5, *args, "--junit", tmp_path / "gates.xml")
    assert "is below --min-accuracy 0.9; recall of 'blue' 0.0 % (0 of 12, 95 % interval 0.0 to 24.2 %)" in error
    assert "recall of 'red' cannot be measured (no image of it), but --min-recall red=0.1 asks for it" in error
    assert "calibration error cannot be measured (it needs 200 images" in error
    suite = ElementTree.parse(tmp_path / "gates.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "4", "0")
    assert [child.tag for child in suite] == ["properties", *["testcase"] * 4, "system-out", "system-err"]
    names = [case.get("name") for case in suite.iter("testcase")]
    assert names == ["--min-accuracy 0.9", "--min-recall blue=0.5", "--min-recall red=0.1", "--max-ece 0.2"]
    assert all(case.find("failure").get("message") in error for case in suite.iter("testcase"))
    assert {item.get("name") for item in suite.iter("property")} == {"run", "data", "images", "tlkit"}
    assert "already exists" in refused(2, *args, "--junit", tmp_path / "gates.xml")


def test_gates_that_pass_are_counted(finetuned_run, tmp_path):
    args = ("evaluate", finetuned_run.path, "--min-accuracy", "0.5", "--min-recall", "red=0.5")
    done = tlkit(*args, "--junit", tmp_path / "gates.xml")
    assert done.exit_code == 0, done.stderr
    assert "gates       2 of 2 passed" in done.stdout
    suite = ElementTree.parse(tmp_path / "gates.xml").getroot()[0]
    assert suite.get("failures") == "0"
    assert not list(suite.iter("failure"))
    gates = json.loads(tlkit(*args, "--json").stdout)["gates"]
    assert [(gate["option"], gate["passed"]) for gate in gates] == [
        ("--min-accuracy 0.5", True),
        ("--min-recall red=0.5", True),
    ]


def test_gates_that_mean_nothing_are_refused(finetuned_run, tmp_path):
    for value, words in (
        ("red", "expected a class and a number from 0 to 1"),
        ("red=2", "expected a class and a number from 0 to 1"),
        ("pink=1", "names the class 'pink'; expected one of 'blue', 'green'"),
    ):
        assert words in refused(2, "evaluate", finetuned_run.path, "--min-recall", value)
    twice = ("--min-recall", "red=1", "--min-recall", "red=0.5")
    assert "given twice for 'red'" in refused(2, "evaluate", finetuned_run.path, *twice)
    words = refused(2, "evaluate", finetuned_run.path, "--junit", tmp_path / "gates.xml")
    assert "--junit has no effect without a gate" in words


def test_evaluate_at_the_gate_is_enough(finetuned_run):
    accuracy = finetuned_run.read_json("metrics.json")["accuracy"]
    assert tlkit("evaluate", finetuned_run.path, "--min-accuracy", repr(accuracy)).exit_code == 0


def test_evaluate_of_names_that_steer_the_terminal_shows_none(named):
    folder, _ = named
    done = tlkit("evaluate", folder / "run")
    assert done.exit_code == 0, done.stderr
    assert all(line.isprintable() for line in done.stdout.split("\n"))


def test_evaluate_writes_tables_into_a_new_folder(finetuned_run, tmp_path):
    done = tlkit("evaluate", finetuned_run.path, "-o", f"{tmp_path / 'tables'}/", "--csv-dialect", "excel")
    assert done.exit_code == 0, done.stderr
    names = ["confusion_matrix.csv", "per_class.csv", "predictions.csv", "wrong.csv"]
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == names
    assert (tmp_path / "tables" / "wrong.csv").read_text().startswith("\ufeffpath;class;label;confidence\n")
    words = refused(2, "evaluate", finetuned_run.path, "-o", tmp_path / "tables")
    assert "already exists" in words


def test_evaluate_writes_nothing_among_the_images(finetuned_run, colors, tmp_path):
    data = shutil.copytree(colors, tmp_path / "data")
    before = sorted(data.rglob("*"))
    assert "is inside the image folder" in refused(2, "evaluate", finetuned_run.path, data, "-o", data / "new")
    assert sorted(data.rglob("*")) == before


def test_evaluate_refuses_a_dialect_without_a_table(finetuned_run):
    assert "-o" in refused(2, "evaluate", finetuned_run.path, "--csv-dialect", "excel")
    assert "-o" in refused(2, "evaluate", finetuned_run.path, "--probs")
