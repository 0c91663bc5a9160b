"""Whole screens, of fixed figures, at three widths.

`TLKIT_WRITE_SCREENS=1 pytest tests/cli/test_screens.py` writes tests/cli/screens/; look at the difference afterwards.
"""

import io
import os
import re
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import click
import numpy as np
import pytest
from rich.cells import cell_len
from rich.style import Style

from tests.cli.commands import tlkit
from tlkit.comparison.compare import Comparison
from tlkit.comparison.recommendation import recommend
from tlkit.comparison.results import CandidateResult
from tlkit.data.folder import read_folder
from tlkit.data.listing import FileEntry
from tlkit.data.split import Split
from tlkit.evaluation.metrics import wilson_interval
from tlkit.evaluation.report import Report
from tlkit.inference.evaluate import Evaluation, UnknownFigures
from tlkit.inference.predictor import Prediction
from tlkit.inference.tables import PredictionColumns
from tlkit.runs.listing import RunEntry
from tlkit.runs.run import Run
from tlkit.training.recipe import TrainingMetrics, TrainingResult

FOLDER = Path(__file__).parent / "screens"
WIDTHS = (60, 80, 120)
ON_TERMINALS = {"finetune": (80, 100, 140), "evaluate": (80, 100)}  # widths, with charts where there is room
INSECTS = ("Abelha européia", "Formiga-saúva", "Não identificado")
LABELS = np.repeat(np.array([0, 1, 2], np.int32), (37, 36, 1))
PATHS = tuple(f"{INSECTS[label]}/IMG_{4160 + number}.jpeg" for number, label in enumerate(LABELS))
SKIPPED = (FileEntry("corrompida.jpg", "is damaged"), FileEntry("notas.docx", "is a document, not an image"))


def report():
    """The report of 74 images, 4 of them classified wrongly."""
    probabilities = np.eye(3, dtype=np.float32)[LABELS] * 0.85 + 0.05
    for index, predicted, confidence in ((0, 1, 0.87), (5, 1, 0.82), (40, 0, 0.6), (73, 1, 0.56)):
        probabilities[index] = (1 - confidence) / 2
        probabilities[index, predicted] = confidence
    return Report(INSECTS, LABELS, probabilities)


def history():
    """Twelve epochs: training improves to the end, validation until the eighth."""
    return tuple(
        {"phase": "head", "epoch": epoch, "loss": 1.1 * 0.8**epoch, "accuracy": 1 - 0.3 * 0.7**epoch}
        | {"val_loss": 0.3 + 0.01 * (epoch - 8) ** 2, "val_accuracy": 0.95 - 0.003 * (epoch - 8) ** 2}
        for epoch in range(1, 13)
    )


def show_finetune(colors):
    """Show a training with all that a person may have to check."""
    from tlkit.cli.output import print_training

    found, same = report(), "'Abelha européia/IMG_4160.jpeg' and 'Formiga-saúva/repetida.jpg'"
    uncertain = "only 74 validation images: the accuracy is too uncertain to compare models."
    metrics = TrainingMetrics(
        accuracy=found.accuracy,
        accuracy_ci95=found.interval,
        macro_f1=0.64,
        baseline_accuracy=found.baseline[1],
        baseline_class=found.baseline[0],
        beats_baseline=True,
        headline="validation",
        num_train=221,
        num_validation=74,
        num_test=0,
        selected_on_validation=True,
        features_reused=0,
        left_out={},
        calibration={"judged": False, "num_images": 74},
        unknown={
            "coverage": 0.95,
            "auroc": None,
            "validation": {"num_images": 74, "num_answered": 72, "num_correct": 69},
        },
        seconds={"scan": 1.0, "features": 12.2, "fit": 4.1, "total": 17.3},
        advice={"reason": "Training deeper layers should add less than 1 point. Using --freeze all."},
        diagnosis=[{"words": uncertain, "next": "tlkit finetune 'fotos do campo' --folds 5"}],
        notes=[f"identical images have different labels: {same} are the same image."],
    )
    images = replace(read_folder(colors), paths=PATHS)
    run, split = Run(Path("runs/finetune-003")), Split(images, images, images)
    print_training(TrainingResult(run, split, found, None, metrics, history(), SKIPPED))


def show_evaluate(colors):
    """Show figures of new images, and of some of the run's own."""
    from tlkit.cli.evaluate import _print

    found = report()
    answered, unknown = np.arange(len(PATHS)) % 15 > 0, UnknownFigures(0.991, 250, 243)
    evaluation = Evaluation(found, "new", "all", PATHS, SKIPPED, {"new": found}, (70, 74), answered, unknown)
    _print(evaluation, Path("runs/finetune-003"), 2, gates=[])


