"""The run folder: made, finished, loaded; its tables."""

import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.making import CHAIN_FILES
from tests.making import RUN_FILES as RUN_FILES_MADE
from tlkit.errors import OptionError, RunError
from tlkit.runs.manifest import FORMAT_VERSION, RUN_FILES
from tlkit.runs.run import (
    COMPARISON,
    DONE,
    UNFINISHED,
    Run,
    command_of,
    create_run,
    delete_run,
    find_run,
    finish_run,
    is_done,
    load_run,
    mark_done,
)
from tlkit.utils.files import owned_files, sha256_file

ENTRIES = {
    "class_names": ["a", "b"],
    "image_size": 32,
    "resize": "crop",
    "gray_range": None,
    "max_megapixels": 64.0,
    "precision": "float32",
    "engine": "litert",
    "temperature": 1.0,
    "unknown": {"coverage": 0.95, "threshold": None, "balance": 0.0, "distance": [0.0, 1.0], "doubt": [0.0, 1.0]},
    "stages": [{"file": "engine/head.tflite", "engine": "litert", "precision": "float32"}],
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(function, *args, error=RunError):
    """The sentence of an error of this kind."""
    with pytest.raises(error) as caught:
        function(*args)
    assert caught.value.exit_code == {OptionError: 2, RunError: 4}[error]
    assert str(caught.value).endswith(".")
    return str(caught.value)


# making one


def test_create_run_without_a_name_numbers_each_command_from_1(here):
    paths = [create_run(None, name).path.as_posix() for name in ("finetune", "finetune", "train", "finetune")]
    assert paths == ["runs/finetune-001", "runs/finetune-002", "runs/train-001", "runs/finetune-003"]


def test_create_run_takes_the_number_after_the_greatest_there_is(here):
    for present, expected in (
        (("finetune-041", "finetune-7"), "finetune-042"),
        (("finetune-999",), "finetune-1000"),
        (("finetune-001-v2",), "finetune-001"),  # what the user renamed is no number
        (("finetune-1x2",), "finetune-001"),
        (("finetune-1²",), "finetune-001"),
        (("finetune-", "finetune-good"), "finetune-001"),
    ):
        for name in present:
            (here / "runs" / name).mkdir(parents=True)
        assert create_run(None, "finetune").path.name == expected, present
        shutil.rmtree(here / "runs")


def test_create_run_passes_over_a_file_with_the_next_name(here):
    (here / "runs").mkdir()
    (here / "runs/finetune-001").touch()
    assert create_run(None, "finetune").path.name == "finetune-002"


def test_create_run_started_at_once_gives_each_a_number_of_its_own(here):
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: create_run(None, "finetune"), range(16)))
    assert sorted(run.path.name for run in runs) == [f"finetune-{number:03d}" for number in range(1, 17)]


def test_create_run_makes_the_folder_that_was_asked_for(tmp_path):
    assert create_run(tmp_path / "deep" / "mine", "finetune").path == tmp_path / "deep" / "mine"
    assert (tmp_path / "deep" / "mine").is_dir()


@pytest.mark.parametrize("kind", ["folder", "full folder", "file"])
def test_create_run_where_something_is_writes_nothing(tmp_path, kind):
    path = tmp_path / "mine"
    path.touch() if kind == "file" else path.mkdir()
    if kind == "full folder":
        (path / "thesis.txt").write_text("years of work")
    before = sorted(tmp_path.rglob("*"))
    words = refusal(create_run, path, "finetune", error=OptionError)
    assert f"'{path}' already exists" in words
    assert "-o" in words
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_create_run_at_a_broken_link_does_not_write_through_it(tmp_path):
    (tmp_path / "mine").symlink_to(tmp_path / "nowhere")
    assert "already exists" in refusal(create_run, tmp_path / "mine", "finetune", error=OptionError)
    assert not (tmp_path / "nowhere").exists()


def test_create_run_inside_a_file_is_refused(here):
    (here / "runs").touch()
    for path, named in ((here / "runs" / "mine", f"'{here / 'runs' / 'mine'}'"), (None, "'runs'")):
        words = refusal(create_run, path, "finetune", error=OptionError)
        assert named in words
        assert "-o" in words


def test_create_run_says_what_an_unfinished_folder_is(tmp_path):
    run = create_run(tmp_path / "mine", "finetune")
    assert [file.name for file in run.path.iterdir()] == [UNFINISHED]
    assert "`tlkit finetune`" in (run.path / UNFINISHED).read_text()


