"""`tlkit evaluate`: figures in words and as JSON, and a gate."""

import json
import re
import shutil

import numpy as np

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


def test_evaluate_in_words_counts_what_was_left_out(finetuned_run, colors):
    lines = tlkit("evaluate", finetuned_run.path, colors).stdout.splitlines()
    assert lines[0] == "  accuracy  100.0 %  6 of 6 new images correct"
    assert lines[2].startswith("  baseline   33.3 %")
    assert sum(line.startswith("left out") for line in lines) == 1
    assert "27 more: the run was trained on it" in " ".join(lines)


def test_evaluate_top_k_is_as_it_was_asked(finetuned_run):
    assert "among the 2 most probable" in tlkit("evaluate", finetuned_run.path, "--top-k", "2").stdout


def test_evaluate_below_the_gate_ends_with_5_after_the_figures(finetuned_run, colors, tmp_path):
    shutil.copytree(colors / "red", tmp_path / "wrong" / "blue")
    args = ["--include-training", "--min-accuracy", "1"]
    done = tlkit("evaluate", finetuned_run.path, tmp_path / "wrong", *args)
    assert done.exit_code == 5
    assert done.stdout.startswith("  accuracy ")
    assert re.search(r"^Error: accuracy [\d.]+ % is below --min-accuracy 1\.$", done.stderr, re.MULTILINE)


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
