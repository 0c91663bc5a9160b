"""Builds a backbone as one flat network from pixels 0 to 255 to features, weights and all."""

import math
import os
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkit.errors import ModelError
from tlkit.models.backbones import CAFFE, FINER_MAP, LAST_MAP, TF, TORCH, Backbone, check_size, imagenet_file
from tlkit.models.cut import cut_points

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of RGB from 0 to 1, as Keras's torch mode has them
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
IMAGENET_MEAN_BGR = (103.939, 116.779, 123.68)  # of 0 to 255, as Keras's caffe mode has them


def build_backbone(row: Backbone, weights: str, image_size: int, seed: int = 0) -> keras.Model:
    """The backbone without its classifier, flat, of standard layers.

    in:  float32 (batch, image_size, image_size, 3), RGB, 0 to 255
    out: float32 (batch, num_features), see `pool`
    weights: "imagenet", "none" (random, drawn from `seed`) or a file
    raises: ModelError, OptionError
    """
    check_size(row, image_size)
    keras.utils.set_random_seed(seed)
    weights = _as_file(row, weights, image_size)
    network = _weighted(row, weights, image_size)
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    ready = preprocess(row.preprocessing, pixels)
    rescale = row.constructor.startswith("EfficientNetB") and weights not in ("imagenet", "none")
    flat = _on_pixels(network, pixels, ready, _efficientnet_rescaling() if rescale else None)
    return keras.Model(pixels, pool_features(flat), name=row.name)


def pool_features(flat: keras.Model) -> Any:
    """One vector per image: the averages of the last feature map and of the last one twice as fine.

    The finer one keeps texture that the last one has given up for ImageNet's classes; it costs
    nothing, for it is computed anyway (docs/decisions/003). A network that cannot be cut there,
    NASNet, gives the last average alone.
    """
    last = flat.output
    height = last.shape[1]
    finer = [cut.tensor for cut in cut_points(flat) if len(cut.shape) == 3 and height < cut.shape[0] <= 2 * height + 1]
    averages = [keras.layers.GlobalAveragePooling2D(name="pooled")(last)]
    if not finer:
        return averages[0]
    averages.append(keras.layers.GlobalAveragePooling2D(name="pooled_finer")(finer[-1]))
    return keras.layers.Concatenate(name="features")(averages)


def feature_slices(body: keras.Model) -> dict[str, slice]:
    """Which of a body's features are averages of which feature map; all are the last one's where none are."""
    if "pooled" not in {layer.name for layer in body.layers}:
        return {LAST_MAP: slice(0, None)}
    last = int(body.get_layer("pooled").output.shape[-1])
    found = {LAST_MAP: slice(0, last)}
    return found | {FINER_MAP: slice(last, None)} if body.output.shape[-1] > last else found


def preprocess(mode: str, pixels: Any) -> Any:
    """Pixels 0 to 255 in the range a network was pretrained on, by standard layers."""
    if mode == TF:
        return keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocessing")(pixels)
    if mode == TORCH:
        scale = [1 / (255 * deviation) for deviation in IMAGENET_DEVIATION]
        offset = [-mean / deviation for mean, deviation in zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)]
        return keras.layers.Rescaling(scale, offset=offset, name="preprocessing")(pixels)
    return _caffe_layer()(pixels) if mode == CAFFE else pixels


def _caffe_layer() -> keras.layers.Layer:
    """RGB to BGR minus the mean, as a frozen 1×1 convolution."""
    layer = keras.layers.Conv2D(3, 1, trainable=False, name="preprocessing")
    layer.build((None, None, None, 3))
    swap = np.eye(3, dtype="float32")[::-1].reshape(1, 1, 3, 3)
    layer.set_weights([swap, -np.array(IMAGENET_MEAN_BGR, dtype="float32")])
    return layer


def _efficientnet_rescaling() -> keras.layers.Layer:
    """The layer Keras adds to EfficientNet V1 for the word "imagenet" only, whatever file is loaded."""
    scale = [1 / math.sqrt(deviation) for deviation in IMAGENET_DEVIATION]
    return keras.layers.Rescaling(scale, name="normalization_correction")


def _on_pixels(network: keras.Model, pixels: Any, ready: Any, rescaling: keras.layers.Layer | None) -> keras.Model:
    """The same layers, wired to start from preprocessed pixels."""

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        output = layer(*(ready if value is pixels else value for value in args), **kwargs)
        if rescaling and isinstance(layer, keras.layers.Normalization):
            return rescaling(output)
        return output

    return keras.models.clone_model(
        network, input_tensors=pixels, clone_function=lambda layer: layer, call_function=call
    )


def _as_file(row: Backbone, weights: str, image_size: int) -> str:
    """Official weights in a folder that cannot be written to, which Keras passes by, as a file like any other."""
    file = imagenet_file(row, image_size)
    passed_by = weights == "imagenet" and file.is_file() and not os.access(file.parents[1], os.W_OK)
    return str(file) if passed_by else weights


def _weighted(row: Backbone, weights: str, image_size: int) -> keras.Model:
    if weights == "imagenet":
        return _with_imagenet(row, image_size)
    network = _construct(row, None, image_size)
    if weights != "none":
        _load_file(network, row, Path(weights))
    return network


def _construct(row: Backbone, weights: str | None, image_size: int) -> keras.Model:
    constructor = getattr(keras.applications, row.constructor)
    shape = (image_size, image_size, 3)
    with warnings.catch_warnings():  # that weights of the native size are taken is what we ask for
        warnings.simplefilter("ignore", UserWarning)
        return constructor(include_top=False, weights=weights, input_shape=shape, **row.options)


def _with_imagenet(row: Backbone, image_size: int) -> keras.Model:
    try:
        return _construct(row, "imagenet", image_size)
    except Exception as error:  # Keras raises plain Exception when a download fails
        file = imagenet_file(row, image_size)
        if file.exists():
            problem = f"'{file}' cannot be loaded ({_first_line(error)}); delete it to fetch it anew"
        else:
            problem = f"the ImageNet weights {file.name} are not in '{file.parent}' and could not be downloaded"
        raise ModelError(
            f"{problem}; or copy the file there, set KERAS_HOME to a folder that has it, "
            "or pass --weights FILE or --weights none."
        ) from None


def _load_file(network: keras.Model, row: Backbone, file: Path) -> None:
    """raises: ModelError that says why a weights file does not fit."""
    kind = _describe_weights_file(file)
    try:
        with warnings.catch_warnings():  # Keras warns of every layer before it raises
            warnings.simplefilter("ignore", UserWarning)
            network.load_weights(file)
    except Exception as error:  # h5py, zipfile and Keras each raise their own
        raise ModelError(
            f"'{file}' {kind or f'does not fit {row.name} ({_first_line(error)})'}; "
            f"expected weights of {row.constructor} without classifier, as `model.save_weights` writes them."
        ) from None
    if not all(np.isfinite(value).all() for value in network.get_weights()):
        raise ModelError(f"'{file}' holds values that are not numbers; get the weights of {row.name} anew.")


def _describe_weights_file(file: Path) -> str:
    """What is wrong with a weights file at first sight, as the middle of a sentence, or nothing."""
    try:
        start = file.open("rb").read(64)
    except OSError as error:
        raise ModelError(f"the weights file '{file}' cannot be read ({error.strerror}); check its path.") from None
    if start.startswith((b"\x89HDF", b"PK")):
        return ""
    shown = start.decode("utf-8", "replace").strip().splitlines()
    return f"is no weights file: it starts with {shown[0][:40]!r}" if shown else "is empty"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