def show_predict(colors):
    """Show certain, unsure and failed rows."""
    from tlkit.cli.predictions import TerminalTable, write_predictions

    def prediction(name, *probabilities):
        values = np.array(probabilities, np.float32)
        label, confidence = INSECTS[values.argmax()], float(values.max())
        return Prediction(f"campo novembro/{name}", "ok", label, confidence, probabilities=values)

    rows = [
        prediction("IMG_4292.HEIC", 0.98, 0.01, 0.01),
        prediction("IMG_4294.jpeg", 0.44, 0.55, 0.01),
        prediction("uma foto com um nome muito, muito longo IMG_4171.jpeg", 0.04, 0.94, 0.02),
        replace(prediction("cat.jpg", 0.3, 0.6, 0.1), status="unknown", reason="unlike training images"),
        Prediction("campo novembro/planilha.xlsx", "error", error="is a spreadsheet, not an image"),
    ]
    table = TerminalTable(sys.stdout, PredictionColumns(INSECTS), root="campo novembro/")
    click.echo(write_predictions(table, rows, sys.stdout, False).num_rows)


def candidate(name, title, kind, correct, figures=()):
    """A candidate that is right on the first images of 153.

    figures: seconds, images per second, bytes
    """
    right, interval = np.arange(153) < correct, wilson_interval(correct, 153)
    named = dict(zip(("seconds", "images_per_second", "num_bytes"), figures, strict=False))
    command = "tlkit train x" if figures else ""
    return CandidateResult(name, title, kind, correct / 153, interval, right, command=command, **named)


def show_compare(colors):
    """Show a comparison with a slow candidate."""
    from tlkit.cli.compare import _print_table

    results = [
        CandidateResult("chance", "any class at random", "baseline", 0.5),
        candidate("majority", "the commonest class", "baseline", 83),
        candidate("classic", "best descriptors, SVM", "handcrafted", 124, (69.0, 0.52, 23_200_000)),
        candidate("lenet", "LeNet", "from scratch", 99, (27.0, 1704.0, 300_000)),
        candidate("mobilenet_025", "mobilenet_025, frozen", "pretrained", 138, (14.0, 114.2, 1_700_000)),
    ]
    notes = ["lower was skipped: --time-limit is too short for it; use a longer one."]
    _print_table(Comparison(Run(Path("runs/compare-001")), results, 153, recommend(results), notes))


def show_runs(colors):
    """Show runs of all kinds and states."""
    from tlkit.cli.runs import _print_table

    def entry(path, day, *values, **named):
        return RunEntry(Path("runs") / path, datetime(2026, 11, day, 9, 30), *values, **named)

    measured = (0.946, (0.869, 0.979), "validation")
    stopped = {"state": "stopped", "resume": "tlkit train --resume runs/train-005"}
    bees = "/home/ana/hymenoptera"
    entries = [
        entry("finetune-003", 26, "finetune", "/home/ana/fotos", "mobilenet_v2", "freeze lower", *measured, 14_200_000),
        entry("compare-001", 25, "compare", bees, "mobilenet_025", "5 models", *measured, 31_000_000),
        entry("compare-001/mobilenet_025", 25, "finetune", bees, "mobilenet_025", "freeze all", *measured, 1_900_000),
        entry("train-005", 24, "train", "/home/ana/letras", "lenet5_relu", "from scratch", num_bytes=90_000, **stopped),
        entry("velho", 2, state="damaged", reason="model.json is not JSON"),
    ]
    _print_table(entries)


def show_gradcheck(colors):
    """Show layers that pass, and one that is not compared."""
    from tlkit.cli.gradcheck import _print
    from tlkit.models.gradient_check import EntryCheck, LayerGradientCheck

    _print(
        [
            LayerGradientCheck("conv1", 456, (EntryCheck(0.012, 3.1e-9, 1e-6),)),
            LayerGradientCheck("conv2", 2416, (EntryCheck(2.4e-5, 4.0e-7, 3.0e-6),)),
            LayerGradientCheck("fc1", 48_120, (EntryCheck(1e-12, 0.4, 0.9),)),
        ]
    )


