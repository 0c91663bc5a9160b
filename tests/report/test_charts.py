"""Charts: positions follow values, ticks are round, missing values break a line."""

import math

import pytest

from tlkit.evaluation.calibration import Calibration, ReliabilityBin
from tlkit.report.charts import HEIGHT, LEFT, WIDTH, curve_charts, make_scale, reliability_chart, scatter_positions


def epoch(phase, number, loss, accuracy=0.5):
    return {"phase": phase, "epoch": number, "loss": loss, "accuracy": accuracy, "val_loss": loss, "val_accuracy": 0.7}


def test_scales_hold_all_values_with_round_ticks():
    scale = make_scale([0.61, 0.97], 100, 0, "%")
    assert [label for _, label in scale.ticks] == ["60 %", "70 %", "80 %", "90 %", "100 %"]
    assert scale(0.6) == 100
    assert scale(1.0) == 0
    assert make_scale([3, 3], 0, 10).low < 3 < make_scale([3, 3], 0, 10).high
    assert make_scale([math.nan], 0, 10)(0) == 5
    assert [label for _, label in make_scale([1, 3], 0, 10, whole=True).ticks] == ["1", "2", "3"]
    assert [label for _, label in make_scale([0.001, 0.004], 0, 10).ticks][:2] == ["0.001", "0.002"]


@pytest.mark.parametrize("base", [1.0986123085021973, 1e-7, 1e7, -3e99])
def test_values_that_hardly_differ_have_ticks_that_do(base):
    for other in (base, math.nextafter(base, 0), base * (1 + 1e-12), base * (1 + 1e-9), base * (1 + 1e-5)):
        scale = make_scale([base, other], 0, 10)
        assert scale.low < min(base, other) and max(base, other) < scale.high or abs(other / base - 1) > 1e-6
        assert len({position for position, _ in scale.ticks}) == len(scale.ticks) > 1
    assert make_scale([base, 1e308, -1e308, math.inf], 0, 10).high < 1e101


def test_curves_have_a_dot_per_epoch_and_start_new_phases():
    history = [epoch("head", 1, 2.0), epoch("head", 2, 1.0), epoch("blocks", 1, 0.5), epoch("blocks", 2, 0.4)]
    accuracy, loss = curve_charts(history, best_epoch=1)
    assert (accuracy.title, loss.title) == ("accuracy", "loss")
    assert [name for *_, name in loss.phases] == ["head", "blocks"]
    training = loss.curves[0]
    assert [words for *_, words in training.dots][0] == "epoch 1, training: 2.000"
    heights = [y for _, y, _ in training.dots]
    assert heights == sorted(heights)
    assert all(LEFT <= x <= WIDTH and 0 <= y <= HEIGHT for x, y, _ in training.dots)
    assert loss.kept == training.dots[2][0]  # the first epoch of the last phase
    assert curve_charts([], 0) == []


def test_a_loss_that_is_not_a_number_breaks_the_line():
    history = [epoch("head", 1, 2.0), epoch("head", 2, math.nan), epoch("head", 3, 1.0), epoch("head", 4, 0.9)]
    training = curve_charts(history, best_epoch=4)[1].curves[0]
    assert len(training.lines) == 2
    assert len(training.dots) == 3


def test_reliability_has_a_whisker_around_each_bin():
    bins = (ReliabilityBin(0.6, 0.5, 20), ReliabilityBin(0.99, 1.0, 200))
    found = reliability_chart(Calibration(bins=bins, judged=True))
    for x, y, bottom, top, words in found.dots:
        assert bottom >= y >= top
        assert "correct" in words
        assert x > LEFT
    assert found.dots[0][2] - found.dots[0][3] > found.dots[1][2] - found.dots[1][3]  # fewer images, wider
    assert reliability_chart(Calibration()) is None


@pytest.mark.parametrize("points", [[(0.0, 0.0), (2.0, 8.0)], [(1.0, 1.0)]])
def test_a_map_fills_its_chart(points):
    assert all(0 < x < 100 and 0 < y < 50 for x, y in scatter_positions(points, 100, 50))
