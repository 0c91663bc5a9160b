"""The head on a backbone: its layers, its first loss, and that plain Keras opens both."""

import json
import subprocess
import sys
from itertools import product

import numpy as np
import pytest

from tests.networks import keras, lazy_functions, lively_body, random_pixels, run_network

Head, attach_head, has_head, split_head = lazy_functions(
    "tlkit.models.head", "Head", "attach_head", "has_head", "split_head"
)
cut_points, split_at = lazy_functions("tlkit.models.cut", "cut_points", "split_at")
(save_network,) = lazy_functions("tlkit.engines.keras", "save_network")

NUM_CLASSES = 5
WIDE = ["head_logits", "head_linear", "head_sum", "probabilities"]
REOPEN = """
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
sys.modules["tlkit"] = None  # an import of it fails
import keras, numpy as np
model = keras.models.load_model(sys.argv[1])
outputs = model.predict(np.load(sys.argv[2]), verbose=0, batch_size=8)
np.save(sys.argv[3], outputs)
print(json.dumps([name for name in sys.modules if name.startswith("tlkit.")]))
"""


@pytest.fixture(scope="module")
def body():
    return lively_body(image_size=32)


def head_layers(body, **options):
    head = Head(**{"dropout": 0.5, "batch_norm": True, "hidden": (8,)} | options)
    return [layer.name for layer in attach_head(body, head, NUM_CLASSES).layers[len(body.layers) :]]


def trained_a_little(body):
    """A classifier whose last layer is no longer zero."""
    whole = attach_head(body, Head(0.5, True, (8,)), NUM_CLASSES)
    for name, spread in (("head_logits", 1.0), ("head_linear", 0.05)):
        last = whole.get_layer(name)
        last.set_weights([np.random.default_rng(0).normal(0, spread, value.shape) for value in last.get_weights()])
    return whole


def test_attach_head_first_loss_is_log_of_num_classes(body):
    pixels = random_pixels(4, 32, kind=np.float32)
    for hidden, batch_norm in product([(), (8,), (8, 4)], [True, False]):
        whole = attach_head(body, Head(0.0, batch_norm, hidden), NUM_CLASSES)
        probabilities = run_network(whole, pixels)
        np.testing.assert_allclose(-np.log(probabilities), np.log(NUM_CLASSES), atol=1e-6)


def test_attach_head_probabilities_sum_to_one(body):
    probabilities = run_network(trained_a_little(body), random_pixels(16, 32, kind=np.float32))
    assert probabilities.shape == (16, NUM_CLASSES)
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert probabilities.std(axis=0).max() > 1e-3  # they do depend on the pixels


def test_attach_head_each_option_is_a_layer(body):
    cases = [
        ({}, ["head_batch_norm", "head_hidden", "head_dropout", *WIDE]),
        ({"dropout": 0.0}, ["head_batch_norm", "head_hidden", *WIDE]),
        ({"batch_norm": False}, ["head_hidden", "head_dropout", *WIDE]),
        ({"hidden": ()}, ["head_batch_norm", "head_dropout", "head_logits", "probabilities"]),
        ({"dropout": 0.0, "batch_norm": False, "hidden": ()}, ["head_logits", "probabilities"]),
    ]
    for options, expected in cases:
        assert sorted(head_layers(body, **options)) == sorted(expected)


def test_attach_head_linear_layer_is_on_plain_features(body):
    """With the hidden part's last layer at zero, the logits are a linear function of the body's output."""
    whole = trained_a_little(body)
    whole.get_layer("head_logits").set_weights([np.zeros((8, NUM_CLASSES)), np.zeros(NUM_CLASSES)])
    pixels = random_pixels(4, 32, kind=np.float32)
    logits = run_network(body, pixels) @ whole.get_layer("head_linear").get_weights()[0]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(run_network(whole, pixels), probabilities, rtol=1e-4, atol=1e-6)


def test_attach_head_options_reach_their_layers(body):
    whole = attach_head(body, Head(0.25, True, (17,)), 3)
    assert whole.get_layer("head_dropout").rate == 0.25
    assert whole.get_layer("head_hidden").units == 17
    assert whole.output_shape == (None, 3)


def test_attach_head_shares_variables_of_backbone(body):
    whole = attach_head(body, Head(0.0, False, ()), 3)
    assert {id(variable) for variable in body.variables} < {id(variable) for variable in whole.variables}
    assert whole.input is body.input


def test_attach_head_has_no_layer_that_augments_or_resizes(body):
    """Such layers make later ones run in training mode (Keras 3.15)."""
    kinds = {type(layer).__name__ for layer in attach_head(body, Head(0.5, True, (8,)), 3).layers}
    assert not [kind for kind in kinds if kind.startswith("Random") or kind in ("Resizing", "CenterCrop", "Lambda")]


def test_attach_head_saved_opens_in_plain_keras_with_identical_outputs(body, tmp_path):
    whole = trained_a_little(body)
    pixels = random_pixels(8, 32, kind=np.float32)
    np.save(tmp_path / "pixels.npy", pixels)
    save_network(whole, tmp_path / "model.keras")
    assert [file.name for file in tmp_path.glob("*.keras")] == ["model.keras"]
    command = [sys.executable, "-I", "-c", REOPEN, "model.keras", "pixels.npy", "outputs.npy"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
    expected = whole.predict(pixels, verbose=0, batch_size=8)
    np.testing.assert_array_equal(np.load(tmp_path / "outputs.npy"), expected)


def test_save_network_failed_leaves_old_file(body, tmp_path, monkeypatch):
    file = tmp_path / "model.keras"
    file.write_text("old")

    def half(self, target, *args, **options):
        target.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(keras.Model, "save", half)
    with pytest.raises(OSError, match="disk full"):
        save_network(attach_head(body, Head(0.0, False, ()), 2), file)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("model.keras", "old")]


# its input


def test_split_head_parts_joined_again_are_the_classifier(body):
    pixels = random_pixels(4, 32, kind=np.float32)
    for hidden, batch_norm, dropout in product([(), (8,), (8, 4)], [True, False], [0.0, 0.5]):
        whole = attach_head(body, Head(dropout, batch_norm, hidden), NUM_CLASSES)
        assert has_head(whole)
        assert not has_head(body)
        extractor, head = split_head(whole)
        features = run_network(extractor, pixels)
        np.testing.assert_array_equal(features, run_network(body, pixels))
        np.testing.assert_array_equal(run_network(head, features), run_network(whole, pixels))


def test_split_head_of_a_part_of_the_classifier_and_of_the_head_itself(body):
    whole = trained_a_little(body)
    cuts = cut_points(whole)
    below, above = split_at(whole, cuts[len(cuts) // 2].tensor)
    pixels = random_pixels(4, 32, kind=np.float32)
    extractor, head = split_head(above)
    features = run_network(extractor, run_network(below, pixels))
    np.testing.assert_allclose(run_network(head, features), run_network(whole, pixels), atol=1e-6)
    nothing, same = split_head(head)
    assert nothing is None
    assert same is head
