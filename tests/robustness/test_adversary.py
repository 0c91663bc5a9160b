"""Attacks on training batches: what they change, how far, and that they follow the network that is trained."""

import numpy as np
import pytest

from tests.networks import keras, run_network
from tlkit.data.augment import NO_AUGMENTATION, AugmentedBatches

SIZE, COUNT, EPSILON = 12, 8, 4


def network():
    """A small classifier of three classes with a point to cut it at."""
    keras.utils.set_random_seed(3)
    pixels = keras.Input((SIZE, SIZE, 3))
    values = keras.layers.Rescaling(1 / 127.5, offset=-1, name="preprocessing")(pixels)
    cut = keras.layers.Conv2D(4, 3, strides=2, activation="relu", name="cut")(values)
    values = keras.layers.Conv2D(6, 3, activation="relu")(cut)
    values = keras.layers.GlobalAveragePooling2D()(values)
    logits = keras.layers.Dense(3)(values)
    return keras.Model(pixels, keras.layers.Softmax()(logits)), cut


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (20, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def labels(images):
    return run_network(network()[0], images.astype(np.float32)).argmax(axis=1)


def loss(model, pixels, labels):
    return -np.log(run_network(model, pixels.astype(np.float32))[np.arange(len(labels)), labels])


def adversary(labels, frozen=None, seed=0):
    from tlkit.robustness.adversary import Adversary

    return Adversary(labels, EPSILON, seed, frozen)


def test_half_of_a_batch_of_pixels_is_attacked_within_epsilon(images, labels):
    model, _ = network()
    attacks, positions = adversary(labels), np.arange(5, 5 + COUNT)
    attacks.aim_at(model)
    changed = attacks.attack(images[positions], positions, 1)
    difference = np.abs(changed.astype(int) - images[positions])
    assert (changed.dtype, changed.shape) == (np.uint8, (COUNT, SIZE, SIZE, 3))
    assert difference[: COUNT // 2].max() == EPSILON
    assert difference[COUNT // 2 :].max() == 0
    attacked = positions[: COUNT // 2]
    assert (
        loss(model, changed[: COUNT // 2], labels[attacked]) > loss(model, images[attacked], labels[attacked])
    ).all()
    assert attacks.seconds > 0


def test_seed_and_images_decide_the_attack(images, labels):
    model, _ = network()
    results = []
    for seed in (0, 0, 1):
        attacks = adversary(labels, seed=seed)
        attacks.aim_at(model)
        results.append(attacks.attack(images[:COUNT], np.arange(COUNT), 1))
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_attacks_follow_the_weights_of_the_network(images, labels):
    model, _ = network()
    attacks = adversary(labels)
    attacks.aim_at(model)
    before = attacks.attack(images[:COUNT], np.arange(COUNT), 1)
    model.set_weights([-weight for weight in model.get_weights()])
    assert not np.array_equal(before, attacks.attack(images[:COUNT], np.arange(COUNT), 1))


def test_attacks_go_through_the_frozen_part(images, labels):
    """The top gets what the frozen part makes of attacked pixels; both together equal the whole network."""
    from tlkit.engines.keras import KerasEngine
    from tlkit.models.cut import split_at
    from tlkit.robustness.adversary import FrozenPart

    model, cut = network()
    lower, top = split_at(model, cut)
    batches = AugmentedBatches(images, [f"{number:064x}" for number in range(20)], NO_AUGMENTATION, SIZE, 0)
    through_cut, direct = adversary(labels, FrozenPart(lower, KerasEngine(lower), batches)), adversary(labels)
    through_cut.aim_at(top)
    direct.aim_at(model)
    positions = np.arange(COUNT)[::-1]
    features = run_network(lower, images[positions].astype(np.float32))
    changed = through_cut.attack(features, positions, 1)
    pixels = direct.attack(images[positions], positions, 1)
    np.testing.assert_allclose(changed, run_network(lower, pixels.astype(np.float32)), atol=1e-4)
    assert not np.allclose(changed[: COUNT // 2], features[: COUNT // 2], atol=1e-2)
