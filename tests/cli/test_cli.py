import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.making import encoded, noise, touch
from tlkit.cli import main
from tlkit.runs.run import load_run
from tlkit.utils.files import claim_cache

SMALL = ["--backbone", "mobilenet_025", "--image-size", "32", "--hidden", "0"]
SMALL += ["--freeze", "all", "--epochs", "2", "--weights"]
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has none")


def tlkit(*args, **options):
    """What a command prints and how it ends, in this process."""
    return CliRunner().invoke(main, [str(arg) for arg in args], **options)


def process(*args, **options):
    """The same command as a process of its own."""
    command = [sys.executable, "-m", "tlkit", *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def refused(code, *args, **options):
    """The one line on stderr of a command that ends with this exit code."""
    done = tlkit(*args, **options)
    assert done.exit_code == code, done.stderr
    assert re.fullmatch(r"Error: [^\n]+[.?]\n", done.stderr)
    return done.stderr.removeprefix("Error: ").rstrip("\n")


def misused(*args):
    """The last line on stderr of a command line that means nothing."""
    done = tlkit(*args)
    assert done.exit_code == 2
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture(scope="module")
def square(colours):
    return colours / "red" / "3.png"


@pytest.fixture
def broken(tmp_path):
    touch(tmp_path, "broken.jpg")
    return tmp_path / "broken.jpg"


# finetune


@pytest.fixture(scope="module")
def typed(colours, tmp_path_factory):
    """`tlkit finetune` as a person types it first, and the folder where it was typed."""
    here = tmp_path_factory.mktemp("typed")
    with process("finetune", colours, *SMALL, "none", cwd=here) as running:
        out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    return here, out, err


def test_finetuning_leaves_a_finished_run_under_the_first_number(typed):
    here, _, _ = typed
    assert [path.name for path in (here / "runs").iterdir()] == ["finetune-001"]
    load_run(here / "runs" / "finetune-001")


def test_the_summary_says_how_good_and_where_and_what_next(typed):
    here, out, _ = typed
    metrics = load_run(here / "runs/finetune-001").read_json("metrics.json")
    low, high = metrics["accuracy_ci95"]
    lines = out.splitlines()
    assert lines[0].startswith(
        f"accuracy {metrics['accuracy']:.3f} on 7 validation images (95 % interval {low:.3f} to {high:.3f}), macro-F1 "
    )
    assert lines[1] == f"always answering 'blue' would give {metrics['baseline_accuracy']:.3f}"
    assert "--test-split" in lines[2]
    assert lines[4].split() == ["class", "precision", "recall", "F1", "images"]
    assert [line.split()[0] for line in lines[5:8]] == ["blue", "green", "red"]
    assert any(line.startswith("often mistaken: ") for line in lines) == (metrics["accuracy"] < 1)
    assert any(line.startswith("29 images trained on, 7 held out, ") and " from the cache; " in line for line in lines)
    assert lines[-2:] == ["run   runs/finetune-001", "next  tlkit predict runs/finetune-001 IMAGE..."]


def test_a_piped_command_says_nothing_on_stderr_but_notes(typed):
    assert all(line.startswith("Note: ") for line in typed[2].splitlines())


def test_a_piped_command_prints_no_colours(typed):
    assert "\x1b" not in typed[1] + typed[2]


def test_a_run_can_be_run_again_from_its_settings(run, colours, tmp_path):
    done = tlkit("finetune", colours, "-o", tmp_path / "again", "--config", run.path / "settings.json")
    assert done.exit_code == 0, done.stderr
    again = load_run(tmp_path / "again")
    assert again.read_json("settings.json") == run.read_json("settings.json")
    free = ("seconds", "features_reused")
    first, second = ({k: v for k, v in r.read_json("metrics.json").items() if k not in free} for r in (run, again))
    assert first == second
    for name in ("split.csv", "predictions_val.csv", "per_class.csv", "confusion_matrix.csv"):
        assert (again.path / name).read_text() == (run.path / name).read_text()


def test_what_is_typed_wins_over_a_settings_file(run, colours, tmp_path):
    args = ["--epochs", "1", "--seed", "5", "--config", run.path / "settings.json", "--no-batch-norm"]
    done = tlkit("finetune", colours, "-o", tmp_path / "again", *args)
    assert done.exit_code == 0, done.stderr
    before, after = run.read_json("settings.json"), load_run(tmp_path / "again").read_json("settings.json")
    assert after == before | {"epochs": 1, "seed": 5, "batch_norm": False}


def test_a_test_side_is_told_in_the_summary(colours, weights_file, tmp_path):
    done = tlkit("finetune", colours, "-o", tmp_path / "\x1b[31mrun", *SMALL, weights_file, "--test-split", "0.3")
    assert all(line.isprintable() for line in done.stdout.split("\n"))
    assert re.search(r"(?m)^accuracy \d\.\d{3} on \d+ test images .*, which nothing was chosen on$", done.stdout)


CONFIGS = {
    '{"epoch": 3}': "there is no setting 'epoch'",
    '{"epochs": 3': "Expecting",
    '{"epochs": 3, "epochs": 4}': "a setting is given twice",
    "[" * 200_000: "is no settings.json of a run",
    '{"a":' * 100_000: "is no settings.json of a run",
    "[]": "it holds no settings",
    "3": "it holds no settings",
    "": "is no settings.json",
    '{"epochs": "3"}': "--epochs is '3'",
    '{"epochs": 1e999}': "--epochs is inf",
    '{"learning_rate": NaN}': "--learning-rate is nan",
    '{"dropout": 1}': "--dropout is 1; expected less than 1",
    '{"epochs": ' + "9" * 5000 + "}": "is no settings.json of a run",
    "\xff\xfe": "is no settings.json of a run",
}


@pytest.mark.parametrize("text", CONFIGS, ids=lambda text: text[:30])
def test_a_settings_file_that_means_nothing_is_refused_in_a_sentence(colours, tmp_path, text):
    file = tmp_path / "settings.json"
    file.write_bytes(text.encode("latin-1"))
    words = refused(2, "finetune", colours, "-o", tmp_path / "run", "--config", file)
    assert words.startswith(f"'{file}' is no settings.json of a run: ")
    assert CONFIGS[text] in words
    assert not (tmp_path / "run").exists()


def test_a_missing_settings_file_is_named(colours, tmp_path):
    assert "nowhere.json" in misused("finetune", colours, "--config", tmp_path / "nowhere.json")


# refusals


@pytest.mark.parametrize(
    "args",
    [
        ["--epochs", "-1"],
        ["--batch-size", "0"],
        ["--learning-rate", "nan"],
        ["--learning-rate", "0"],
        ["--learning-rate", "1e99"],
        ["--image-size", "99999"],
        ["--validation-split", "0"],
        ["--validation-split", "1"],
        ["--validation-split", "1.5"],
        ["--test-split", "-0.1"],
        ["--dropout", "1"],
        ["--resize", "fit"],
        ["--seed", "x"],
        ["--no-such-option"],
        ["--validation-split", "0.6", "--test-split", "0.6"],
        ["--backbone", "mobilenet_v22"],
        ["--image-size", "16"],
        ["--precision", "bfloat16", "--engine", "keras"],
    ],
    ids=" ".join,
)
def test_options_that_mean_nothing_end_with_2_before_anything_is_written(colours, tmp_path, args):
    assert misused("finetune", colours, "-o", tmp_path / "run", *args).startswith("Error: ")
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_backbone_is_answered_with_the_right_one(colours, tmp_path):
    words = refused(2, "finetune", colours, "-o", tmp_path / "run", "--backbone", "mobilenet_v22")
    assert "mobilenet_v2" in words


@pytest.mark.parametrize("place", ["", "run", "blue/run"])
def test_a_run_among_the_images_is_refused(colours, place):
    before = sorted(colours.rglob("*"))
    assert "would lie inside the images of" in refused(2, "finetune", colours, "-o", colours / place)
    assert sorted(colours.rglob("*")) == before


def test_a_missing_folder_ends_with_3(tmp_path):
    assert "does not exist" in refused(3, "finetune", tmp_path / "nowhere", "-o", tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_classes_ends_with_3(tmp_path):
    (tmp_path / "data").mkdir()
    assert "is no folder of classes" in refused(3, "finetune", tmp_path / "data", "-o", tmp_path / "run")


def test_a_class_without_a_readable_image_ends_with_3_and_leaves_no_run(colours, weights_file, tmp_path):
    data = shutil.copytree(colours, tmp_path / "data")
    touch(data, "mauve/1.png", "mauve/2.png")
    words = refused(3, "finetune", data, "-o", tmp_path / "run", *SMALL, weights_file)
    assert "class 'mauve' has no readable image" in words
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_there_ends_with_2_and_stays(colours, own_run):
    before = {file: file.stat().st_mtime_ns for file in own_run.path.rglob("*")}
    words = refused(2, "finetune", colours, "-o", own_run.path, *SMALL, "none")
    assert "is already there and is never written into" in words
    assert {file: file.stat().st_mtime_ns for file in own_run.path.rglob("*")} == before


def test_weights_that_are_not_there_end_with_4_and_leave_no_run(colours, tmp_path):
    words = refused(4, "finetune", colours, "-o", tmp_path / "run", *SMALL, tmp_path / "nowhere.h5")
    assert "nowhere.h5" in words
    assert list(tmp_path.iterdir()) == []


def test_a_missing_run_ends_with_4(tmp_path, square):
    assert "there is no run folder" in refused(4, "predict", tmp_path / "nowhere", square)
    assert "there is no run folder" in refused(4, "evaluate", tmp_path / "nowhere")


def test_a_damaged_engine_ends_with_4(own_run, square):
    (own_run.path / "engine" / "upper.tflite").write_bytes(b"x")
    assert "is not what the run wrote" in refused(4, "predict", own_run.path, square)


def test_an_accuracy_below_the_gate_ends_with_5_after_the_figures(run, colours, tmp_path):
    shutil.copytree(colours / "red", tmp_path / "wrong" / "blue")
    args = ["--include-training", "--min-accuracy", "1"]
    done = tlkit("evaluate", run.path, tmp_path / "wrong", *args)
    assert done.exit_code == 5
    assert done.stdout.startswith("accuracy ")
    assert re.fullmatch(r"Error: accuracy \d\.\d{3} is below --min-accuracy 1\.\n", done.stderr)


def test_an_accuracy_at_the_gate_is_enough(run):
    accuracy = run.read_json("metrics.json")["accuracy"]
    assert tlkit("evaluate", run.path, "--min-accuracy", repr(accuracy)).exit_code == 0


def test_some_inputs_that_failed_end_with_6_after_all_rows(run, square, broken):
    done = tlkit("predict", run.path, broken, square)
    assert done.exit_code == 6
    assert [row["status"] for row in rows(done.stdout)] == ["error", "ok"]
    assert done.stderr == "1 of 2 inputs could not be classified.\n"


@pytest.mark.parametrize("args", [["--help"], ["-h"], ["--version"]])
def test_asking_for_help_ends_with_0(args):
    assert tlkit(*args).exit_code == 0


def test_an_unknown_command_ends_with_2():
    assert "No such command" in misused("finetunes")


# predict


def test_csv_has_the_columns_that_other_work_leans_on(run, square, broken):
    done = tlkit("predict", run.path, square, broken, "--top-k", "3", "--probs")
    header, first, second = done.stdout.splitlines()
    assert header == (
        "path,status,label,confidence,label_2,confidence_2,label_3,confidence_3,p_blue,p_green,p_red,error"
    )
    assert [len(row) for row in csv.reader([first, second])] == [12, 12]
    good, bad = rows(done.stdout)
    assert sum(float(good[f"p_{name}"]) for name in ("blue", "green", "red")) == pytest.approx(1, abs=1e-5)
    assert good["confidence"] == good[f"p_{good['label']}"]
    assert good["error"] == ""
    assert (bad["path"], bad["label"], bad["p_red"]) == (str(broken), "", "")
    assert bad["error"]


def test_csv_of_one_class_has_five_columns(run, square):
    done = tlkit("predict", run.path, square)
    assert done.exit_code == 0
    assert done.stdout.startswith("path,status,label,confidence,error\n")
    assert done.stderr == ""


def test_json_and_jsonl_and_csv_say_the_same(run, square, broken):
    found = {}
    for style in ("json", "jsonl", "csv"):
        found[style] = tlkit("predict", run.path, square, broken, "--format", style, "--probs", "--top-k", "2").stdout
    array, lines = json.loads(found["json"]), [json.loads(line) for line in found["jsonl"].splitlines()]
    assert array == lines
    assert [item["status"] for item in array] == ["ok", "error"]
    good, bad = array
    assert good["probs"].keys() == {"blue", "green", "red"}
    assert good["top"][0] == {"label": good["label"], "prob": good["confidence"]}
    assert (bad["label"], bad["confidence"], bad["top"]) == (None, None, [])
    assert f"{good['confidence']:.6f}" == rows(found["csv"])[0]["confidence"]


def test_json_of_nothing_but_errors_is_json(run, broken):
    done = tlkit("predict", run.path, broken, "--format", "json", "--skip-unreadable")
    assert json.loads(done.stdout) == []


def test_a_table_is_for_people(run, square, broken):
    done = tlkit("predict", run.path, square, broken, "--format", "table", "--top-k", "2")
    first, second = done.stdout.splitlines()
    assert re.match(r"(red|green|blue) +\d+\.\d% ", first)
    assert first.endswith(str(square))
    assert first.index(str(square)) == second.index(str(broken))
    assert second.startswith("–")


@pytest.mark.parametrize(("ending", "start"), [(".csv", "path,"), (".json", "["), (".jsonl", "{"), (".TXT", "")])
def test_the_ending_of_a_file_chooses_the_format(run, square, tmp_path, ending, start):
    done = tlkit("predict", run.path, square, "-o", tmp_path / f"out{ending}")
    assert (done.exit_code, done.stdout) == (0, "")
    assert (tmp_path / f"out{ending}").read_text().startswith(start)
    assert len(list(tmp_path.iterdir())) == 1


def test_an_ending_that_says_nothing_is_refused_and_leaves_nothing(run, square, tmp_path):
    assert "add --format" in refused(2, "predict", run.path, square, "-o", tmp_path / "out.xyz")
    assert list(tmp_path.iterdir()) == []


def test_a_format_wins_over_an_ending(run, square, tmp_path):
    tlkit("predict", run.path, square, "-o", tmp_path / "out.xyz", "--format", "jsonl")
    assert json.loads((tmp_path / "out.xyz").read_text())["status"] == "ok"


def test_a_file_that_is_there_is_left_as_it_was(run, square, tmp_path):
    (tmp_path / "out.csv").write_text("my notes")
    words = refused(2, "predict", run.path, square, "-o", tmp_path / "out.csv")
    assert "is already there and is not overwritten" in words
    assert (tmp_path / "out.csv").read_text() == "my notes"


def test_a_file_in_a_missing_folder_is_refused(run, square, tmp_path):
    assert "is no folder" in refused(2, "predict", run.path, square, "-o", tmp_path / "no" / "out.csv")


def test_unreadable_inputs_can_be_left_out(run, square, broken):
    done = tlkit("predict", run.path, broken, square, "--skip-unreadable")
    assert done.exit_code == 0
    assert [row["path"] for row in rows(done.stdout)] == [str(square)]
    assert done.stderr == "1 of 2 inputs were left out.\n"


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_list_comes_on_standard_input(run, square, broken, ending):
    text = ending.join([str(square), "", str(broken), "no such.jpg"])
    done = tlkit("predict", run.path, "-", input=text)
    assert [row["path"] for row in rows(done.stdout)] == [str(square), str(broken), "no such.jpg"]


def test_a_list_stands_among_other_inputs(run, square):
    done = tlkit("predict", run.path, "a.jpg", "-", "b.jpg", input=f"{square}\n")
    assert [row["path"] for row in rows(done.stdout)] == ["a.jpg", str(square), "b.jpg"]


def test_a_folder_without_a_file_ends_with_3(run, tmp_path):
    (tmp_path / "empty").mkdir()
    done = tlkit("predict", run.path, tmp_path / "empty")
    assert done.exit_code == 3
    assert "no file was found in" in done.stderr


def test_an_empty_list_ends_with_3_and_leaves_no_file(run, tmp_path):
    done = tlkit("predict", run.path, "-", "-o", tmp_path / "out.csv", input="")
    assert done.exit_code == 3
    assert list(tmp_path.iterdir()) == []


def test_no_input_at_all_ends_with_2(run):
    assert "INPUT" in misused("predict", run.path)


def test_keras_gives_the_same_rows(run, colours):
    ours, keras = (rows(tlkit("predict", run.path, colours, "--engine", name).stdout) for name in ("auto", "keras"))
    assert [row["label"] for row in ours] == [row["label"] for row in keras]
    pairs = zip(ours, keras, strict=True)
    assert all(abs(float(a["confidence"]) - float(b["confidence"])) < 1e-4 for a, b in pairs)


@posix
def test_a_reader_that_closes_early_gets_no_traceback(run, colours, tmp_path):
    (tmp_path / "list").write_text(f"{colours / 'red' / '1.png'}\n" * 5000)
    with (tmp_path / "list").open() as given, process("predict", run.path, "-", stdin=given) as running:
        assert running.stdout.readline().startswith("path,")
        running.stdout.close()
        words = running.stderr.read()
        running.wait(timeout=60)
    assert words == ""


# evaluate


def test_figures_come_as_json(run):
    done = tlkit("evaluate", run.path, "--json")
    figures, metrics = json.loads(done.stdout), run.read_json("metrics.json")
    assert {name: figures[name] for name in ("accuracy", "macro_f1", "accuracy_ci95")} == {
        name: metrics[name] for name in ("accuracy", "macro_f1", "accuracy_ci95")
    }
    assert figures["split"] == "validation"
    assert figures["num_images"] == np.sum(figures["confusion_matrix"]) == 7
    assert [row["name"] for row in figures["per_class"]] == figures["class_names"] == ["blue", "green", "red"]
    assert figures["top_k"] == {"3": 1.0}
    assert figures["left_out"] == {}


def test_figures_come_in_words(run, colours):
    lines = tlkit("evaluate", run.path, colours).stdout.splitlines()
    assert lines[0].startswith("accuracy ")
    assert "7 new images" in lines[0]
    assert lines[1] == "the true class is among the 3 likeliest in 1.000"
    assert "left out: 29 × the run was trained on it" in lines


def test_top_k_is_told_as_it_was_asked(run):
    done = tlkit("evaluate", run.path, "--top-k", "2")
    assert "among the 2 likeliest" in done.stdout


# other commands


def test_the_cache_is_shown_and_emptied(monkeypatch, tmp_path):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path))
    claim_cache()
    (tmp_path / "engines").mkdir()
    (tmp_path / "engines" / f"{'0' * 64}.tflite").write_bytes(b"0" * 2_000_000)
    lines = tlkit("cache", "info").stdout.splitlines()
    assert lines[0] == str(tmp_path)
    assert lines[1].split() == ["engines", "1", "files", "2.0", "MB"]
    assert tlkit("cache", "clear").stdout == "2.0 MB removed\n"
    assert [path.name for path in tmp_path.iterdir()] == ["CACHEDIR.TAG"]
    assert tlkit("cache", "clear").stdout == "0.0 MB removed\n"