def show_doctor(colors):
    """Show a machine with a foreign cache, damaged weights and too many threads."""
    from tlkit.cli.doctor import _print
    from tlkit.doctor.base import Observation

    weights = "/home/ana/.keras/models/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
    damaged = "the file of mobilenet_v2 is damaged (it ends too early); remove it, and the next use downloads it"
    waiting = "4, but this container may use 1.5 of 8 processors, so they wait for each other; start tlkit with 1"
    speed = "231 images/s decoded (JPEG, 1600 × 1200 pixels), 11 GFLOP/s in NumPy's matrix product; 4 threads"
    missing = "not installed: openvino (openvino), faiss-cpu (search), openpyxl (xlsx)"
    _print(
        [
            Observation("tlkit", "0.1.0 on Python 3.13.2, Linux 6.18.4, x86_64"),
            Observation("packages", "keras 3.15.1, tensorflow 2.21.0, numpy 2.4.6, pillow 13.0.0"),
            Observation("optional", missing, remedy="pip install 'tlkit[openvino,search,xlsx]'"),
            Observation("processor", "Intel(R) Xeon(R) Platinum 8480, AVX2, AVX-512, AVX512-BF16, AMX-BF16"),
            Observation("threads", waiting, "remark", "taskset -c 0 tlkit COMMAND"),
            Observation("memory", "16.4 GB, 8,123.0 MB free"),
            Observation("weights", "mobilenet_025, resnet50, in /home/ana/.keras/models"),
            Observation("weights", damaged, "problem", f"rm {weights}", 4),
            Observation("speed", speed),
        ]
    )


SCREENS = {
    "doctor": show_doctor,
    "finetune": show_finetune,
    "evaluate": show_evaluate,
    "predict": show_predict,
    "compare": show_compare,
    "runs": show_runs,
    "gradcheck": show_gradcheck,
}
COMMANDS = {  # whose figures are always the same
    "summary": ("summary", "lenet5_relu", "--num-classes", "10"),
    "models": ("models", "mobilenet_v2"),
}


def shown(name, colors):
    """A screen as text."""
    if name in COMMANDS:
        done = tlkit(*COMMANDS[name])
        assert (done.exit_code, done.stderr) == (0, ""), done.stderr
        return done.stdout
    with redirect_stdout(io.StringIO()) as stream:
        SCREENS[name](colors)
    return stream.getvalue()


@pytest.fixture(autouse=True)
def without_weights(tmp_path, monkeypatch):
    """No weights on this machine, which `tlkit models` would mark."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))


@pytest.mark.parametrize("name", [*SCREENS, *COMMANDS])
def test_screen_is_as_a_person_has_seen_it(name, colors, monkeypatch):
    for width in WIDTHS:
        monkeypatch.setenv("COLUMNS", str(width))
        check_screen(shown(name, colors), FOLDER / f"{name}-{width}.txt", width)


@pytest.mark.parametrize("name", ON_TERMINALS)
def test_screen_of_a_wide_terminal_has_charts(name, colors, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a terminal has it
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    for remembered in (Style.parse, Style._add):
        remembered.cache_clear()
    plain = (FOLDER / f"{name}-80.txt").read_text(encoding="utf-8")
    for width in ON_TERMINALS[name]:
        monkeypatch.setenv("COLUMNS", str(width))
        text = re.sub(r"\x1b\[[\d;]*m", "", shown(name, colors))  # bold is no color
        check_screen(text, FOLDER / f"{name}-terminal-{width}.txt", width)
        assert ("confidence  █ correct" in text) == (width >= 100)
        assert text.splitlines()[-1] == plain.splitlines()[-1]
        assert text.lstrip().startswith("accuracy")


def check_screen(text, file, width):
    """Compare a screen with its file, and check what holds for each."""
    if os.environ.get("TLKIT_WRITE_SCREENS"):
        FOLDER.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), f"{file.name}; TLKIT_WRITE_SCREENS=1 writes it"
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert not any(line != line.rstrip() for line in text.splitlines())
    assert "nan" not in text.split()


def test_screens_are_those_of_the_commands():
    expected = {f"{name}-{width}.txt" for name in (*SCREENS, *COMMANDS) for width in WIDTHS}
    expected |= {f"{name}-terminal-{width}.txt" for name, widths in ON_TERMINALS.items() for width in widths}
    assert {file.name for file in FOLDER.iterdir()} == expected


@pytest.mark.parametrize("name", [*SCREENS, "models"])
def test_screen_has_color_only_where_it_is_wanted(name, colors, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    plain = shown(name, colors)
    assert "\x1b" not in plain
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a terminal has it
    monkeypatch.setenv("TERM", "xterm-256color")
    for remembered in (Style.parse, Style._add):  # a style keeps the codes of the terminal it was first printed on
        remembered.cache_clear()
    colored = shown(name, colors)
    assert "\x1b[" in colored
    assert re.sub(r"\x1b\[[\d;]*m", "", colored) == plain  # no color says what no word says
    assert not re.search(r"\x1b\[(?:\d+;)*[39][0-7]m", colored)  # a theme makes such yellow or green pale on white
    for variable, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as patch:
            patch.setenv(variable, value)
            assert shown(name, colors) == plain, variable
