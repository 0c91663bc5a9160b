"""Numerical and analytic gradients agree in every kind of layer; a wrong gradient is found."""

import pytest

from tests.networks import keras, lazy_functions
from tlkit.models.architectures.registry import ARCHITECTURES

(build_architecture,) = lazy_functions("tlkit.models.architectures.build", "build_architecture")
check_architecture, check_gradients, double_precision = lazy_functions(
    "tlkit.models.gradient_check", "check_architecture", "check_gradients", "double_precision"
)
Head, attach_head = lazy_functions("tlkit.models.head", "Head", "attach_head")
TOO_DEEP = ("resnet101", "resnet152")  # for central differences: see tlkit/models/gradient_check.py
SMALL = ("linear", "mlp", "lenet5", "lenet5_relu")
CASES = [
    name if name in SMALL else pytest.param(name, marks=pytest.mark.slow)
    for name in (*ARCHITECTURES, "mobilenet_025")
    if name not in TOO_DEEP
]


@pytest.mark.parametrize("name", CASES)
def test_check_architecture_gradients_agree(name):
    checks = check_architecture(name, per_layer=1)
    assert [check for check in checks if not check.passed] == []
    assert any(check.num_comparable for check in checks)


def test_check_gradients_every_kind_of_layer_agrees():
    """Convolutions, poolings, activations, batch norms, sums and joins of every architecture and backbone."""
    layers = keras.layers
    with double_precision():
        source = keras.Input((8, 8, 3))
        values = layers.BatchNormalization()(layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(source))
        branches = [
            layers.ReLU(6.0)(layers.DepthwiseConv2D(3, padding="same")(values)),
            layers.Activation("swish")(layers.SeparableConv2D(4, 3, padding="same")(values)),
            layers.LeakyReLU()(layers.Conv2D(4, (1, 3), padding="same")(values)),
            layers.Activation("gelu")(layers.LayerNormalization()(values)),
            layers.MaxPooling2D(3, 1, padding="same")(values),
            layers.AveragePooling2D(3, 1, padding="same")(values),
            layers.Multiply()(
                [values, layers.Dense(4, "sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(values))]
            ),
        ]
        total = layers.Add()(branches)
        halves = layers.Concatenate()([total[..., 2:], total[..., :2]])
        joined = layers.Concatenate()([layers.GlobalAveragePooling2D()(halves), layers.Flatten()(halves)])
        model = attach_head(keras.Model(source, joined), Head(0.0, True, (5,)), 3)
        checks = check_gradients(model, per_layer=2)
    assert [check for check in checks if not check.passed] == []
    assert len(checks) == 11


def test_check_gradients_one_percent_too_much_is_found_below_only():
    import tensorflow as tf

    @tf.custom_gradient
    def skewed(values):
        return values, lambda upstream: 1.01 * upstream

    class Skewed(keras.layers.Layer):
        """Passes its input on, and one percent too much gradient back."""

        def call(self, values):
            return skewed(values)

    with double_precision():
        body = build_architecture(ARCHITECTURES["mlp"], 4, {"hidden": (5,)})
        model = attach_head(keras.Model(body.input, Skewed()(body.output)), Head(0.0, False, ()), 3)
        checks = {check.name: check for check in check_gradients(model)}
    assert not checks["hidden_1"].passed
    assert checks["hidden_1"].closest.error == pytest.approx(0.01, rel=0.05)
    assert checks["hidden_1"].closest.allowed < 1e-3
    assert checks["head_logits"].passed


def test_check_gradients_what_rounding_may_hide_is_allowed_and_named():
    """A layer behind a factor of 1e-7 has gradients that no difference of losses in float64 can show exactly."""
    layers = keras.layers
    keras.utils.set_random_seed(1)  # weights of some seeds make a gradient of the head so small that it is hidden, too
    with double_precision():
        source = keras.Input((4,))
        small = layers.Rescaling(1e-7)(layers.Dense(3, name="small")(source))
        zero = layers.Rescaling(0.0)(layers.Dense(3, name="zero")(source))
        model = attach_head(keras.Model(source, layers.Concatenate()([small, zero, source])), Head(0.0, False, ()), 3)
        checks = {check.name: check for check in check_gradients(model)}
    assert all(check.passed for check in checks.values())
    assert (checks["small"].closest.reason, checks["zero"].num_comparable) == ("rounding", 0)
    assert checks["head_logits"].num_comparable == len(checks["head_logits"].entries)
    for check in checks.values():
        figures = check.as_json()
        assert figures["passed"] == (figures["error"] <= figures["allowed"])


def test_double_precision_is_restored():
    with double_precision():
        assert keras.layers.Dense(1).dtype_policy.name == "float64"
    assert keras.layers.Dense(1).dtype_policy.name == "float32"
