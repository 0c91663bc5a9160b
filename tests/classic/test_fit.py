"""Scaling, projection, temperature, and a fit from values to a classifier."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from tlkit.classic.classifiers import CLASSIFIER_FAMILIES, CLASSIFIERS
from tlkit.classic.fit import (
    ColumnGroup,
    FitOptions,
    are_constant,
    fit_classifier,
    fit_scaler,
    group_columns,
    select_columns,
)
from tlkit.classic.model_selection import GroupedLabels
from tlkit.errors import OptionError


def random_rows(count=60, seed=0):
    return np.random.default_rng(seed).normal([3, -2, 0, 50], [1, 10, 0.1, 5], (count, 4)).astype(np.float32)


def one_group(length=4, standardize_columns=True):
    return [ColumnGroup("all", slice(0, length), standardize_columns)]


def distinct(labels):
    return GroupedLabels(labels, [str(row) for row in range(len(labels))])


def test_fit_scaler_centers_each_group_and_gives_it_mean_squared_length_1():
    for standardize in (False, True):
        groups = group_columns([("first", 2, standardize), ("second", 2, standardize)])
        scaled = fit_scaler(random_rows(), groups, 0, 0).transform(random_rows())
        np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-5)
        for columns in (scaled[:, :2], scaled[:, 2:]):
            np.testing.assert_allclose(np.mean(np.sum(columns**2, axis=1)), 1, atol=1e-4)
        if standardize:
            np.testing.assert_allclose(scaled.std(axis=0), 0.5**0.5, atol=1e-4)


def test_fit_scaler_constant_column_has_no_effect_later():
    for standardize in (False, True):
        values = random_rows()
        values[:, 2] = 7
        scaler = fit_scaler(values, one_group(4, standardize), 0, 0)
        later = values[:1].copy()
        later[0, 2] = 9
        np.testing.assert_array_equal(scaler.transform(later), scaler.transform(values[:1]))
        all_constant = fit_scaler(np.full((5, 2), 3, np.float32), one_group(2, standardize), 0, 0)
        assert np.isfinite(all_constant.transform(random_rows()[:, :2])).all()


def test_fit_scaler_constant_column_of_many_images_has_factor_0():
    """Sums of float32 drift: 0.7 many times over has a deviation, by which later values would be divided."""
    for count in (300, 5000):
        values = random_rows(count)
        values[:, 2] = 0.7
        assert fit_scaler(values, one_group(), 0, 0).factor[2] == 0


def test_fit_scaler_components_project_and_are_limited_by_rows_and_columns():
    scaler = fit_scaler(random_rows(), one_group(), 2, 0)
    assert scaler.transform(random_rows()).shape == (60, 2)
    with pytest.raises(OptionError, match="--pca is 5; expected at most 4 for 60 training images with 4 features"):
        fit_scaler(random_rows(), one_group(), 5, 0)


def test_select_columns_gives_groups_in_the_order_of_the_names():
    values = random_rows()
    groups = group_columns([("one", 1, False), ("two", 2, True), ("three", 1, False)])
    columns, selected = select_columns(values, groups, ["three", "two"])
    np.testing.assert_array_equal(columns, values[:, [3, 1, 2]])
    assert selected == [ColumnGroup("three", slice(0, 1), False), ColumnGroup("two", slice(1, 3), True)]


def test_fit_classifier_is_as_confident_as_it_is_accurate():
    random = np.random.default_rng(0)

    def draw(count):
        labels = np.arange(count) % 3
        return (np.eye(3)[labels] + random.normal(0, 0.7, (count, 3))).astype(np.float32), labels

    values, labels = draw(1500)
    classifier, result = fit_classifier(values, one_group(3, False), distinct(labels), FitOptions("svm"))
    test_values, test_labels = draw(3000)
    probabilities = classifier.predict_proba(test_values)
    accuracy = np.mean(probabilities.argmax(axis=1) == test_labels)
    assert abs(probabilities.max(axis=1).mean() - accuracy) < 0.05
    assert abs(result.accuracy - accuracy) < 0.05


@pytest.mark.parametrize("classifier", [*CLASSIFIERS, *CLASSIFIER_FAMILIES])
def test_fit_classifier_with_few_images_of_a_class_gives_probabilities(classifier):
    for counts in ((1, 1), (9, 1), (12, 2), (3, 1, 1)):
        labels = np.repeat(np.arange(len(counts)), counts)
        values = random_rows(len(labels))
        fitted, _ = fit_classifier(values, one_group(), distinct(labels), FitOptions(classifier))
        probabilities = fitted.predict_proba(values)
        assert probabilities.shape == (len(labels), len(counts))
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_are_constant_means_the_same_values_in_every_image_but_for_rounding():
    row = random_rows()[:1]
    assert are_constant(np.repeat(row, 5, axis=0))
    assert are_constant(np.repeat(row, 5, axis=0) * (1 + 1e-9 * np.arange(5)[:, None]))
    assert are_constant(np.zeros((3, 2), np.float32))
    assert not are_constant(np.array([[0, 1], [0, 1], [0, 1.01]]))
