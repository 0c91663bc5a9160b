import json
import os
import sys

import pytest

pytest.importorskip("sklearn")

from tests.cli.commands import misused, refused, tlkit
from tlkit.cli.console import Console
from tlkit.comparison import limits
from tlkit.comparison.compare import start_comparison
from tlkit.settings.commands import CompareSettings


@pytest.fixture(scope="module")
def compared(colors, tmp_path_factory):
    """What the command says in each format, and the folders it made."""
    root = tmp_path_factory.mktemp("comparisons")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TLKIT_CACHE", str(root / "cache"))
        arguments = ("compare", colors, "--only", "colors,majority")
        formats = {"table": ("--format", "table"), "json": ("--format", "json", "--no-report"), "piped": ()}
        return {name: (tlkit(*arguments, "-o", root / name, *style), root / name) for name, style in formats.items()}


def test_compare_as_a_table_says_what_to_take(compared):
    done, run = compared["table"]
    assert "two colors, linear" in done.stdout
    assert "No recommendation" in done.stdout  # seven images do not tell all right from two right: p = 0.06
    assert done.stderr == ""
    assert {"compare.csv", "compare.png", "compare.json", "compare.html", "DONE"} < {
        file.name for file in run.iterdir()
    }
    assert json.loads((run / "compare.json").read_text())["best"] == "colors"


def test_compare_has_columns_for_retrieval_and_attacks_if_they_are_asked_for(compared, colors, tmp_path, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE", str(compared["table"][1].parent / "cache"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(limits, "EPSILONS", (128,))  # that the images can be fooled with
    done = tlkit(
        "compare",
        colors,
        "--only",
        "colors,majority",
        "--retrieval",
        "--adversarial",
        "--format",
        "table",
        "-o",
        tmp_path / "run",
    )
    content = json.loads((tmp_path / "run" / "compare.json").read_text())
    majority, found = content["models"]
    assert found["precision_at_5"] == pytest.approx(0.2)  # one of the five others
    assert found["adversarial_attack"] == "square"  # it has no gradient
    assert majority["precision_at_5"] is None
    header = next(line for line in done.stdout.splitlines() if line.startswith("model "))
    assert header.split()[-2:] == ["precision@5", "epsilon"] and "precision@5" not in compared["table"][0].stdout
    assert json.loads((compared["table"][1] / "compare.json").read_text())["models"][1]["precision_at_5"] is None


def test_compare_without_its_page(compared):
    done, run = compared["json"]
    assert json.loads(done.stdout)["notes"] == json.loads((compared["table"][1] / "compare.json").read_text())["notes"]
    assert not (run / "compare.html").exists()


def test_compare_piped_gives_rows_and_tells_people_on_stderr(compared):
    done, run = compared["piped"]
    assert done.stdout == (run / "compare.csv").read_text()
    lines = done.stderr.splitlines()
    labels = [line.split()[0] for line in lines if line and not line.startswith(" ")]
    assert labels[-4:] == ["advice", "run", "page", "next"]
    words = " ".join(line.removesuffix("\\") for line in lines[labels_at(lines, "next") :]).split()
    assert words == ["next", "tlkit", "predict", str(run / "colors"), "FOLDER"]  # trained already


def labels_at(lines, label):
    """The index of the line that a label introduces."""
    return next(index for index, line in enumerate(lines) if line.split()[:1] == [label])


def test_commands_take_a_comparison_for_its_recommended_run(compared, colors, tmp_path):
    run = compared["table"][1]
    for command in (
        ("predict", run, colors / "red", "--format", "csv"),
        ("evaluate", run),
        ("evaluate", run / "colors", "--json"),
    ):
        done = tlkit(*command)
        assert done.exit_code == 0, done.stderr
        note = f"Using {run / 'colors'}: the recommended model of '{run}'.\n"
        assert (note in done.stderr) == (command[1] == run)
    quiet = tlkit("evaluate", run, "--quiet")
    assert (quiet.exit_code, quiet.stderr) == (0, "")


def test_commands_take_latest_for_the_newest_run(compared, colors, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no finished run in 'runs'" in refused(4, "evaluate", "latest")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(compared["table"][1] / "colors")
    done = tlkit("predict", "latest", colors / "red" / "0.png", "--format", "csv")
    assert done.stderr == "Using runs/mine: the newest finished run.\n"
    (tmp_path / "runs" / "mine").unlink()
    (tmp_path / "runs" / "all").symlink_to(compared["table"][1])
    done = tlkit("predict", "latest", colors / "red" / "0.png", "--format", "csv")
    assert done.stderr == "Using runs/all/colors: the recommended model of the newest finished run.\n"


def test_compare_as_json_gives_all_of_it(compared):
    done, run = compared["json"]
    assert done.stderr == ""
    content = json.loads(done.stdout)
    assert (content.pop("run"), content.pop("num_images")) == (str(run), 6)
    assert content == json.loads((run / "compare.json").read_text())


def test_compare_impossible_arguments_are_refused(compared, colors):
    _, run = compared["table"]
    assert "already exists" in refused(2, "compare", colors, "-o", run)
    assert "'lenets'; expected some of chance" in refused(2, "compare", colors, "--only", "lenets")
    assert "has baselines only" in refused(2, "compare", colors, "--only", "chance")
    assert "is inside the image folder" in refused(2, "compare", colors, "-o", colors / "run")
    assert "Missing argument 'DATA'" in misused("compare")
    assert "--seed cannot be combined" in refused(2, "compare", "--resume", run, "--seed", "3")
    assert "DATA cannot be combined" in refused(2, "compare", colors, "--resume", run)
    assert "is finished" in refused(4, "compare", "--resume", run, "--format", "json")


def test_compare_resume_of_another_version_is_refused(colors, tmp_path):
    run = start_comparison(colors, tmp_path / "run", CompareSettings())
    run.write_json("settings.json", run.read_json("settings.json") | {"models": 3})
    said = refused(4, "compare", "--resume", run.path)
    assert f"'{run.path}' was started by another version of tlkit" in said
    assert said.endswith("start a new comparison or use that version.")


def test_resume_of_other_commands_names_the_one_for_a_comparison(colors, tmp_path):
    run = start_comparison(colors, tmp_path / "run", CompareSettings())
    for command in ("finetune", "train"):
        said = refused(4, command, "--resume", run.path)
        assert said.endswith(f"'{run.path}' is a comparison; `tlkit compare --resume {run.path}` continues it.")


def test_predict_with_an_unfinished_comparison_is_refused(colors, tmp_path):
    run = start_comparison(colors, tmp_path / "run", CompareSettings())
    assert "is unfinished" in refused(4, "predict", run.path, colors)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_console_transient_note_is_dim_on_a_terminal_and_else_left_out(monkeypatch, capfd):
    Console().note("1 of 2: MLP", transient=True)
    Console().note("a lasting one")
    assert capfd.readouterr().err == "Note: a lasting one\n"
    reader, writer = os.openpty()
    with open(writer, "w", encoding="utf-8") as terminal:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr(sys, "stderr", terminal)
        Console().note("1 of 2: \x1bMLP", transient=True)
        shown = os.read(reader, 1000)
    os.close(reader)
    assert shown.startswith(b"\x1b[2m1 of 2: ")
    assert b"\x1bMLP" not in shown
    assert shown.endswith(b"\x1b[0m\r\n")


def test_console_transient_note_raises_an_interrupt_that_was_swallowed(monkeypatch):
    monkeypatch.setattr("tlkit.cli.console._received", [2])
    with pytest.raises(KeyboardInterrupt):
        Console().note("left out", transient=True)
