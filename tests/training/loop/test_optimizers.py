"""How learning rates rise and fall."""

import numpy as np
import pytest

from tests.networks import keras
from tlkit.training.loop.optimizers import SCHEDULES, WARM_UPS, make_schedule, plateau_factor

RATE, STEPS = 0.1, 1000


def rates(decay, warm_up=0.0):
    schedule = make_schedule(decay, RATE, STEPS, warm_up)
    return np.array([float(schedule(step)) if callable(schedule) else schedule for step in range(0, STEPS + 1, 10)])


@pytest.mark.parametrize("decay", SCHEDULES)
@pytest.mark.parametrize("warm_up", [0.0, 0.1])
def test_the_rate_is_never_above_the_largest_and_never_negative(decay, warm_up):
    found = rates(decay, warm_up)
    assert found.max() == pytest.approx(RATE, rel=1e-3)
    assert found.min() >= 0


@pytest.mark.parametrize(
    ("decay", "middle", "last"),
    [
        ("constant", 1, 1),
        ("step", 1, 0.01),
        ("exponential", 0.1, 0.01),
        ("cosine", 0.5, 0),
    ],
)
def test_a_decay_falls_as_its_name_says(decay, middle, last):
    found = rates(decay) / RATE
    assert found[[0, 50, 100]] == pytest.approx([1, middle, last], abs=1e-5)
    assert (np.diff(found) <= 1e-9).all()


def test_one_cycle_rises_for_three_tenths_whatever_the_phase():
    assert WARM_UPS["one-cycle"] == 0.3
    for warm_up in (0.0, 0.1):
        found = rates("one-cycle", warm_up)
        assert found.argmax() == 30
        assert found[[0, 15, 100]] == pytest.approx([0, RATE / 2, 0], abs=1e-6)


def test_a_rise_goes_before_any_decay():
    found = rates("exponential", 0.2)
    assert found[[0, 10, 20]] == pytest.approx([0, RATE / 2, RATE], rel=1e-4)
    assert found[-1] == pytest.approx(RATE * 0.01, rel=1e-4)


def test_the_cosine_is_keras_own():
    keras_own = keras.optimizers.schedules.CosineDecay(0.0, 900, warmup_target=RATE, warmup_steps=100)
    np.testing.assert_allclose(rates("cosine", 0.1), [float(keras_own(k)) for k in range(0, 1001, 10)], atol=1e-7)


def test_a_plateau_counts_from_the_last_better_epoch():
    assert plateau_factor([5, 4, 4, 3, 3, 3]) == 1
    assert plateau_factor([5, 4, 4, 4, 4]) == pytest.approx(0.3)
    assert plateau_factor([5, 5, 5, 5, 5, 5, 5]) == pytest.approx(0.09)
    assert plateau_factor([5, 5, 5, 5, 4, 4, 4]) == pytest.approx(0.3)
