"""Numerical and analytic gradients agree in every network of the course; a wrong gradient is found out."""

import pytest
import tensorflow as tf

from tests.networks import keras
from tlkit.models.architectures.build import build_architecture
from tlkit.models.architectures.registry import ARCHITECTURES
from tlkit.models.gradient_check import check_architecture, check_gradients, double_precision
from tlkit.models.head import Head, attach_head
from tlkit.settings.commands import GradcheckSettings

BEYOND = ("resnet101", "resnet152")  # central differences do not reach: see tlkit/models/gradients.py
LONG = ("resnet50", "resnet56", "resnet110", "resnet44", "plain34", "resnet34", "resnet32")
CASES = [
    pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in ARCHITECTURES if name not in BEYOND
]


@pytest.mark.parametrize("name", CASES)
def test_a_networks_gradients_are_those_of_its_loss(name):
    rows = check_architecture(name, GradcheckSettings(per_layer=1))
    assert [row for row in rows if not row.holds] == []
    assert any(row.largest > 1e-6 for row in rows)


def test_of_keras_applications_too():
    assert all(row.holds for row in check_architecture("mobilenet_025", GradcheckSettings(per_layer=1)))


@tf.custom_gradient
def skewed(values):
    return values, lambda upstream: 1.01 * upstream


class Skewed(keras.layers.Layer):
    """Passes its input on, and one per cent too much gradient back."""

    def call(self, values):
        return skewed(values)


def test_one_per_cent_too_much_is_found_out_and_only_below():
    with double_precision():
        body = build_architecture(ARCHITECTURES["mlp"], 4, {"hidden": (5,)})
        model = attach_head(keras.Model(body.input, Skewed()(body.output)), Head(0.0, False, ()), 3)
        rows = {row.name: row for row in check_gradients(model)}
    assert not rows["hidden_1"].holds
    assert rows["hidden_1"].error == pytest.approx(0.01, rel=0.05)
    assert rows["head_logits"].holds


def test_the_precision_is_put_back():
    with double_precision():
        assert keras.layers.Dense(1).dtype_policy.name == "float64"
    assert keras.layers.Dense(1).dtype_policy.name == "float32"