def test_a_cache_that_is_not_there_yet_is_empty(monkeypatch, tmp_path):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "nowhere"))
    assert tlkit("cache", "info").exit_code == 0
    assert tlkit("cache", "clear").stdout == "0.0 MB removed\n"
    assert not (tmp_path / "nowhere").exists()


def test_digits_are_written_as_a_folder_of_classes(tmp_path):
    pytest.importorskip("sklearn")
    from tlkit import read_folder

    done = tlkit("sample", "digits", tmp_path / "digits")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("1797 images of handwritten digits in ")
    folder = read_folder(tmp_path / "digits")
    assert folder.class_names == tuple("0123456789")
    assert len(folder) == 1797


def test_digits_are_not_written_over_what_is_there(tmp_path):
    pytest.importorskip("sklearn")
    touch(tmp_path, "digits/mine.txt")
    assert tlkit("sample", "digits", tmp_path / "digits").exit_code == 2
    assert [path.name for path in (tmp_path / "digits").iterdir()] == ["mine.txt"]


# names


NAMES = ["a,b", 'q"uote', "new\nline", "car\rriage", "\x1b[31mred", "花 ü", "=1+1", "-rf", os.fsdecode(b"caf\xe9")]


@pytest.fixture(scope="module")
def named(weights_file, tmp_path_factory):
    """A run whose classes and files have names that tables and terminals choke on, and its images."""
    if sys.platform == "win32":
        pytest.skip("Windows has no such names")
    root = tmp_path_factory.mktemp("named")
    for seed, name in enumerate(NAMES):
        (root / "data" / name).mkdir(parents=True)
        for number in range(3):
            (root / "data" / name / f"{name}{number}.png").write_bytes(encoded(noise(40, 40, 10 * seed + number)))
    done = tlkit("finetune", root / "data", "-o", root / "run", *SMALL, weights_file)
    assert done.exit_code == 0, done.stderr
    return root, done.stdout


