import numpy as np
import pytest

pytest.importorskip("sklearn")

from tests.classic.making import blobs, fit_and_export
from tlkit.classic import distances
from tlkit.classic.base import Fold, score_candidates
from tlkit.classic.classifiers import CLASSIFIERS
from tlkit.classic.distances import nearest_neighbors, squared_distances

RBF_SVM, KNN = CLASSIFIERS["rbf-svm"], CLASSIFIERS["knn"]


def test_squared_distances_are_those_of_the_definition():
    random = np.random.default_rng(0)
    first, second = random.random((700, 3), np.float32), random.random((5, 3), np.float32)
    expected = ((first[:, None] - second) ** 2).sum(axis=-1)
    np.testing.assert_allclose(squared_distances(first, second), expected, atol=1e-5)


def test_gaussian_svm_of_many_rows_is_fitted_piece_by_piece_to_the_same_result(monkeypatch):
    values, labels = blobs(3)
    at_once = fit_and_export(RBF_SVM, values, labels)
    monkeypatch.setattr(distances, "MAX_KERNEL_ROWS", 10)
    piece_by_piece = fit_and_export(RBF_SVM, values, labels)
    np.testing.assert_allclose(
        RBF_SVM.decision_function(at_once, values), RBF_SVM.decision_function(piece_by_piece, values), atol=2e-3
    )


def test_scores_of_many_rows_are_computed_in_chunks_to_the_same_result(monkeypatch):
    values, labels = blobs(3)
    all_arrays = [(classifier, fit_and_export(classifier, values, labels)) for classifier in (RBF_SVM, KNN)]
    at_once = [classifier.decision_function(arrays, values) for classifier, arrays in all_arrays]
    monkeypatch.setattr(distances, "CHUNK", 7)
    for (classifier, arrays), expected in zip(all_arrays, at_once, strict=True):
        scores = classifier.decision_function(arrays, values)
        np.testing.assert_allclose(scores, expected, atol=1e-5, err_msg=classifier.name)


def test_nearest_neighbors_in_chunks_find_each_row_itself(monkeypatch):
    values, _ = blobs(3)
    monkeypatch.setattr(distances, "CHUNK", 7)
    np.testing.assert_array_equal(nearest_neighbors(values, values[::-1]), np.arange(len(values))[::-1])


def test_rbf_svm_grid_scores_as_one_candidate_after_the_other():
    candidates = [{"C": strength, "gamma_scale": scale} for strength in (1.0, 10.0) for scale in (0.3, 2.0)]
    for num_classes in (2, 4):
        (values, labels), (test_values, _) = blobs(num_classes), blobs(num_classes, count=50, seed=1)
        fold = Fold(values, labels, test_values)
        together = list(RBF_SVM.score_grid(fold, candidates, 0))
        alone = list(score_candidates(RBF_SVM, fold, candidates, 0))
        assert len(together) == len(alone) == 4
        for (scores, classes), (expected, expected_classes) in zip(together, alone, strict=True):
            np.testing.assert_allclose(scores, expected, atol=1e-5)
            np.testing.assert_array_equal(classes, expected_classes)


def test_knn_neighbors_at_equal_distance_share_in_any_batch():
    """Each point twice, once in each class: rounding must not decide which of both is the nearest."""
    points = np.random.default_rng(0).normal(0, 1, (40, 300)).astype(np.float32)
    for num_neighbors in (1, 3):
        arrays = KNN.export(
            KNN.create({"n_neighbors": num_neighbors}, 0).fit(points.repeat(2, axis=0), np.arange(80) % 2)
        )
        together = KNN.decision_function(arrays, points)
        alone = [KNN.decision_function(arrays, points[index : index + 1]) for index in range(40)]
        np.testing.assert_array_equal(np.concatenate(alone), together)
        np.testing.assert_allclose(together, 0.5)
