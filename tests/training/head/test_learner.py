"""The head in NumPy against the same head in Keras: gradients, steps, schedules, draws, and exact continuation."""

from dataclasses import replace

import numpy as np
import pytest

from tests.networks import keras, lazy_functions
from tests.training.loop.toys import PLAN, fit_learner, plan, points
from tlkit.models.head import Head
from tlkit.training.head.learner import HeadLearner, can_learn
from tlkit.training.loop.checkpoint import Checkpoint
from tlkit.utils.progress import Silent

HEADS = {
    "wide and deep": Head(0.0, True, (8,)),
    "linear on a batch norm": Head(0.0, True, ()),
    "linear": Head(0.0, False, ()),
    "two hidden layers with penalties": Head(0.0, True, (8, 5), l1=1e-3, l2=1e-2),
    "no batch norm": Head(0.0, False, (8,)),
}
NUM_FEATURES, NUM_CLASSES = 6, 3
WEIGHTS = {  # of Keras's layers, in their order
    "head_batch_norm": ("gamma", "beta", "mean", "variance"),
    "head_hidden": ("kernel_1", "bias_1"),
    "head_hidden_2": ("kernel_2", "bias_2"),
    "head_logits": ("kernel", "bias"),
    "head_linear": ("linear",),
}
attach_head, head_arrays, KerasLearner = (
    *lazy_functions("tlkit.models.head", "attach_head", "head_arrays"),
    *lazy_functions("tlkit.training.loop.keras_learner", "KerasLearner"),
)


def random_learner(head, seed=0):
    """A head whose weights are all away from their start."""
    learner, random = HeadLearner(head, NUM_FEATURES, NUM_CLASSES, seed), np.random.default_rng(seed)
    for name, value in learner.weights.items():
        value[:] = random.uniform(0.5, 2, value.shape) if name == "variance" else random.normal(0, 0.5, value.shape)
    return learner


def in_keras(head, learner):
    """The same head in Keras, on features."""
    features = keras.Input((NUM_FEATURES,))
    model = attach_head(keras.Model(features, features), head, NUM_CLASSES)
    for layer in model.layers:
        if names := WEIGHTS.get(layer.name):
            layer.set_weights([learner.weights[name] for name in names])
    return model


def batch(count=16, seed=1):
    random = np.random.default_rng(seed)
    targets = np.eye(NUM_CLASSES, dtype=np.float32)[random.integers(0, NUM_CLASSES, count)] * 0.9 + 0.1 / NUM_CLASSES
    features = random.normal(1, 2, (count, NUM_FEATURES)).astype(np.float32)
    return features, targets, random.uniform(0.5, 1.5, count).astype(np.float32)


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_head_learner_gradients_are_those_of_keras(head):
    import tensorflow as tf

    learner = random_learner(head)
    model, (features, targets, weights) = in_keras(head, learner), batch()
    with tf.GradientTape() as tape:
        probabilities = model(features, training=True)
        loss = keras.losses.CategoricalCrossentropy()(targets, probabilities, sample_weight=weights)
        loss += sum(model.losses)
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    learner.prepare(PLAN, 10, 1.0)
    learner.start_epoch(0, 1, 1.0)
    assert learner.differentiate((features, targets, weights))[0] == pytest.approx(float(loss), rel=1e-5)
    names = [name for layer in model.layers for name in WEIGHTS.get(layer.name, ()) if name not in ("mean", "variance")]
    assert sorted(names) == sorted(learner.gradients)
    for name, gradient in zip(names, gradients, strict=True):
        np.testing.assert_allclose(learner.gradients[name], gradient, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("kind", ["wide and deep", "linear on a batch norm", "linear", "no batch norm"])
def test_gradients_under_dropout_are_the_slopes_of_the_loss(kind):
    learner = random_learner(replace(HEADS[kind], dropout=0.4))
    learner.prepare(PLAN, 10, 1.0)

    def loss():
        learner.start_epoch(0, 1, 1.0)  # the same draws
        return learner.differentiate(batch())[0]

    loss()
    gradients = {name: gradient.copy() for name, gradient in learner.gradients.items()}
    for name, gradient in gradients.items():
        for position in {0, gradient.size // 2, gradient.size - 1}:
            value, ends = learner.weights[name].reshape(-1), []
            for change in (0.002, -0.004):
                value[position] += np.float32(change)
                ends.append(loss())
            value[position] += np.float32(0.002)
            slope = (ends[0] - ends[1]) / 0.004
            assert gradient.reshape(-1)[position] == pytest.approx(slope, abs=2e-3, rel=0.05), (name, position)


def test_a_large_head_is_the_same_in_one_thread_and_in_two(monkeypatch):
    random = np.random.default_rng(0)
    features = random.normal(1, 2, (32, 401)).astype(np.float32)
    targets = np.eye(3, dtype=np.float32)[random.integers(0, 3, 32)]
    learned = []
    for processors in (1, 2):
        monkeypatch.setattr("tlkit.utils.parallel.count_workers", lambda count=processors: count)
        learner = HeadLearner(Head(0.5, True, (256,)), 401, 3, 0)
        learner.prepare(PLAN, 10, 1.0)
        learner.start_epoch(0, 1, 1.0)
        for _ in range(5):
            learner.step((features, targets, np.ones(32, np.float32)))
        learned.append([*learner.get_state(), learner.predict(features)])
    assert all(np.array_equal(*pair) for pair in zip(*learned, strict=True))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adam", "weight_decay": 0.0},
        {"warm_up": 0.3, "clip_norm": 0.5},
        {"schedule": "one-cycle"},
        {"schedule": "constant"},
        {"schedule": "plateau"},
    ],
    ids=str,
)
def test_head_learner_steps_are_those_of_keras(changes):
    head, learning = HEADS["wide and deep"], plan(**changes)
    learner = random_learner(head)
    model, (features, targets, weights) = in_keras(head, learner), batch()
    other = KerasLearner(model)
    assert can_learn(learning)
    means = []
    for each in (learner, other):
        each.prepare(learning, 10, 0.5)
        each.start_epoch(0, 1, 0.3)
        for _ in range(8):
            reached = each.step((features, targets, weights))
        means.append([float(mean) for mean in reached])
    assert means[0] == pytest.approx(means[1], rel=1e-4)
    np.testing.assert_allclose(learner.predict(features), other.predict(features), atol=2e-5)
    for layer in model.layers:
        for name, value in zip(WEIGHTS.get(layer.name, ()), layer.get_weights(), strict=True):
            np.testing.assert_allclose(learner.weights[name], value, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_head_learner_answers_and_arrays_are_those_of_keras(head):
    learner = random_learner(head)
    model, features = in_keras(head, learner), batch()[0]
    np.testing.assert_allclose(learner.predict(features), model.predict_on_batch(features), atol=1e-6)
    expected, arrays = head_arrays(model), learner.arrays()
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-6, atol=1e-7, err_msg=name)


