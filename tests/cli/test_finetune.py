"""`tlkit finetune`: as a person types it, again from its settings, refused before anything is written."""

import re
import shutil
from pathlib import Path

import pytest

from tests.cli.commands import SMALL, STAGE, misused, process, read_csv, refused, tlkit
from tests.cli.conftest import NAMES
from tests.making import touch
from tlkit.runs.run import load_run


@pytest.fixture(scope="module")
def typed(colors, tmp_path_factory):
    """The command as a person types it first, in a process of its own, and the folder where it was typed."""
    here = tmp_path_factory.mktemp("typed")
    with process("finetune", colors, *SMALL, "none", cwd=here) as running:
        out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    return here, out, err


@pytest.mark.training
def test_finetune_leaves_a_finished_run_under_the_first_number(typed):
    here, _, _ = typed
    assert [path.name for path in (here / "runs").iterdir()] == ["finetune-001"]
    load_run(here / "runs" / "finetune-001")


@pytest.mark.training
def test_finetune_says_how_good_and_where_and_what_next(typed):
    here, out, _ = typed
    metrics = load_run(here / "runs/finetune-001").read_json("metrics.json")
    low, high = metrics["accuracy_ci95"]
    lines = out.splitlines()
    figures = f"{100 * metrics['accuracy']:.1f} %"
    assert lines[1].split()[:3] == ["accuracy", *figures.split()]
    assert lines[1].endswith("of 6 validation images correct")
    assert lines[2].split() == ["interval", f"{100 * low:.1f}", "to", f"{100 * high:.1f}", "%", "(95", "%)"]
    assert lines[3].endswith("always answering 'blue'")
    assert ("  Not significantly better than the baseline." in lines) is not metrics["beats_baseline"]
    assert sum("optimistic" in line for line in lines) == 1
    table = next(number for number, line in enumerate(lines) if line.startswith("class"))
    assert lines[table].split() == ["class", "recall", "correct", "precision"]
    assert [line.split()[0] for line in lines[table + 1 : table + 4]] == ["blue", "green", "red"]
    assert lines[-2].startswith(f"run         runs/finetune-001  accuracy {figures}")
    assert lines[-1] == "next        tlkit predict runs/finetune-001 FOLDER"


@pytest.mark.training
def test_finetune_piped_writes_one_line_a_stage_on_stderr_and_prints_no_colors(typed):
    _, out, err = typed
    assert all(STAGE.fullmatch(line) for line in err.splitlines())
    assert len({line.split(":")[0] for line in err.splitlines()}) > 1
    assert "\x1b" not in out + err


# --config


@pytest.mark.training
def test_finetune_with_the_settings_of_a_run_gives_the_same_run(finetuned_run, colors, tmp_path):
    done = tlkit("finetune", colors, "-o", tmp_path / "again", "--config", finetuned_run.path / "settings.json")
    assert done.exit_code == 0, done.stderr
    again = load_run(tmp_path / "again")
    assert again.read_json("settings.json") == finetuned_run.read_json("settings.json")
    free = ("seconds", "features_reused", "diagnosis", "forecast")  # its commands have the options as they were given
    first, second = (
        {name: value for name, value in run.read_json("metrics.json").items() if name not in free}
        for run in (finetuned_run, again)
    )
    assert first == second
    for name in ("split.csv", "predictions_val.csv", "per_class.csv", "confusion_matrix.csv"):
        assert (again.path / name).read_text() == (finetuned_run.path / name).read_text()


@pytest.mark.training
def test_finetune_option_that_is_typed_wins_over_a_settings_file(finetuned_run, colors, tmp_path):
    args = ["--epochs", "1", "--seed", "5", "--config", finetuned_run.path / "settings.json", "--no-batch-norm"]
    done = tlkit("finetune", colors, "-o", tmp_path / "again", *args)
    assert done.exit_code == 0, done.stderr
    before, after = finetuned_run.read_json("settings.json"), load_run(tmp_path / "again").read_json("settings.json")
    assert after == before | {"epochs": 1, "seed": 5, "batch_norm": False}


CONFIGS = {  # what is in a settings file, and what of it is said
    '{"epoch": 3}': "'epoch'",
    '{"epochs": 3': "Expecting",
    '{"epochs": 3, "epochs": 4}': "twice",
    "[" * 200_000: "",
    '{"a":' * 100_000: "",
    "[]": "no settings",
    "3": "no settings",
    "": "",
    '{"epochs": "3"}': "--epochs is '3'",
    '{"epochs": 1e999}': "--epochs is inf",
    '{"learning_rate": NaN}': "--learning-rate is nan",
    '{"dropout": 1}': "--dropout is 1; expected less than 1",
    '{"epochs": ' + "9" * 5000 + "}": "",
    '{"command": "train"}': "tlkit train",
    "\xff\xfe": "",
}


def test_finetune_with_a_settings_file_that_means_nothing_is_refused_in_a_sentence(colors, tmp_path):
    file = tmp_path / "settings.json"
    for text, named in CONFIGS.items():
        file.write_bytes(text.encode("latin-1"))
        words = refused(2, "finetune", colors, "-o", tmp_path / "run", "--config", file)
        assert words.startswith(f"--config '{file}' cannot be used: "), text[:30]
        assert named in words, text[:30]
        assert not (tmp_path / "run").exists()


def test_finetune_names_a_settings_file_that_is_missing(colors, tmp_path):
    assert "nowhere.json" in misused("finetune", colors, "--config", tmp_path / "nowhere.json")


