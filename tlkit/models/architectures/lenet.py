"""LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998, Proceedings of the IEEE 86:2278), and as it is built today."""

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
    """Two convolutions that see 5 × 5, each followed by subsampling, then three layers that see everything.

    As in the paper: a subsampling cell multiplies the average of 2 × 2 by a weight of its map and adds
    a bias; each map of C3 sees some of the maps below (table 1); all cells are squashed by tanh. 32 × 32
    grey pixels: C1 156, S2 12, C3 1,516, S4 32, C5 48,120, F6 10,164, in all 60,000 parameters. The
    paper's last layer measures distances to hand-drawn digits; here it is a linear layer, 84 × 10 + 10.

    With another width, C3 sees all maps below.
    """
    c1 = _squash(_conv(pixels, variant.units(6), "c1"), "c1")
    s2 = _subsample(c1, "s2")
    c3 = _squash(_connect(s2) if variant.width == 1 else _conv(s2, variant.units(16), "c3"), "c3")
    s4 = _subsample(c3, "s4")
    c5 = _squash(_conv(s4, variant.units(120), "c5"), "c5")
    values = keras.layers.Flatten(name="vectorised")(c5)
    f6 = keras.layers.Dense(variant.units(84), kernel_initializer="lecun_normal", name="f6")(values)
    return variant.drop(_squash(f6, "f6"), "dropout")


def build_lenet5_relu(pixels: Any, variant: ArchitectureOptions) -> Any:
    """LeNet-5 with rectifiers, the greatest value instead of the average, and all maps connected.

    32 × 32 grey pixels and ten classes: 61,706 parameters.
    """
    values = pixels
    for place, filters in enumerate((6, 16), start=1):
        values = convolve(values, variant.units(filters), 5, f"conv{place}", padding="valid")
        values = max_pool(variant.finish(values, f"conv{place}"), 2, 2, f"pool{place}")
    values = keras.layers.Flatten(name="vectorised")(values)
    for place, units in enumerate((120, 84), start=1):
        values = variant.finish(dense(values, variant.units(units), f"fc{place}"), f"fc{place}")
    return variant.drop(values, "dropout")


def _conv(values: Any, filters: int, name: str) -> Any:
    return convolve(values, filters, 5, name, padding="valid", kernel_initializer="lecun_normal")


def _squash(values: Any, name: str) -> Any:
    return keras.layers.Activation("tanh", name=f"{name}_tanh")(values)


def _subsample(values: Any, name: str) -> Any:
    """Averages of 2 × 2, each map times its weight plus its bias."""
    pooled = keras.layers.AveragePooling2D(2, name=f"{name}_average")(values)
    scaled = keras.layers.DepthwiseConv2D(1, depthwise_initializer="ones", name=name)(pooled)
    return _squash(scaled, name)


def _connect(values: Any) -> Any:
    """A map for each row of the table of connections, of the maps it names."""
    below = keras.ops.split(values, values.shape[-1], axis=-1)
    found = []
    for place, maps in enumerate(CONNECTIONS):
        seen = keras.layers.Concatenate(name=f"c3_{place}_sees")([below[one] for one in maps])
        found.append(_conv(seen, 1, f"c3_{place}"))
    return keras.layers.Concatenate(name="c3")(found)
