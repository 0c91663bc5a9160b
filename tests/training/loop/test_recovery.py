"""Memory that does not suffice and losses that grow beyond all bounds, in real trainings."""

import numpy as np
import pytest
import tensorflow as tf

from tests.networks import keras
from tests.training.loop.test_fit import fitted, head, plan, samples
from tlkit.errors import ModelError
from tlkit.training.loop.checkpoint import Checkpoint, TrainingState
from tlkit.training.loop.fit import fit, has_diverged, is_out_of_memory
from tlkit.utils.progress import Silent


class Hungry(keras.layers.Layer):
    """Asks for 2 PB for a training batch of more than `most` images, which no machine grants."""

    def __init__(self, most):
        super().__init__()
        self.most = most

    def call(self, values, training=False):
        if not training:
            return values
        return values + tf.ensure_shape(tf.numpy_function(self._take, [tf.shape(values)[0]], tf.float32), ())

    def _take(self, count):
        try:
            return np.zeros(2**49 if count > self.most else 1, np.float32)[0]
        except MemoryError:
            if tf.executing_eagerly():  # there TensorFlow's kernels say it in their words
                raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor") from None
            raise


def hungry(most):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((3,)), Hungry(most), keras.layers.Dense(3, activation="softmax")]
    return keras.Sequential(layers)


def test_batches_are_halved_until_memory_suffices():
    upper = hungry(3)
    done = fit(upper, samples(), samples(seed=1), plan(batch_size=16, epochs=3), Silent())
    assert [row["epoch"] for row in done.history] == [1, 2, 3]
    assert done.batch_size == 2
    assert done.notes[-1] == "memory did not suffice; the head was trained in batches of 2."
    small = hungry(99)
    fit(small, samples(), samples(seed=1), plan(batch_size=2, epochs=3), Silent())
    assert all(np.array_equal(*pair) for pair in zip(upper.get_weights(), small.get_weights(), strict=True))


def test_where_not_one_image_fits_it_says_what_to_change():
    with pytest.raises(ModelError, match="one image at a time; choose a smaller --image-size"):
        fit(hungry(0), samples(), samples(seed=1), plan(batch_size=4), Silent())


def test_another_error_is_not_taken_for_want_of_memory():
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(ValueError("no more memory of what was said"))


class Unstable(keras.layers.Layer):
    """Grows beyond all numbers once the weights above it have moved far, as too large a rate moves them."""

    def __init__(self, bound):
        super().__init__()
        self.bound = bound

    def build(self, shape):
        self.scale = self.add_weight(shape=(), initializer="ones", name="kernel")

    def call(self, values):
        return values * self.scale * tf.where(tf.abs(self.scale - 1) > self.bound, np.inf, 1.0)


def unstable(bound):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((3,)), Unstable(bound), keras.layers.Dense(3, activation="softmax")])


def test_a_divergence_goes_on_from_the_best_weights_at_a_smaller_rate():
    done = fit(unstable(0.3), samples(), samples(seed=1), plan(epochs=4, learning_rate=0.2), Silent())
    assert 1 <= done.divergences <= 3
    assert [row["epoch"] for row in done.history] == [1, 2, 3, 4]
    assert np.isfinite([row["loss"] for row in done.history]).all()
    assert len(done.notes) == done.divergences
    assert f"at a rate of {0.2 * 0.3**done.divergences:.2g}" in done.notes[-1]


def test_three_divergences_end_the_training_with_the_best_epoch():
    """The first epochs are fine; then features beyond all bounds drive the loss up at any rate."""
    upper, train = head(dropout=0.0, batch_norm=False), samples(spread=0.1)
    first = fit(upper, train, samples(seed=1), plan(epochs=2, learning_rate=1e-3, keeps_start=True), Silent())
    lost = type(train)(train.features * np.float32(1e37), train.targets)
    done = fit(upper, lost, samples(seed=1), plan(epochs=2, keeps_start=True), Silent())
    assert done.divergences == 4
    assert [row["epoch"] for row in done.history] == [0]
    assert "the best epoch before was kept" in done.notes[-1]
    assert all(np.array_equal(*pair) for pair in zip(upper.get_weights(), first.best, strict=True))


def test_without_any_good_epoch_it_says_so():
    with pytest.raises(ModelError, match="choose a --learning-rate far below 1e\\+30"):
        fitted(plan(epochs=12, learning_rate=1e30), batch_norm=False)


@pytest.mark.parametrize(("loss", "lost"), [(1.2, False), (4.9, False), (5.6, True), (float("nan"), True)])
def test_what_counts_as_divergence(loss, lost):
    assert has_diverged({"loss": loss, "val_loss": 1.0}, 3) is lost


def test_setbacks_outlive_a_stop(tmp_path):
    """What was given up before a stop is not tried again after it."""
    file = tmp_path / "checkpoint-head.npz"
    whole = hungry(3)
    done = fit(whole, samples(), samples(seed=1), plan(batch_size=16, epochs=6), Silent())

    class StopsAfterTwo(Checkpoint):
        def save(self, model, standing):
            self._written = -1e9
            super().save(model, standing)
            if len(standing.history) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(hungry(3), samples(), samples(seed=1), plan(batch_size=16, epochs=6), Silent(), StopsAfterTwo(file))
    again = hungry(3)
    resumed = fit(again, samples(), samples(seed=1), plan(batch_size=16, epochs=6), Silent(), Checkpoint(file))
    assert isinstance(resumed, TrainingState)
    assert resumed.notes == done.notes
    assert all(np.array_equal(*pair) for pair in zip(whole.get_weights(), again.get_weights(), strict=True))
