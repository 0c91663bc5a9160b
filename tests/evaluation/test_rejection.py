"""The answer "unknown": distances, scores, thresholds, reasons."""

import numpy as np
import pytest

from tlkit.evaluation.rejection import (
    MAX_REFERENCE_BYTES,
    MAX_REFERENCES,
    NOT_SURE,
    NUM_NEIGHBORS,
    UNLIKE,
    KnownImages,
    UnknownDetector,
    auroc,
    choose_references,
    conformal_threshold,
    fit_detector,
    log_odds_wrong,
    normalize_rows,
)


def images(count, center, confidence, seed):
    """Features around a direction, and confidences around a value."""
    rng = np.random.default_rng(seed)
    features = (np.asarray(center) + rng.normal(0, 0.2, (count, len(center)))).astype(np.float32)
    return KnownImages(features, np.clip(confidence + rng.normal(0, 0.03, count), 0.05, 0.999).astype(np.float32))


HERE, FAR = np.eye(16)[0], np.eye(16)[5]
REFERENCES = images(300, HERE, 0.9, seed=1).features
KNOWN = images(400, HERE, 0.9, seed=2)


@pytest.fixture(scope="module")
def detector():
    return fit_detector(REFERENCES, KNOWN, 0.95)[0]


def scores_of(detector, some):
    return detector.scores(detector.distances(some.features), some.confidence)


def reasons_of(detector, some):
    return detector.reasons(detector.distances(some.features), some.confidence)


def test_fit_detector_accepts_the_known_images_that_it_was_asked_to(detector):
    for seed in (3, 4):
        new = images(2000, HERE, 0.9, seed=seed)
        assert np.mean(scores_of(detector, new) <= detector.threshold) == pytest.approx(0.95, abs=0.02)
    assert np.mean(scores_of(detector, KNOWN) <= detector.threshold) >= 0.95


def test_reasons_say_which_sign_it_was(detector):
    assert set(reasons_of(detector, images(50, FAR, 0.9, seed=5))) == {UNLIKE}
    assert set(reasons_of(detector, images(50, HERE, 0.3, seed=6))) == {NOT_SURE}
    same = reasons_of(detector, KNOWN)
    assert same.count("") / len(same) >= 0.95


def test_scores_grow_with_the_distance_and_with_the_doubt(detector):
    distances, confidence = np.linspace(0, 2, 9, dtype=np.float32), np.linspace(1, 0.2, 9, dtype=np.float32)
    assert (np.diff(detector.scores(distances, np.full(9, 0.9, np.float32))) > 0).all()
    assert (np.diff(detector.scores(np.full(9, 0.1, np.float32), confidence)) > 0).all()


def test_distances_are_the_mean_cosine_distance_to_the_nearest_references():
    references = normalize_rows(np.random.default_rng(0).normal(size=(40, 8)))
    features = np.random.default_rng(1).normal(size=(7, 8)).astype(np.float32)
    detector = fit_detector(references, KnownImages(features, np.full(7, 0.9)), 0.5)[0]
    cosines = features @ detector.references.T / np.linalg.norm(features, axis=1, keepdims=True)
    expected = 1 - np.sort(cosines, axis=1)[:, -NUM_NEIGHBORS:].mean(axis=1)
    np.testing.assert_allclose(detector.distances(features), expected, atol=1e-5)
    np.testing.assert_allclose(detector.distances(5 * features), expected, atol=1e-5)  # lengths do not matter
    one = fit_detector(references[:1], KnownImages(features, np.full(7, 0.9)), 0.5)[0]
    np.testing.assert_allclose(one.distances(features), 1 - cosines_to(one, features), atol=1e-5)
    zeros = detector.distances(np.zeros((1, 8), np.float32))
    np.testing.assert_allclose(zeros, 1)


def cosines_to(detector, features):
    return (features @ detector.references.T / np.linalg.norm(features, axis=1, keepdims=True))[:, 0]


def test_distances_take_feature_maps_as_vectors(detector):
    maps = KNOWN.features[:3].reshape(3, 4, 4)
    np.testing.assert_array_equal(detector.distances(maps), detector.distances(KNOWN.features[:3]))