def test_a_summary_shows_no_name_that_steers_the_terminal(named):
    _, out = named
    assert all(line.isprintable() for line in out.split("\n"))
    assert "\\x1b[31mred" in out
    assert "花 ü" in out


def test_names_survive_in_the_tables_of_a_run(named):
    root, _ = named
    found = load_run(root / "run").read_rows("split.csv")
    assert {row["class"] for row in found} == set(NAMES)
    assert {row["path"] for row in found} == {f"{name}/{name}{number}.png" for name in NAMES for number in range(3)}


def test_a_run_of_such_names_is_evaluated(named):
    root, _ = named
    done = tlkit("evaluate", root / "run")
    assert done.exit_code == 0, done.stderr
    assert all(line.isprintable() for line in done.stdout.split("\n"))


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_survives_csv_and_json(named, tmp_path, name):
    root, _ = named
    path = root / "data" / name / f"{name}0.png"
    for ending in (".csv", ".json"):
        done = tlkit("predict", root / "run", path, "--top-k", "9", "-o", tmp_path / f"out{ending}")
        assert done.exit_code == 0, done.stderr
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        (row,) = csv.DictReader(file)
    (item,) = json.loads((tmp_path / "out.json").read_text())
    assert row["path"] == item["path"] == str(path)
    labels = [row["label"], *(row[f"label_{k}"] for k in range(2, 10))]
    assert sorted(labels) == sorted(NAMES)
    assert [entry["label"] for entry in item["top"]] == labels


