import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.making import CHAIN_FILES
from tests.making import RUN_FILES as RUN_FILES_MADE
from tlkit.errors import OptionError, RunError
from tlkit.utils.files import owned_files, sha256_file
from tlkit.inference.predictor import Predictor
from tlkit.runs.run import DONE, RUN_FILES, UNFINISHED, Run, create_run, delete_run, finish_run, is_done, load_run, read_manifest
from tlkit.runs.unfinished import save_or_check_split, reopen_run, was_resumed


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(function, *args, error=RunError):
    with pytest.raises(error) as caught:
        function(*args)
    assert caught.value.exit_code == {OptionError: 2, RunError: 4}[error]
    assert str(caught.value).endswith(".")
    return str(caught.value)


# making one


def test_runs_are_numbered_from_1(here):
    paths = [create_run(None, "finetune").path.as_posix() for _ in range(3)]
    assert paths == ["runs/finetune-001", "runs/finetune-002", "runs/finetune-003"]


def test_a_number_follows_the_greatest_there_is(here):
    (here / "runs/finetune-041").mkdir(parents=True)
    (here / "runs/finetune-7").mkdir()
    assert create_run(None, "finetune").path.name == "finetune-042"


def test_a_number_may_have_more_than_three_digits(here):
    (here / "runs/finetune-999").mkdir(parents=True)
    assert create_run(None, "finetune").path.name == "finetune-1000"


def test_each_command_counts_by_itself(here):
    create_run(None, "finetune")
    assert create_run(None, "train").path.name == "train-001"


@pytest.mark.parametrize("name", ["finetune-001-v2", "finetune-1x2", "finetune-1²", "finetune-", "finetune-good"])
def test_a_folder_that_the_user_renamed_is_no_number(here, name):
    (here / "runs" / name).mkdir(parents=True)
    assert create_run(None, "finetune").path.name == "finetune-001"


def test_a_file_with_the_next_name_is_passed_over(here):
    (here / "runs").mkdir()
    (here / "runs/finetune-001").touch()
    assert create_run(None, "finetune").path.name == "finetune-002"


def test_runs_that_start_at_once_get_numbers_of_their_own(here):
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: create_run(None, "finetune"), range(16)))
    assert sorted(run.path.name for run in runs) == [f"finetune-{number:03d}" for number in range(1, 17)]


def test_a_run_lies_where_it_was_asked_for(tmp_path):
    assert create_run(tmp_path / "deep" / "mine", "finetune").path == tmp_path / "deep" / "mine"
    assert (tmp_path / "deep" / "mine").is_dir()


@pytest.mark.parametrize("kind", ["folder", "full folder", "file"])
def test_nothing_that_is_there_is_written_into(tmp_path, kind):
    path = tmp_path / "mine"
    path.touch() if kind == "file" else path.mkdir()
    if kind == "full folder":
        (path / "thesis.txt").write_text("years of work")
    before = sorted(tmp_path.rglob("*"))
    assert refusal(create_run, path, "finetune", error=OptionError) == (
        f"'{path}' is already there and is never written into; choose another -o."
    )
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_broken_link_is_not_written_through(tmp_path):
    (tmp_path / "mine").symlink_to(tmp_path / "nowhere")
    assert "is already there" in refusal(create_run, tmp_path / "mine", "finetune", error=OptionError)
    assert not (tmp_path / "nowhere").exists()


def test_a_place_inside_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    assert "no run folder can be made at" in refusal(
        create_run, tmp_path / "file" / "mine", "finetune", error=OptionError
    )


def test_runs_that_is_a_file_is_refused(here):
    (here / "runs").touch()
    assert "no run folder can be made at 'runs'" in refusal(create_run, None, "finetune", error=OptionError)


def test_an_unfinished_folder_says_what_it_is(tmp_path):
    run = create_run(tmp_path / "mine", "finetune")
    assert [file.name for file in run.path.iterdir()] == [UNFINISHED]
    assert "`tlkit finetune` is running here, or was stopped" in (run.path / UNFINISHED).read_text()


def test_a_discarded_run_leaves_nothing(tmp_path):
    run = create_run(tmp_path / "mine", "finetune")
    run.write_json("settings.json", {})
    delete_run(run)
    assert list(tmp_path.iterdir()) == []