# refusals

MEANINGLESS = (
    *("--epochs -1", "--batch-size 0", "--learning-rate nan", "--learning-rate 0", "--learning-rate 1e99"),
    *("--image-size 99999", "--image-size 16", "--validation-split 0", "--validation-split 1"),
    *("--validation-split 1.5", "--test-split -0.1", "--validation-split 0.6 --test-split 0.6", "--dropout 1"),
    *("--resize fit", "--seed x", "--no-such-option", "--backbone mobilenet_v22"),
    *("--precision bfloat16 --engine keras", "--time-limit soon"),
)


def test_finetune_options_that_mean_nothing_end_with_2_before_anything_is_written(colors, tmp_path):
    for text in MEANINGLESS:
        words = misused("finetune", colors, "-o", tmp_path / "run", *text.split())
        assert words.startswith("Error: "), text
        assert text.split()[0] in words or "mobilenet_v2" in words, words
        assert list(tmp_path.iterdir()) == []


def test_finetune_without_data_is_misused():
    assert "DATA" in misused("finetune")


def test_finetune_among_the_images_is_refused(colors):
    before = sorted(colors.rglob("*"))
    for folder in ("", "run", "blue/run"):
        assert "is inside the image folder" in refused(2, "finetune", colors, "-o", colors / folder)
    assert sorted(colors.rglob("*")) == before


def test_finetune_of_no_folder_of_classes_ends_with_3(tmp_path):
    (tmp_path / "data").mkdir()
    for name, words in (("nowhere", "does not exist"), ("data", "is not a folder of classes")):
        assert words in refused(3, "finetune", tmp_path / name, "-o", tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_finetune_of_a_class_without_a_readable_image_ends_with_3_and_leaves_no_run(colors, weights_file, tmp_path):
    data = shutil.copytree(colors, tmp_path / "data")
    touch(data, "mauve/1.png", "mauve/2.png")
    words = refused(3, "finetune", data, "-o", tmp_path / "run", *SMALL, weights_file)
    assert "class 'mauve' has no readable image" in words
    assert not (tmp_path / "run").exists()


def test_finetune_onto_a_run_that_is_there_ends_with_2_and_leaves_it(colors, own_run):
    before = {file: file.stat().st_mtime_ns for file in own_run.path.rglob("*")}
    words = refused(2, "finetune", colors, "-o", own_run.path, *SMALL, "none")
    assert "already exists" in words
    assert {file: file.stat().st_mtime_ns for file in own_run.path.rglob("*")} == before


def test_finetune_with_missing_weights_ends_with_4_and_leaves_no_run(colors, tmp_path):
    assert "nowhere.h5" in refused(4, "finetune", colors, "-o", tmp_path / "run", *SMALL, tmp_path / "nowhere.h5")
    assert list(tmp_path.iterdir()) == []


def test_finetune_from_a_run_refuses_another_network(colors, finetuned_run, tmp_path):
    args = ("--from", finetuned_run.path, "--backbone", "vgg16")
    assert "--backbone is vgg16" in refused(2, "finetune", colors, "-o", tmp_path / "run", *args)


# other ways to type it


def test_finetune_dry_run_tells_time_and_disk_and_leaves_nothing(colors, weights_file, tmp_path):
    small = ["--backbone", "mobilenet_025", "--image-size", "32", "--cut", "0.9", "--weights", weights_file]
    done = tlkit("finetune", colors, "-o", tmp_path / "run", *small, "--dry-run")
    assert [line.split()[0] for line in done.stdout.splitlines()[1:4]] == ["all", "lower", "none"]
    assert "Nothing was trained." in done.stdout
    assert done.stderr == ""
    assert not (tmp_path / "run").exists()


def test_finetune_summary_shows_no_name_that_steers_the_terminal(named):
    _, out = named
    assert all(line.isprintable() for line in out.split("\n"))
    assert "\\x1b[31mred" in out
    assert "花 ü" in out


def test_finetune_keeps_names_in_the_tables_of_its_run(named):
    folder, _ = named
    rows = load_run(folder / "run").read_rows("split.csv")
    assert {row["class"] for row in rows} == set(NAMES)
    assert {row["path"] for row in rows} == {f"{name}/{name}{number}.png" for name in NAMES for number in range(3)}


@pytest.mark.training
def test_finetune_of_awkward_images_leaves_out_what_predict_refuses(
    finetuned_run, awkward, colors, weights_file, tmp_path
):
    data = shutil.copytree(colors, tmp_path / "data")
    for path in awkward:
        shutil.copy(path, data / "red")
    done = tlkit("finetune", data, "-o", tmp_path / "run", *SMALL, weights_file)
    assert done.exit_code == 0, done.stderr
    left_out = load_run(tmp_path / "run").read_rows("left_out.csv")
    predicted = read_csv(tlkit("predict", finetuned_run.path, *awkward).stdout)
    refusals = {Path(row["path"]).name: row["error"] for row in predicted if row["status"] == "error"}
    assert {Path(row["path"]).name: row["reason"] for row in left_out} == refusals
    words = " ".join(done.stdout.split())
    assert all(f": {' '.join(reason.split())}" in words for reason in set(refusals.values()))


def test_finetune_help_page_has_ten_options_first():
    lines = tlkit("finetune", "--help", env={"COLUMNS": "100"}).output.splitlines()
    start = lines.index("Main options:")
    ended = lines.index("", start)
    assert sum(bool(re.match("  -", line)) for line in lines[start:ended]) == 10
