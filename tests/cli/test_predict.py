"""`tlkit predict`: rows in every format, inputs, refusals. The formats themselves are in test_output.py."""

import codecs
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.cli.commands import misused, posix, read_csv, refused, tlkit
from tests.cli.conftest import NAMES
from tlkit.utils.files import sha256_file


def test_predict_csv_has_the_columns_that_other_work_leans_on(finetuned_run, square, broken):
    done = tlkit("predict", finetuned_run.path, square, broken, "--top-k", "3", "--probs")
    header, first, second = done.stdout.splitlines()
    assert header == (
        "path,status,label,confidence,label_2,confidence_2,label_3,confidence_3,p_blue,p_green,p_red,reason,error"
    )
    assert [len(row) for row in csv.reader([first, second])] == [13, 13]
    good, bad = read_csv(done.stdout)
    assert sum(float(good[f"p_{name}"]) for name in ("blue", "green", "red")) == pytest.approx(1, abs=1e-5)
    assert good["confidence"] == good[f"p_{good['label']}"]
    assert good["error"] == good["reason"] == bad["reason"] == ""
    assert (bad["path"], bad["label"], bad["p_red"]) == (str(broken), "", "")
    assert bad["error"]


def test_predict_csv_of_one_class_has_five_columns(finetuned_run, square):
    done = tlkit("predict", finetuned_run.path, square)
    assert done.exit_code == 0
    assert done.stdout.startswith("path,status,label,confidence,reason,error\n")
    assert done.stderr == ""


def test_predict_gives_the_same_as_json_jsonl_and_csv(finetuned_run, square, broken):
    printed = {
        style: tlkit("predict", finetuned_run.path, square, broken, "--format", style, "--probs", "--top-k", "2").stdout
        for style in ("json", "jsonl", "csv")
    }
    array, lines = json.loads(printed["json"]), [json.loads(line) for line in printed["jsonl"].splitlines()]
    assert array == lines
    assert [item["status"] for item in array] == ["ok", "error"]
    good, bad = array
    assert good["probs"].keys() == {"blue", "green", "red"}
    assert good["top"][0] == {"label": good["label"], "prob": good["confidence"]}
    assert (bad["label"], bad["confidence"], bad["top"]) == (None, None, [])
    assert f"{good['confidence']:.6f}" == read_csv(printed["csv"])[0]["confidence"]


# files


def test_predict_chooses_the_format_by_the_ending_of_its_file(finetuned_run, square, tmp_path):
    endings = ((".csv", b"path,"), (".json", b"["), (".jsonl", b"{"), (".TXT", b"image "), (".xlsx", b"PK"))
    for ending, start in (*endings, (".parquet", b"PAR1")):
        file = tmp_path / f"out{ending}"
        done = tlkit("predict", finetuned_run.path, square, "-o", file)
        assert (done.exit_code, done.stdout) == (0, ""), ending
        assert file.read_bytes().startswith(start)
        assert re.fullmatch(r"1 image: 1 \w+(; 1 unsure \(\?\))?\nfile   .*\n", done.stderr, re.DOTALL)
        assert list(tmp_path.iterdir()) == [file]
        file.unlink()


def test_predict_into_a_file_whose_ending_says_nothing_needs_a_format(finetuned_run, square, tmp_path):
    file = tmp_path / "out.xyz"
    assert "--format" in refused(2, "predict", finetuned_run.path, square, "-o", file)
    assert list(tmp_path.iterdir()) == []
    tlkit("predict", finetuned_run.path, square, "-o", file, "--format", "jsonl")
    assert json.loads(file.read_text())["status"] == "ok"


def test_predict_leaves_a_file_that_is_there(finetuned_run, square, tmp_path):
    (tmp_path / "out.csv").write_text("my notes")
    words = refused(2, "predict", finetuned_run.path, square, "-o", tmp_path / "out.csv")
    assert "already exists" in words
    assert (tmp_path / "out.csv").read_text() == "my notes"


def test_predict_into_a_missing_folder_is_refused(finetuned_run, square, tmp_path):
    assert "is not a folder" in refused(2, "predict", finetuned_run.path, square, "-o", tmp_path / "no" / "out.csv")


def test_predict_refuses_options_that_would_have_no_effect(finetuned_run, square, tmp_path):
    excel = ("--csv-dialect", "excel")
    for args in (excel + ("--format", "json"), (*excel, "-o", tmp_path / "x.xlsx"), ("--format", "xlsx")):
        refused(2, "predict", finetuned_run.path, square, *args)
    assert list(tmp_path.iterdir()) == []


# inputs


def test_predict_of_inputs_that_fail_ends_with_6_after_all_rows(finetuned_run, square, broken):
    done = tlkit("predict", finetuned_run.path, broken, square)
    assert done.exit_code == 6
    assert [row["status"] for row in read_csv(done.stdout)] == ["error", "ok"]
    assert done.stderr == f"1 classified, 1 skipped ({broken} is empty (0 bytes)).\n"


def test_predict_can_leave_out_unreadable_inputs(finetuned_run, square, broken):
    done = tlkit("predict", finetuned_run.path, broken, square, "--skip-unreadable")
    assert done.exit_code == 0
    assert [row["path"] for row in read_csv(done.stdout)] == [str(square)]
    assert done.stderr.startswith("1 classified, 1 skipped (")
    done = tlkit("predict", finetuned_run.path, broken, "--format", "json", "--skip-unreadable")
    assert json.loads(done.stdout) == []


