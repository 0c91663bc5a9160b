"""Precision@5 of a candidate's features, and the epsilon that fools a candidate."""

from dataclasses import replace

import numpy as np
import pytest

from tlkit.comparison.limits import EPSILONS, attack_of, measure_epsilon, measure_retrieval
from tlkit.data.image import decode_square
from tlkit.errors import DataError
from tlkit.inference.predictor import Predictor


def brute_force(run, root, k=5):
    """Precision at k among the validation images, image by image."""
    rows = [row for row in run.read_rows("split.csv") if row["split"] == "validation"]
    predictor, spec = Predictor(run), run.manifest.image
    squares = np.stack([decode_square((root / row["path"]).read_bytes(), spec) for row in rows])
    features = predictor.network.extract(squares).reshape(len(rows), -1).astype(float)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    values = []
    for query, row in enumerate(rows):
        others = [other for other in range(len(rows)) if rows[other]["group"] != row["group"]]
        nearest = sorted(others, key=lambda other: -features[query] @ features[other])[:k]
        values.append(np.mean([rows[other]["class"] == row["class"] for other in nearest]))
    return np.mean(values)


def test_precision_is_that_of_a_search_image_by_image(finetuned_run, classic_run, colors):
    for run in (finetuned_run, classic_run):
        assert measure_retrieval(run, colors) == pytest.approx(brute_force(run, colors))


def test_epsilon_is_a_power_of_two(finetuned_run, colors):
    assert attack_of(finetuned_run) == "pgd"
    assert measure_epsilon(finetuned_run, colors) in EPSILONS


def test_epsilon_of_a_classifier_without_a_gradient_is_that_of_the_square_attack(classic_run, colors, monkeypatch):
    """Its histograms of plain colors are hard to fool; so the fraction that counts as fooled is changed."""
    monkeypatch.setattr("tlkit.comparison.limits.QUERIES", 2)
    assert attack_of(classic_run) == "square"
    for fraction, epsilon in ((0.0, EPSILONS[0]), (1.1, None)):
        monkeypatch.setattr("tlkit.comparison.limits.FOOLED", fraction)
        assert measure_epsilon(classic_run, colors) == epsilon


def test_images_that_are_gone_give_no_figure(finetuned_run, tmp_path):
    for measure in (measure_retrieval, measure_epsilon):
        with pytest.raises(DataError, match="no validation image"):
            measure(finetuned_run, tmp_path)


def test_a_class_of_one_validation_image_has_no_neighbors(finetuned_run, colors, monkeypatch):
    monkeypatch.setattr("tlkit.comparison.limits.MAX_RANKED", 1)
    with pytest.raises(DataError, match="no two different"):
        measure_retrieval(finetuned_run, colors)


def test_the_table_tells_what_no_attack_fools_from_what_was_not_attacked():
    from tlkit.cli.compare import _limit
    from tlkit.comparison.results import CandidateResult

    result = CandidateResult("svm", "SVM", "classic", 0.9)
    tried = [(None, None), (None, "square"), (16.0, "pgd"), (8.0, "square")]
    cells = [
        _limit(replace(result, adversarial_epsilon=epsilon, adversarial_attack=attack), "adversarial_epsilon")
        for epsilon, attack in tried
    ]
    assert cells == ["–", "> 128*", "16", "8*"]
