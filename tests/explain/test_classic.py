"""Reasons of classic classifiers."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

import tlkit
from tlkit.classic.pipeline import open_pipeline
from tlkit.explain.classic import DescriptorParts, PixelTemplate, linear_gradient
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


SHAPES = ("circle", "cross", "nothing")


def draw_corner(seed, shape):
    """A gray image with a shape in the left upper quarter, noise in another one."""
    draws = np.random.default_rng(seed)
    pixels = np.full((96, 96, 3), 128, np.uint8)
    pixels[50:, 50:] = draws.integers(100, 156, (46, 46, 1))
    image = Image.fromarray(pixels)
    x, y = (int(value) for value in draws.integers(2, 8, 2))
    if shape == "circle":
        ImageDraw.Draw(image).ellipse((x, y, x + 36, y + 36), outline="white", width=4)
    elif shape == "cross":
        ImageDraw.Draw(image).line((x, y, x + 36, y + 36), "white", 4)
        ImageDraw.Draw(image).line((x, y + 36, x + 36, y), "white", 4)
    return image


@pytest.mark.training
@pytest.mark.parametrize("descriptor", ["hog", pytest.param("bow", marks=pytest.mark.slow)])
def test_explain_of_hog_and_local_patches_finds_the_shape(descriptor, tmp_path):
    pytest.importorskip("sklearn")
    for index in range(60):
        file = tmp_path / "shapes" / SHAPES[index % 3] / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        draw_corner(index, SHAPES[index % 3]).save(file)
    settings = tlkit.ClassicSettings(descriptor=descriptor, classifier="linear-svm")
    result = tlkit.train_classic(tmp_path / "shapes", tmp_path / "run", settings)
    explainer = open_explainer(result.run)
    assert isinstance(explainer.method, DescriptorParts)
    peaks = [next(explainer.explain(draw_corner(100 + seed, SHAPES[seed % 2]))).peak for seed in range(10)]
    found = [peak for peak in peaks if peak]  # of some, the answer does not depend on any single part
    assert len(found) >= 6 and all(max(peak) < 50 for peak in found), peaks
