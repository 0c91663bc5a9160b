"""Training on features that are read in windows: as good a shuffle, the same result, and little in memory."""

import numpy as np
import pytest

from tests.networks import lazy_functions
from tests.training.loop.toys import plan, points
from tlkit.models.head import Head
from tlkit.training.head.learner import HeadLearner
from tlkit.training.loop.batches import Samples, batch_indices, in_batches
from tlkit.training.loop.checkpoint import Checkpoint
from tlkit.training.loop.streaming import StreamedFeatures
from tlkit.utils.progress import Silent

(fit,) = lazy_functions("tlkit.training.loop.fit", "fit")
NUM_FEATURES = 4


class OnDisk:
    """Features by position that remember how many are read at a time; in epoch e they are e more."""

    def __init__(self, values, epoch=0, reads=None):
        self.values, self.epoch = values, epoch
        self.reads = [] if reads is None else reads

    def __len__(self):
        return len(self.values)

    def __getitem__(self, indices):
        self.reads.append(len(self.values[indices]))
        return self.values[indices] + self.values.dtype.type(self.epoch)

    def in_epoch(self, epoch):
        return OnDisk(self.values, epoch, self.reads)


class InMemory:
    """The same features, all in memory, in the order in which they are streamed."""

    def __init__(self, streamed, values):
        self.streamed, self.values = streamed, values

    def shuffled(self, seed, epoch):
        return self.values, self.streamed.shuffled(seed, epoch)[1]


def features_of(count, kind=np.float32):
    return np.arange(count * NUM_FEATURES).reshape(count, NUM_FEATURES).astype(kind)


def streamed(values, images_per_window, images_per_piece):
    stored = OnDisk(values)
    image_bytes = values[:1].nbytes
    return StreamedFeatures(stored, images_per_window * image_bytes, images_per_piece * image_bytes), stored


def test_every_image_comes_once_in_an_order_of_seed_and_epoch():
    for count, window, piece in [(1000, 100, 7), (1000, 64, 1), (37, 10, 10), (5, 1, 1), (12, 5, 100)]:
        parts, _ = streamed(features_of(count), window, piece)
        orders = {(seed, epoch): parts.shuffled(seed, epoch)[1].tolist() for seed in (0, 1) for epoch in (1, 2)}
        assert all(sorted(order) == list(range(count)) for order in orders.values()), count
        assert orders[1, 2] == parts.shuffled(1, 2)[1].tolist()
        assert count < 10 or len(set(map(tuple, orders.values()))) == 4


def test_one_window_has_the_order_of_features_in_memory():
    parts, _ = streamed(features_of(50), 50, 3)
    assert parts.shuffled(3, 2)[1].tolist() == batch_indices(50, 1, 3, 2).ravel().tolist()


def test_a_window_has_the_classes_of_all():
    """Images lie class by class, as in a folder; each window has nearly as many of each class as all others."""
    labels = np.repeat(np.arange(10), 1000)
    parts, _ = streamed(features_of(len(labels)), 1000, 10)
    order = parts.shuffled(0, 1)[1]
    counts = np.array([np.bincount(labels[window], minlength=10) for window in np.split(order, 10)])
    assert counts.min() >= 90 and counts.max() <= 110
    followed = np.mean(labels[order[1:]] == labels[order[:-1]])
    assert followed == pytest.approx(0.1, abs=0.02)  # within a window they are shuffled one by one


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_batches_are_read_in_windows_and_hold_the_right_images(kind):
    values = features_of(500, kind)
    for batch_size in (1, 7, 100, 499):
        parts, stored = streamed(values, 60, 5)
        windows, order = parts.shuffled(0, 3)
        seen = []
        for indices in in_batches(order, batch_size):
            np.testing.assert_array_equal(windows[indices], values[indices] + kind(3))
            seen += indices.tolist()
        assert set(seen) == set(range(500))
        assert max(stored.reads) <= 65
        assert sum(stored.reads) <= 500 + batch_size + 1  # each once, those of the last batch, one to know their size


def test_images_of_any_window_can_be_read():
    values = features_of(300)
    windows, order = streamed(values, 30, 4)[0].shuffled(0, 0)
    for indices in (order[-3:], order[::50], order[:1], np.array([5, 5])):
        np.testing.assert_array_equal(windows[indices], values[indices])


def learned(train, validation, checkpoint=None, progress=None, **changes):
    head = HeadLearner(Head(0.3, True, (8,)), 3, 3, seed=0)
    state = fit(head, train, validation, plan(epochs=4, **changes), progress or Silent(), checkpoint)
    return [value.tobytes() for value in head.get_weights()], [record.val_loss for record in state.history]


def test_training_on_windows_equals_training_in_memory_in_that_order():
    samples, held_out = points(400), points(60, seed=1)
    parts, _ = streamed(samples.features, 70, 6)
    in_memory = Samples(InMemory(parts, samples.features), samples.targets, samples.weights)
    unchanged = type("Unchanged", (OnDisk,), {"in_epoch": lambda self, epoch: self})
    size = samples.features[:1].nbytes
    from_disk = Samples(
        StreamedFeatures(unchanged(samples.features), 70 * size, 6 * size), samples.targets, samples.weights
    )
    for batch_size in (8, 64, 150):
        found = learned(from_disk, held_out, batch_size=batch_size)
        assert found == learned(in_memory, held_out, batch_size=batch_size)
        assert found != learned(samples, held_out, batch_size=batch_size)


def test_training_on_windows_continues_exactly(tmp_path, monkeypatch):
    monkeypatch.setattr("tlkit.training.loop.checkpoint.SECONDS_BETWEEN", 0.0)

    class Interrupted(Silent):
        def on_epoch_end(self, row):
            if row["epoch"] == 3:
                raise KeyboardInterrupt

    samples, held_out = points(200), points(60, seed=1)

    def train():
        return Samples(streamed(samples.features, 50, 6)[0], samples.targets)

    whole = learned(train(), held_out)
    checkpoint = Checkpoint(tmp_path / "checkpoint-head.npz")
    with pytest.raises(KeyboardInterrupt):
        learned(train(), held_out, checkpoint, Interrupted())
    assert learned(train(), held_out, checkpoint) == whole
