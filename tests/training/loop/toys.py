"""Small networks and clouds of points that the loop trains on in milliseconds."""

from dataclasses import replace
from functools import cache

import numpy as np

from tests.networks import keras, lazy_functions, run_network
from tlkit.training.loop.batches import Samples
from tlkit.training.loop.plan import FitPlan, OptimizerConfig
from tlkit.utils.progress import Silent

(fit_learner,) = lazy_functions("tlkit.training.loop.fit", "fit")
(KerasLearner,) = lazy_functions("tlkit.training.loop.keras_learner", "KerasLearner")

PLAN = FitPlan(
    phase="head",
    epochs=5,
    batch_size=8,
    optimizer=OptimizerConfig(0.05, weight_decay=0.01),
    label_smoothing=0.1,
    patience=50,
    seed=0,
)


def fit(model, *parts):
    """Train a Keras model by the loop."""
    return fit_learner(KerasLearner(model), *parts)


def plan(**changes):
    """The plan with changes; those of the optimizer, too, go by their names, and `optimizer` is its name."""
    names = OptimizerConfig.__dataclass_fields__.keys() - {"name"}
    of_optimizer = {name: changes.pop(name) for name in names & changes.keys()}
    if "optimizer" in changes:
        of_optimizer["name"] = changes.pop("optimizer")
    return replace(PLAN, optimizer=replace(PLAN.optimizer, **of_optimizer), **changes)


def points(count=40, num_classes=3, seed=0, spread=0.5):
    """Clouds around one corner per class."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % num_classes
    features = np.eye(num_classes)[labels] + random.normal(0, spread, (count, num_classes))
    return Samples(features.astype(np.float32), np.eye(num_classes, dtype=np.float32)[labels])


def head(num_classes=3, dropout=0.3, batch_norm=True):
    """A small head with random weights that are the same every time."""
    keras.utils.set_random_seed(0)
    layers = [keras.Input((num_classes,))]
    layers += [keras.layers.BatchNormalization(momentum=0.9)] if batch_norm else []
    layers += [keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(dropout)]
    return keras.Sequential([*layers, keras.layers.Dense(num_classes, activation="softmax")])


def fitted(plan=PLAN, train=None, validation=None, **options):
    """A new head after a training, and its history."""
    model = head(**options)
    history = fit(model, train or points(), validation or points(seed=1), plan, Silent()).history
    return model, history


def loss_of(model, held_out, smoothing):
    """Cross-entropy against smoothed labels, by Keras."""
    measure = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
    return float(measure(held_out.targets, run_network(model, held_out.features)))


def starving(max_images):
    """A network that asks for 2 PB, which no machine grants, for a training batch of more than `max_images`."""
    return _with_layer(_hungry_layer()(max_images))


def unstable(bound):
    """A network that grows beyond all numbers once its scale has moved by `bound`, as too large a rate moves it."""
    return _with_layer(_unstable_layer()(bound))


def _with_layer(layer):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((3,)), layer, keras.layers.Dense(3, activation="softmax")])


@cache
def _hungry_layer():
    import tensorflow as tf

    class Hungry(keras.layers.Layer):
        def __init__(self, max_images):
            super().__init__()
            self.max_images = max_images

        def call(self, values, training=False):
            if not training:
                return values
            return values + tf.ensure_shape(tf.numpy_function(self._take, [tf.shape(values)[0]], tf.float32), ())

        def _take(self, count):
            try:
                return np.zeros(2**49 if count > self.max_images else 1, np.float32)[0]
            except MemoryError:
                if tf.executing_eagerly():  # there TensorFlow's kernels say it in their words
                    raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor") from None
                raise

    return Hungry


@cache
def _unstable_layer():
    import tensorflow as tf

    class Unstable(keras.layers.Layer):
        def __init__(self, bound):
            super().__init__()
            self.bound = bound

        def build(self, shape):
            self.scale = self.add_weight(shape=(), initializer="ones", name="kernel")

        def call(self, values):
            return values * self.scale * tf.where(tf.abs(self.scale - 1) > self.bound, np.inf, 1.0)

    return Unstable