def test_a_table_shows_no_name_that_steers_the_terminal(named):
    root, _ = named
    done = tlkit("predict", root / "run", root / "data", "--format", "table", "--top-k", "9")
    lines = done.stdout.rstrip("\n").split("\n")
    assert len(lines) == 3 * len(NAMES)
    assert all(line.isprintable() for line in lines)


def test_an_error_shows_no_name_that_steers_the_terminal(tmp_path):
    words = refused(4, "predict", tmp_path / "\x1b[31mrun", "x.jpg")
    assert words.isprintable()


# awkward images


@pytest.fixture(scope="module")
def awkward(shared_data):
    return sorted((shared_data / "awkward" / "images").iterdir())


def test_each_awkward_image_has_a_row_and_each_refused_one_a_reason(run, awkward):
    for path in awkward:
        done = tlkit("predict", run.path, path)
        (row,) = rows(done.stdout)
        assert done.exit_code == (0 if row["status"] == "ok" else 6)
        assert (row["status"] == "error") == (len(row["error"]) > 5)
        assert "\n" not in row["error"]


def test_a_class_of_awkward_images_is_learnt_without_those_refused(run, awkward, colours, weights_file, tmp_path):
    data = shutil.copytree(colours, tmp_path / "data")
    for path in awkward:
        shutil.copy(path, data / "red")
    done = tlkit("finetune", data, "-o", tmp_path / "run", *SMALL, weights_file)
    assert done.exit_code == 0, done.stderr
    left_out = load_run(tmp_path / "run").read_rows("left_out.csv")
    predicted = rows(tlkit("predict", run.path, *awkward).stdout)
    refusals = {Path(row["path"]).name: row["error"] for row in predicted if row["status"] == "error"}
    assert {Path(row["path"]).name: row["reason"] for row in left_out} == refusals
    assert all(f"× {reason}" in done.stdout for reason in set(refusals.values()))


