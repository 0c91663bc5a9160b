import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from tlkit.errors import OptionError
from tlkit.evaluation.plots import Mistake, confused_classes, draw_confusion, draw_curves, draw_mistakes, draw_rates
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
        draw_confusion(make_report([f"class {k}" for k in range(count)]), "data", tmp_path / "plots" / "confusion.png")
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
        draw_confusion(make_report(names), "data", tmp_path / "x.png")
        assert png_size(tmp_path / "x.png")[0] > 200, ascii(names)
        (tmp_path / "x.png").unlink()


def test_confused_classes_are_the_pairs_with_the_most_mistakes_in_label_order():
    confusion = np.diag([9] * 6)
    confusion[4, 1] = 3
    confusion[0, 5] = confusion[5, 0] = 2
    assert confused_classes(confusion, 2) == [0, 5]
    assert confused_classes(confusion, 4) == [0, 1, 4, 5]
    assert confused_classes(confusion, 5) == [0, 1, 2, 4, 5]
    assert confused_classes(confusion, 30) == confused_classes(np.eye(6, dtype=int), 6) == list(range(6))
    assert confusion.trace() == 54


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draw into a file, and give the figure."""
    figures = []

    def save(figure, *args, saves=Figure.savefig, **options):
        figures.append(figure)
        saves(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", save)

    def draw(function, *args):
        function(*args, tmp_path / "x.png")
        return figures[-1]

    return draw


def texts_of(figure):
    return {text.get_text() for text in figure.findobj(Text) if text.get_text()}


def test_draw_confusion_of_many_classes_names_the_most_confused_and_says_so(drawn):
    labels = np.arange(1500, dtype=np.int32)
    predicted = labels.copy()
    predicted[[700, 900]] = [701, 902]
    probabilities = np.zeros((1500, 1500), np.float32)
    probabilities[labels, predicted] = 1
    report = Report(tuple(f"species {label}" for label in labels), labels, probabilities)
    texts = texts_of(drawn(draw_confusion, report, "plants"))
    assert "plants: 99.9 % correct (1,498 of 1,500 images)" in texts
    assert any("the 30 most confused of 1,500 classes" in text for text in texts)
    rows = [text for text in texts if text.endswith("(1)")]
    assert len(rows) == 30
    assert {f"species {label}  (1)" for label in (700, 701, 900, 902)} <= set(rows)


def test_plots_show_the_index_of_a_class_whose_name_no_font_has(drawn):
    names = ("cat", "\u72ac\U0001f408", "dog ")
    report = Report(names, np.array([0, 1, 2], np.int32), np.eye(3, dtype=np.float32)[[0, 2, 2]])
    texts = texts_of(drawn(draw_confusion, report, "pets"))
    assert {"cat  (1)", "#1  (1)", "'dog '  (1)", "cat", "#1", "'dog '"} <= set(texts)
    assert any("index of a class in per_class.csv" in text for text in texts)
    mistake = Mistake(np.zeros((9, 9, 3), np.uint8), "\u72ac\U0001f408/a\x1b.jpg", 1, 2, 0.5)
    texts = texts_of(drawn(draw_mistakes, [mistake], report))
    assert "#1\nas 'dog ' (50 %)" in texts
    assert "a\\x1b.jpg" in texts
    assert "1 of 3 images wrong\n#: index of a class in per_class.csv, as no font here has its name" in texts


def test_draw_confusion_turns_no_label_of_a_few_characters(drawn):
    for names, angle in ((list("0123456789"), 0), (["ant", "bee"], 0), (["cardboard", "glass"], 45)):
        axes = drawn(draw_confusion, make_report(names), "data").axes[0]
        assert {label.get_rotation() for label in axes.get_xticklabels()} == {angle}, names


def test_draw_confusion_of_a_class_without_an_image_writes_a_png(tmp_path):
    draw_confusion(
        Report(("a", "b"), np.array([0], np.int32), np.eye(2, dtype=np.float32)[:1]), "data", tmp_path / "x.png"
    )
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


def test_draw_curves_names_the_best_epoch_and_the_phases(drawn):
    metrics = {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}
    rows = [{"phase": phase, "epoch": k} | metrics for phase in ("head", "blocks") for k in (1, 2, 3)]
    texts = texts_of(drawn(draw_curves, rows, 2))
    for text in ("best epoch: 5", "head", "top blocks", "training", "validation"):
        assert text in texts, text
    assert any(text.endswith(" %") for text in texts)
    texts = texts_of(drawn(draw_curves, rows[:3], 2))
    assert "best epoch: 2" in texts
    assert "head" not in texts


def test_draw_rates_writes_a_png_and_replaces_no_file(tmp_path):
    draw_rates([1e-4, 1e-3, 1e-2], [2.0, 1.0, 3.0], 1e-3, tmp_path / "rates.png")
    assert png_size(tmp_path / "rates.png")[0] > 200
    with pytest.raises(OptionError, match=r"rates\.png"):
        draw_rates([1e-4, 1e-3], [2.0, 1.0], 1e-3, tmp_path / "rates.png")


def test_plots_of_a_run_are_confusion_and_curves(run):
    assert png_size(run.path / "plots" / "confusion.png")[0] > 200
    assert png_size(run.path / "plots" / "curves.png")[0] > 200
