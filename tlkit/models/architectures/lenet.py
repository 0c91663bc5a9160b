"""LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998, Proceedings of the IEEE 86:2278), and its form of today."""

from typing import Any

import keras

from tlkit.models.architectures.layers import ArchitectureOptions, convolve, dense, max_pool

CONNECTIONS = (  # of the maps of C3 to those of S2: table 1 of the paper
    *((start, (start + 1) % 6, (start + 2) % 6) for start in range(6)),
    *(tuple((start + step) % 6 for step in range(4)) for start in range(6)),
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)


def build_lenet5(pixels: Any, variant: ArchitectureOptions) -> Any:
    """Build two convolutions of 5 × 5, each followed by subsampling, then three layers that are fully connected.

    As in the paper: a subsampling unit multiplies the average of 2 × 2 by a weight of its map and adds
    a bias; each map of C3 is connected to some of the maps of S2 (table 1); all activations are tanh.
    32 × 32 gray pixels: C1 156, S2 12, C3 1,516, S4 32, C5 48,120, F6 10,164, in all 60,000 parameters.
    The paper's last layer measures distances to hand-drawn digits; here it is a linear layer, 84 × 10 + 10.

    With another width, C3 is connected to all maps of S2.
    """
    c1 = _squash(_conv(pixels, variant.units(6), "c1"), "c1")
    s2 = _subsample(c1, "s2")
    c3 = _squash(_connect_by_table(s2) if variant.width == 1 else _conv(s2, variant.units(16), "c3"), "c3")
    s4 = _subsample(c3, "s4")
    c5 = _squash(_conv(s4, variant.units(120), "c5"), "c5")
    values = keras.layers.Flatten(name="vectorized")(c5)
    f6 = keras.layers.Dense(variant.units(84), kernel_initializer="lecun_normal", name="f6")(values)
    return variant.apply_dropout(_squash(f6, "f6"), "dropout")


def build_lenet5_relu(pixels: Any, variant: ArchitectureOptions) -> Any:
    """Build LeNet-5 with rectifiers, max pooling and all maps connected.

    32 × 32 gray pixels and ten classes: 61,706 parameters.
    """
    values = pixels
    for number, filters in enumerate((6, 16), start=1):
        values = convolve(values, variant.units(filters), 5, f"conv{number}", padding="valid")
        values = max_pool(variant.normalize_and_activate(values, f"conv{number}"), 2, 2, f"pool{number}")
    values = keras.layers.Flatten(name="vectorized")(values)
    for number, units in enumerate((120, 84), start=1):
        values = variant.normalize_and_activate(dense(values, variant.units(units), f"fc{number}"), f"fc{number}")
    return variant.apply_dropout(values, "dropout")


def _conv(values: Any, filters: int, name: str) -> Any:
    return convolve(values, filters, 5, name, padding="valid", kernel_initializer="lecun_normal")


def _squash(values: Any, name: str) -> Any:
    return keras.layers.Activation("tanh", name=f"{name}_tanh")(values)


def _subsample(values: Any, name: str) -> Any:
    """Average 2 × 2; multiply each map by its weight and add its bias."""
    pooled = keras.layers.AveragePooling2D(2, name=f"{name}_average")(values)
    scaled = keras.layers.DepthwiseConv2D(1, depthwise_initializer="ones", name=name)(pooled)
    return _squash(scaled, name)


def _connect_by_table(values: Any) -> Any:
    """Compute each map of C3 from the maps of S2 in its row of `CONNECTIONS`."""
    s2_maps = keras.ops.split(values, values.shape[-1], axis=-1)
    c3_maps = []
    for number, connected in enumerate(CONNECTIONS):
        inputs = keras.layers.Concatenate(name=f"c3_{number}_sees")([s2_maps[index] for index in connected])
        c3_maps.append(_conv(inputs, 1, f"c3_{number}"))
    return keras.layers.Concatenate(name="c3")(c3_maps)
