"""What is fitted on training rows before they are told apart."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from tlkit.classic.classifiers import CLASSIFIERS, FAMILIES
from tlkit.classic.fit import ColumnGroup, FitOptions, fit_classifier, fit_scaler, group_columns, select_columns
from tlkit.classic.model_selection import GroupedLabels
from tlkit.errors import OptionError


def rows(count=60, seed=0):
    return np.random.default_rng(seed).normal([3, -2, 0, 50], [1, 10, 0.1, 5], (count, 4)).astype(np.float32)


@pytest.mark.parametrize("mixed", [False, True])
def test_parts_are_centred_and_of_length_1_on_average(mixed):
    scaled = fit_scaler(
        rows(), [ColumnGroup("one", slice(0, 2), mixed), ColumnGroup("other", slice(2, 4), mixed)], 0, 0
    ).apply(rows())
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-5)
    for part in (scaled[:, :2], scaled[:, 2:]):
        np.testing.assert_allclose(np.mean(np.sum(part**2, axis=1)), 1, atol=1e-4)
    if mixed:
        np.testing.assert_allclose(scaled.std(axis=0), 0.5**0.5, atol=1e-4)


@pytest.mark.parametrize("mixed", [False, True])
def test_what_is_constant_in_training_counts_nothing_later(mixed):
    values = rows()
    values[:, 2] = 7
    scaling = fit_scaler(values, [ColumnGroup("all", slice(0, 4), mixed)], 0, 0)
    later = values[:1].copy()
    later[0, 2] = 9
    np.testing.assert_array_equal(scaling.apply(later), scaling.apply(values[:1]))
    alone = fit_scaler(np.full((5, 2), 3, np.float32), [ColumnGroup("all", slice(0, 2), mixed)], 0, 0)
    assert np.isfinite(alone.apply(rows()[:, :2])).all()


@pytest.mark.parametrize("count", [300, 5000])
def test_a_constant_is_known_among_many_images_too(count):
    """Sums of float32 drift: 0.7 many times over has a deviation, which would be what later values are divided by."""
    values = rows(count)
    values[:, 2] = 0.7
    assert fit_scaler(values, [ColumnGroup("all", slice(0, 4), True)], 0, 0).factor[2] == 0


def test_parts_are_picked_by_name_in_the_order_of_names():
    values = rows()
    parts = group_columns([("one", 1, False), ("two", 2, True), ("three", 1, False)])
    picked, places = select_columns(values, parts, ["three", "two"])
    np.testing.assert_array_equal(picked, values[:, [3, 1, 2]])
    assert places == [ColumnGroup("three", slice(0, 1), False), ColumnGroup("two", slice(1, 3), True)]


def test_components_are_of_what_was_scaled():
    scaling = fit_scaler(rows(), [ColumnGroup("all", slice(0, 4), True)], 2, 0)
    assert scaling.apply(rows()).shape == (60, 2)
    with pytest.raises(OptionError, match="--pca is 5; 60 training images with 4 values each have at most 4"):
        fit_scaler(rows(), [ColumnGroup("all", slice(0, 4), True)], 5, 0)


def test_certainty_is_what_held_out_images_support():
    random = np.random.default_rng(0)
    labels = np.arange(1500) % 3
    values = (np.eye(3)[labels] + random.normal(0, 0.7, (1500, 3))).astype(np.float32)
    groups = [str(place) for place in range(1500)]
    decider, choice = fit_classifier(
        values, [ColumnGroup("all", slice(0, 3), False)], GroupedLabels(labels, groups), FitOptions("svm")
    )
    unseen = np.arange(3000) % 3
    shares = decider.probabilities((np.eye(3)[unseen] + random.normal(0, 0.7, (3000, 3))).astype(np.float32))
    right = np.mean(shares.argmax(axis=1) == unseen)
    assert abs(shares.max(axis=1).mean() - right) < 0.05
    assert abs(choice.accuracy - right) < 0.05


@pytest.mark.parametrize("counts", [(1, 1), (9, 1), (12, 2), (3, 1, 1)], ids=str)
@pytest.mark.parametrize("classifier", [*CLASSIFIERS, *FAMILIES])
def test_few_images_of_a_class_end_no_training(classifier, counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    values = rows(len(labels))
    sides = GroupedLabels(labels, [str(place) for place in range(len(labels))])
    decider, _ = fit_classifier(values, [ColumnGroup("all", slice(0, 4), True)], sides, FitOptions(classifier))
    shares = decider.probabilities(values)
    assert shares.shape == (len(labels), len(counts))
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)


def test_equal_images_are_never_on_two_sides_of_a_fold():
    """Every row twice, with labels that cannot be learnt: who sees a copy of what is held out is always right."""
    labels = np.random.default_rng(1).integers(0, 2, 40).repeat(2)
    sides = GroupedLabels(labels, [str(place // 2) for place in range(80)])
    _, choice = fit_classifier(
        rows(40).repeat(2, axis=0), [ColumnGroup("all", slice(0, 4), True)], sides, FitOptions("knn")
    )
    assert choice.accuracy < 0.75
