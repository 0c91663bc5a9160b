"""`tlkit robustness`: a table, one sentence about the weakest corruption, JSON and files."""

import csv
import json

from tests.cli.commands import refused, tlkit

FEW = ("--corruptions", "gaussian-noise,shift", "--severities", "1,5")


def test_the_table_has_a_row_per_corruption(finetuned_run):
    done = tlkit("robustness", finetuned_run.path, *FEW)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("  undamaged 100.0 %  6 of 6 validation images correct")
    assert lines[1].startswith("  damaged ") and "mean of 2 corruptions × 2 severities" in lines[1]
    header = next(line for line in lines if line.startswith("corruption "))
    assert header.split()[:5] == ["corruption", "1", "5", "mean", "gap"]
    rows = [line.split() for line in lines if line.startswith(("none ", "gaussian-noise ", "shift "))]
    assert rows[0][:2] == ["none", "100.0"] and {row[0] for row in rows[1:]} == {"gaussian-noise", "shift"}
    assert float(rows[1][3]) <= float(rows[2][3])
    assert any(line.startswith("weakest ") for line in lines)
    assert any(line.startswith("copies      mirrored: ") for line in lines)
    assert lines[-1].startswith(f"run         {finetuned_run.path}"[:40])


def test_a_note_says_that_images_were_drawn(finetuned_run, colors):
    note = "note        4 of 6 images, drawn at random; --max-images 0 for all"
    assert note in tlkit("robustness", finetuned_run.path, *FEW, "--max-images", "4").stdout.splitlines()
    assert "drawn" not in tlkit("robustness", finetuned_run.path, colors, *FEW).stdout


def test_json_has_rows_means_and_consistency(finetuned_run, colors):
    figures = json.loads(tlkit("robustness", finetuned_run.path, colors, *FEW, "--json").stdout)
    assert [(row["corruption"], row["severity"]) for row in figures["rows"]] == [
        *(("gaussian-noise", 1), ("gaussian-noise", 5), ("shift", 1), ("shift", 5))
    ]
    assert {"accuracy", "accuracy_ci95", "ece", "unknown_share"} <= figures["rows"][0].keys()
    means = figures["corruptions"]
    assert figures["corruption_mean"] == sum(means.values()) / 2
    assert figures["weakest"]["corruption"] == min(means, key=means.get)
    assert [row["copy"] for row in figures["consistency"]] == ["mirrored", "shifted", "encoded again"]
    assert (figures["counted"], figures["left_out"]) == ("validation", {"the run was trained on it": 30})


def test_files_are_what_the_json_says(finetuned_run, tmp_path):
    done = tlkit("robustness", finetuned_run.path, *FEW, "--json", "-o", tmp_path / "out")
    rows = json.loads(done.stdout)["rows"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        *("consistency.csv", "robustness.csv", "robustness.png")
    ]
    with (tmp_path / "out" / "robustness.csv").open(newline="") as file:
        assert [float(row["ece"]) for row in csv.DictReader(file)][1:] == [row["ece"] for row in rows]


def test_options_without_effect_and_unknown_ones_are_refused(finetuned_run, tmp_path):
    run = finetuned_run.path
    assert "--corruptions is 'fog'" in refused(2, "robustness", run, "--corruptions", "fog")
    assert "--severities is '9'" in refused(2, "robustness", run, "--severities", "9")
    assert "--csv-dialect is excel, but no csv is written" in refused(2, "robustness", run, "--csv-dialect", "excel")
    assert "--label-regex has no effect without DATA" in refused(2, "robustness", run, "--label-regex", "(a)")
    assert "nowhere" in refused(3, "robustness", run, tmp_path / "nowhere")
