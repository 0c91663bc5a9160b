import json
import subprocess
import sys

import numpy as np
import pytest

from tests.networks import keras, lively_body, random_pixels
from tlkit.engines.keras import save_network
from tlkit.models.head import Head, attach_head

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


@pytest.mark.parametrize("hidden", [(), (8,), (8, 4)])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_first_loss_is_the_logarithm_of_the_number_of_classes(body, hidden, batch_norm):
    whole = attach_head(body, Head(0.0, batch_norm, hidden), NUM_CLASSES)
    shares = whole.predict_on_batch(random_pixels(4, 32, kind=np.float32))
    np.testing.assert_allclose(-np.log(shares), np.log(NUM_CLASSES), atol=1e-6)


def test_each_row_sums_to_one(body):
    shares = trained_a_little(body).predict_on_batch(random_pixels(16, 32, kind=np.float32))
    assert shares.shape == (16, NUM_CLASSES)
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert shares.std(axis=0).max() > 1e-3  # they do depend on the pixels


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["head_batch_norm", "head_hidden", "head_dropout", *WIDE]),
        ({"dropout": 0.0}, ["head_batch_norm", "head_hidden", *WIDE]),
        ({"batch_norm": False}, ["head_hidden", "head_dropout", *WIDE]),
        ({"hidden": ()}, ["head_batch_norm", "head_dropout", "head_logits", "probabilities"]),
        ({"dropout": 0.0, "batch_norm": False, "hidden": ()}, ["head_logits", "probabilities"]),
    ],
)
def test_each_option_of_a_head_is_a_layer(body, options, expected):
    assert sorted(head_layers(body, **options)) == sorted(expected)


def test_the_linear_part_sees_the_features_as_they_are(body):
    """With the deep part's last layer at zero, the logits are a linear function of the body's output."""
    whole = trained_a_little(body)
    whole.get_layer("head_logits").set_weights([np.zeros((8, NUM_CLASSES)), np.zeros(NUM_CLASSES)])
    pixels = random_pixels(4, 32, kind=np.float32)
    logits = body.predict_on_batch(pixels) @ whole.get_layer("head_linear").get_weights()[0]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(whole.predict_on_batch(pixels), shares, rtol=1e-4, atol=1e-6)


def test_options_of_a_head_reach_their_layers(body):
    whole = attach_head(body, Head(0.25, True, (17,)), 3)
    assert whole.get_layer("head_dropout").rate == 0.25
    assert whole.get_layer("head_hidden").units == 17
    assert whole.output_shape == (None, 3)


def test_a_head_shares_the_variables_of_its_body(body):
    whole = attach_head(body, Head(0.0, False, ()), 3)
    assert {id(variable) for variable in body.variables} < {id(variable) for variable in whole.variables}
    assert whole.input is body.input


def test_no_layer_of_a_classifier_augments_or_resizes(body):
    """Such layers make later ones run in training mode (Keras 3.15)."""
    kinds = {type(layer).__name__ for layer in attach_head(body, Head(0.5, True, (8,)), 3).layers}
    assert not [kind for kind in kinds if kind.startswith("Random") or kind in ("Resizing", "CenterCrop", "Lambda")]


def test_a_saved_classifier_opens_in_plain_keras_with_identical_outputs(body, tmp_path):
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


def test_a_failed_save_leaves_the_old_file(body, tmp_path, monkeypatch):
    file = tmp_path / "model.keras"
    file.write_text("old")

    def half(self, target, *args, **options):
        target.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(keras.Model, "save", half)
    with pytest.raises(OSError, match="disk full"):
        save_network(attach_head(body, Head(0.0, False, ()), 2), file)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("model.keras", "old")]