def test_can_learn_leaves_the_rest_to_keras():
    changes = [{"optimizer": "sgd"}, {"schedule": "step"}, {"schedule": "exponential"}, {"loss": "focal"}, {"ema": 0.9}]
    assert [can_learn(plan(**change)) for change in [{}, *changes]] == [True] + [False] * 5


def test_new_head_gives_every_class_the_same_probability_and_depends_on_the_seed():
    head, features = Head(0.5, True, (8,)), batch()[0]
    first, same, other = (HeadLearner(head, NUM_FEATURES, NUM_CLASSES, seed) for seed in (0, 0, 1))
    assert first.predict(features) == pytest.approx(1 / 3)
    assert np.array_equal(first.weights["kernel_1"], same.weights["kernel_1"])
    assert not np.array_equal(first.weights["kernel_1"], other.weights["kernel_1"])
    assert np.abs(first.weights["kernel_1"]).max() <= np.sqrt(6 / (NUM_FEATURES + 8))


def test_dropout_keeps_the_mean_and_depends_on_seed_and_epoch():
    head = Head(0.5, False, (400,))
    learner = random_learner(head)
    learner.weights["bias_1"][:], learner.weights["kernel_1"][:] = 1, 0
    learner.weights["kernel"][:] = 0
    learner.prepare(PLAN, 10, 1.0)

    def gradient(seed, epoch):
        learner.start_epoch(seed, epoch, 1.0)
        learner.differentiate(batch())
        return learner.gradients["kernel"].copy()

    first = gradient(0, 1)
    assert np.array_equal(first, gradient(0, 1))
    assert not np.array_equal(first, gradient(0, 2))
    assert not np.array_equal(first, gradient(1, 1))
    whole = replace(head, dropout=0.0)
    without = random_learner(whole)
    without.set_weights(learner.get_weights())
    without.prepare(PLAN, 10, 1.0)
    without.start_epoch(0, 1, 1.0)
    without.differentiate(batch())
    assert first.mean(axis=0) == pytest.approx(without.gradients["kernel"].mean(axis=0), abs=0.02)


def test_fit_of_a_head_learns_and_keeps_the_best_epoch():
    held_out = points(seed=1, spread=0.1)
    learner = HeadLearner(Head(0.3, True, (8,)), 3, 3, 0)
    state = fit_learner(learner, points(spread=0.1), held_out, plan(epochs=60), Silent())
    assert state.history[-1].val_accuracy == 1
    assert (learner.predict(held_out.features).argmax(axis=1) == held_out.targets.argmax(axis=1)).all()
    assert all(np.array_equal(*pair) for pair in zip(learner.get_weights(), state.best, strict=True))


def test_fit_of_a_head_that_diverges_restarts_at_a_lower_rate():
    learner = HeadLearner(Head(0.0, False, ()), 3, 3, 0)
    state = fit_learner(learner, points(), points(seed=1), plan(epochs=3, learning_rate=30.0), Silent())
    assert state.lr_scale < 1
    assert "diverged" in state.notes[0]


@pytest.mark.parametrize("stopped_after", [1, 3])
def test_head_continued_from_a_checkpoint_is_exactly_the_uninterrupted_one(stopped_after, tmp_path, monkeypatch):
    monkeypatch.setattr("tlkit.training.loop.checkpoint.SECONDS_BETWEEN", 0.0)

    class StopError(Exception):
        """Raised in the middle."""

    class Stops(Silent):
        def on_epoch_end(self, row):
            if row["epoch"] == stopped_after + 1:
                raise StopError

    def train(progress, file):
        learner = HeadLearner(Head(0.5, True, (8,)), 3, 3, 0)
        fit_learner(learner, points(), points(seed=1), PLAN, progress, Checkpoint(file))
        return learner

    whole = train(Silent(), tmp_path / "whole.npz")
    with pytest.raises(StopError):
        train(Stops(), tmp_path / "stopped.npz")
    continued = train(Silent(), tmp_path / "stopped.npz")
    assert all(np.array_equal(*pair) for pair in zip(whole.get_state(), continued.get_state(), strict=True))
