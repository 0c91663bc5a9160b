"""A Keras model as the loop trains it: random draws that depend on seed, epoch and layer alone."""

import numpy as np

from tests.networks import keras


def test_seed_draws_depend_on_seed_epoch_and_layer():
    from tlkit.training.loop.keras_learner import seed_draws

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dropout(0.5)])

    def states(seed, epoch):
        seed_draws(model, seed, epoch)
        return [tuple(np.asarray(layer.seed_generator.state).tolist()) for layer in model.layers]

    assert states(0, 1) == states(0, 1)
    assert len({*states(0, 1), *states(0, 2), *states(1, 1)}) == 6
