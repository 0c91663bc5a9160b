"""Build a backbone with its weights as one flat network, from pixels 0 to 255 to features."""

import math
import os
import re
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkit.errors import ModelError
from tlkit.models.backbones import (
    CAFFE,
    FINER_MAP,
    LAST_MAP,
    TF,
    TORCH,
    Backbone,
    cached_backbones,
    check_size,
    imagenet_file,
)
from tlkit.models.cut import cut_points

MAX_NAMES = 5  # of backbones that a message lists
IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of RGB from 0 to 1, in Keras's torch mode
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
IMAGENET_MEAN_BGR = (103.939, 116.779, 123.68)  # of 0 to 255, in Keras's caffe mode


def build_backbone(spec: Backbone, weights: str, image_size: int, seed: int = 0) -> keras.Model:
    """Build the backbone without its classifier, flat, of standard layers.

    in:  float32 (batch, image_size, image_size, 3), RGB, 0 to 255
    out: float32 (batch, num_features), see `pool_features`

    Args:
        weights: "imagenet", "none" (random, drawn from `seed`) or a file

    Raises:
        ModelError
        OptionError
    """
    check_size(spec, image_size)
    keras.utils.set_random_seed(seed)
    weights = _readable_weights(spec, weights, image_size)
    network = _load_network(spec, weights, image_size)
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    preprocessed = preprocess(spec.preprocessing, pixels)
    rescale = spec.constructor.startswith("EfficientNetB") and weights not in ("imagenet", "none")
    flat = connect_to_pixels(network, pixels, preprocessed, _efficientnet_rescaling() if rescale else None)
    return keras.Model(pixels, pool_features(flat), name=spec.name)


def pool_features(flat: keras.Model) -> Any:
    """Average the last feature map and the last one of twice its resolution: (batch, num_features).

    The finer one has texture that the last one has lost to ImageNet's classes; it costs nothing,
    for it is computed anyway (docs/decisions/003). A network that cannot be cut there, NASNet, gives
    the last average alone.
    """
    last = flat.output
    height = last.shape[1]
    finer = [cut.tensor for cut in cut_points(flat) if len(cut.shape) == 3 and height < cut.shape[0] <= 2 * height + 1]
    average = keras.layers.GlobalAveragePooling2D(name="pooled")(last)
    if not finer:
        return average
    finer_average = keras.layers.GlobalAveragePooling2D(name="pooled_finer")(finer[-1])
    return keras.layers.Concatenate(name="features")([average, finer_average])


def feature_slices(body: keras.Model) -> dict[str, slice]:
    """Find the features that are the averages of each feature map: slices of a row, by layer name.

    A network that averages none, such as an architecture without pooling, has the last map alone.
    """
    if "pooled" not in {layer.name for layer in body.layers}:
        return {LAST_MAP: slice(0, None)}
    last = int(body.get_layer("pooled").output.shape[-1])
    slices = {LAST_MAP: slice(0, last)}
    return slices | {FINER_MAP: slice(last, None)} if body.output.shape[-1] > last else slices


def preprocess(mode: str, pixels: Any) -> Any:
    """Bring pixels 0 to 255 to the range a network was pretrained on, by standard layers.

    Args:
        mode: see `Backbone.preprocessing`
    """
    if mode == TF:
        return keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocessing")(pixels)
    if mode == TORCH:
        scale = [1 / (255 * deviation) for deviation in IMAGENET_DEVIATION]
        offset = [-mean / deviation for mean, deviation in zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)]
        return keras.layers.Rescaling(scale, offset=offset, name="preprocessing")(pixels)
    return _caffe_layer()(pixels) if mode == CAFFE else pixels


def _caffe_layer() -> keras.layers.Layer:
    """Make RGB to BGR minus the mean, as a frozen 1×1 convolution."""
    layer = keras.layers.Conv2D(3, 1, trainable=False, name="preprocessing")
    layer.build((None, None, None, 3))
    swap = np.eye(3, dtype="float32")[::-1].reshape(1, 1, 3, 3)
    layer.set_weights([swap, -np.array(IMAGENET_MEAN_BGR, dtype="float32")])
    return layer


