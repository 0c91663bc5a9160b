"""Images that a unit of a network responds to most, found by gradient ascent on the pixels.

The objective is a unit's activation (Erhan et al. 2009; Simonyan et al. 2014): for a channel of a convolution its mean
over all positions. An image is a sum of waves (Olah et al. 2017, "Feature Visualization"): the amplitudes of an image
that is natural fall with the frequency (Field 1987), and so does the step of each wave. Colors are sums of brightness,
red against blue, and green against both, which are nearly uncorrelated in photos (Ohta et al. 1980). In every second
step the image is shifted, turned and scaled a little, and its total variation is a penalty (Mahendran and Vedaldi 2015;
Yosinski et al. 2015), so that the result does not depend on single pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlkit.errors import ModelError
from tlkit.models.keras_setup import start_keras
from tlkit.utils.progress import Progress, Silent
from tlkit.visualization.network import InspectedNetwork, NetworkLayer

NUM_UNITS = 6  # without a choice, spread over the layer
COLOR_AXES = ((1, 1, 1), (1, 0, -1), (1, -2, 1))  # brightness, red against blue, green against both (Ohta et al. 1980)
COLOR_DEVIATIONS = (1.0, 0.44, 0.25)  # along them, of the logits of pixels of 217 photos; of brightness 1
START = 0.05  # standard deviation of the first waves
LEARNING_RATE = 0.02  # of Adam; a larger one makes black, white and full colors
MAX_WAKES, MORE_NOISE = 4, 4.0  # times that an image without a gradient gets more noise; the factor
EPSILON = 1e-16  # of Adam: some gradients are far below its usual 1e-7, and only their direction counts
LEAK = 0.1  # of the rectified maps: where a channel is silent, it still has a gradient
VARIATION = 0.1  # weight of the total variation per pixel
IDENTITY = (1, 0, 0, 0, 1, 0, 0, 0)  # an affine map, as TensorFlow writes it
MAX_TURN, MAX_SCALE, MAX_SHIFT = 0.1, 1.1, 1 / 16  # radians; factor; fraction of the height


@dataclass(frozen=True)
class Maximized:
    """Images that maximize units.

    Attributes:
        layer: whose units they are
        units: in the order of the images
        images: uint8 (units, size, size, 3), RGB
        activations: float32 (units,), of these images: of a channel the mean over all positions, rectified; of a unit
            without positions its value before the activation function
        before: float32 (units,), the same of the images at the start, which are gray with a little noise
    """

    layer: NetworkLayer
    units: tuple[int, ...]
    images: np.ndarray
    activations: np.ndarray
    before: np.ndarray


def spread_units(layer: NetworkLayer, count: int = NUM_UNITS) -> tuple[int, ...]:
    """Choose units evenly from a layer, as neighbors in a layer have nothing in common."""
    num_units = layer.shape[-1]
    return tuple(int(unit) for unit in np.linspace(0, num_units - 1, min(num_units, count)))


def maximize(
    network: InspectedNetwork,
    layer: NetworkLayer,
    units: Sequence[int],
    steps: int = 64,
    seed: int = 0,
    progress: Progress | None = None,
) -> Maximized:
    """Find an image for each unit of a layer that it responds to most.

    Args:
        units: channels of a convolution, or units of a dense layer
        steps: of gradient ascent
        seed: of the noise at the start and of the shifts

    Raises:
        ModelError: if the activations are not finite
    """
    keras = start_keras()
    objective = keras.Model(network.model.input, before_activation(keras, layer))
    ascent = _Ascent(keras, objective, tuple(units), network.image.size, seed)
    ascent.wake()
    before = ascent.activations(ascent.images())
    with (progress or Silent()).stage("maximizing", steps, "steps") as advance:
        for _ in range(steps):
            ascent.step()
            advance(1)
    images = ascent.images()
    activations = ascent.activations(images)
    if not np.isfinite(activations).all():
        raise ModelError(f"{layer.name} of {network.name} has values that are not finite; its weights are damaged.")
    return Maximized(layer, tuple(units), images, activations, before)


def before_activation(keras: Any, layer: NetworkLayer) -> Any:
    """Give the tensor of a layer before its activation function.

    A rectified unit that is silent has no gradient, and a softmax rises also where the other classes fall.
    """
    inner = layer.layer
    if type(inner).__name__ in ("Activation", "ReLU", "LeakyReLU", "Softmax"):
        return layer.inputs[0]
    has_kernel = getattr(inner, "kernel", None) is not None or getattr(inner, "depthwise_kernel", None) is not None
    if not has_kernel or getattr(inner, "activation", None) in (None, keras.activations.linear):
        return layer.tensor
    linear = type(inner).from_config(inner.get_config() | {"activation": None, "name": f"{inner.name}_linear"})
    output = linear(layer.inputs[0])
    linear.set_weights(inner.get_weights())
    return output


class _Ascent:
    """Gradient ascent from one image per unit; the images do not depend on each other."""

    def __init__(self, keras: Any, objective: Any, units: tuple[int, ...], size: int, seed: int) -> None:
        import tensorflow as tf

        self._tf, self._objective, self._size = tf, objective, size
        self._random, self._count = np.random.default_rng(seed), len(units)
        self._is_sharp = False
        self._chosen = tf.constant(list(enumerate(units)))
        axes = np.array(COLOR_AXES) / np.linalg.norm(COLOR_AXES, axis=1, keepdims=True)
        self._colors = tf.constant(axes * np.array(COLOR_DEVIATIONS)[:, None], tf.float32)
        frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
        self._amplitudes = tf.constant(size / np.maximum(frequency, 1 / size), tf.complex64)
        # noise is drawn image by image, so that an image is the same alone and among others
        shape = (2, 3, *frequency.shape)
        waves = np.stack([np.random.default_rng([seed, unit]).normal(0, START, shape) for unit in units], axis=1)
        self._waves = tf.Variable(waves, dtype=tf.float32)
        self._optimizer = keras.optimizers.Adam(LEARNING_RATE, epsilon=EPSILON)
        self._gradient = tf.function(self._compute_gradient)

    def images(self) -> np.ndarray:
        """Give the images: uint8 (units, size, size, 3)."""
        images: np.ndarray = np.nan_to_num(np.asarray(self._images()))
        return (255 * images).round().astype(np.uint8)

    def activations(self, images: np.ndarray) -> np.ndarray:
        """Give the activation of each image's unit, for uint8 (units, size, size, 3)."""
        return np.asarray(self._activations(self._tf.constant(images / 255, self._tf.float32)))

    def wake(self) -> None:
        """Give more noise to images without a gradient: nearly gray ones can silence every unit on the way."""
        for _ in range(MAX_WAKES):
            gradient = self._gradient(self._tf.constant([IDENTITY], self._tf.float32), self._tf.constant(0.0))
            silent = np.abs(gradient).max(axis=(0, 2, 3, 4)) == 0
            if not silent.any():
                break
            self._waves.assign(self._waves * np.where(silent, MORE_NOISE, 1.0).reshape(1, -1, 1, 1, 1))

    def step(self) -> None:
        """Take a step up, seen through a shift, a turn and a scale that are new in every step."""
        self._optimizer.apply([self._gradient(self._draw_transforms(), self._tf.constant(VARIATION))], [self._waves])

    def _images(self) -> Any:
        tf = self._tf
        waves = tf.complex(self._waves[0], self._waves[1]) * self._amplitudes
        values = tf.transpose(tf.signal.irfft2d(waves, [self._size, self._size]), [0, 2, 3, 1])
        return tf.sigmoid(values @ self._colors)

    def _activations(self, images: Any, leak: float = 0.0) -> Any:
        tf = self._tf
        output = self._objective(255 * images, training=False)
        if len(output.shape) > 2:
            output = tf.nn.leaky_relu(output, leak)  # else bright and dark edges cancel out in the mean
        output = tf.reshape(output, (self._count, -1, output.shape[-1]))
        return tf.gather_nd(tf.reduce_mean(output, axis=1), self._chosen)

    def _compute_gradient(self, transforms: Any, variation: Any) -> Any:
        tf = self._tf
        with tf.GradientTape() as tape:
            images = self._images()
            moved = tf.raw_ops.ImageProjectiveTransformV3(
                images=images,
                transforms=transforms,
                output_shape=(self._size, self._size),
                fill_value=0.5,
                interpolation="BILINEAR",
                fill_mode="REFLECT",
            )
            loss = variation * tf.reduce_sum(tf.image.total_variation(images)) / self._size**2
            loss -= tf.reduce_sum(self._activations(moved, LEAK))
        return tape.gradient(loss, self._waves)

    def _draw_transforms(self) -> Any:
        """Draw a shift, a turn and a scale: the map from a pixel of the moved image to one of the image.

        Every second one leaves the image as it is: a turn blurs it, and what it blurs would never be judged.
        """
        turn = self._random.uniform(-MAX_TURN, MAX_TURN)
        scale = self._random.uniform(1 / MAX_SCALE, MAX_SCALE)
        shift = self._random.uniform(-MAX_SHIFT, MAX_SHIFT, 2) * self._size
        self._is_sharp = not self._is_sharp
        if self._is_sharp:
            turn, scale, shift = 0.0, 1.0, np.zeros(2)
        middle, cos, sin = (self._size - 1) / 2, scale * np.cos(turn), scale * np.sin(turn)
        x, y = middle * (1 - cos + sin) + shift[0], middle * (1 - sin - cos) + shift[1]
        return self._tf.constant([[cos, -sin, x, sin, cos, y, 0, 0]], self._tf.float32)
