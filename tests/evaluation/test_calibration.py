"""Calibration: the temperature, the calibration error and its interval."""

import numpy as np
import pytest

from tlkit.evaluation.calibration import (
    MIN_IMAGES,
    NUM_BINS,
    Calibration,
    apply_temperature,
    best_temperature,
    calibrate,
    confidence_and_correct,
    expected_calibration_error,
    reliability_bins,
)


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def overconfident():
    """Logits that are three times too large, of 5,000 images with simulated labels."""
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 2, (5000, 6))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (rng.random((5000, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    return softmax(3 * logits), labels


def cross_entropy(probabilities, labels):
    return -np.mean(np.log(np.maximum(probabilities[np.arange(len(labels)), labels].astype(float), 1e-38)))


def test_calibrate_recovers_a_planted_temperature(overconfident):
    calibration = calibrate(*overconfident)
    assert calibration.temperature == pytest.approx(3, rel=0.05)
    assert calibration.ece <= 0.02
    assert calibration.ece_before > 0.2
    assert calibration.judged and calibration.num_images == 5000


def test_calibrate_never_changes_the_class_and_never_raises_the_cross_entropy(overconfident):
    for probabilities, labels in (overconfident, [part[:300] for part in overconfident]):
        calibrated = calibrate(probabilities, labels).apply(probabilities)
        assert (calibrated.argmax(axis=1) == probabilities.argmax(axis=1)).all()
        assert cross_entropy(calibrated, labels) < cross_entropy(probabilities, labels)
        np.testing.assert_allclose(calibrated.sum(axis=1), 1, atol=1e-6)


def test_calibrate_of_few_images_judges_nothing(overconfident):
    probabilities, labels = (part[: MIN_IMAGES - 1] for part in overconfident)
    calibration = calibrate(probabilities, labels)
    assert calibration == Calibration(num_images=MIN_IMAGES - 1)
    assert (calibration.temperature, calibration.ece, calibration.judged) == (1, None, False)
    assert calibration.apply(probabilities) is probabilities
    assert calibrate(*(part[:MIN_IMAGES] for part in overconfident)).judged


def test_calibrate_interval_contains_the_error_and_shrinks_with_more_images(overconfident):
    few, many = (calibrate(*(part[:count] for part in overconfident)) for count in (300, 5000))
    for calibration in (few, many):
        low, high = calibration.ece_ci95
        assert 0 <= low <= calibration.ece <= high < 1
    assert np.diff(many.ece_ci95) < np.diff(few.ece_ci95)


def test_calibration_survives_json(overconfident):
    for calibration in (calibrate(*overconfident, source="folds"), Calibration(num_images=3)):
        assert Calibration.from_json(calibration.as_json()) == calibration


def test_best_temperature_of_a_perfect_classifier_is_finite_and_of_a_uniform_one_harmless():
    labels = np.arange(300) % 3
    sure = softmax(5 * np.eye(3)[labels])
    temperature = best_temperature(sure, labels)
    assert 0.02 < temperature < 1
    assert apply_temperature(sure, temperature).max() < 1 - 1 / 1000  # not surer than 300 images allow
    uniform = np.full((300, 3), 1 / 3, np.float32)
    np.testing.assert_allclose(apply_temperature(uniform, best_temperature(uniform, labels)), 1 / 3, atol=1e-6)


def test_apply_temperature_of_probabilities_that_are_zero():
    probabilities = np.array([[1, 0, 0], [0.5, 0.5, 0]], np.float32)
    for temperature in (0.02, 0.5, 1, 3, 50):
        calibrated = apply_temperature(probabilities, temperature)
        assert np.isfinite(calibrated).all()
        np.testing.assert_allclose(calibrated.sum(axis=1), 1, atol=1e-6)
        assert calibrated[0].argmax() == 0
        assert calibrated.dtype == np.float32


def test_apply_temperature_undoes_a_factor_of_the_logits():
    logits = np.random.default_rng(0).normal(0, 3, (50, 4))
    np.testing.assert_allclose(apply_temperature(softmax(2.5 * logits), 2.5), softmax(logits), atol=1e-6)


def test_expected_calibration_error_is_the_gap_of_a_classifier_that_is_always_as_sure():
    for accuracy in (0.5, 0.8, 1.0):
        correct = np.arange(200) < 200 * accuracy
        error = expected_calibration_error(np.full(200, 0.9), correct)
        gap = accuracy - 0.9
        assert error == pytest.approx(max(0, gap**2 - 0.9 * 0.1 / 200) ** 0.5)


def test_calibrate_of_a_calibrated_classifier_keeps_it_and_finds_nearly_no_error():
    errors, temperatures, covered = [], [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        probabilities = softmax(rng.normal(0, 2.5, (250, 5)))
        labels = (rng.random((250, 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(0, 4)
        calibration = calibrate(probabilities, labels)
        errors.append(calibration.ece)
        temperatures.append(calibration.temperature)
        covered.append(calibration.ece_ci95[0] == 0)
    assert np.mean(errors) < 0.035
    assert np.mean(np.array(temperatures) == 1) > 0.5  # where a temperature would not lower the cross-entropy
    assert np.mean(temperatures) == pytest.approx(1, abs=0.03)
    assert np.mean(covered) >= 0.95


def test_expected_calibration_error_has_no_more_than_the_gaps_of_the_bins():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1, 400)
    correct = rng.random(400) < confidence**2
    gaps = [abs(item.accuracy - item.confidence) for item in reliability_bins(confidence, correct)]
    error = expected_calibration_error(confidence, correct)
    assert 0.8 * np.mean(gaps) < error <= np.mean(gaps)


def test_reliability_bins_hold_each_image_once_in_order():
    rng = np.random.default_rng(0)
    confidence = rng.random(1003)
    correct = rng.random(1003) < confidence
    bins = reliability_bins(confidence, correct)
    assert sum(item.count for item in bins) == 1003
    assert max(item.count for item in bins) - min(item.count for item in bins) <= 1
    assert [item.confidence for item in bins] == sorted(item.confidence for item in bins)
    assert sum(item.count * item.accuracy for item in bins) == pytest.approx(correct.sum())
    assert len(bins) == NUM_BINS
    assert len(reliability_bins(np.full(50, 0.7), np.ones(50, bool))) == 1  # equal ones are never parted


def test_confidence_and_correct_take_the_most_probable_class():
    probabilities = np.array([[0.2, 0.8], [0.6, 0.4]], np.float32)
    confidence, correct = confidence_and_correct(probabilities, np.array([1, 1]))
    np.testing.assert_allclose(confidence, [0.8, 0.6], atol=1e-6)
    assert correct.tolist() == [True, False]
