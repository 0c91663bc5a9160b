import numpy as np
import pytest

pytest.importorskip("sklearn")

from tlkit.classic.model_selection import GroupedLabels, grid_search, sample_rows
from tlkit.utils.progress import Silent


def test_sample_rows_of_many_images_are_stratified_and_ascending():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [9000, 1000, 3]))
    rows = sample_rows(labels, 0)
    assert (np.diff(rows) > 0).all()
    assert np.bincount(labels[rows]).tolist() == [3599, 400, 2]
    np.testing.assert_array_equal(sample_rows(labels[:4000], 0), np.arange(4000))


def test_grid_search_of_a_family_finds_the_better_classifier():
    random = np.random.default_rng(0)
    values = random.normal(0, 1, (200, 2)).astype(np.float32)
    labels = (np.linalg.norm(values, axis=1) > 1.2).astype(int)  # a ring no line separates
    result = grid_search(values, GroupedLabels(labels, [str(row) for row in range(200)]), "svm", 0, Silent())
    assert result.classifier.name == "rbf-svm"
    assert result.accuracy > 0.9


def test_grid_search_keeps_equal_images_in_one_fold():
    """Every row twice, with random labels: a classifier fitted on a copy of a held-out row is always correct."""
    labels = np.random.default_rng(1).integers(0, 2, 40).repeat(2)
    values = np.random.default_rng(0).normal(0, 1, (40, 4)).astype(np.float32).repeat(2, axis=0)
    result = grid_search(values, GroupedLabels(labels, [str(row // 2) for row in range(80)]), "knn", 0, Silent())
    assert result.accuracy < 0.75


def test_grid_search_of_too_few_images_for_folds_takes_the_middle_candidate():
    values, labels = np.zeros((3, 2), np.float32), np.array([0, 1, 1])
    result = grid_search(values, GroupedLabels(labels, ["a", "b", "c"]), "svm", 0, Silent())
    assert (result.classifier.name, result.options) == ("linear-svm", {"C": 1.0})
    assert np.isnan(result.accuracy) and result.scores is None