def test_predict_reads_a_list_on_standard_input(finetuned_run, square, broken):
    for ending in ("\n", "\r\n"):
        text = ending.join([str(square), "", str(broken), "no such.jpg"])
        done = tlkit("predict", finetuned_run.path, "-", input=text)
        assert [row["path"] for row in read_csv(done.stdout)] == [str(square), str(broken), "no such.jpg"]


def test_predict_reads_a_list_as_the_bytes_that_name_files(finetuned_run, square, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"caf\xe9.png")
    try:
        shutil.copy(square, name)
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    for start, end in ((b"", b""), (codecs.BOM_UTF8, b"\r\n"), (codecs.BOM_UTF8, b"\r\n\r\nnope\xff.jpg")):
        done = tlkit("predict", finetuned_run.path, "-", input=start + b"caf\xe9.png" + end)
        assert done.exit_code == (6 if b"nope" in end else 0)
        rows = list(csv.DictReader(io.StringIO(done.stdout_bytes.decode("utf-8", "surrogateescape"))))
        assert [row["path"] for row in rows] == [name, os.fsdecode(b"nope\xff.jpg")][: len(rows)]
        assert rows[0]["status"] == "ok"


@posix
@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii"])
def test_predict_reads_a_list_whatever_the_encoding_of_the_shell(finetuned_run, encoding):
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "tlkit", "predict", str(finetuned_run.path), "-"]
    done = subprocess.run(command, input=b"caf\xe9.jpg\n", capture_output=True, env=environment, check=False)
    assert done.returncode == 6
    assert done.stdout.splitlines()[1] == b"caf\xe9.jpg,error,,,,does not exist"


@posix
def test_predict_of_a_list_where_standard_input_is_closed_finds_no_file(finetuned_run):
    done = subprocess.run(
        f"{sys.executable} -m tlkit predict '{finetuned_run.path}' - <&-",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "no file was found in -" in done.stderr


def test_predict_reads_a_list_among_other_inputs(finetuned_run, square):
    done = tlkit("predict", finetuned_run.path, "a.jpg", "-", "b.jpg", input=f"{square}\n")
    assert [row["path"] for row in read_csv(done.stdout)] == ["a.jpg", str(square), "b.jpg"]


def test_predict_of_no_file_ends_with_3_and_leaves_no_file(finetuned_run, tmp_path):
    (tmp_path / "empty").mkdir()
    for given in (str(tmp_path / "empty"), "-"):
        done = tlkit("predict", finetuned_run.path, given, "-o", tmp_path / "out.csv", input="")
        assert done.exit_code == 3
        assert given in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_predict_without_an_input_ends_with_2(finetuned_run):
    assert "INPUT" in misused("predict", finetuned_run.path)


def test_predict_with_a_damaged_engine_ends_with_4(own_run, square):
    (own_run.path / "engine" / "head.tflite").write_bytes(b"x")
    assert "is not the file that the run wrote" in refused(4, "predict", own_run.path, square)


def test_predict_by_keras_gives_the_same_rows(finetuned_run, colors):
    ours, keras = (
        read_csv(tlkit("predict", finetuned_run.path, colors, "--engine", name).stdout) for name in ("auto", "keras")
    )
    assert [row["label"] for row in ours] == [row["label"] for row in keras]
    pairs = zip(ours, keras, strict=True)
    assert all(abs(float(a["confidence"]) - float(b["confidence"])) < 1e-4 for a, b in pairs)


# names and awkward images


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_predict_keeps_a_name_in_csv_and_json(named, tmp_path, name):
    folder, _ = named
    path = folder / "data" / name / f"{name}0.png"
    for ending in (".csv", ".json"):
        done = tlkit("predict", folder / "run", path, "--top-k", "9", "-o", tmp_path / f"out{ending}")
        assert done.exit_code == 0, done.stderr
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        (row,) = csv.DictReader(file)
    (item,) = json.loads((tmp_path / "out.json").read_text())
    assert row["path"] == item["path"] == str(path)
    labels = [row["label"], *(row[f"label_{k}"] for k in range(2, 10))]
    assert sorted(labels) == sorted(NAMES)
    assert [entry["label"] for entry in item["top"]] == labels


def test_predict_of_each_awkward_image_gives_a_row_and_of_each_refused_one_a_reason(finetuned_run, awkward):
    for path in awkward:
        done = tlkit("predict", finetuned_run.path, path)
        (row,) = read_csv(done.stdout)
        assert done.exit_code == (0 if row["status"] == "ok" else 6)
        assert (row["status"] == "error") == (len(row["error"]) > 5)
        assert "\n" not in row["error"]


def test_predict_verify_replays_golden_samples_and_then_predicts(run, square):
    assert tlkit("predict", run.path, square, "--verify").stdout == tlkit("predict", run.path, square).stdout


def test_predict_verify_refuses_a_run_that_answers_otherwise(own_run, square, tmp_path):
    content = own_run.read_json("golden.json")
    content["samples"][0]["answer"] = content["samples"][0]["answer"][::-1]
    (own_run.path / "golden.json").write_text(json.dumps(content))
    facts = own_run.read_json("model.json")
    facts["sha256"]["golden.json"] = sha256_file(own_run.path / "golden.json")
    (own_run.path / "model.json").write_text(json.dumps(facts))
    words = refused(4, "predict", own_run.path, square, "--verify", "-o", tmp_path / "result.csv")
    assert "does not answer as it did when it was trained" in words
    assert not (tmp_path / "result.csv").exists()
    assert tlkit("predict", own_run.path, square).exit_code == 0
    for name in ("golden.json", *(f"golden/{number}.png" for number in range(8))):
        facts["sha256"].pop(name, None)
    (own_run.path / "model.json").write_text(json.dumps(facts))
    assert "has no golden samples" in refused(4, "predict", own_run.path, square, "--verify")
