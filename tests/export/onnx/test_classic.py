"""Classic classifiers in ONNX: every one against what it predicts, scaled, projected and calibrated."""

import numpy as np
import onnx
import pytest

from tests.export.running import open_session, run_graph, run_onnx
from tests.networks import lively_body, random_pixels, run_network
from tlkit.classic.classifiers import CLASSIFIERS
from tlkit.classic.pipeline import ClassicPipeline, DescriptorPipeline, ScaledClassifier, Scaler
from tlkit.errors import ModelError
from tlkit.evaluation.calibration import apply_temperature
from tlkit.export.base import ClassicSource
from tlkit.export.onnx.classic import WRITERS, write_classifier
from tlkit.export.onnx.graph import OnnxGraph
from tlkit.export.onnx.writer import classic_to_onnx

VALUES = 12


def samples(num_classes, count=90):
    draws = np.random.default_rng(num_classes)
    labels = np.arange(count) % num_classes
    return (draws.normal(size=(num_classes, VALUES))[labels] + draws.normal(size=(count, VALUES))).astype(
        np.float32
    ), labels


def fitted(name, num_classes=4, components=0, values=VALUES):
    rows, labels = samples(num_classes)
    draws = np.random.default_rng(1)
    scaler = Scaler(rows.mean(axis=0), (1 / rows.std(axis=0)).astype(np.float32))
    if components:
        scaler = Scaler(
            scaler.mean, scaler.factor, np.linalg.qr(draws.normal(size=(VALUES, components)))[0].T.astype(np.float32)
        )
    options = {key: choices[-1] for key, choices in CLASSIFIERS[name].grid.items()}
    arrays = CLASSIFIERS[name].export(CLASSIFIERS[name].create(options, 0).fit(scaler.transform(rows), labels))
    return ScaledClassifier(name, 1.7, scaler, {key: np.asarray(array) for key, array in arrays.items()})


@pytest.mark.filterwarnings("ignore")  # scikit-learn's about convergence
@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_gives_the_probabilities_of_predict(name, num_classes):
    classifier = fitted(name, num_classes, components=5 * (num_classes == 2))
    rows = samples(num_classes)[0] + np.float32(0.3)
    graph = OnnxGraph()
    output = graph.single(write_classifier(graph, "values", classifier))
    expected = classifier.predict_proba(rows)
    assert len(np.unique(expected.argmax(axis=1))) == num_classes
    np.testing.assert_allclose(run_graph(graph, output, rows), expected, atol=1e-5)


def test_every_classifier_can_be_written():
    assert set(WRITERS) == set(CLASSIFIERS)


def test_a_value_on_the_threshold_of_a_tree_goes_left():
    arrays = fitted("random-forest").arrays
    inner = np.flatnonzero(arrays["feature"] >= 0)
    rows = np.zeros((len(inner), VALUES), np.float32)
    rows[np.arange(len(inner)), arrays["feature"][inner]] = arrays["threshold"][inner]
    classifier = ScaledClassifier(
        "random-forest", 1.0, Scaler(np.zeros(VALUES, np.float32), np.ones(VALUES, np.float32)), arrays
    )
    graph = OnnxGraph()
    output = write_classifier(graph, "values", classifier)
    np.testing.assert_allclose(run_graph(graph, output, rows), classifier.predict_proba(rows), atol=1e-6)


def test_a_forest_whose_trees_overlap_is_refused():
    forged = fitted("random-forest")
    forged.arrays["roots"] = forged.arrays["roots"][::-1]
    with pytest.raises(ModelError, match="its trees are not one after the other"):
        write_classifier(OnnxGraph(), "values", forged)


def pixel_pipeline():
    draws = np.random.default_rng(0)
    arrays = {"weights": draws.normal(size=(3, 192)).astype(np.float32), "bias": np.zeros(3, np.float32)}
    scaler = Scaler(np.full(192, 0.5, np.float32), np.ones(192, np.float32))
    return ClassicPipeline(DescriptorPipeline(("pixels",), (8,), 1), ScaledClassifier("logistic", 1.0, scaler, arrays))


def test_the_temperature_of_the_run_is_inside():
    pixels, pipeline = random_pixels(5, 8), pixel_pipeline()
    expected = pipeline.predict_proba(pixels)
    for temperature in (1.0, 2.5):
        content = classic_to_onnx(ClassicSource(pipeline, 8, temperature), {"a": "b"})
        np.testing.assert_allclose(run_onnx(content, pixels), apply_temperature(expected, temperature), atol=1e-6)


def test_the_file_says_what_it_takes_and_gives():
    content = classic_to_onnx(ClassicSource(pixel_pipeline(), 8, 1.0), {"a": "b"})
    session = open_session(content)
    (pixels,), (probabilities,) = session.get_inputs(), session.get_outputs()
    assert (pixels.name, pixels.type, pixels.shape) == ("pixels", "tensor(uint8)", ["batch", 8, 8, 3])
    assert (probabilities.name, probabilities.shape) == ("probabilities", ["batch", 3])
    assert session.get_modelmeta().custom_metadata_map == {"a": "b"}
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)


def test_a_classifier_on_the_features_of_a_network():
    body, pixels = lively_body(), random_pixels(6, 64)
    features = run_network(body, pixels.astype(np.float32))
    draws, width = np.random.default_rng(0), features.shape[1]
    arrays = {"weights": draws.normal(size=(3, width)).astype(np.float32), "bias": np.zeros(3, np.float32)}
    scaler = Scaler(features.mean(axis=0), np.full(width, 0.1, np.float32))
    pipeline = ClassicPipeline(None, ScaledClassifier("linear-svm", 0.5, scaler, arrays))
    content = classic_to_onnx(ClassicSource(pipeline, 64, 1.0), {}, body)
    expected = pipeline.predict_proba(features)
    assert len(np.unique(expected.argmax(axis=1))) > 1
    np.testing.assert_allclose(run_onnx(content, pixels), expected, atol=1e-5)
