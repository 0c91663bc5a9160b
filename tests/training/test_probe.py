import hashlib

import numpy as np

from tlkit.training import auto_freeze as module
from tlkit.training.auto_freeze import probe_depths

DEPTHS = {"last map": slice(0, 20), "finer map": slice(20, 40)}


def digests(count):
    return [hashlib.sha256(str(number).encode()).hexdigest()[:32] for number in range(count)]


def clouds(count, spread, seed=0, length=20, num_classes=4):
    random = np.random.default_rng(seed)
    labels = np.arange(count) % num_classes
    return (np.eye(length)[labels] + random.normal(0, spread, (count, length))).astype(np.float32), labels


def test_the_depth_that_tells_the_classes_apart_gets_the_better_figure():
    clear, labels = clouds(400, 0.2)
    vague, _ = clouds(400, 1.5, seed=1)
    found = probe_depths(np.hstack([clear, vague]), labels, digests(400), DEPTHS)
    assert found["last map"] > 0.98
    assert found["finer map"] < 0.7
    assert found["all"] > 0.9
    assert list(found) == ["last map", "finer map", "all"]


def test_features_without_any_information_are_at_chance():
    values = np.random.default_rng(0).normal(size=(2000, 40)).astype(np.float32)
    found = probe_depths(values, np.arange(2000) % 4, digests(2000), DEPTHS)
    assert all(abs(accuracy - 0.25) < 0.05 for accuracy in found.values())


def test_copies_of_an_image_never_lie_on_both_sides():
    """Random features and labels, every image five times: only a leak could tell them."""
    random = np.random.default_rng(0)
    values = np.repeat(random.normal(size=(100, 40)), 5, axis=0).astype(np.float32)
    labels, groups = np.repeat(random.integers(0, 4, 100), 5), np.repeat(digests(100), 5).tolist()
    assert probe_depths(values, labels, groups, {})["all"] < 0.45
    assert probe_depths(values, labels, digests(500), {})["all"] > 0.6


def test_neither_order_nor_a_constant_feature_changes_anything():
    values, labels = clouds(200, 0.8, length=40)
    values[:, 7] = 3.0
    groups = digests(200)
    first = probe_depths(values, labels, groups, DEPTHS)
    order = np.random.default_rng(1).permutation(200)
    assert probe_depths(values[order], labels[order], [groups[row] for row in order], DEPTHS) == first


def test_of_many_images_some_are_enough(monkeypatch):
    values, labels = clouds(600, 0.2)
    everything = probe_depths(values, labels, digests(600), {})["all"]
    monkeypatch.setattr(module, "MAX_PROBE_IMAGES", 100)
    some = probe_depths(values, labels, digests(600), {})["all"]
    assert some != everything
    assert abs(some - everything) < 0.1


def test_a_handful_of_images_is_no_trouble():
    values, labels = clouds(4, 0.1)
    assert 0 <= probe_depths(values, labels, digests(4), {})["all"] <= 1
