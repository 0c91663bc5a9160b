"""Whole networks as ONNX: every architecture and small backbones against Keras, metadata, size, any batch."""

import io
import json
import subprocess
import sys

import numpy as np
import onnx
import pytest

from tests.export.running import open_session
from tests.networks import FAMILIES, build_backbone, keras, lazy_functions, lively_body, random_pixels, run_network
from tlkit.errors import ModelError, OptionError
from tlkit.export.export import export_run
from tlkit.export.onnx import graph
from tlkit.export.onnx.writer import keras_to_onnx
from tlkit.models.architectures.registry import ARCHITECTURES
from tlkit.models.backbones import BACKBONES
from tlkit.models.head import Head, attach_head

(build_architecture,) = lazy_functions("tlkit.models.architectures.build", "build_architecture")
(calibrate_batch_norms,) = lazy_functions("tlkit.testing", "calibrate_batch_norms")
METADATA = {"tlkit.class_names": '["ant", "bee"]', "empty": ""}
ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "elu", "gelu", "selu", "silu", "softplus")  # of --activation
QUICK = ("linear", "lenet5", "alexnet", "resnet20")  # one of each way to build


def patches(count, image_size):
    """Images of 4 x 4 colors, which differ more than noise does: (count, image_size, image_size, 3)."""
    small, side = random_pixels(count, 4), -(-image_size // 4)
    return small.repeat(side, axis=1).repeat(side, axis=2)[:, :image_size, :image_size]


def run_session(session, pixels):
    (probabilities,) = session.run(["probabilities"], {"pixels": pixels})
    return probabilities


def attach_lively_head(body, pixels, head=None, num_classes=3):
    """A classifier whose answers to some images differ: its logits are standardized over them."""
    classifier = attach_head(body, head or Head(0.5, True, (8,)), num_classes)
    draws = np.random.default_rng(0)
    for layer in classifier.layers:
        if layer.name.startswith("head_") and isinstance(layer, keras.layers.Dense):
            layer.set_weights([draws.normal(size=weight.shape) for weight in layer.get_weights()])
    calibrate_batch_norms(classifier, pixels.astype(np.float32))
    logits = keras.Model(classifier.input, classifier.get_layer("probabilities").input)
    values = run_network(logits, pixels.astype(np.float32))
    standardize(classifier, values.mean(axis=0), 1 / values.std(axis=0))
    return classifier


def standardize(classifier, mean, factor):
    last = classifier.get_layer("head_logits")
    kernel, bias = last.get_weights()
    last.set_weights([kernel * factor, (bias - mean) * factor])
    if "head_linear" in {layer.name for layer in classifier.layers}:
        wide = classifier.get_layer("head_linear")
        wide.set_weights([wide.get_weights()[0] * factor])


def check(classifier, pixels, tolerance=1e-4):
    """The file gives Keras's probabilities, with as many classes among the answers as there are."""
    content = keras_to_onnx(classifier, METADATA)
    expected = run_network(classifier, pixels.astype(np.float32))
    assert len(np.unique(expected.argmax(axis=1))) > 1
    np.testing.assert_allclose(run_session(open_session(content), pixels), expected, atol=tolerance)
    return content


@pytest.fixture(scope="module")
def written():
    """A small backbone with a head, its file, and images."""
    pixels = patches(8, 64)
    classifier = attach_lively_head(lively_body(), pixels)
    return classifier, check(classifier, pixels), pixels


def test_any_number_of_images_can_be_classified_at_a_time(written):
    _, content, pixels = written
    session = open_session(content)
    together = run_session(session, pixels)
    for count in (1, 3):
        np.testing.assert_allclose(run_session(session, pixels[:count]), together[:count], atol=1e-6)


def test_inputs_outputs_and_metadata_are_what_the_file_says(written):
    session = open_session(written[1])
    (pixels,), (probabilities,) = session.get_inputs(), session.get_outputs()
    assert (pixels.name, pixels.type, pixels.shape) == ("pixels", "tensor(uint8)", ["batch", 64, 64, 3])
    assert (probabilities.name, probabilities.type, probabilities.shape) == (
        "probabilities",
        "tensor(float)",
        ["batch", 3],
    )
    assert session.get_modelmeta().custom_metadata_map == METADATA
    assert session.get_modelmeta().producer_name == "tlkit"


def test_a_file_is_as_large_as_the_weights_of_the_network(written):
    classifier, content, _ = written
    names = 200 * len(onnx.load_from_string(content).graph.node)
    assert len(content) <= 4 * classifier.count_params() + names


def test_the_checker_finds_nothing(written):
    onnx.checker.check_model(onnx.load_model(io.BytesIO(written[1])), full_check=True)


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in ARCHITECTURES]
)
def test_every_architecture_answers_as_in_keras(name):
    spec, number = ARCHITECTURES[name], list(ARCHITECTURES).index(name)
    variants = {"width": 0.25, "batch_norm": True, "activation": ACTIVATIONS[number % len(ACTIVATIONS)]}
    changes = {option: value for option, value in variants.items() if option in spec.options and name != "lenet5"}
    pixels = patches(6, max(spec.min_size, 32))
    body = build_architecture(spec, pixels.shape[1], changes, gray=number % 2 == 1)
    calibrate_batch_norms(body, pixels.astype(np.float32))
    check(attach_lively_head(body, pixels, Head(0.0, False, ())), pixels)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_one_backbone_of_each_family_answers_as_in_keras(name):
    pixels = patches(6, 96)
    body = build_backbone(BACKBONES[name], "none", 96)
    calibrate_batch_norms(body, pixels.astype(np.float32))
    tolerance = 1e-3 if name == "inception_v3" else 1e-4  # with random weights, its small maps amplify rounding
    check(attach_lively_head(body, pixels), pixels, tolerance)


def test_a_network_of_more_than_two_gibibytes_is_refused(written, monkeypatch):
    monkeypatch.setattr(graph, "MAX_BYTES", 100_000)
    with pytest.raises(ModelError, match="more than 2 GiB of weights, more than an ONNX file can hold"):
        keras_to_onnx(written[0], {})


def test_a_network_for_images_of_any_size_is_refused():
    pixels = keras.Input((None, None, 3))
    network = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(pixels))
    with pytest.raises(ModelError, match=r"the network takes \(None, None, 3\); expected one image of a fixed size"):
        keras_to_onnx(network, {})


def test_the_writer_loads_neither_keras_nor_tensorflow():
    code = "import sys, tlkit.export.onnx; print(*sorted(set(sys.modules) & {'keras', 'tensorflow', 'onnxruntime'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == ""


def test_a_classic_run_is_exported_and_checked_against_predict(classic_run, tmp_path):
    result = export_run(classic_run, tmp_path / "out", format="onnx")
    found = result.formats["onnx"].verification
    assert found.num_validation > 0
    assert (found.agreement, found.max_difference < 1e-5) == (1, True)
    facts = open_session(tmp_path / "out" / "model.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(facts["class_names"]) == list(classic_run.manifest.class_names)


def test_what_a_classic_classifier_cannot_be_is_refused(classic_run, tmp_path):
    with pytest.raises(OptionError, match="--quantize float16 is for networks"):
        export_run(classic_run, tmp_path / "out", format="onnx", quantize="float16")
    with pytest.raises(ModelError, match="which --format litert cannot hold; use --format onnx"):
        export_run(classic_run, tmp_path / "out", format="litert")
    assert not (tmp_path / "out").exists()
