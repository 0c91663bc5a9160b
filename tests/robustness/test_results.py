"""Figures that follow from the answers to damaged copies."""

import numpy as np
import pytest

from tlkit.evaluation.metrics import wilson_interval
from tlkit.robustness.results import CopyAnswers, Robustness, stack_answers

NUM = 300
LABELS = np.arange(NUM, dtype=np.int32) % 2


def answers(num_wrong, confidence=0.9, num_unknown=0, original=None):
    """Answers of which the first are wrong and the last unknown."""
    wrong, unknown = np.arange(NUM) < num_wrong, np.arange(NUM) >= NUM - num_unknown
    probability = np.full(NUM, confidence, np.float32)
    return CopyAnswers(
        np.where(wrong, 1 - LABELS, LABELS), probability, probability if original is None else original, unknown
    )


def robustness(corrupted, copies=None, undamaged=None):
    return Robustness(LABELS, ("ant", "bee"), "new", NUM, undamaged or answers(30), corrupted, copies or {}, ())


def test_rows_have_accuracy_calibration_and_unknown_answers():
    measured = robustness({("jpeg", 1): answers(60), ("jpeg", 3): answers(150, 0.9, 75), ("shift", 1): answers(30)})
    row = measured.rows[1].as_json()
    assert (row["corruption"], row["severity"], row["accuracy"], row["unknown_share"]) == ("jpeg", 3, 0.5, 0.25)
    assert row["accuracy_ci95"] == list(wilson_interval(150, 300))
    assert row["ece"] == pytest.approx(0.4, abs=0.01) and row["ece_ci95"][0] < 0.4 < row["ece_ci95"][1]
    assert row["change"] == pytest.approx(-0.4) and row["p"] < 1e-20
    assert measured.clean.as_json()["change"] == 0 and measured.clean.as_json()["p"] == 1
    assert measured.clean.accuracy == 0.9 and measured.clean.ece == 0


def test_the_mean_counts_every_corruption_alike():
    measured = robustness({("jpeg", 1): answers(60), ("jpeg", 3): answers(150), ("shift", 1): answers(30)})
    assert measured.means == pytest.approx({"jpeg": 0.65, "shift": 0.9})
    assert list(measured.means) == ["jpeg", "shift"]
    assert measured.corruption_mean == pytest.approx(0.775)
    low, high = measured.corruption_mean_interval
    assert low < 0.775 < high < low + 0.1


def test_the_weakest_corruption_is_compared_on_the_same_images():
    measured = robustness({("jpeg", 1): answers(100), ("shift", 1): answers(40), ("contrast", 1): answers(97)})
    weakest = measured.weakest
    assert (weakest.name, list(weakest.others), weakest.ties) == ("jpeg", ["contrast", "shift"], ["contrast"])
    assert weakest.change.difference == pytest.approx(-70 / 300)
    assert weakest.others["contrast"].difference == pytest.approx(-3 / 300)
    assert weakest.others["contrast"].p == pytest.approx(2 * 0.25, abs=0.01)  # three signs, two comparisons
    assert weakest.as_json()["not_significantly_different"] == ["contrast"]


def test_one_corruption_has_nothing_to_be_compared_with():
    weakest = robustness({("jpeg", 1): answers(30)}).weakest
    assert (weakest.name, weakest.others, weakest.change.p) == ("jpeg", {}, 1.0)


def test_consistency_counts_changed_answers_and_the_probability_of_the_first_class():
    moved = np.where(np.arange(NUM) < 100, 0.6, 0.9).astype(np.float32)
    (row,) = robustness({("jpeg", 1): answers(30)}, {"mirrored": answers(45, 0.9, original=moved)}).consistency
    assert (row.num_changed, row.num_images, row.accuracy) == (15, NUM, 0.85)
    assert row.confidence_change == pytest.approx(0.1)
    assert row.as_json()["changed"] == 0.05


def test_a_run_without_a_threshold_has_no_unknown_answers():
    by_image = [CopyAnswers(*np.arange(9).reshape(3, 3) + image, np.zeros(3, bool)) for image in range(2)]
    first, _, last = stack_answers(by_image, has_threshold=False)
    assert first.is_unknown is None and first.predicted.tolist() == [0, 1] and last.confidence.tolist() == [5, 6]
    assert stack_answers(by_image, has_threshold=True)[0].is_unknown.tolist() == [False, False]
    without = CopyAnswers(LABELS, np.full(NUM, 0.9), np.full(NUM, 0.9), None)
    assert robustness({("jpeg", 1): without}).rows[0].as_json()["unknown_share"] is None
