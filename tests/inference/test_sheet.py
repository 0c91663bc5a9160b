"""Which predictions a contact sheet shows: order, limits, and that memory does not grow."""

import tracemalloc

import numpy as np
import pytest

from tlkit.inference.predictor import Prediction
from tlkit.inference.sheet import END, MAX_SHOWN, Limits, PredictionSheet, count_of


def answer(path, label="bee", confidence=0.9, status="ok", **named):
    return Prediction(path, status, label, confidence, **named)


def sheet_of(*predictions):
    sheet = PredictionSheet()
    for prediction in predictions:
        sheet.add(prediction)
    return sheet


def paths(tiles):
    return [tile.path for tile in tiles]


def test_sections_are_in_natural_order_with_unknown_and_unreadable_last():
    sheet = sheet_of(
        answer("1", "unknown"),  # a class of this name
        Prediction("2", "error", error="is empty (0 bytes)"),
        answer("3", "type 10"),
        answer("4", "type 2"),
        answer("5", "type 2", status="unknown", reason="not sure"),
    )
    assert [(section.name, section.status) for section in sheet.sections] == [
        *(("type 2", "ok"), ("type 10", "ok"), ("unknown", "ok")),
        *(("unknown", "unknown"), ("unreadable", "error")),
    ]
    assert sheet.summary() == "4 images: 3 in 3 classes, 1 unknown; 1 unreadable file"
    assert sheet_of(answer("1")).summary() == "1 image: 1 in 1 class"


def test_tiles_are_the_most_confident_first_and_equals_in_input_order():
    (section,) = sheet_of(*(answer(str(n), confidence=value) for n, value in enumerate((0.5, 0.9, 0.7, 0.9)))).sections
    first, last = section.choose_tiles(10)
    assert (paths(first), last) == (["1", "3", "2", "0"], [])
    assert [tile.figure for tile in first] == ["90 %", "90 %", "70 %", "50 %"]


@pytest.mark.parametrize("seed", [0, 1])
def test_tiles_of_a_large_class_are_its_most_and_its_least_confident(seed):
    values = np.random.default_rng(seed).random(500)
    order = [str(n) for n in np.argsort(-values, kind="stable")]
    (section,) = sheet_of(*(answer(str(n), confidence=float(value)) for n, value in enumerate(values))).sections
    for limit in (2, 10, 30, MAX_SHOWN):
        first, last = section.choose_tiles(limit)
        assert len(first) + len(last) == limit
        assert len(last) == limit // END
        assert paths(first) == order[: len(first)]
        assert paths(last) == order[500 - len(last) :]


def test_notes_name_the_second_class_and_the_reason():
    unsure = np.array([0.5, 0.4, 0.1], np.float32)
    sheet = sheet_of(
        answer("a", probabilities=unsure, top=(("bee", 0.5), ("ant", 0.4))),
        answer("b", probabilities=unsure),
        answer("c", "b\ne", 0.4, "unknown", reason="not sure"),
        Prediction("d", "error", error="is empty\x1b[31m"),
    )
    tiles = [tile for section in sheet.sections for tile in section.choose_tiles(10)[0]]
    assert [(tile.figure, tile.note) for tile in tiles] == [
        *(("90 %", "? ant 40 %"), ("90 %", "?"), ("b\\ne 40 %", "not sure")),
        ("", "is empty\\x1b[31m"),
    ]


def test_paths_are_below_the_folder_of_all_images():
    sheet = sheet_of(answer("/new/monday/1.jpg"), answer("/new/tuesday/1.jpg"), answer("/new/notes.txt"))
    (section,) = sheet.sections
    assert sheet.folder == "/new"
    assert [sheet.short_path(tile) for tile in section.choose_tiles(3)[0]] == [
        "monday/1.jpg",
        "tuesday/1.jpg",
        "notes.txt",
    ]
    for path in ("<array>", "new/1.jpg"):
        sheet.add(answer(path))
        assert sheet.folder == ""
    assert sheet.short_path(section.choose_tiles(3)[0][0]) == "/new/monday/1.jpg"


def test_limits_hold_for_any_number_of_classes():
    limits = Limits(sections=8, images=40, min_images=2, max_images=12)
    for num_classes in (1, 3, 8, 20):
        rows = [answer(f"{n}-{i}", f"class {n}") for n in range(num_classes) for i in range(2 + n)]
        sheet = sheet_of(*rows, answer("x", status="unknown"), Prediction("y", "error", error="z"))
        shown, limit = sheet.choose_sections(limits)
        assert [section.status for section in shown[-2:]] == ["unknown", "error"]
        assert len(shown) == min(num_classes, 8) + 2
        assert {section.name for section in shown[:-2]} == {f"class {n}" for n in range(num_classes)[-8:]}
        assert limit == {1: 12, 3: 12, 8: 4, 20: 4}[num_classes]


def test_memory_does_not_grow_with_the_number_of_predictions():
    def add(sheet, count):
        for number in range(count):
            probabilities = np.full(100, 0.01, np.float32)
            sheet.add(answer(f"/new/{number}.jpg", confidence=number % 97 / 97, probabilities=probabilities))

    sheet = PredictionSheet()
    tracemalloc.start()
    try:
        add(sheet, 1000)
        before, _ = tracemalloc.get_traced_memory()
        add(sheet, 5000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sheet.count == 6000
    assert after - before < 20_000


def test_count_of_has_an_s_where_there_are_several():
    assert [count_of(number, "file") for number in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
