"""Frozen batch norms as part of the convolutions before them: faster to train, and better to train.

A frozen batch norm multiplies each channel by a constant. As a layer it reads and writes every
activation twice per step; in the kernel before it, it costs nothing. And where an optimizer such as
AdamW moves every weight by about the same, a channel whose variance was tiny, and whose constant
is therefore large, no longer moves many times as far as the others (docs/decisions/012).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

MIN_SCALE = 1e-10  # a channel multiplied by less could not be told from its kernel afterwards
FOLDABLE = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


@dataclass(frozen=True)
class FoldedModel:
    """A network that computes the same with fewer layers.

    network  in and out as before; shares every layer but the folded convolutions, whose biases
             hold what the batch norms added
    """

    network: keras.Model
    _pairs: Mapping[str, "_Pair"]

    def unfold(self) -> None:
        """Give the folded convolutions' weights back to those they were made from."""
        for name, pair in self._pairs.items():
            pair.unfold(self.network.get_layer(name))


def fold_batch_norms(network: keras.Model, shifts: bool = False) -> FoldedModel:
    """The same function of its input, with every frozen batch norm that follows a convolution folded into it.

    A batch norm that learns, follows something else or shares its input with other layers stays.

    shifts: whether biases learn where there was none before; `unfold` gives them to the batch
        norms' betas. Their statistics and gammas never change.
    """
    pairs = {pair.convolution.name: pair for pair in _pairs(network)}
    if not pairs:
        return FoldedModel(network, {})
    norms = {pair.norm.name for pair in pairs.values()}

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        return args[0] if layer.name in norms else layer(*args, **kwargs)

    def clone(layer: Any) -> Any:
        return _with_bias(layer) if layer.name in pairs else layer

    folded = keras.models.clone_model(
        network, input_tensors=keras.Input(network.input.shape[1:]), clone_function=clone, call_function=call
    )
    for name, pair in pairs.items():
        pair.fold(folded.get_layer(name), shifts)
    return FoldedModel(folded, pairs)


@dataclass(frozen=True)
class _Pair:
    """A convolution and the frozen batch norm after it."""

    convolution: Any
    norm: Any

    def fold(self, layer: Any, shifts: bool) -> None:
        """Fill a convolution with a bias that does the work of both."""
        bias = _values(self.convolution.bias) if self.convolution.use_bias else np.float32(0)
        layer.kernel.assign(_values(self.convolution.kernel) * self._per_kernel)
        layer.bias.assign(bias * self.scale + self._shift)
        layer.bias.trainable = self.convolution.use_bias or (shifts and self.norm.center)

    def unfold(self, layer: Any) -> None:
        """Take back what such a convolution has learnt."""
        self.convolution.kernel.assign(_values(layer.kernel) / self._per_kernel)
        if self.convolution.use_bias:
            self.convolution.bias.assign((_values(layer.bias) - self._shift) / self.scale)
        elif layer.bias.trainable:
            self.norm.beta.assign_add(_values(layer.bias) - self._shift)

    @property
    def scale(self) -> np.ndarray:
        """What the batch norm multiplies by: (channels,)."""
        norm = self.norm
        gamma = _values(norm.gamma) if norm.scale else np.float32(1)
        scale: np.ndarray = gamma / np.sqrt(_values(norm.moving_variance) + norm.epsilon)
        return scale

    @property
    def _shift(self) -> np.ndarray:
        """What the batch norm adds: (channels,)."""
        beta = _values(self.norm.beta) if self.norm.center else np.float32(0)
        shift: np.ndarray = beta - _values(self.norm.moving_mean) * self.scale
        return shift

    @property
    def _per_kernel(self) -> np.ndarray:
        """The scale in the shape of the convolution's kernel."""
        is_depthwise = isinstance(self.convolution, keras.layers.DepthwiseConv2D)
        return self.scale.reshape(1, 1, -1, 1) if is_depthwise else self.scale


def _pairs(network: keras.Model) -> list[_Pair]:
    nodes = [node for depth in network._nodes_by_depth.values() for node in depth if not node.is_input]
    users: dict[int, list[Any]] = {}
    for node in nodes:
        for tensor in node.input_tensors:
            users.setdefault(id(tensor), []).append(node.operation)
    found = [(node.operation, users.get(id(node.outputs[0]), [])) for node in nodes]
    return [_Pair(layer, users[0]) for layer, users in found if len(users) == 1 and _can_fold(layer, users[0])]


def _can_fold(layer: Any, norm: Any) -> bool:
    frozen_norm = isinstance(norm, keras.layers.BatchNormalization) and not norm.trainable
    if not (frozen_norm and type(layer) in FOLDABLE and layer.trainable):
        return False
    linear = layer.activation is keras.activations.linear
    multiplied_by_one = getattr(layer, "depth_multiplier", 1) == 1
    return linear and multiplied_by_one and bool(np.abs(_Pair(layer, norm).scale).min() > MIN_SCALE)


class Pointwise(keras.layers.Conv2D):  # type: ignore[misc]
    """A 1 × 1 convolution as a product of two matrices, whose gradients TensorFlow has sooner on a CPU."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """See `keras.layers.Conv2D`."""
        *places, channels = keras.ops.shape(inputs)[1:]
        matrix = keras.ops.reshape(kernel, (channels, self.filters))
        product = keras.ops.matmul(keras.ops.reshape(inputs, (-1, channels)), matrix)
        return keras.ops.reshape(product, (-1, *places, self.filters))


def _with_bias(layer: Any) -> Any:
    single = layer.kernel_size == layer.strides == (1, 1) and layer.groups == 1
    kind = Pointwise if single and type(layer) is keras.layers.Conv2D else type(layer)
    return kind.from_config(layer.get_config() | {"use_bias": True})


def _values(variable: Any) -> np.ndarray:
    values: np.ndarray = keras.ops.convert_to_numpy(variable)
    return values
