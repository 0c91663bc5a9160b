"""Frozen batch norms folded into the convolutions before them, for faster and better training.

A frozen batch norm multiplies each channel by a constant. As a layer it reads and writes every
activation twice per step; in the kernel before it, it costs nothing. And AdamW moves every weight by
about the same: unfolded, a channel whose variance was tiny, and whose constant is therefore large,
moves many times as far as the others (docs/decisions/012).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

MIN_SCALE = 1e-10  # `unfold` divides by the scale of every channel
FOLDABLE = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


@dataclass(frozen=True)
class FoldedModel:
    """A network that computes the same with fewer layers.

    Attributes:
        network: same input and output; shares every layer but the folded convolutions, whose kernels and biases do the
            work of the batch norms, too
    """

    network: keras.Model
    _pairs: Mapping[str, "_Pair"]

    def unfold(self) -> None:
        """Copy what the folded convolutions have learned to the layers they were made from."""
        for name, pair in self._pairs.items():
            pair.unfold(self.network.get_layer(name))


def fold_batch_norms(network: keras.Model, shifts: bool = False, product_dtype: str = "float32") -> FoldedModel:
    """Fold every frozen batch norm that follows a convolution into it; the function of the input stays the same.

    A batch norm that is trained, follows another layer or shares its input with other layers stays.

    Args:
        shifts: whether biases are trained where the convolution had none; `unfold` adds them to the batch norms' betas.
            Their statistics and gammas never change.
        product_dtype: of the factors of matrix products, see `Pointwise`
    """
    pairs = {pair.convolution.name: pair for pair in _foldable_pairs(network)}
    if not pairs:
        return FoldedModel(network, {})
    norms = {pair.norm.name for pair in pairs.values()}

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        """Skip a folded batch norm; call any other layer."""
        return args[0] if layer.name in norms else layer(*args, **kwargs)

    def clone(layer: Any) -> Any:
        """Add a bias to a folded convolution."""
        return _with_bias(layer, product_dtype) if layer.name in pairs else layer

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
        """Set the weights of a convolution that does the work of both."""
        bias = _values(self.convolution.bias) if self.convolution.use_bias else np.float32(0)
        layer.kernel.assign(_values(self.convolution.kernel) * self._kernel_scale)
        layer.bias.assign(bias * self.scale + self._shift)
        layer.bias.trainable = self.convolution.use_bias or (shifts and self.norm.center)

    def unfold(self, layer: Any) -> None:
        """Compute the weights of both from those of such a convolution."""
        self.convolution.kernel.assign(_values(layer.kernel) / self._kernel_scale)
        if self.convolution.use_bias:
            self.convolution.bias.assign((_values(layer.bias) - self._shift) / self.scale)
        elif layer.bias.trainable:
            self.norm.beta.assign_add(_values(layer.bias) - self._shift)

    @property
    def scale(self) -> np.ndarray:
        """Factor of the batch norm: (channels,)."""
        norm = self.norm
        gamma = _values(norm.gamma) if norm.scale else np.float32(1)
        scale: np.ndarray = gamma / np.sqrt(_values(norm.moving_variance) + norm.epsilon)
        return scale

    @property
    def _shift(self) -> np.ndarray:
        """Term of the batch norm: (channels,)."""
        beta = _values(self.norm.beta) if self.norm.center else np.float32(0)
        shift: np.ndarray = beta - _values(self.norm.moving_mean) * self.scale
        return shift

    @property
    def _kernel_scale(self) -> np.ndarray:
        """Scale in a shape that multiplies the convolution's kernel."""
        is_depthwise = isinstance(self.convolution, keras.layers.DepthwiseConv2D)
        return self.scale.reshape(1, 1, -1, 1) if is_depthwise else self.scale


def _foldable_pairs(network: keras.Model) -> list[_Pair]:
    nodes = [node for depth in network._nodes_by_depth.values() for node in depth if not node.is_input]
    users: dict[int, list[Any]] = {}
    for node in nodes:
        for tensor in node.input_tensors:
            users.setdefault(id(tensor), []).append(node.operation)
    pairs = [(node.operation, users.get(id(node.outputs[0]), [])) for node in nodes]
    return [_Pair(layer, after[0]) for layer, after in pairs if len(after) == 1 and _can_fold(layer, after[0])]


def _can_fold(layer: Any, norm: Any) -> bool:
    is_frozen_norm = isinstance(norm, keras.layers.BatchNormalization) and not norm.trainable
    if not (is_frozen_norm and type(layer) in FOLDABLE and layer.trainable):
        return False
    is_linear = layer.activation is keras.activations.linear
    one_output_per_channel = getattr(layer, "depth_multiplier", 1) == 1
    return is_linear and one_output_per_channel and bool(np.abs(_Pair(layer, norm).scale).min() > MIN_SCALE)


class Pointwise(keras.layers.Conv2D):  # type: ignore[misc]
    """A 1 × 1 convolution as a product of two matrices, whose gradients TensorFlow computes faster on a CPU.

    With `product_dtype` bfloat16 both factors are rounded to it before they are multiplied, and so are those of the
    gradients; sums, weights and everything else are float32 (docs/decisions/047). Outside a training step nothing is
    rounded, so that an epoch is judged as `predict` will classify.
    """

    product_dtype = "float32"

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Compute the convolution as a matrix product, and add the bias."""
        *positions, channels = keras.ops.shape(inputs)[1:]
        factors = keras.ops.reshape(inputs, (-1, channels)), keras.ops.reshape(self.kernel, (channels, self.filters))
        dtype = self.product_dtype if training else inputs.dtype
        product = keras.ops.cast(keras.ops.matmul(*(keras.ops.cast(factor, dtype) for factor in factors)), inputs.dtype)
        return keras.ops.add(keras.ops.reshape(product, (-1, *positions, self.filters)), self.bias)


def _with_bias(layer: Any, product_dtype: str) -> Any:
    is_pointwise = layer.kernel_size == layer.strides == (1, 1) and layer.groups == 1
    layer_class = Pointwise if is_pointwise and type(layer) is keras.layers.Conv2D else type(layer)
    folded: Any = layer_class.from_config(layer.get_config() | {"use_bias": True})
    if layer_class is Pointwise:
        folded.product_dtype = product_dtype
    return folded


def _values(variable: Any) -> np.ndarray:
    values: np.ndarray = keras.ops.convert_to_numpy(variable)
    return values
