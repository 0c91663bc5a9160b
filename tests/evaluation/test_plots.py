import numpy as np
import pytest
from PIL import Image

from tlkit.evaluation.plots import draw_confusion, draw_curves
from tlkit.evaluation.report import Report


def report(names, images=200):
    random = np.random.default_rng(0)
    labels = random.integers(0, len(names), images).astype(np.int32)
    return Report(tuple(names), labels, random.dirichlet(np.ones(len(names)), images).astype(np.float32))


def size_of(file):
    with Image.open(file) as image:
        image.load()
        assert image.format == "PNG"
        return image.size


@pytest.mark.parametrize("count", [2, 30, 60])
def test_a_matrix_of_few_or_many_classes_is_drawn(tmp_path, count):
    draw_confusion(report([f"class {k}" for k in range(count)]), tmp_path / "plots" / "confusion.png")
    width, height = size_of(tmp_path / "plots" / "confusion.png")
    assert 200 < height <= width < 3000
    assert [file.name for file in (tmp_path / "plots").iterdir()] == ["confusion.png"]


NAMES = [
    ["$x^2$", "$", "a$b"],
    ["new\nline", "\x1b[31m", "tab\t"],
    ["\\frac{", "%", "_a_", "{}"],
    ["x" * 255, "y"],
    ["", " "],
    ["\udce9", "Grüße"],
]


@pytest.mark.parametrize("names", NAMES, ids=ascii)
def test_names_are_drawn_as_text_whatever_is_in_them(tmp_path, names):
    draw_confusion(report(names), tmp_path / "x.png")
    assert size_of(tmp_path / "x.png")[0] > 200


def test_names_in_any_script_are_drawn(tmp_path):
    draw_confusion(report(["花", "🙂", "שלום"]), tmp_path / "x.png")
    assert size_of(tmp_path / "x.png")[0] > 200


def test_a_class_without_an_image_is_drawn(tmp_path):
    draw_confusion(Report(("a", "b"), np.array([0], np.int32), np.eye(2, dtype=np.float32)[:1]), tmp_path / "x.png")
    assert size_of(tmp_path / "x.png")[0] > 200


@pytest.mark.parametrize("epochs", [1, 2, 100])
def test_the_curves_of_few_or_many_epochs_are_drawn(tmp_path, epochs):
    rows = [
        {"phase": "head", "epoch": k, "loss": 1 / k, "accuracy": 1 - 1 / k, "val_loss": 2 / k, "val_accuracy": 0.5}
        for k in range(1, epochs + 1)
    ]
    draw_curves(rows, epochs, tmp_path / "curves.png")
    assert size_of(tmp_path / "curves.png")[0] > size_of(tmp_path / "curves.png")[1]


def test_curves_of_two_phases_are_drawn_after_each_other(tmp_path):
    known = {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}
    rows = [{"phase": "head", "epoch": k} | known for k in (1, 2)]
    start = {"phase": "blocks", "epoch": 0} | known | {"loss": np.nan, "accuracy": np.nan}
    draw_curves([*rows, start, {"phase": "blocks", "epoch": 1} | known], 0, tmp_path / "curves.png")
    assert size_of(tmp_path / "curves.png")[0] > 200


def test_a_run_has_both_pictures(run):
    assert size_of(run.path / "plots" / "confusion.png")[0] > 200
    assert size_of(run.path / "plots" / "curves.png")[0] > 200
