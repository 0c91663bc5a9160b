"""scikit-learn's checks of its conventions, on rows of numbers drawn as images."""

import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import is_classifier
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import validate_data

from tlkit import FeatureExtractor, ImageClassifier


def drawn(rows):
    """Draw each value of a row as a stripe, its brightness by the sine, which has values of every size differ."""
    brightness = (127.5 + 127.5 * np.sin(rows.astype(np.float64))).astype(np.uint8)
    stripes = np.repeat(brightness, -(-48 // brightness.shape[1]), axis=1)[:, None, :48, None]
    return np.ascontiguousarray(np.broadcast_to(stripes, (len(rows), 48, stripes.shape[2], 3)))


class OnRows:
    """An estimator over tables of numbers, which are checked as scikit-learn checks them, then drawn."""

    def fit(self, X, y=None, **groups):
        checked = validate_data(self, X, y) if is_classifier(self) else (validate_data(self, X), y)
        return super().fit(drawn(checked[0]), checked[1], **groups)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.one_d_array = tags.input_tags.string = False
        if tags.classifier_tags:
            tags.classifier_tags.poor_score = True  # stripes are no photos
        return tags

    def _rows(self, X):
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        return drawn(validate_data(self, X, reset=False))

    def transform(self, X):
        return super().transform(self._rows(X))


class ClassifierOnRows(OnRows, ImageClassifier):
    def predict_proba(self, X):
        return super().predict_proba(self._rows(X))

    def predict(self, X):
        columns = self.predict_proba(X).argmax(axis=1)
        return self.classes_[columns]


class ExtractorOnRows(OnRows, FeatureExtractor):
    pass


def failures(estimator, expected):
    """Run all checks; give those that fail and are not expected to, and those that are and do not."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(
            estimator,
            expected_failed_checks=expected,
            on_skip=None,
            on_fail=None,
            callback=lambda **result: found.append(result),
        )
    failed = {row["check_name"]: row["exception"] for row in found if row["status"] in ("failed", "xfail")}
    assert len(found) > 35
    return {name: str(error) for name, error in failed.items() if name not in expected}, set(expected) - set(failed)


CLASSIFIER = {  # checks that fail, and why
    "check_class_weight_classifiers": "class_weight is none, balanced or sqrt, as in `tlkit finetune`; not a dict",
}


@pytest.mark.slow
def test_the_classifier_passes_the_checks_that_make_sense_for_images(small):
    assert failures(ClassifierOnRows(**small | {"epochs": 2}), CLASSIFIER) == ({}, set())


@pytest.mark.slow
def test_the_transformer_passes_the_checks_that_make_sense_for_images(small):
    options = {name: small[name] for name in ("backbone", "weights", "image_size")}
    assert failures(ExtractorOnRows(**options), {}) == ({}, set())
