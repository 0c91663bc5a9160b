"""The loop over epochs on small clouds of points: what it learns, keeps, records and recovers from."""

import time
from contextlib import contextmanager
from itertools import cycle

import numpy as np
import pytest

from tests.networks import keras, lazy_functions, run_network
from tests.training.loop.toys import PLAN, fit, fitted, head, loss_of, plan, points, starving, unstable
from tlkit.errors import ModelError
from tlkit.evaluation.metrics import confusion_matrix, macro_f1
from tlkit.training.hyperparameters import OPTIMIZER_DEFAULTS
from tlkit.training.loop.batches import Mixing, Samples, batch_indices
from tlkit.training.loop.history import BALANCED_LOSS, HISTORY_COLUMNS, MACRO_F1, EpochRecord, best_epoch
from tlkit.utils.progress import Silent


@pytest.fixture(scope="module")
def trained():
    """A head after the plain training, and its history; not to be changed."""
    return fitted()


def same_weights(first, second):
    weights = first.get_weights(), second.get_weights()
    return all(np.array_equal(*pair) for pair in zip(*weights, strict=True))


def best_accuracy(history):
    return max(record.val_accuracy for record in history)


# what is left behind


def test_fit_separable_points_classifies_all():
    held_out = points(seed=1, spread=0.1)
    model, history = fitted(plan(epochs=60), points(spread=0.1), held_out)
    assert history[-1].val_accuracy == 1
    assert (run_network(model, held_out.features).argmax(axis=1) == held_out.targets.argmax(axis=1)).all()


def test_fit_restores_weights_of_lowest_validation_loss():
    """With a large learning rate the loss jumps about, so the last epoch is not the best."""
    held_out = points(seed=1, spread=1.5)
    model, history = fitted(plan(epochs=30, learning_rate=0.5, weight_decay=0.0), points(spread=1.5), held_out)
    losses = [record.val_loss for record in history]
    assert best_epoch(history) < len(history)
    assert loss_of(model, held_out, 0.1) == pytest.approx(min(losses), abs=1e-5)
    assert loss_of(model, held_out, 0.1) != pytest.approx(losses[-1], abs=1e-5)


def test_fit_stops_after_patience():
    held_out = points(seed=1, spread=1.5)
    _, history = fitted(plan(epochs=200, learning_rate=0.5, patience=3), points(spread=1.5), held_out)
    assert len(history) == best_epoch(history) + 3
    assert len(history) < 200


def test_fit_stops_where_another_epoch_would_end_too_late(tmp_path):
    """After the first in any case, because nothing is known before it; --resume keeps the decision."""
    from tlkit.training.loop.checkpoint import Checkpoint

    late = plan(epochs=50, end=time.perf_counter() - 1)
    checkpoint = Checkpoint(tmp_path / "checkpoint.npz")
    state = fit(head(), points(), points(seed=1), late, Silent(), checkpoint)
    assert [record.epoch for record in state.history] == [1]
    expected = "--time-limit ended phase 'head' after 1 of 50 epochs, which took longer than estimated."
    assert state.notes == [expected]
    resumed = fit(head(), points(), points(seed=1), plan(epochs=50), Silent(), checkpoint)
    assert (len(resumed.history), resumed.notes) == (1, [expected])
    in_time = plan(epochs=50, end=time.perf_counter() + 3600)
    assert len(fit(head(), points(), points(seed=1), in_time, Silent()).history) > 1


def test_time_of_an_epoch_is_without_the_graph_of_its_first_step():
    from tlkit.training.loop.fit import _without_graph

    assert _without_graph([0.0, 5.0, 5.5, 6.0], 7.0) == pytest.approx(2.5)
    assert _without_graph([0.0, 0.5, 1.0, 1.5], 2.0) == pytest.approx(2.0)
    assert _without_graph([0.0, 0.1, 1.0], 1.5) == pytest.approx(1.5)
    assert _without_graph([0.0, 3.0], 4.0) == 4.0


def test_fit_no_epoch_better_keeps_initial_weights(trained):
    model, held_out = trained[0], points(seed=1)
    before, weights = loss_of(model, held_out, 0.1), model.get_weights()
    wild = plan(epochs=2, learning_rate=5.0, keep_initial_weights=True, phase="blocks")
    history = fit(model, points(), held_out, wild, Silent()).history
    assert [record.epoch for record in history] == [0, 1, 2]
    assert history[0].val_loss == pytest.approx(before, abs=1e-5)
    assert best_epoch(history) == 0
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), weights, strict=True))


# history