def _efficientnet_rescaling() -> keras.layers.Layer:
    """Make the layer that Keras adds to EfficientNet V1 for `weights="imagenet"` only, not for the same file."""
    scale = [1 / math.sqrt(deviation) for deviation in IMAGENET_DEVIATION]
    return keras.layers.Rescaling(scale, name="normalization_correction")


def connect_to_pixels(
    network: keras.Model, pixels: Any, preprocessed: Any, rescaling: keras.layers.Layer | None
) -> keras.Model:
    """Connect the same layers to preprocessed pixels, as one flat network.

    Args:
        rescaling: a layer to add after the network's own normalization
    """

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a layer on the preprocessed pixels."""
        output = layer(*(preprocessed if tensor is pixels else tensor for tensor in args), **kwargs)
        if rescaling and isinstance(layer, keras.layers.Normalization):
            return rescaling(output)
        return output

    return keras.models.clone_model(
        network, input_tensors=pixels, clone_function=lambda layer: layer, call_function=call
    )


def _readable_weights(spec: Backbone, weights: str, image_size: int) -> str:
    """Give official weights in a folder that cannot be written to, which Keras ignores, as a file like any other."""
    file = imagenet_file(spec, image_size)
    is_ignored = weights == "imagenet" and file.is_file() and not os.access(file.parents[1], os.W_OK)
    return str(file) if is_ignored else weights


def _load_network(spec: Backbone, weights: str, image_size: int) -> keras.Model:
    if weights == "imagenet":
        return _load_imagenet(spec, image_size)
    network = _construct(spec, None, image_size)
    if weights != "none":
        _load_file(network, spec, Path(weights))
    return network


def _construct(spec: Backbone, weights: str | None, image_size: int) -> keras.Model:
    constructor = getattr(keras.applications, spec.constructor)
    shape = (image_size, image_size, 3)
    with warnings.catch_warnings():  # Keras warns that it takes the weights of the native size, which is intended
        warnings.simplefilter("ignore", UserWarning)
        return constructor(include_top=False, weights=weights, input_shape=shape, **spec.options)


def _load_imagenet(spec: Backbone, image_size: int) -> keras.Model:
    try:
        return _construct(spec, "imagenet", image_size)
    except Exception as error:  # Keras raises plain Exception when a download fails
        file = imagenet_file(spec, image_size)
        if file.exists():
            problem = f"'{file}' cannot be loaded ({_first_line(error)}); delete it to download it again, or"
        else:
            problem = f"the ImageNet weights {file.name} are not in '{file.parent}' and could not be downloaded;"
            if url := re.search(r"https://[^\s:]+", str(error)):  # Keras names it
                problem += f" download {url.group()} and"
        names = [name for name in cached_backbones() if name != spec.name]
        others = f", or use a backbone whose weights are here: {', '.join(names[:MAX_NAMES])}" if names else ""
        raise ModelError(
            f"{problem} copy the file there, set KERAS_HOME to a folder that has it, "
            f"use --weights FILE or --weights none{others}."
        ) from None


def _load_file(network: keras.Model, spec: Backbone, file: Path) -> None:
    """Load a weights file into the network.

    Raises:
        ModelError: it says why it does not fit
    """
    problem = _describe_weights_file(file)
    try:
        with warnings.catch_warnings():  # Keras warns of every layer before it raises
            warnings.simplefilter("ignore", UserWarning)
            network.load_weights(file)
    except Exception as error:  # h5py, zipfile and Keras each raise their own
        raise ModelError(
            f"'{file}' {problem or f'does not fit {spec.name} ({_first_line(error)})'}; "
            f"expected weights of {spec.constructor} without its classifier, as `model.save_weights` writes them."
        ) from None
    if not all(np.isfinite(value).all() for value in network.get_weights()):
        raise ModelError(f"'{file}' contains NaN or infinite values; download the weights of {spec.name} again.")


def _describe_weights_file(file: Path) -> str:
    """Describe what is wrong with a file by its first bytes, as the middle of a sentence; "" for a weights file."""
    try:
        start = file.open("rb").read(64)
    except OSError as error:
        raise ModelError(f"the weights file '{file}' cannot be read ({error.strerror}); check its path.") from None
    if start.startswith((b"\x89HDF", b"PK")):
        return ""
    lines = start.decode("utf-8", "replace").strip().splitlines()
    return f"is not a weights file: it starts with {lines[0][:40]!r}" if lines else "is empty"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
