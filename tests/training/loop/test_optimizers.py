"""How learning rates rise and fall, and a rate of its own for each variable."""

import numpy as np
import pytest

from tests.networks import keras, lazy_functions
from tlkit.training.hyperparameters import OPTIMIZER_DEFAULTS

PEAK, STEPS = 0.1, 1000
make_schedule, layerwise = lazy_functions("tlkit.training.loop.optimizers", "make_schedule", "layerwise")


def learning_rates(name, warm_up=0.0):
    """At every tenth step."""
    schedule = make_schedule(name, PEAK, STEPS, warm_up)
    return np.array([float(schedule(step)) if callable(schedule) else schedule for step in range(0, STEPS + 1, 10)])


def test_make_schedule_never_above_peak_and_never_negative():
    from tlkit.training.loop.optimizers import SCHEDULES

    rates = {(name, warm_up): learning_rates(name, warm_up) for name in SCHEDULES for warm_up in (0.0, 0.1)}
    assert {key for key, values in rates.items() if values.min() < 0} == set()
    assert {key: values.max() for key, values in rates.items()} == pytest.approx(dict.fromkeys(rates, PEAK), rel=1e-3)


@pytest.mark.parametrize(
    ("name", "middle", "last"), [("constant", 1, 1), ("step", 1, 0.01), ("exponential", 0.1, 0.01), ("cosine", 0.5, 0)]
)
def test_make_schedule_falls_as_named(name, middle, last):
    rates = learning_rates(name) / PEAK
    assert rates[[0, 50, 100]] == pytest.approx([1, middle, last], abs=1e-5)
    assert (np.diff(rates) <= 1e-9).all()


def test_make_schedule_one_cycle_rises_for_three_tenths_whatever_the_warm_up():
    from tlkit.training.loop.plan import FIXED_WARM_UPS

    assert FIXED_WARM_UPS["one-cycle"] == 0.3
    for warm_up in (0.0, 0.1):
        rates = learning_rates("one-cycle", warm_up)
        assert rates.argmax() == 30
        assert rates[[0, 15, 100]] == pytest.approx([0, PEAK / 2, 0], abs=1e-6)


def test_make_schedule_warm_up_goes_before():
    rates = learning_rates("exponential", 0.2)
    assert rates[[0, 10, 20]] == pytest.approx([0, PEAK / 2, PEAK], rel=1e-4)
    assert rates[-1] == pytest.approx(PEAK * 0.01, rel=1e-4)


def test_make_schedule_cosine_equals_keras():
    expected = keras.optimizers.schedules.CosineDecay(0.0, 900, warmup_target=PEAK, warmup_steps=100)
    np.testing.assert_allclose(
        learning_rates("cosine", 0.1), [float(expected(step)) for step in range(0, 1001, 10)], atol=1e-7
    )


@pytest.mark.parametrize("name", OPTIMIZER_DEFAULTS)
def test_layerwise_moves_each_variable_at_its_own_rate(name):
    """The first step of each optimizer is proportional to the rate, with the same gradient everywhere."""
    from tlkit.training.loop.optimizers import OPTIMIZERS

    source = keras.Input((3,))
    model = keras.Model(source, keras.layers.Dense(3, name="high")(keras.layers.Dense(3, name="low")(source)))
    multipliers = {"low/kernel": 0.25, "low/bias": 0.5}
    optimizer = layerwise(OPTIMIZERS[name].constructor)(multipliers, learning_rate=0.01, weight_decay=0.0)
    before = {variable.path: np.copy(variable.numpy()) for variable in model.trainable_variables}
    optimizer.build(model.trainable_variables)
    gradients = [keras.ops.convert_to_tensor(np.full(value.shape, 3.0, np.float32)) for value in before.values()]
    optimizer.apply(gradients, model.trainable_variables)
    steps = {variable.path: before[variable.path] - variable.numpy() for variable in model.trainable_variables}
    full = np.abs(steps["high/kernel"]).mean()
    assert full > 0
    for path, fraction in {"low/kernel": 0.25, "low/bias": 0.5, "high/kernel": 1, "high/bias": 1}.items():
        np.testing.assert_allclose(steps[path], fraction * full, rtol=0.02)


@pytest.mark.parametrize("constructor", ["Adam", "AdamW"])
def test_adam_in_one_operation_equals_keras(constructor):
    random = np.random.default_rng(0)
    start = random.standard_normal((40, 30)).astype(np.float32)
    gradients = random.standard_normal((6, 40, 30)).astype(np.float32) * 10.0 ** random.integers(-4, 2, (6, 40, 30))
    options = {"learning_rate": make_schedule("cosine", 0.01, 6, 0.3), "weight_decay": 0.1, "global_clipnorm": 50.0}
    ends = []
    for optimizer in (layerwise(constructor)({"w": 1.0}, **options), getattr(keras.optimizers, constructor)(**options)):
        weight = keras.Variable(start, name="w")
        optimizer.build([weight])
        for gradient in gradients:
            optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")], [weight])
        ends.append([weight.numpy(), *(np.asarray(value) for value in optimizer.variables)])
    assert np.abs(ends[0][0] - start).mean() > 0.005
    for ours, theirs in zip(*ends, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-7)