def test_fit_gives_record_per_epoch_with_every_column(trained):
    _, history = trained
    assert [record.epoch for record in history] == [1, 2, 3, 4, 5]
    assert all(list(record.as_row()) == list(HISTORY_COLUMNS) for record in history)
    assert all(record.phase == "head" and record.seconds >= 0 and record.val_criterion is None for record in history)


def test_fit_takes_the_steps_of_train_on_batch_and_records_their_means():
    train, plain = points(), plan(epochs=3, label_smoothing=0.0)
    model, history = fitted(plain, train, dropout=0.0)
    (compile_model,) = lazy_functions("tlkit.training.loop.optimizers", "compile_model")
    reference, weights = head(dropout=0.0), []
    compile_model(reference, plain.optimizer, keras.losses.CategoricalCrossentropy(), steps=15)
    for record in history:
        batches = batch_indices(40, 8, plain.seed, record.epoch)
        logs = [
            reference.train_on_batch(train.features[rows], train.targets[rows], return_dict=True) for rows in batches
        ]
        means = [np.mean([log[name] for log in logs]) for name in ("loss", "accuracy")]
        assert (record.loss, record.accuracy) == pytest.approx(means, rel=1e-6)
        weights.append(reference.get_weights())
    assert all(
        np.array_equal(*pair) for pair in zip(model.get_weights(), weights[best_epoch(history) - 1], strict=True)
    )