# interruptions


def interrupted(running, ready):
    """Send Ctrl-C once something is there; returns what was said on stderr."""
    until = time.monotonic() + 60
    while not ready() and time.monotonic() < until and running.poll() is None:
        time.sleep(0.05)
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    _, words = running.communicate(timeout=60)
    return words


LONG = ["--epochs", "1000000", "--patience", "1000000"]


@posix
def test_control_c_at_the_start_ends_with_130_and_leaves_no_run(colours, tmp_path):
    with process("finetune", colours, "-o", tmp_path / "run", *SMALL, "none", *LONG) as running:
        words = interrupted(running, (tmp_path / "run" / "settings.json").exists)
    assert running.returncode == 130
    assert re.fullmatch(r"Interrupted\. [^\n]+\n", words)
    assert not (tmp_path / "run").exists()


@posix
def test_control_c_while_training_ends_with_130_and_keeps_the_features(colours, tmp_path):
    environment = os.environ | {"TLKIT_CACHE": str(tmp_path / "cache")}
    kept = tmp_path / "cache" / "features"
    with process("finetune", colours, "-o", tmp_path / "run", *SMALL, "none", *LONG, env=environment) as running:
        words = interrupted(running, lambda: kept.is_dir() and any(kept.rglob("*.*")))
    assert running.returncode == 130
    assert re.fullmatch(r"Interrupted\. [^\n]+\n", words)
    assert not (tmp_path / "run").exists()
    assert any(kept.rglob("*.*"))


