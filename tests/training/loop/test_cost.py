"""What a training costs: how phases add up, and how fast this machine is."""

import math

import pytest

from tests.training.loop.toys import plan
from tlkit.training.loop import cost
from tlkit.training.loop.cost import CostEstimate


def test_cost_estimate_then_adds_phases_one_after_the_other():
    first = CostEstimate(disk=5).then(2.0, 0.1, (80, 24), plan(epochs=3, batch_size=8))
    assert first == CostEstimate(2.0, pytest.approx(0.1 * (10 + 24 / 8 / 3)), 3, 5, 3)
    second = first.then(1.0, 0.2, (80, 24), plan(epochs=60, batch_size=8, patience=4))
    assert second.fixed_seconds == pytest.approx(first.seconds + 1.0)
    assert (second.epochs, second.expected_epochs, second.disk) == (60, 10, 5)
    assert second.max_seconds == pytest.approx(second.fixed_seconds + 60 * second.epoch_seconds)


def test_cost_estimate_epochs_within_leaves_time_for_the_end():
    expected = CostEstimate(fixed_seconds=6, epoch_seconds=5, epochs=10, expected_epochs=7, end_seconds=4)
    assert [expected.epochs_within(seconds) for seconds in (0, 12, 15, 36, 1e6, math.inf)] == [0, 0, 1, 5, 10, 10]
    assert (expected.seconds, expected.max_seconds) == (45, 60)
    assert (expected.with_epochs(3).seconds, expected.with_epochs(8).max_seconds) == (25, 50)


def test_measured_slowness_doubles_where_the_same_work_takes_twice_as_long(monkeypatch):
    monkeypatch.setattr(cost, "_run_yardstick", lambda: 2 * cost.YARDSTICK_SECONDS)
    assert cost.measure_slowness() == pytest.approx(2.0)
    monkeypatch.undo()
    assert 0.05 < cost.measure_slowness() < 50
