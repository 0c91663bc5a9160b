"""The learning-rate range test."""

from contextlib import contextmanager

import numpy as np
import pytest

from tests.networks import keras, lazy_functions
from tests.training.loop.toys import head, plan, points
from tlkit.settings.training import FinetuneSettings
from tlkit.utils.progress import Silent

moving_average, range_test, suggest_rate, find_learning_rate = lazy_functions(
    "tlkit.training.lr_finder", "moving_average", "range_test", "suggest_rate", "find_learning_rate"
)


def test_range_test_leaves_model_as_it_was_and_suggests_a_rate_that_learns():
    from tlkit.training.lr_finder import STEPS

    stacked, train = head(dropout=0.0, batch_norm=False), points(200, spread=0.2)
    model = keras.Model(stacked.inputs, stacked.outputs)
    before = model.get_weights()
    curve = range_test(model, train, plan(), Silent())
    assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))
    assert len(curve.rates) == len(curve.losses) <= STEPS
    assert curve.rates == sorted(curve.rates)
    assert min(curve.losses) < 0.7 * curve.losses[0]
    assert 1e-4 < curve.suggested < curve.lowest < 1


def test_range_test_advances_to_its_end_where_the_loss_diverges():
    class Counted(Silent):
        total = 0

        @contextmanager
        def stage(self, name, total, unit):
            self.total = -total

            def advance(count):
                self.total += count

            yield advance

    progress, stacked = Counted(), head(dropout=0.0, batch_norm=False)
    curve = range_test(keras.Model(stacked.inputs, stacked.outputs), points(200), plan(optimizer="sgd"), progress)
    assert progress.total == 0
    assert len(curve.losses) <= 120


def test_moving_average_starts_at_first_loss_and_leaves_out_infinity():
    assert moving_average([2.0])[0] == pytest.approx(2)
    assert moving_average([3.0, 3.0, 3.0]) == pytest.approx([3, 3, 3])
    assert len(moving_average([1.0, 2.0, float("inf")])) == 2


def test_suggest_rate_is_where_the_loss_falls_most_steeply_before_its_minimum():
    rates = np.geomspace(1e-6, 1, 121)
    falling = 2.0 - 1.5 / (1 + (2e-3 / rates) ** 2)  # steepest at 2e-3 by the logarithm of the rate
    losses = np.where(rates < 0.1, falling, 0.5 + 50 * (rates - 0.1))
    losses[rates > 0.8] = 0.6  # a fall after the minimum is no descent of the training
    assert suggest_rate(rates.tolist(), losses.tolist()) == 0.002


def test_suggest_rate_of_a_loss_that_only_rises_is_the_lowest():
    assert suggest_rate([1e-6, 1e-3, 1.0], [2, 3, 9]) == 1e-6


@pytest.mark.training
@pytest.mark.parametrize(
    ("freeze", "phase"), [("auto", "head"), ("lower", "blocks"), pytest.param("none", "whole", marks=pytest.mark.slow)]
)
def test_find_learning_rate_tries_what_would_be_trained_last(freeze, phase, colors, weights_file):
    blocks = {"views": 2, "cut": "0.7", "upper_batch_size": 16, "epochs": 1} if freeze == "lower" else {}
    settings = FinetuneSettings(
        backbone="mobilenet_025", weights=str(weights_file), freeze=freeze, image_size=32, hidden="8", batch_size=16,
        **blocks,
    )  # fmt: skip
    curve = find_learning_rate(colors, settings)
    assert curve.phase == phase
    assert curve.option == ("--upper-learning-rate" if phase == "blocks" else "--learning-rate")
    assert 1e-7 <= curve.suggested <= 0.1


@pytest.mark.training
def test_find_learning_rate_from_run_tries_everything(colors, scratch_run):
    curve = find_learning_rate(colors, FinetuneSettings(from_run=str(scratch_run.path), freeze="none", batch_size=16))
    assert (curve.phase, curve.option) == ("whole", "--learning-rate")
    assert 1e-7 <= curve.suggested <= 0.1