def test_a_discarded_run_leaves_what_is_not_its_own_and_what_lies_behind_links(tmp_path):
    run = create_run(tmp_path / "mine", "finetune")
    for name in ("settings.json", "plots/curves.png", "engine/lower.tflite", "tensorboard/head/events.out.tfevents.1"):
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).touch()
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "upper.tflite").write_text("mine")
    (run.path / "plots" / "mine.png").write_text("mine")
    (run.path / "tensorboard" / "blocks").symlink_to(tmp_path / "engine")
    (run.path / "metrics.json").symlink_to(tmp_path / "engine" / "upper.tflite")
    (tmp_path / "link").symlink_to(run.path)
    delete_run(Run(tmp_path / "link"))
    assert (run.path / "settings.json").exists()
    delete_run(run)
    left = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*")}
    assert left == {"plots", "plots/mine.png", "tensorboard", "tensorboard/blocks", "metrics.json"}
    assert (tmp_path / "engine" / "upper.tflite").read_text() == "mine"


def test_every_file_of_a_run_is_known_as_its_own(run):
    files = {file.relative_to(run.path).as_posix() for file in owned_files(run.path, RUN_FILES)}
    assert files == RUN_FILES_MADE | CHAIN_FILES


# finishing one


FACTS = {"class_names": ["a", "b"], "image_size": 32, "resize": "crop", "precision": "float32", "engine": "litert"}


def test_a_finished_run_has_done_and_no_word_of_being_unfinished(tmp_path):
    run = create_run(tmp_path / "mine", "finetune")
    run.write_rows("left_out.csv", ["a"], [[1]])
    (run.path / "notes.txt").write_text("mine")
    finish_run(run, {**FACTS, "stages": []})
    assert sorted(file.name for file in run.path.iterdir()) == [DONE, "left_out.csv", "model.json", "notes.txt"]
    assert load_run(run.path) == run
    assert read_manifest(run).sha256 == {"left_out.csv": sha256_file(run.path / "left_out.csv")}


def test_done_is_the_last_file_to_be_written(run):
    times = {file: file.stat().st_mtime_ns for file in run.path.rglob("*") if file.is_file()}
    assert times[run.path / DONE] == max(times.values())


def test_a_run_whose_end_fails_is_not_done(tmp_path):
    run = create_run(tmp_path / "mine", "finetune")
    with pytest.raises(TypeError):
        finish_run(run, {**FACTS, "stages": [object()]})
    assert not (run.path / DONE).exists()
    assert (run.path / UNFINISHED).exists()


def test_a_run_that_is_killed_between_its_last_two_steps_is_done(tmp_path):
    run = create_run(tmp_path / "mine", "finetune")
    run.write_json("settings.json", {"command": "finetune"})
    (run.path / UNFINISHED).unlink()
    (run.path / UNFINISHED).mkdir()  # so that it cannot be removed
    with pytest.raises(OSError):
        finish_run(run, {**FACTS, "stages": []})
    assert is_done(run.path)
    assert load_run(run.path) == run
    assert "is finished, there is nothing to resume; `tlkit predict" in refusal(reopen_run, run.path)


def test_a_run_has_the_files_that_other_work_leans_on(run):
    files = {file.relative_to(run.path).as_posix() for file in run.path.rglob("*") if file.is_file()}
    assert files == RUN_FILES_MADE | CHAIN_FILES


def test_the_model_file_has_the_hash_of_every_other_file(run):
    facts = read_manifest(run)
    files = {file.relative_to(run.path).as_posix() for file in run.path.rglob("*") if file.is_file()}
    assert facts.sha256.keys() == files - {"DONE", "model.json"}
    assert all(sha256_file(run.path / name) == digest for name, digest in facts.sha256.items())


def test_the_model_file_says_what_it_promises(run):
    content = run.read_json("model.json")
    assert content["class_names"] == ["blue", "green", "red"]
    assert (content["image_size"], content["resize"], content["precision"]) == (32, "crop", "float32")
    assert (content["temperature"], content["unknown_threshold"], content["golden_samples"]) == (None, None, None)
    assert content["versions"].keys() >= {"tlkit", "python", "keras", "tensorflow", "numpy", "pillow", "litert"}