# deleting one


def test_delete_run_leaves_nothing(tmp_path):
    run = create_run(tmp_path / "mine", "finetune")
    run.write_json("settings.json", {})
    delete_run(run)
    assert list(tmp_path.iterdir()) == []


def test_delete_run_leaves_what_is_not_its_own_and_what_lies_behind_links(tmp_path):
    run = create_run(tmp_path / "mine", "finetune")
    for name in ("settings.json", "plots/curves.png", "engine/lower.tflite", "tensorboard/head/events.out.tfevents.1"):
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).touch()
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "head.tflite").write_text("mine")
    (run.path / "plots" / "mine.png").write_text("mine")
    (run.path / "tensorboard" / "blocks").symlink_to(tmp_path / "engine")
    (run.path / "metrics.json").symlink_to(tmp_path / "engine" / "head.tflite")
    (tmp_path / "link").symlink_to(run.path)
    delete_run(Run(tmp_path / "link"))
    assert (run.path / "settings.json").exists()
    delete_run(run)
    left = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*")}
    assert left == {"plots", "plots/mine.png", "tensorboard", "tensorboard/blocks", "metrics.json"}
    assert (tmp_path / "engine" / "head.tflite").read_text() == "mine"


def test_run_files_matches_every_file_of_a_run(finetuned_run, blocks_run, classic_run):
    for run in (finetuned_run, blocks_run, classic_run):
        files = {file for file in run.path.rglob("*") if file.is_file()}
        assert set(owned_files(run.path, RUN_FILES)) == files


# finishing one


def test_finish_run_leaves_done_and_no_word_of_being_unfinished(tmp_path):
    run = create_run(tmp_path / "mine", "finetune")
    run.write_rows("left_out.csv", ["a"], [[1]])
    (run.path / "notes.txt").write_text("mine")
    finish_run(run, ENTRIES)
    assert sorted(file.name for file in run.path.iterdir()) == [DONE, "left_out.csv", "model.json", "notes.txt"]
    assert load_run(run.path) == run
    assert run.manifest.sha256 == {"left_out.csv": sha256_file(run.path / "left_out.csv")}


def test_finish_run_writes_done_last(finetuned_run):
    times = {file: file.stat().st_mtime_ns for file in finetuned_run.path.rglob("*") if file.is_file()}
    assert times[finetuned_run.path / DONE] == max(times.values())


def test_finish_run_that_fails_leaves_it_unfinished(tmp_path):
    run = create_run(tmp_path / "mine", "finetune")
    with pytest.raises(TypeError):
        finish_run(run, {**ENTRIES, "stages": [object()]})
    assert not is_done(run.path)
    assert (run.path / UNFINISHED).exists()


def test_mark_done_killed_between_its_two_steps_has_finished_the_run(tmp_path):
    run = create_run(tmp_path / "mine", "finetune")
    run.write_json("settings.json", {"command": "finetune"})
    finish_run(run, ENTRIES)
    (run.path / DONE).unlink()
    (run.path / UNFINISHED).mkdir()  # so that it cannot be removed
    mark_done(run)
    assert is_done(run.path)
    assert load_run(run.path) == run


def test_finished_run_has_the_files_that_other_work_leans_on(finetuned_run):
    files = {file.relative_to(finetuned_run.path).as_posix() for file in finetuned_run.path.rglob("*")}
    assert files == RUN_FILES_MADE | CHAIN_FILES | {"engine", "golden", "plots"}


def test_finished_run_has_the_hash_of_every_other_file(finetuned_run):
    hashes = finetuned_run.manifest.sha256
    files = {
        file.relative_to(finetuned_run.path).as_posix() for file in finetuned_run.path.rglob("*") if file.is_file()
    }
    assert hashes.keys() == files - {"DONE", "model.json", "report.html", "MODEL_CARD.md"}
    assert all(sha256_file(finetuned_run.path / name) == digest for name, digest in hashes.items())