def test_fit_learning_rate_falls_to_zero(trained):
    rates = [record.learning_rate for record in trained[1]]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] < PLAN.optimizer.learning_rate
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_fit_warm_up_rises_and_falls():
    _, history = fitted(plan(epochs=10, warm_up=0.5))
    rates = [record.learning_rate for record in history]
    assert rates.index(max(rates)) == 4
    assert max(rates) == pytest.approx(PLAN.optimizer.learning_rate, rel=0.05)
    assert rates[-1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_fit_measures_validation_loss_and_accuracy_as_keras_does(smoothing):
    held_out = points(300, seed=1, spread=1.0)  # more than one round of prediction
    model, history = fitted(plan(epochs=1, label_smoothing=smoothing), validation=held_out)
    predicted = run_network(model, held_out.features)
    assert history[0].val_loss == pytest.approx(loss_of(model, held_out, smoothing), rel=1e-5)
    expected = float((predicted.argmax(axis=1) == held_out.targets.argmax(axis=1)).mean())
    assert history[0].val_accuracy == expected


def test_fit_reports_each_epoch_once():
    class Counted(Silent):
        advanced = 0

        def __init__(self):
            super().__init__()
            self.rows = []

        @contextmanager
        def stage(self, name, total, unit):
            self.asked = (name, total, unit)

            def advance(count):
                self.advanced += count

            yield advance

        def on_epoch_end(self, row):
            self.rows.append(row)

    progress = Counted()
    history = fit(head(), points(), points(seed=1), PLAN, progress).history
    assert progress.asked == ("head", 5, "epochs")
    assert progress.advanced == 5
    kept = [best_epoch(history[: number + 1]) for number in range(5)]
    expected = [record.as_row() | {"best_epoch": epoch} for record, epoch in zip(history, kept, strict=True)]
    assert progress.rows == expected


def test_fit_selects_by_its_criterion():
    """Of a class with a single validation image neither hides the others."""
    held_out = points(seed=1)
    rare = Samples(held_out.features[:31], held_out.targets[np.r_[:30, 31]])  # the last image is of another class
    for criterion in (MACRO_F1, BALANCED_LOSS):
        model, history = fitted(plan(criterion=criterion, epochs=6), validation=rare)
        best = min(history, key=lambda record: (record.val_criterion, record.val_loss))
        assert best_epoch(history) == best.epoch
        probabilities = model.predict(rare.features, verbose=0)
        labels, targets = rare.targets.argmax(axis=1), rare.targets * 0.9 + 0.1 / 3
        losses = -(targets * np.log(probabilities)).sum(axis=1)
        expected = {
            MACRO_F1: -macro_f1(confusion_matrix(labels, probabilities.argmax(axis=1), 3)),
            BALANCED_LOSS: np.mean([losses[labels == label].mean() for label in range(3)]),
        }
        assert best.val_criterion == pytest.approx(expected[criterion], rel=1e-4)
        assert best.val_loss == pytest.approx(losses.mean(), rel=1e-4)


# the same each time


def test_fit_one_seed_gives_same_bits_whatever_was_drawn_before(trained):
    again = head()
    keras.random.normal((10,))
    fit(again, points(), points(seed=1), PLAN, Silent())
    assert same_weights(trained[0], again)
    assert not same_weights(trained[0], fitted(plan(seed=1))[0])


# sizes and types


def test_fit_batch_larger_than_data_is_all_data():
    assert same_weights(*(fitted(plan(batch_size=size), points(5))[0] for size in (1000, 5)))


def test_fit_uint8_features_equal_floats():
    """Freeze none caches pixels as they were decoded."""
    train = points()
    pixels = np.clip(train.features * 100 + 50, 0, 255).astype(np.uint8)
    as_floats, _ = fitted(train=Samples(pixels.astype(np.float32), train.targets))
    as_bytes, _ = fitted(train=Samples(pixels, train.targets))
    assert same_weights(as_floats, as_bytes)


# optimizers, schedules, averages, weights, mixing


def test_fit_weight_decay_spares_biases_and_norms():
    """Constant features and even labels give no gradient, so only the decay moves anything."""
    model = head(dropout=0.0)
    still = Samples(np.zeros((8, 3), np.float32), np.full((8, 3), 1 / 3, np.float32))
    start = {weight.path: np.copy(weight.numpy()) for weight in model.trainable_variables}
    fit(model, still, Samples(still.features, still.targets), plan(epochs=1, weight_decay=0.5), Silent())
    moved = {
        weight.path.rpartition("/")[2]
        for weight in model.trainable_variables
        if not np.allclose(weight.numpy(), start[weight.path], atol=1e-7)
    }
    assert {path.rpartition("/")[2] for path in start} == {"kernel", "bias", "gamma", "beta"}
    assert moved == {"kernel"}


@pytest.mark.slow
def test_fit_every_optimizer_learns_at_its_default_rate_and_under_every_schedule():
    from tlkit.training.loop.optimizers import SCHEDULES

    assert len(SCHEDULES) <= len(OPTIMIZER_DEFAULTS)
    failed = []
    for (name, spec), schedule in zip(OPTIMIZER_DEFAULTS.items(), cycle(SCHEDULES)):
        rates = {"learning_rate": spec.head_lr, "weight_decay": spec.weight_decay}
        chosen = plan(optimizer=name, schedule=schedule, epochs=60, **rates)
        _, history = fitted(chosen, points(spread=0.1), points(seed=1, spread=0.1), dropout=0.0)
        if history[-1].loss >= 0.9 * history[0].loss or best_accuracy(history) <= 0.9:
            failed.append((name, schedule, history[0].loss, history[-1].loss, best_accuracy(history)))
    assert failed == []


def test_fit_plateau_lowers_learning_rate_once_nothing_gets_better():
    held_out = points(seed=1, spread=1.5)
    _, history = fitted(plan(schedule="plateau", epochs=40, learning_rate=0.3), points(spread=1.5), held_out)
    rates = [record.learning_rate for record in history]
    assert rates[0] == pytest.approx(0.3)
    assert rates[-1] < 0.1
    assert rates == sorted(rates, reverse=True)


def test_fit_ema_is_measured_and_kept():
    held_out = points(seed=1)
    model, history = fitted(plan(ema=0.9, epochs=12), validation=held_out, dropout=0.0)
    best = history[best_epoch(history) - 1]
    assert loss_of(model, held_out, 0.1) == pytest.approx(best.val_loss, abs=1e-5)
    plain, _ = fitted(plan(epochs=12), validation=held_out, dropout=0.0)
    assert any(not np.allclose(*pair) for pair in zip(model.get_weights(), plain.get_weights(), strict=True))


def test_fit_clip_limits_step():
    def moved(clip_norm):
        model = head(dropout=0.0, batch_norm=False)
        before = model.get_weights()
        sgd = plan(
            optimizer="sgd", schedule="constant", epochs=1, weight_decay=0.0, clip_norm=clip_norm, learning_rate=0.1
        )
        fit(model, points(8), points(seed=1), sgd, Silent())
        return np.sqrt(sum(np.sum((a - b) ** 2) for a, b in zip(model.get_weights(), before, strict=True)))

    assert moved(1e-3) == pytest.approx(1e-4, rel=1e-3)
    assert moved(0.0) > 1e-3


def test_fit_heavier_images_pull_harder():
    train, held_out = points(30, spread=0.8), points(300, seed=1, spread=0.8)
    heavy = train.targets[:, 0] * 20 + 1
    weighted = Samples(train.features, train.targets, (heavy / heavy.mean()).astype(np.float32))
    recalls = []
    for samples in (train, weighted):
        model, _ = fitted(plan(epochs=40), samples, held_out, dropout=0.0)
        predicted = run_network(model, held_out.features).argmax(axis=1)
        recalls.append(np.mean(predicted[held_out.targets[:, 0] == 1] == 0))
    assert recalls[1] > recalls[0]


def test_fit_mixed_images_learns():
    _, history = fitted(plan(mixing=Mixing(mixup=0.4), epochs=40), points(spread=0.1), points(seed=1, spread=0.1))
    assert best_accuracy(history) > 0.9


# memory that does not suffice


def test_fit_out_of_memory_halves_batches_until_it_suffices():
    model = starving(3)
    state = fit(model, points(), points(seed=1), plan(batch_size=16, epochs=3), Silent())
    assert [record.epoch for record in state.history] == [1, 2, 3]
    assert state.batch_size == 2
    assert state.notes[-1] == "not enough memory: phase 'head' used a batch size of 2."
    small = starving(99)
    fit(small, points(), points(seed=1), plan(batch_size=2, epochs=3), Silent())
    assert same_weights(model, small)


def test_fit_out_of_memory_for_one_image_says_what_to_change():
    with pytest.raises(ModelError, match="a batch size of 1; use a smaller --image-size"):
        fit(starving(0), points(), points(seed=1), plan(batch_size=4), Silent())


def test_is_out_of_memory_tells_other_errors_apart():
    from tlkit.training.loop.fit import is_out_of_memory

    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(ValueError("no more memory of what was said"))


# divergence


def test_fit_divergence_continues_from_best_weights_at_lower_rate():
    state = fit(unstable(0.3), points(), points(seed=1), plan(epochs=4, learning_rate=0.2), Silent())
    assert 1 <= state.divergences <= 3
    assert [record.epoch for record in state.history] == [1, 2, 3, 4]
    assert np.isfinite([record.loss for record in state.history]).all()
    assert len(state.notes) == state.divergences
    assert f"at a learning rate of {0.2 * 0.3**state.divergences:.2g}" in state.notes[-1]


def test_fit_three_divergences_end_with_best_epoch():
    """The first epochs are fine; then features beyond all bounds drive the loss up at any learning rate."""
    model, train = head(dropout=0.0, batch_norm=False), points(spread=0.1)
    first = fit(model, train, points(seed=1), plan(epochs=2, learning_rate=1e-3, keep_initial_weights=True), Silent())
    lost = Samples(train.features * np.float32(1e37), train.targets)
    state = fit(model, lost, points(seed=1), plan(epochs=2, keep_initial_weights=True), Silent())
    assert state.divergences == 4
    assert [record.epoch for record in state.history] == [0]
    assert "the best earlier epoch was used" in state.notes[-1]
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), first.best, strict=True))