def test_the_tables_have_the_columns_that_other_work_leans_on(run):
    headers = {name: (run.path / name).read_text().splitlines()[0] for name in ["split.csv", "history.csv"]}
    assert headers["split.csv"] == "path,class,split,group,sha256"
    assert headers["history.csv"] == "phase,epoch,learning_rate,loss,accuracy,val_loss,val_accuracy,seconds"
    assert (run.path / "confusion_matrix.csv").read_text().startswith("class,blue,green,red\nblue,")
    assert (
        (run.path / "predictions_val.csv").read_text().startswith("path,class,label,confidence,p_blue,p_green,p_red\n")
    )


def test_the_metrics_have_the_figures_that_other_work_leans_on(run, finetuned):
    metrics = run.read_json("metrics.json")
    assert metrics == json.loads(json.dumps(finetuned.metrics))
    low, high = metrics["accuracy_ci95"]
    assert 0 <= low <= metrics["accuracy"] <= high <= 1
    assert metrics["selected_on_validation"] is True
    assert metrics["num_train"] + metrics["num_validation"] == 36
    assert metrics["seconds"].keys() >= {"scan", "features", "fit", "total"}
    assert {"baseline_accuracy", "macro_f1"} <= metrics.keys()


def test_the_settings_say_what_was_run_and_on_what(run, colours):
    settings = run.read_json("settings.json")
    assert settings["command"] == "finetune"
    assert settings["data"] == str(colours.resolve())
    assert settings["engine"] == "litert"


# loading one


@pytest.mark.parametrize("name", ["", "model.keras", "model.json"])
def test_a_run_is_found_by_its_folder_or_its_model(run, name):
    assert load_run(run.path / name) == run
    assert load_run(str(run.path / name)) == run


def test_a_missing_run_lists_the_finished_ones(here, run):
    for name in ["finetune-001", "finetune-002"]:
        (here / "runs" / name).mkdir(parents=True)
    (here / "runs/finetune-002" / DONE).touch()
    words = refusal(load_run, "runs/finetune-009")
    assert words == "there is no run folder 'runs/finetune-009'; finished runs here: runs/finetune-002."


def test_a_missing_run_says_how_to_make_one_where_there_is_none(here):
    assert refusal(load_run, "x") == "there is no run folder 'x'; `tlkit finetune DATA` makes one."


def test_a_file_is_no_run(tmp_path):
    (tmp_path / "x.jpg").touch()
    assert "there is no run folder" in refusal(load_run, tmp_path / "x.jpg")


def test_an_unfinished_run_is_not_loaded(own_run):
    (own_run.path / DONE).unlink()
    assert f"'{own_run.path}' is an unfinished run: it has no DONE" in refusal(load_run, own_run.path)


@pytest.mark.parametrize("command", ["finetune", "train", "compare"])
def test_an_unfinished_run_names_the_command_that_goes_on_with_it(tmp_path, command):
    run = create_run(tmp_path / "mine", command)
    run.write_json("settings.json", {"command": command})
    assert f"`tlkit {command} --resume {run.path}` goes on" in refusal(load_run, run.path)


def test_a_folder_of_something_else_is_no_run(here, colours):
    words = refusal(load_run, colours)
    assert words == f"'{colours}' is no run folder: it has no DONE; `tlkit finetune DATA` makes one."
    words = refusal(reopen_run, colours)
    assert words == f"'{colours}' is no unfinished run; give the folder of one that was stopped."


def test_a_run_says_whether_anything_was_trained_before_it_was_gone_on_with(tmp_path, finetuned):
    run = create_run(tmp_path / "mine", "finetune")
    run.write_json("settings.json", {})
    for _ in range(2):  # stopped before anything was trained, and begun again
        save_or_check_split(run, finetuned.split)
        assert not was_resumed(run)
    (run.path / "checkpoint-head.npz").touch()
    assert not was_resumed(reopen_run(run.path))  # it may still be refused
    save_or_check_split(run, finetuned.split)
    assert was_resumed(run)