def test_model_json_says_what_it_promises(finetuned_run):
    content = finetuned_run.read_json("model.json")
    assert content["format"] == FORMAT_VERSION
    assert content["class_names"] == ["blue", "green", "red"]
    assert (content["image_size"], content["resize"], content["precision"]) == (32, "crop", "float32")
    assert content["temperature"] == 1  # six validation images are too few to calibrate
    assert content["unknown"].keys() == {"coverage", "threshold", "balance", "distance", "doubt"}
    assert (content["unknown"]["coverage"], content["unknown"]["threshold"]) == (0.95, None)
    assert content["versions"].keys() >= {"tlkit", "python", "keras", "tensorflow", "numpy", "pillow", "litert"}
    assert content["stages"] == [
        {"file": f"engine/{name}.tflite", "engine": "litert", "precision": "float32"} for name in ("lower", "head")
    ]


def test_tables_have_the_columns_that_other_work_leans_on(finetuned_run):
    starts = {
        "split.csv": "path,class,split,group,sha256,reason,pixels\n",
        "history.csv": "phase,epoch,learning_rate,loss,accuracy,val_loss,val_accuracy,seconds\n",
        "confusion_matrix.csv": "class,blue,green,red\nblue,",
        "predictions_val.csv": "path,class,label,confidence,p_blue,p_green,p_red\n",
        "wrong.csv": "path,class,label,confidence\n",
    }
    for name, start in starts.items():
        assert (finetuned_run.path / name).read_text().startswith(start), name


def test_metrics_json_has_the_figures_that_other_work_leans_on(finetuned_run, finetuned):
    metrics = finetuned_run.read_json("metrics.json")
    assert metrics == json.loads(json.dumps(finetuned.metrics.as_json()))
    low, high = metrics["accuracy_ci95"]
    assert 0 <= low <= metrics["accuracy"] <= high <= 1
    assert metrics["selected_on_validation"] is True
    assert metrics["num_train"] + metrics["num_validation"] == 36
    assert metrics["seconds"].keys() >= {"scan", "features", "fit", "total"}
    assert {"baseline_accuracy", "macro_f1"} <= metrics.keys()


def test_settings_json_says_what_was_run_and_on_what(finetuned_run, colors):
    settings = finetuned_run.read_json("settings.json")
    assert (settings["command"], settings["data"]) == ("finetune", str(colors.resolve()))
    assert settings["engine"] == "litert"


# loading one


def test_load_run_finds_it_by_its_folder_or_its_model(finetuned_run):
    for name in ("", "model.keras", "model.json"):
        for path in (finetuned_run.path / name, str(finetuned_run.path / name)):
            assert load_run(path) == finetuned_run


def test_load_run_that_is_missing_lists_the_finished_ones(here):
    for name in ["finetune-001", "finetune-002"]:
        (here / "runs" / name).mkdir(parents=True)
    (here / "runs/finetune-002" / DONE).touch()
    words = refusal(load_run, "runs/finetune-009")
    assert "'runs/finetune-009'" in words
    assert "runs/finetune-002" in words
    assert "runs/finetune-001" not in words


def test_load_run_that_is_missing_says_how_to_make_one(here):
    (here / "x.jpg").touch()
    for path in ("x", "x.jpg"):
        words = refusal(load_run, path)
        assert words.startswith(f"there is no run folder '{path}'")
        assert "`tlkit finetune DATA`" in words


def test_load_run_that_is_unfinished_is_refused(own_run):
    (own_run.path / DONE).unlink()
    assert f"'{own_run.path}' is unfinished (it has no DONE file)" in refusal(load_run, own_run.path)


def test_load_run_that_is_unfinished_names_the_command_that_goes_on_with_it(tmp_path):
    for command in ("finetune", "train", "compare"):
        run = create_run(tmp_path / command, command)
        run.write_json("settings.json", {"command": command})
        assert f"`tlkit {command} --resume {run.path}`" in refusal(load_run, run.path)


def test_load_run_of_a_folder_of_something_else_is_refused(here, colors):
    words = refusal(load_run, colors)
    assert words.startswith(f"'{colors}' is not a run folder (it has no DONE file)")


def finished_comparison(path, content):
    run = create_run(path, "compare")
    run.write_rows(COMPARISON, ["model"], [["colors"]])
    run.write_json("compare.json", content)
    run.write_json("settings.json", {"command": "compare", "data": "."})
    mark_done(run)
    return run


def test_find_run_of_a_comparison_is_its_recommended_candidates(tmp_path):
    models = [{"model": "colors"}, {"model": "linear"}]
    run = finished_comparison(tmp_path / "mine", {"advice": {"name": "linear"}, "models": models})
    assert find_run(run.path) == run.path / "linear"
    assert f"there is no run folder '{run.path / 'linear'}'" in refusal(load_run, run.path)