# strategies


def test_a_dry_run_tells_time_and_disk_and_leaves_nothing(colours, weights_file, tmp_path):
    small = ["--backbone", "mobilenet_025", "--image-size", "32", "--cut", "0.7", "--weights", weights_file]
    done = tlkit("finetune", colours, "-o", tmp_path / "run", *small, "--dry-run")
    rows = [line.split()[0] for line in done.stdout.splitlines()[1:4]]
    assert rows == ["all", "lower", "none"]
    assert "Nothing was trained." in done.stdout
    assert done.stderr == ""
    assert not (tmp_path / "run").exists()


def test_a_run_starts_from_another(colours, own_run, tmp_path):
    done = tlkit(
        "finetune", colours, "-o", tmp_path / "second", "--from", own_run.path, "--freeze", "all", "--epochs", 1
    )
    assert "accuracy" in done.stdout
    assert json.loads((tmp_path / "second" / "settings.json").read_text())["from_run"] == str(own_run.path.resolve())


def test_another_network_than_that_of_the_former_run_is_refused(colours, own_run, tmp_path):
    words = refused(2, "finetune", colours, "-o", tmp_path / "run", "--from", own_run.path, "--backbone", "vgg16")
    assert "--backbone is vgg16" in words


def test_a_time_limit_that_is_none_is_refused(colours, tmp_path):
    assert "5m, 90s or 1h" in refused(2, "finetune", colours, "-o", tmp_path / "run", "--time-limit", "soon")


# augment, lr-find and the help page


def test_a_contact_sheet_names_its_pictures(colours, tmp_path):
    sheet = tmp_path / "sheet.png"
    result = CliRunner().invoke(
        main, ["augment", str(colours), "-o", str(sheet), "--images", "3", "--image-size", "32"]
    )
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "3 pictures, 8 views of each, the first plain:", "blue/0.png", "green/0.png", "red/0.png", f"drawn  {sheet}"
    ]  # fmt: skip
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_a_rate_is_suggested_and_drawn(colours, weights_file, tmp_path):
    picture = tmp_path / "rates.png"
    options = ["--backbone", "mobilenet_025", "--weights", str(weights_file), "--image-size", "32", "-o", str(picture)]
    result = CliRunner().invoke(main, ["lr-find", str(colours), *options])
    assert result.exit_code == 0, result.output
    assert "suggested for the head: --learning-rate " in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_ten_options_come_first_on_the_help_page():
    lines = CliRunner(env={"COLUMNS": "100"}).invoke(main, ["finetune", "--help"]).output.splitlines()
    start = lines.index("Main options:")
    ended = lines.index("", start)
    assert sum(line.startswith("  -") for line in lines[start:ended]) == 10