DAMAGE = {
    "empty": "",
    "half": '{"format": 1, "class_na',
    "no JSON": "<html>",
    "a list": "[]",
    "a number": "3",
    "null": "null",
    "nothing in it": "{}",
    "bytes": b"\xff\xfe\x00",
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_model_file_is_refused_by_name(own_run, kind):
    content = DAMAGE[kind]
    file = own_run.path / "model.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    words = refusal(load_run, own_run.path)
    assert f"'{file}'" in words
    assert "train again" in words


def changed(run, **values):
    file = run.path / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    return run


@pytest.mark.parametrize(
    "values",
    [
        {"image_size": -1},
        {"image_size": 10**9},
        {"image_size": "wide"},
        {"image_size": None},
        {"resize": "fit"},
        {"class_names": ["a"]},
        {"class_names": None},
        {"class_names": 3},
        {"stages": 3},
        {"stages": [{}]},
        {"stages": ["x"]},
        {"sha256": None},
        {"sha256": 5},
    ],
    ids=str,
)
def test_impossible_values_in_a_model_file_are_refused(own_run, values):
    assert "is damaged" in refusal(load_run, changed(own_run, **values).path)


@pytest.mark.parametrize("values", [{"format": 2}, {"format": 0}, {"decode_version": 99}, {"format": None}], ids=str)
def test_a_run_of_another_version_is_refused_with_that_version(own_run, values):
    words = refusal(load_run, changed(own_run, versions={"tlkit": "9.8"}, **values).path)
    assert "was written by tlkit 9.8" in words
    assert "install that version or train again" in words


def flip_a_byte(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["engine/lower.tflite", "engine/upper.tflite"])
def test_one_flipped_byte_in_an_engine_is_found(own_run, name):
    flip_a_byte(own_run.path / name)
    words = refusal(Predictor, load_run(own_run.path))
    assert words == (
        f"'{own_run.path / name}' is not what the run wrote (its SHA-256 differs); train again or restore it."
    )


def test_one_flipped_byte_in_the_keras_model_is_found_before_keras_opens_it(own_run):
    flip_a_byte(own_run.path / "model.keras")
    assert "model.keras' is not what the run wrote" in refusal(Predictor, load_run(own_run.path), "keras")


@pytest.mark.parametrize("name", ["engine/lower.tflite", "engine/upper.tflite"])
def test_a_missing_engine_is_named(own_run, name):
    (own_run.path / name).unlink()
    assert f"'{own_run.path / name}' is missing from its run" in refusal(Predictor, load_run(own_run.path))


@pytest.mark.parametrize("file", ["../outside.tflite", "/etc/hostname", "engine/other.tflite"])
def test_a_model_file_that_names_a_file_of_no_known_hash_is_refused(own_run, file):
    (own_run.path / "engine" / "other.tflite").write_bytes(b"TFL3")
    (own_run.path.parent / "outside.tflite").write_bytes(b"TFL3")
    run = changed(own_run, stages=[{"file": file, "precision": "float32"}])
    assert f"{file}' is " in refusal(Predictor, load_run(run.path))


def test_an_engine_that_is_no_network_is_refused(own_run):
    file = own_run.path / "engine" / "lower.tflite"
    file.write_bytes(b"<html>")
    hashes = read_manifest(own_run).sha256 | {"engine/lower.tflite": sha256_file(file)}
    with pytest.raises(Exception, match="the litert engine cannot open") as caught:
        Predictor(changed(own_run, sha256=hashes))
    assert caught.value.exit_code == 4


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


def test_a_table_comes_back_as_it_was_written(tmp_path):
    run = create_run(tmp_path / "mine", "finetune")
    run.write_rows("left_out.csv", ["path", "number"], [[name, number] for number, name in enumerate(NAMES)])
    finish_run(run, {**FACTS, "stages": []})
    rows = run.read_rows("left_out.csv")
    assert [(row["path"], row["number"]) for row in rows] == [(name, str(k)) for k, name in enumerate(NAMES)]


def test_a_changed_table_is_refused(own_run):
    flip_a_byte(own_run.path / "split.csv")
    assert "split.csv' is not what the run wrote" in refusal(own_run.read_rows, "split.csv")


def test_a_run_is_a_value(tmp_path):
    assert Run(tmp_path) == Run(tmp_path)
