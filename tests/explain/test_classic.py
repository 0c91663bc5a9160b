"""Reasons of classic classifiers."""

import numpy as np
import pytest

import tlkit
from tlkit.classic.pipeline import open_pipeline
from tlkit.explain.classic import PixelTemplate, linear_gradient
from tlkit.explain.explainer import open_explainer
from tlkit.runs.manifest import CLASSIC_MODEL


@pytest.fixture(scope="module")
def linear_on_pixels(colors, tmp_path_factory):
    """The run of a linear classifier on pixels."""
    pytest.importorskip("sklearn")
    settings = tlkit.ClassicSettings(descriptor="pixels", classifier="linear-svm")
    return tlkit.train_classic(colors, tmp_path_factory.mktemp("pixels") / "run", settings).run


@pytest.mark.training
def test_linear_gradient_is_the_difference_of_scores(linear_on_pixels):
    pipeline = open_pipeline(linear_on_pixels.path / CLASSIC_MODEL)
    scorer, draws = pipeline.classifier, np.random.default_rng(0)
    first, second = draws.random((2, 16 * 16 * 3)).astype(np.float32)
    values = scorer.scaler.transform(np.stack([first, second]))
    scores = values @ scorer.arrays["weights"].T + scorer.arrays["bias"]
    for label in range(3):
        expected = scores[1, label] - scores[0, label]
        assert linear_gradient(pipeline, label) @ (second - first) == pytest.approx(expected, rel=1e-3, abs=1e-4)


@pytest.mark.training
def test_explain_of_a_linear_classifier_on_pixels_is_its_template(linear_on_pixels):
    explainer = open_explainer(linear_on_pixels)
    assert isinstance(explainer.method, PixelTemplate)
    (explanation,) = explainer.explain(np.full((40, 40, 3), (210, 50, 40), np.uint8))
    assert explanation.method == "template" and explanation.label == "red" and explanation.heat.max() == 1