@pytest.mark.parametrize(
    "content",
    ({}, [], {"advice": {"name": "../x"}, "models": [{"model": "../x"}]}, {"advice": {"name": "a"}, "models": [3]}),
)
def test_find_run_of_a_damaged_comparison_is_refused(tmp_path, content):
    run = finished_comparison(tmp_path / "mine", content)
    words = refusal(load_run, run.path)
    assert words.endswith(f"does not name a model; give the folder of one run in '{run.path}'.")


def test_find_run_latest_is_the_newest_that_is_finished(here):
    assert "no finished run in 'runs'" in refusal(load_run, "latest")
    for number, name in enumerate(("b", "a", "stopped", "foreign")):
        path = create_run(here / "runs" / name, "train").path
        if name != "foreign":
            (path / "settings.json").write_text('{"command": "train", "data": "."}')
        if name != "stopped":
            (path / DONE).touch()
            os.utime(path / DONE, (number, number))
    assert find_run("latest") == Path("runs/a")
    os.utime(here / "runs/b" / DONE, (9, 9))
    assert find_run("latest") == Path("runs/b")
    (here / "latest").mkdir()
    assert find_run("latest") == Path("latest")


def test_command_of_says_finetune_where_the_settings_say_nothing(tmp_path):
    for content, expected in (
        ('{"command": "train"}', "train"),
        ("{}", "finetune"),
        ("[", "finetune"),
        ("3", "finetune"),
    ):
        (tmp_path / "settings.json").write_text(content)
        assert command_of(Run(tmp_path)) == expected


# its files


def test_checked_file_finds_one_flipped_byte(own_run):
    for name in own_run.manifest.sha256:
        file = own_run.path / name
        before = file.read_bytes()
        assert own_run.checked_file(name) == file
        content = bytearray(before)
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        words = refusal(own_run.checked_file, name)
        assert f"'{file}' is not the file that the run wrote" in words
        file.write_bytes(before)


def test_checked_file_that_is_missing_is_named(own_run):
    for name in ("engine/lower.tflite", "model.keras"):
        (own_run.path / name).unlink()
        assert f"'{own_run.path / name}' is missing" in refusal(own_run.checked_file, name)


def test_checked_file_of_no_known_hash_is_refused(own_run):
    (own_run.path / "engine" / "other.tflite").write_bytes(b"TFL3")
    (own_run.path.parent / "outside.tflite").write_bytes(b"TFL3")
    for name in ("../outside.tflite", "/etc/hostname", "engine/other.tflite"):
        assert f"{name}' is " in refusal(own_run.checked_file, name)


def test_network_file_of_a_classic_run_is_refused(classic_run, finetuned_run):
    assert finetuned_run.network_file() == finetuned_run.path / "model.keras"
    words = refusal(classic_run.network_file)
    assert f"'{classic_run.path}'" in words
    assert "contains a classic classifier" in words


# its tables


NAMES = [
    "plain",
    "a,b",
    'q"uote',
    "new\nline",
    "car\rriage",
    "both\r\n",
    "花 ü",
    "",
    " space ",
    os.fsdecode(b"caf\xe9"),
]


def test_read_rows_gives_a_table_as_it_was_written(tmp_path):
    run = create_run(tmp_path / "mine", "finetune")
    run.write_rows("left_out.csv", ["path", "number"], [[name, number] for number, name in enumerate(NAMES)])
    finish_run(run, ENTRIES)
    rows = run.read_rows("left_out.csv")
    assert [(row["path"], row["number"]) for row in rows] == [(name, str(k)) for k, name in enumerate(NAMES)]


def test_run_is_a_value(tmp_path):
    assert Run(tmp_path) == Run(tmp_path)


def test_only_tables_of_this_machines_runs_may_be_very_large(own_run, tmp_path, monkeypatch):
    count = len(own_run.read_rows("split.csv"))
    monkeypatch.setattr("tlkit.runs.run.MAX_ROWS", count - 1)
    assert len(own_run.read_rows("split.csv")) == count
    (own_run.path / "model.json").write_text((own_run.path / "model.json").read_text() + " ")
    with pytest.raises(RunError, match="one too many"):
        own_run.read_rows("split.csv")