def test_fit_detector_without_enough_images_has_no_threshold():
    few = KnownImages(KNOWN.features[:18], KNOWN.confidence[:18])
    detector, measured = fit_detector(REFERENCES, few, 0.95)
    assert (detector.threshold, measured) == (None, None)
    assert set(reasons_of(detector, images(9, FAR, 0.2, seed=0))) == {""}
    assert fit_detector(REFERENCES, KNOWN, 1.0)[0].threshold is None  # nothing is ever unknown
    alike = KnownImages(np.repeat(KNOWN.features[:1], 30, axis=0), np.full(30, 1.0, np.float32))
    scores = scores_of(fit_detector(REFERENCES, alike, 0.9)[0], KNOWN)
    assert np.isfinite(scores).all()


def test_fit_detector_on_unknown_images_moves_the_balance_to_the_sign_that_finds_them():
    unlike = images(60, 0.75 * HERE + 0.25 * FAR, 0.97, seed=7)  # nearer than by chance, and too sure
    unsure = images(60, HERE, 0.75, seed=8)
    for unknown, sign in ((unlike, 1), (unsure, -1)):
        detector, measured = fit_detector(REFERENCES, KNOWN, 0.95, unknown)
        plain, _ = fit_detector(REFERENCES, KNOWN, 0.95)
        assert np.sign(detector.balance) == sign
        known = scores_of(detector, KNOWN)
        separated = auroc(known, scores_of(detector, unknown))
        assert separated >= auroc(scores_of(plain, KNOWN), scores_of(plain, unknown))
        assert measured == pytest.approx(separated, abs=0.05)
        assert np.mean(known <= detector.threshold) >= 0.95


def test_fit_detector_on_one_unknown_image_keeps_the_balance():
    one = images(1, FAR, 0.5, seed=9)
    detector, measured = fit_detector(REFERENCES, KNOWN, 0.95, one)
    assert (detector.balance, measured) == (0, 1)
    assert fit_detector(REFERENCES, KNOWN, 0.95, images(0, FAR, 0.5, seed=9))[1] is None


def test_detector_survives_json_and_float16(detector):
    stored = detector.references.astype(np.float16)
    again = UnknownDetector.from_json(detector.as_json(), stored)
    assert again == detector
    np.testing.assert_array_equal(scores_of(again, KNOWN), scores_of(detector, KNOWN))


def test_conformal_threshold_covers_new_images_on_average():
    rng = np.random.default_rng(0)
    for count, coverage in ((20, 0.95), (50, 0.9), (50, 0.95), (200, 0.8)):
        draws = [rng.normal(size=(count + 1)) for _ in range(4000)]
        covered = np.mean([draw[-1] <= conformal_threshold(draw[:-1], coverage) for draw in draws])
        assert coverage - 0.015 <= covered <= coverage + 1 / (count + 1) + 0.015, (count, coverage)


def test_auroc_counts_pairs():
    rng = np.random.default_rng(0)
    known, unknown = rng.integers(0, 6, 40), rng.integers(2, 8, 30)
    pairs = np.subtract.outer(unknown, known)
    assert auroc(known, unknown) == pytest.approx(np.mean(pairs > 0) + np.mean(pairs == 0) / 2)


def test_choose_references_takes_classes_in_turn_within_the_limits():
    labels = np.repeat([0, 1, 2], [5000, 300, 10])
    order = np.random.default_rng(0).permutation(len(labels))
    chosen = choose_references(labels, order, 64)
    assert len(chosen) == len(set(chosen.tolist())) == MAX_REFERENCES
    assert (np.diff(chosen) > 0).all()
    assert np.bincount(labels[chosen]).tolist() == [690, 300, 10]
    assert chosen.tolist() == choose_references(labels, order, 64).tolist()
    wide = choose_references(labels, order, MAX_REFERENCE_BYTES // 2 // 100)
    assert len(wide) == 100
    assert len(choose_references(labels, order, 10**9)) == NUM_NEIGHBORS
    assert choose_references(labels[:3], np.arange(3), 64).tolist() == [0, 1, 2]


def test_log_odds_wrong_of_the_extremes_is_finite():
    values = log_odds_wrong(np.array([0.0, 0.5, 1.0], np.float32))
    assert np.isfinite(values).all()
    assert values[0] > 0 == values[1] > values[2]
