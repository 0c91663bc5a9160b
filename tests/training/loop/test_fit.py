from contextlib import contextmanager

import numpy as np
import pytest

from tests.networks import keras
from tlkit.errors import ModelError
from tlkit.training.loop.batches import Mixing, Samples, batch_indices
from tlkit.training.loop.fit import HISTORY_COLUMNS, best_epoch, fit
from tlkit.training.loop.optimizers import OPTIMIZERS, SCHEDULES
from tlkit.training.loop.plan import FitPlan
from tlkit.utils.progress import Silent

PLAN = FitPlan(epochs=5, batch_size=8, learning_rate=0.05, weight_decay=0.01, label_smoothing=0.1, patience=50, seed=0)


def plan(**changes):
    return FitPlan(**{**vars(PLAN), **changes})


def samples(count=40, num_classes=3, seed=0, spread=0.5):
    """Clouds around one corner per class."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % num_classes
    features = np.eye(num_classes)[labels] + random.normal(0, spread, (count, num_classes))
    return Samples(features.astype(np.float32), np.eye(num_classes, dtype=np.float32)[labels])


def head(num_classes=3, dropout=0.3, batch_norm=True):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((num_classes,))]
    layers += [keras.layers.BatchNormalization(momentum=0.9)] if batch_norm else []
    layers += [keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(dropout)]
    return keras.Sequential([*layers, keras.layers.Dense(num_classes, activation="softmax")])


def fitted(plan=PLAN, train=None, validation=None, **options):
    upper = head(**options)
    history = fit(upper, train or samples(), validation or samples(seed=1), plan, Silent()).history
    return upper, history


def loss_of(upper, held, smoothing):
    """Cross-entropy against smoothed labels, by Keras."""
    measure = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
    return float(measure(held.targets, upper.predict(held.features, verbose=0)))


# batches


@pytest.mark.parametrize(("num_images", "batch_size"), [(1, 1), (7, 7), (10, 3), (100, 32), (33, 32), (31, 16)])
def test_every_image_is_seen_each_epoch_in_batches_of_one_size(num_images, batch_size):
    rows = batch_indices(num_images, batch_size, seed=0, epoch=1)
    assert rows.shape == (-(-num_images // batch_size), batch_size)
    assert set(rows.ravel().tolist()) == set(range(num_images))
    first = rows.ravel()[:num_images]
    assert sorted(first.tolist()) == list(range(num_images))


def test_the_last_batch_is_filled_with_the_first_images():
    rows = batch_indices(10, 4, seed=0, epoch=1).ravel()
    assert rows[10:].tolist() == rows[:2].tolist()


def test_the_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        return batch_indices(50, 8, seed, epoch).ravel().tolist()

    np.random.seed(7)  # noqa: NPY002
    first = order(0, 1)
    assert order(0, 1) == first
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (1, 2)}) == 4


# what is left behind


def test_the_head_learns():
    held = samples(seed=1, spread=0.1)
    upper, history = fitted(plan(epochs=60), samples(spread=0.1), held)
    assert history[-1]["val_accuracy"] == 1
    assert (upper.predict(held.features, verbose=0).argmax(axis=1) == held.targets.argmax(axis=1)).all()


def test_the_weights_of_the_lowest_validation_loss_are_restored():
    """With a large step the loss jumps about, so the last epoch is not the best."""
    held = samples(seed=1, spread=1.5)
    upper, history = fitted(plan(epochs=30, learning_rate=0.5, weight_decay=0.0), samples(spread=1.5), held)
    losses = [row["val_loss"] for row in history]
    assert best_epoch(history) < len(history)
    assert loss_of(upper, held, 0.1) == pytest.approx(min(losses), abs=1e-5)
    assert loss_of(upper, held, 0.1) != pytest.approx(losses[-1], abs=1e-5)


def test_training_stops_when_patience_is_at_its_end():
    held = samples(seed=1, spread=1.5)
    _, history = fitted(plan(epochs=200, learning_rate=0.5, patience=3), samples(spread=1.5), held)
    assert len(history) == best_epoch(history) + 3
    assert len(history) < 200


def rows_of(*losses):
    return [{"epoch": epoch, "val_loss": loss} for epoch, loss in enumerate(losses, 1)]


def test_the_first_of_equally_good_epochs_is_kept():
    assert best_epoch(rows_of(3.0, 1.0, 2.0, 1.0)) == 2


def test_an_epoch_whose_loss_is_no_number_is_never_the_best():
    assert best_epoch(rows_of(3.0, 1.0, float("nan"), 2.0)) == 2
    assert best_epoch(rows_of(float("nan"), 3.0)) == 2


def test_a_start_that_no_epoch_beats_is_kept():
    held = samples(seed=1)
    upper, first = fitted(validation=held)
    before, weights = loss_of(upper, held, 0.1), upper.get_weights()
    wild = plan(epochs=2, learning_rate=5.0, keeps_start=True, phase="blocks")
    history = fit(upper, samples(), held, wild, Silent()).history
    assert [row["epoch"] for row in history] == [0, 1, 2]
    assert history[0]["val_loss"] == pytest.approx(before, abs=1e-5)
    assert best_epoch(history) == 0
    assert all(np.array_equal(*pair) for pair in zip(upper.get_weights(), weights, strict=True))


def test_the_rate_rises_and_falls():
    _, history = fitted(plan(epochs=10, warm_up=0.5))
    rates = [row["learning_rate"] for row in history]
    assert rates.index(max(rates)) == 4
    assert max(rates) == pytest.approx(PLAN.learning_rate, rel=0.05)
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_a_training_that_diverges_says_so():
    with pytest.raises(ModelError, match="--learning-rate"):
        fitted(plan(epochs=12, learning_rate=1e30), batch_norm=False)


# history


def test_history_has_a_row_per_epoch_with_every_column():
    _, history = fitted()
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5]
    assert all(list(row) == list(HISTORY_COLUMNS) for row in history)
    assert all(row["seconds"] >= 0 for row in history)


def test_the_learning_rate_falls_to_zero():
    rates = [row["learning_rate"] for row in fitted()[1]]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] < PLAN.learning_rate
    assert rates[-1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_validation_loss_and_accuracy_are_those_of_keras(smoothing):
    held = samples(300, seed=1, spread=1.0)  # more than one round of prediction
    upper, history = fitted(plan(epochs=1, label_smoothing=smoothing), validation=held)
    predicted = upper.predict(held.features, verbose=0)
    assert history[0]["val_loss"] == pytest.approx(loss_of(upper, held, smoothing), rel=1e-5)
    expected = float((predicted.argmax(axis=1) == held.targets.argmax(axis=1)).mean())
    assert history[0]["val_accuracy"] == expected


def test_progress_advances_once_per_epoch():
    class Counted(Silent):
        done = 0

        @contextmanager
        def stage(self, name, total, unit):
            self.asked = (name, total, unit)

            def advance(count):
                self.done += count

            yield advance

    progress = Counted()
    fit(head(), samples(), samples(seed=1), PLAN, progress)
    assert progress.asked == ("head", 5, "epochs")
    assert progress.done == 5


# the same each time


def test_one_seed_gives_the_same_bits_and_another_seed_others():
    weights = [fitted(plan(seed=seed))[0].get_weights() for seed in (0, 0, 1)]
    assert all(np.array_equal(*pair) for pair in zip(weights[0], weights[1], strict=True))
    assert not all(np.array_equal(*pair) for pair in zip(weights[0], weights[2], strict=True))


def test_what_was_drawn_before_does_not_matter():
    upper, again = head(), head()
    fit(upper, samples(), samples(seed=1), PLAN, Silent())
    keras.random.normal((10,))
    fit(again, samples(), samples(seed=1), PLAN, Silent())
    assert all(np.array_equal(*pair) for pair in zip(upper.get_weights(), again.get_weights(), strict=True))


# sizes


def test_a_batch_larger_than_the_data_is_as_large_as_the_data():
    small = [fitted(plan(batch_size=size), samples(5))[0].get_weights() for size in (1000, 5)]
    assert all(np.array_equal(*pair) for pair in zip(*small, strict=True))


def test_uint8_features_are_trained_on_as_they_are():
    """Freeze none keeps pixels as they were decoded."""
    train = samples()
    pixels = np.clip(train.features * 100 + 50, 0, 255).astype(np.uint8)
    as_floats = fitted(train=Samples(pixels.astype(np.float32), train.targets))[0].get_weights()
    as_bytes = fitted(train=Samples(pixels, train.targets))[0].get_weights()
    assert all(np.array_equal(*pair) for pair in zip(as_floats, as_bytes, strict=True))


def test_biases_and_norms_are_spared_the_decay():
    """Constant features and even labels give no gradient, so only the decay moves anything."""
    upper = head(dropout=0.0)
    still = Samples(np.zeros((8, 3), np.float32), np.full((8, 3), 1 / 3, np.float32))
    start = {weight.path: np.copy(weight.numpy()) for weight in upper.trainable_variables}
    fit(upper, still, Samples(still.features, still.targets), plan(epochs=1, weight_decay=0.5), Silent())
    moved = {
        weight.path.rpartition("/")[2]
        for weight in upper.trainable_variables
        if not np.allclose(weight.numpy(), start[weight.path], atol=1e-7)
    }
    assert {path.rpartition("/")[2] for path in start} == {"kernel", "bias", "gamma", "beta"}
    assert moved == {"kernel"}


# optimizers, decays and averages


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_learns_at_its_own_rate(name):
    row = OPTIMIZERS[name]
    chosen = plan(optimizer=name, learning_rate=row.head, weight_decay=row.weight_decay, epochs=150)
    _, history = fitted(chosen, samples(spread=0.1), samples(seed=1, spread=0.1), dropout=0.0)
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]
    assert max(row["val_accuracy"] for row in history) > 0.9


@pytest.mark.parametrize("decay", SCHEDULES)
def test_every_decay_trains(decay):
    _, history = fitted(plan(decay=decay, epochs=30), samples(spread=0.1), samples(seed=1, spread=0.1))
    assert max(row["val_accuracy"] for row in history) > 0.9


def test_a_plateau_lowers_the_rate_once_nothing_gets_better():
    held = samples(seed=1, spread=1.5)
    _, history = fitted(plan(decay="plateau", epochs=40, learning_rate=0.3), samples(spread=1.5), held)
    rates = [row["learning_rate"] for row in history]
    assert rates[0] == pytest.approx(0.3)
    assert rates[-1] < 0.1
    assert rates == sorted(rates, reverse=True)


def test_the_average_of_the_weights_is_what_is_measured_and_kept():
    held = samples(seed=1)
    upper, history = fitted(plan(ema=0.9, epochs=12), validation=held, dropout=0.0)
    best = history[best_epoch(history) - 1]
    assert loss_of(upper, held, 0.1) == pytest.approx(best["val_loss"], abs=1e-5)
    plain, _ = fitted(plan(epochs=12), validation=held, dropout=0.0)
    assert any(not np.allclose(*pair) for pair in zip(upper.get_weights(), plain.get_weights(), strict=True))


def test_a_clipped_gradient_moves_less():
    def moved(clip):
        upper = head(dropout=0.0, batch_norm=False)
        before = upper.get_weights()
        sgd = plan(optimizer="sgd", decay="constant", epochs=1, weight_decay=0.0, clip=clip, learning_rate=0.1)
        fit(upper, samples(8), samples(seed=1), sgd, Silent())
        return np.sqrt(sum(np.sum((a - b) ** 2) for a, b in zip(upper.get_weights(), before, strict=True)))

    assert moved(1e-3) == pytest.approx(1e-4, rel=1e-3)
    assert moved(0.0) > 1e-3


def test_heavier_images_pull_harder():
    train = samples(30, spread=0.8)
    heavy = train.targets[:, 0] * 20 + 1
    weighted = Samples(train.features, train.targets, (heavy / heavy.mean()).astype(np.float32))
    recalls = []
    for seen in (train, weighted):
        upper, _ = fitted(plan(epochs=40), seen, samples(300, seed=1, spread=0.8), dropout=0.0)
        held = samples(300, seed=1, spread=0.8)
        told = upper.predict(held.features, verbose=0).argmax(axis=1)
        recalls.append(np.mean(told[held.targets[:, 0] == 1] == 0))
    assert recalls[1] > recalls[0]


def test_mixed_training_learns_too():
    _, history = fitted(plan(mixing=Mixing(mixup=0.4), epochs=40), samples(spread=0.1), samples(seed=1, spread=0.1))
    assert max(row["val_accuracy"] for row in history) > 0.9


def test_where_f1_decides_the_best_epoch_is_that_of_the_highest():
    rows = [{"epoch": k, "val_loss": loss, "f1": f1} for k, (loss, f1) in enumerate([(1, 0.5), (3, 0.7), (2, 0.7)], 1)]
    assert best_epoch(rows) == 3
    _, history = fitted(plan(by_f1=True, epochs=6))
    assert all(0 <= row["f1"] <= 1 for row in history)
