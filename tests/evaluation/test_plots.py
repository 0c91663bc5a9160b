import numpy as np
import pytest
from PIL import Image

from tlkit.errors import OptionError
from tlkit.evaluation.plots import draw_confusion, draw_curves, draw_rates
from tlkit.evaluation.report import Report


def make_report(names, images=200):
    random = np.random.default_rng(0)
    labels = random.integers(0, len(names), images).astype(np.int32)
    return Report(tuple(names), labels, random.dirichlet(np.ones(len(names)), images).astype(np.float32))


def png_size(file):
    with Image.open(file) as image:
        image.load()
        assert image.format == "PNG"
        return image.size


def test_draw_confusion_of_few_or_many_classes_writes_one_png(tmp_path):
    for count in (2, 30, 60):
        draw_confusion(make_report([f"class {k}" for k in range(count)]), tmp_path / "plots" / "confusion.png")
        width, height = png_size(tmp_path / "plots" / "confusion.png")
        assert 200 < height <= width < 3000, count
        assert [file.name for file in (tmp_path / "plots").iterdir()] == ["confusion.png"]


def test_draw_confusion_shows_any_class_name_as_text(tmp_path):
    for names in (
        ["$x^2$", "$", "a$b"],
        ["new\nline", "\x1b[31m", "tab\t"],
        ["\\frac{", "%", "_a_", "{}"],
        ["x" * 255, "y"],
        ["", " "],
        ["\udce9", "Grüße"],
        ["花", "🙂", "שלום"],
    ):
        draw_confusion(make_report(names), tmp_path / "x.png")
        assert png_size(tmp_path / "x.png")[0] > 200, ascii(names)
        (tmp_path / "x.png").unlink()


def test_draw_confusion_of_a_class_without_an_image_writes_a_png(tmp_path):
    draw_confusion(Report(("a", "b"), np.array([0], np.int32), np.eye(2, dtype=np.float32)[:1]), tmp_path / "x.png")
    assert png_size(tmp_path / "x.png")[0] > 200


def test_draw_curves_of_few_or_many_epochs_writes_a_wide_png(tmp_path):
    for epochs in (1, 2, 100):
        rows = [
            {"phase": "head", "epoch": k, "loss": 1 / k, "accuracy": 1 - 1 / k, "val_loss": 2 / k, "val_accuracy": 0.5}
            for k in range(1, epochs + 1)
        ]
        draw_curves(rows, epochs, tmp_path / "curves.png")
        width, height = png_size(tmp_path / "curves.png")
        assert width > height, epochs


def test_draw_curves_of_two_phases_takes_the_best_epoch_of_the_last(tmp_path):
    metrics = {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}
    rows = [{"phase": "head", "epoch": k} | metrics for k in (1, 2)]
    start = {"phase": "blocks", "epoch": 0} | metrics | {"loss": np.nan, "accuracy": np.nan}
    draw_curves([*rows, start, {"phase": "blocks", "epoch": 1} | metrics], 0, tmp_path / "curves.png")
    assert png_size(tmp_path / "curves.png")[0] > 200


def test_draw_rates_writes_a_png_and_replaces_no_file(tmp_path):
    draw_rates([1e-4, 1e-3, 1e-2], [2.0, 1.0, 3.0], 1e-3, tmp_path / "rates.png")
    assert png_size(tmp_path / "rates.png")[0] > 200
    with pytest.raises(OptionError, match=r"rates\.png"):
        draw_rates([1e-4, 1e-3], [2.0, 1.0], 1e-3, tmp_path / "rates.png")


def test_plots_of_a_run_are_confusion_and_curves(run):
    assert png_size(run.path / "plots" / "confusion.png")[0] > 200
    assert png_size(run.path / "plots" / "curves.png")[0] > 200
