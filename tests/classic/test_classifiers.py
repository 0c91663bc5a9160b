"""Classifiers exported as arrays predict as the estimators that scikit-learn fitted."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from tests.classic.making import blobs, fit, fit_and_export, middle_options
from tlkit.classic.classifiers import CLASSIFIER_FAMILIES, CLASSIFIERS, find_classifiers
from tlkit.utils.arrays import ArrayHeader, check_shapes

every_classifier = pytest.mark.parametrize("classifier", CLASSIFIERS.values(), ids=CLASSIFIERS)


def reference(classifier, values, labels, fitted):
    """What scikit-learn itself fits."""
    if classifier.name != "rbf-svm":
        return fitted
    from sklearn.svm import SVC

    options = middle_options(classifier)
    gamma = options["gamma_scale"] / (values.shape[1] * values.var())
    return SVC(C=options["C"], gamma=gamma, break_ties=True, decision_function_shape="ovr").fit(values, labels)


@every_classifier
def test_decision_function_of_exported_arrays_predicts_as_scikit_learn(classifier):
    for num_classes in (2, 3, 5):
        values, labels = blobs(num_classes)
        test_values, _ = blobs(num_classes, count=200, seed=1)
        fitted = fit(classifier, values, labels)
        arrays = classifier.export(fitted)
        assert all(array.dtype != object for array in map(np.asarray, arrays.values()))
        scores = classifier.decision_function(arrays, test_values)
        assert scores.shape == (200, num_classes)
        expected = reference(classifier, values, labels, fitted)
        np.testing.assert_array_equal(scores.argmax(axis=1), expected.predict(test_values))
        if classifier.is_probabilistic:
            np.testing.assert_allclose(scores, expected.predict_proba(test_values), atol=1e-5)
            np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)


def test_decision_function_without_probabilities_gives_the_decisions_of_scikit_learn():
    values, labels = blobs(3)
    not_probabilistic = [classifier for classifier in CLASSIFIERS.values() if not classifier.is_probabilistic]
    assert len(not_probabilistic) == 3
    for classifier in not_probabilistic:
        fitted = fit(classifier, values, labels)
        expected = reference(classifier, values, labels, fitted).decision_function(values)
        scores = classifier.decision_function(classifier.export(fitted), values)
        np.testing.assert_allclose(scores, expected, atol=2e-3, err_msg=classifier.name)


def test_decision_function_of_one_row_is_the_same_as_among_others():
    values, labels = blobs(4)
    for classifier in CLASSIFIERS.values():
        arrays = fit_and_export(classifier, values, labels)
        together = classifier.decision_function(arrays, values)
        alone = [classifier.decision_function(arrays, values[index : index + 1]) for index in range(len(values))]
        np.testing.assert_allclose(np.concatenate(alone), together, atol=1e-5, err_msg=classifier.name)


def test_create_uses_every_hyperparameter_of_the_grid():
    values, labels = blobs(3, count=90)
    test_values, _ = blobs(3, count=200, seed=1)
    without_effect = []
    for classifier in CLASSIFIERS.values():
        for name, grid in classifier.grid.items():
            scores = []
            for value in (grid[0], grid[-1]):
                fitted = classifier.create(middle_options(classifier) | {name: value}, 0).fit(values, labels)
                scores.append(classifier.decision_function(classifier.export(fitted), test_values))
            if np.array_equal(*scores):
                without_effect.append((classifier.name, name))
    assert without_effect == []


def test_validate_forest_refuses_a_tree_that_does_not_end():
    forest = CLASSIFIERS["random-forest"]
    arrays = fit_and_export(forest, *blobs(3))
    forest.validate(arrays, 7)
    for child in ("left", "right"):
        with pytest.raises(ValueError, match="a tree without an end"):
            forest.validate(arrays | {child: np.zeros_like(arrays[child])}, 7)


def test_find_classifiers_gives_one_classifier_or_a_family():
    assert set(CLASSIFIERS) == {
        *("perceptron", "logistic", "linear-svm", "rbf-svm", "knn", "random-forest", "naive-bayes"),
    }
    assert all(classifier.name == name for name, classifier in CLASSIFIERS.items())
    assert find_classifiers("knn") == [CLASSIFIERS["knn"]]
    for family, members in CLASSIFIER_FAMILIES.items():
        assert family not in CLASSIFIERS
        assert find_classifiers(family) == [CLASSIFIERS[name] for name in members]


@every_classifier
def test_shapes_are_those_of_exported_arrays(classifier):
    for num_classes in (2, 4):
        arrays = {name: np.asarray(array) for name, array in fit_and_export(classifier, *blobs(num_classes)).items()}
        headers = {name: ArrayHeader(array.shape, array.dtype) for name, array in arrays.items()}
        sizes = {"values": 7}
        check_shapes(headers, classifier.shapes, sizes)
        assert sizes.get("classes", num_classes) == num_classes
        classifier.validate(arrays, 7)


def test_validate_refuses_arrays_that_would_fail_for_some_rows():
    changes = {
        "knn": [("labels", -1), ("labels", 10**9), ("neighbors", 0)],
        "rbf-svm": [("per_class", -1), ("per_class", 10**9)],
        "random-forest": [("feature", 7), ("roots", -1), ("roots", 10**9)],
    }
    for name, pairs in changes.items():
        arrays = {key: np.asarray(array) for key, array in fit_and_export(CLASSIFIERS[name], *blobs(3)).items()}
        for key, value in pairs:
            changed = arrays[key].copy()
            changed[() if changed.ndim == 0 else 0] = value
            with pytest.raises(ValueError, match="it is damaged"):
                CLASSIFIERS[name].validate(arrays | {key: changed}, 7)
    arrays = fit_and_export(CLASSIFIERS["rbf-svm"], *blobs(3))
    for key in ("weights", "bias"):
        with pytest.raises(ValueError, match="it is damaged"):
            CLASSIFIERS["rbf-svm"].validate(arrays | {key: arrays[key][:-1]}, 7)
