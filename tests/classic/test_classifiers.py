"""Classifiers kept as arrays answer as the ones that scikit-learn fitted."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from tlkit.classic.base import Fold, score_each, softmax
from tlkit.classic.classifiers import _CLASSIFIERS, CLASSIFIERS
from tlkit.classic.distances import squared_distances
from tlkit.classic.model_selection import GroupedLabels, grid_search, sample_rows
from tlkit.utils.progress import Silent

every_classifier = pytest.mark.parametrize("row", _CLASSIFIERS, ids=lambda row: row.name)


def blobs(num_classes, rows=60, length=7, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(rows) % num_classes
    centres = random.normal(0, 1.2, (num_classes, length))
    return (centres[labels] + random.normal(0, 1, (rows, length))).astype(np.float32), labels


def fitted(row, values, labels):
    options = {name: tried[len(tried) // 2] for name, tried in row.grid.items()}
    return row.make(options, 0).fit(values, labels)


def theirs(row, values, labels, learnt):
    """What scikit-learn itself fits."""
    if row.name != "rbf-svm":
        return learnt
    from sklearn.svm import SVC

    strength, scale = (tried[len(tried) // 2] for tried in (row.grid["C"], row.grid["gamma_scale"]))
    gamma = scale / (values.shape[1] * values.var())
    return SVC(C=strength, gamma=gamma, break_ties=True, decision_function_shape="ovr").fit(values, labels)


@every_classifier
@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_what_is_kept_answers_as_what_was_fitted(row, num_classes):
    values, labels = blobs(num_classes)
    unseen, _ = blobs(num_classes, rows=200, seed=1)
    learnt = fitted(row, values, labels)
    kept = row.export(learnt)
    assert all(array.dtype != object for array in map(np.asarray, kept.values()))
    scores = row.scores(kept, unseen)
    assert scores.shape == (200, num_classes)
    expected = theirs(row, values, labels, learnt)
    np.testing.assert_array_equal(scores.argmax(axis=1), expected.predict(unseen))
    if row.sure:
        np.testing.assert_allclose(scores, expected.predict_proba(unseen), atol=1e-5)
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("row", [row for row in _CLASSIFIERS if not row.sure], ids=lambda row: row.name)
def test_scores_that_are_no_probabilities_are_the_decisions(row):
    values, labels = blobs(3)
    learnt = fitted(row, values, labels)
    expected = theirs(row, values, labels, learnt).decision_function(values)
    np.testing.assert_allclose(row.scores(row.export(learnt), values), expected, atol=2e-3)


def test_many_rows_are_learnt_piece_by_piece_to_the_same_end(monkeypatch):
    from tlkit.classic import distances

    values, labels = blobs(3)
    at_once = fitted(CLASSIFIERS["rbf-svm"], values, labels)
    monkeypatch.setattr(distances, "MAX_KERNEL_ROWS", 10)
    pieces = fitted(CLASSIFIERS["rbf-svm"], values, labels)
    scores = [CLASSIFIERS["rbf-svm"].scores(CLASSIFIERS["rbf-svm"].export(each), values) for each in (at_once, pieces)]
    np.testing.assert_allclose(*scores, atol=2e-3)


@pytest.mark.parametrize("name", ["rbf-svm", "knn"])
def test_many_rows_are_answered_part_by_part_to_the_same_end(name, monkeypatch):
    from tlkit.classic import distances

    values, labels = blobs(3)
    kept = CLASSIFIERS[name].export(fitted(CLASSIFIERS[name], values, labels))
    at_once = CLASSIFIERS[name].scores(kept, values)
    monkeypatch.setattr(distances, "CHUNK", 7)
    np.testing.assert_allclose(CLASSIFIERS[name].scores(kept, values), at_once, atol=1e-5)
    np.testing.assert_array_equal(distances.nearest_neighbors(values, values), np.arange(len(values)))


@every_classifier
def test_one_row_is_answered_as_among_others(row):
    values, labels = blobs(4)
    kept = row.export(fitted(row, values, labels))
    together = row.scores(kept, values)
    alone = np.concatenate([row.scores(kept, values[place : place + 1]) for place in range(len(values))])
    np.testing.assert_allclose(alone, together, atol=1e-5)


@every_classifier
def test_each_hyperparameter_changes_what_is_fitted(row):
    values, labels = blobs(3, rows=90)
    unseen, _ = blobs(3, rows=200, seed=1)
    for name, tried in row.grid.items():
        middle = {other: options[len(options) // 2] for other, options in row.grid.items()}
        least, most = (row.make(middle | {name: value}, 0).fit(values, labels) for value in (tried[0], tried[-1]))
        assert not np.array_equal(row.scores(row.export(least), unseen), row.scores(row.export(most), unseen)), name


@pytest.mark.parametrize("num_classes", [2, 4])
def test_what_is_tried_at_once_scores_as_one_by_one(num_classes):
    (values, labels), (unseen, _) = blobs(num_classes), blobs(num_classes, rows=50, seed=1)
    row, fold = CLASSIFIERS["rbf-svm"], Fold(values, labels, unseen)
    tried = [{"C": strength, "gamma_scale": scale} for strength in (1.0, 10.0) for scale in (0.3, 2.0)]
    together, alone = list(row.trials(fold, tried, 0)), list(score_each(row, fold, tried, 0))
    assert len(together) == len(alone) == 4
    for (ours, classes), (theirs, same) in zip(together, alone, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
        np.testing.assert_array_equal(classes, same)


@pytest.mark.parametrize("neighbours", [1, 3])
def test_neighbours_equally_near_share_whatever_is_asked_beside(neighbours):
    """Each place twice, once in each class: which of both is the nearest no rounding may decide."""
    places = np.random.default_rng(0).normal(0, 1, (40, 300)).astype(np.float32)
    kept = CLASSIFIERS["knn"].export(
        CLASSIFIERS["knn"].make({"n_neighbors": neighbours}, 0).fit(places.repeat(2, axis=0), np.arange(80) % 2)
    )
    together = CLASSIFIERS["knn"].scores(kept, places)
    alone = np.concatenate([CLASSIFIERS["knn"].scores(kept, places[place : place + 1]) for place in range(40)])
    np.testing.assert_array_equal(alone, together)
    np.testing.assert_allclose(together, 0.5)


def test_a_tree_that_does_not_end_is_found_out():
    values, labels = blobs(3)
    kept = CLASSIFIERS["random-forest"].export(fitted(CLASSIFIERS["random-forest"], values, labels))
    CLASSIFIERS["random-forest"].check(kept)
    for child in ("left", "right"):
        with pytest.raises(ValueError, match="a tree that does not end"):
            CLASSIFIERS["random-forest"].check(kept | {child: np.zeros_like(kept[child])})


def test_of_many_rows_a_sample_of_every_class_is_tried():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [9000, 1000, 3]))
    rows = sample_rows(labels, 0)
    assert (np.diff(rows) > 0).all()
    assert np.bincount(labels[rows]).tolist() == [3599, 400, 2]
    np.testing.assert_array_equal(sample_rows(labels[:4000], 0), np.arange(4000))


def test_names_are_those_of_the_field():
    assert set(CLASSIFIERS) == {
        *("perceptron", "logistic", "linear-svm", "rbf-svm", "knn", "random-forest", "naive-bayes"),
    }


def test_a_family_gives_its_better_one():
    random = np.random.default_rng(0)
    values = random.normal(0, 1, (200, 2)).astype(np.float32)
    labels = (np.linalg.norm(values, axis=1) > 1.2).astype(int)  # a ring no line separates
    groups = [str(place) for place in range(200)]
    choice = grid_search(values, GroupedLabels(labels, groups), "svm", 0, Silent())
    assert choice.row.name == "rbf-svm"
    assert choice.accuracy > 0.9


def test_distances_and_probabilities():
    random = np.random.default_rng(0)
    one, other = random.random((700, 3), np.float32), random.random((5, 3), np.float32)
    expected = ((one[:, None] - other) ** 2).sum(axis=-1)
    np.testing.assert_allclose(squared_distances(one, other), expected, atol=1e-5)
    np.testing.assert_allclose(softmax(np.array([[1000.0, 1000.0, -1000.0]])), [[0.5, 0.5, 0]])