def test_fit_divergence_without_good_epoch_names_option_and_rate():
    with pytest.raises(ModelError, match="use a --learning-rate far below 1e\\+30"):
        fitted(plan(epochs=12, learning_rate=1e30), batch_norm=False)


def test_has_diverged_bound_is_five_times_chance():
    from tlkit.training.loop.fit import has_diverged
    from tlkit.training.loop.losses import divergence_bound

    def record(loss, val_loss=1.0):
        return EpochRecord("head", 1, 0.1, loss, 0.5, val_loss, 0.5, 0.1)

    verdicts = [
        has_diverged(record(loss), divergence_bound("cross-entropy", 3)) for loss in (1.2, 4.9, 5.6, float("nan"))
    ]
    assert verdicts == [False, False, True, True]
    assert has_diverged(record(1.0, float("inf")), 5.0)


def test_fit_setbacks_outlive_a_stop(tmp_path):
    """What was given up before a stop is not tried again after it."""
    from tlkit.training.loop.checkpoint import Checkpoint

    class StopsAfterTwo(Checkpoint):
        def save(self, model, state):
            self._written = -1e9
            super().save(model, state)
            if len(state.history) == 2:
                raise KeyboardInterrupt

    file, batches = tmp_path / "checkpoint-head.npz", plan(batch_size=16, epochs=6)
    whole, again = starving(3), starving(3)
    expected = fit(whole, points(), points(seed=1), batches, Silent())
    with pytest.raises(KeyboardInterrupt):
        fit(starving(3), points(), points(seed=1), batches, Silent(), StopsAfterTwo(file))
    resumed = fit(again, points(), points(seed=1), batches, Silent(), Checkpoint(file))
    assert resumed.notes == expected.notes
    assert [record.epoch for record in resumed.history] == [1, 2, 3, 4, 5, 6]
    assert same_weights(whole, again)
