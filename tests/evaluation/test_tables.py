"""Tables of a report."""

import numpy as np

from tlkit.evaluation.report import Report
from tlkit.evaluation.tables import class_rows, confusion_rows, prediction_rows, report_tables, wrong_rows

PATHS = ("a.jpg", "b.jpg", "c.jpg", "d.jpg")
REPORT = Report(
    ("ant", "bee"),
    np.array([0, 0, 1, 1], np.int32),
    np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2], [0.3, 0.7]], np.float32),
)


def test_every_table_has_as_many_values_as_columns():
    for columns, rows in (
        class_rows(REPORT),
        confusion_rows(REPORT),
        prediction_rows(REPORT, PATHS),
        wrong_rows(REPORT, PATHS),
    ):
        assert rows
        assert {len(row) for row in rows} == {len(columns)}


def test_class_rows_have_the_scores_of_each_class():
    columns, rows = class_rows(REPORT)
    assert dict(zip(columns, rows[0], strict=True)) == {
        "class": "ant",
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
        "support": 2,
        "index": 0,
    }


def test_confusion_rows_are_true_by_predicted():
    assert confusion_rows(REPORT) == (("class", "ant", "bee"), [["ant", 1, 1], ["bee", 1, 1]])


def test_prediction_rows_are_the_images_in_their_order():
    columns, rows = prediction_rows(REPORT, PATHS)
    assert columns == ("path", "class", "label", "confidence", "p_ant", "p_bee")
    assert [row[0] for row in rows] == list(PATHS)
    assert rows[1] == ["b.jpg", "ant", "bee", np.float32(0.6), np.float32(0.4), np.float32(0.6)]


def test_predictions_of_more_than_100_classes_have_the_ten_likeliest_unless_all_are_asked_for():
    random = np.random.default_rng(0)
    for count, has_all in ((100, True), (101, False)):
        names = tuple(f"c{number}" for number in range(count))
        report = Report(names, np.arange(4, dtype=np.int32), random.dirichlet(np.ones(count), 4).astype(np.float32))
        columns, rows = report_tables(report, PATHS)["predictions.csv"]
        assert len(columns) == len(rows[0]) == (4 + count if has_all else 22), count
        assert len(report_tables(report, PATHS, probs=True)["predictions.csv"][0]) == 4 + count
    assert columns[2:6] == ("label", "confidence", "label_2", "confidence_2")
    assert columns[-2:] == ("label_10", "confidence_10")
    for row, probabilities in zip(rows, report.probabilities, strict=True):
        assert list(row[3::2]) == sorted(probabilities, reverse=True)[:10]
        assert [probabilities[int(name[1:])] for name in row[2::2]] == list(row[3::2])


def test_wrong_rows_are_the_mistakes_the_most_confident_first():
    _, rows = wrong_rows(REPORT, PATHS)
    assert rows == [["c.jpg", "bee", "ant", np.float32(0.8)], ["b.jpg", "ant", "bee", np.float32(0.6)]]


def test_wrong_rows_of_a_report_without_mistakes_are_none():
    right = Report(("ant", "bee"), np.array([1], np.int32), np.array([[0.2, 0.8]], np.float32))
    assert wrong_rows(right, ["a.jpg"])[1] == []
