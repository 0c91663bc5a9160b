"""A classifier written as a `.keras` file without Keras: the file of its network, and a trained head on top.

The file is a zip of the layers in JSON and of their weights in HDF5. The network's part is as Keras wrote it, when the
network was converted; the head has six kinds of layers, which are written here as Keras names them, and Keras fills in
the rest of their options when it opens the file. docs/decisions/046.
"""

import io
import json
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.models.head import EPSILON, MOMENTUM, Head
from tlkit.utils.files import atomic_open

METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"
Layer = tuple[str, dict[str, Any], Sequence[np.ndarray]]  # its class, its options, its weights
Source = tuple[str, int]  # the name of a layer, and how many values it gives


def write_keras_file(body: Path, head: Head, weights: Mapping[str, np.ndarray], file: Path) -> None:
    """Write a classifier as Keras saves it: float32 pixels (batch, size, size, 3) to probabilities.

    Args:
        body: the network up to its features, as Keras saved it
        weights: of the head, by the names of `HeadLearner.weights`

    Raises:
        OSError, KeyError, ValueError, zipfile.BadZipFile: if `body` is damaged
    """
    import h5py

    with zipfile.ZipFile(body) as opened:
        metadata, config = (json.loads(opened.read(name)) for name in (METADATA, CONFIG))
        arrays = io.BytesIO(opened.read(WEIGHTS))
    network = config["config"]
    output, num_features = network["output_layers"][0], len(weights.get("linear", weights.get("gamma", ())))
    num_features = num_features or len(weights["kernel_1" if head.hidden else "kernel"])
    for layer in network["layers"]:
        layer["config"]["trainable"] = False
    counts = _count_classes(network["layers"])
    with h5py.File(arrays, "r+") as stored:
        for (kind, options, values), sources in _head_layers(head, weights, (output, num_features)):
            network["layers"].append(_layer_config(kind, options, sources))
            group = stored.create_group(f"layers/{_group_name(kind, counts)}/vars")
            group.attrs["name"] = options["name"]
            for index, value in enumerate(values):
                group.create_dataset(str(index), data=value)
        stored["vars"].attrs["name"] = "classifier"
    network |= {"name": "classifier", "output_layers": ["probabilities", 0, 0]}
    metadata["date_saved"] = time.strftime("%Y-%m-%d@%H:%M:%S")
    with atomic_open(file, "wb") as out, zipfile.ZipFile(out, "w") as written:
        for name, content in ((METADATA, metadata), (CONFIG, config)):
            written.writestr(name, json.dumps(content))
        written.writestr(WEIGHTS, arrays.getvalue())


def _head_layers(
    head: Head, weights: Mapping[str, np.ndarray], features: Source
) -> Iterator[tuple[Layer, list[Source]]]:
    """List the layers of `attach_head` in their order, each with what it takes."""
    num_classes, last = len(weights["bias"]), features
    if head.batch_norm:
        options = {"name": "head_batch_norm", "axis": -1, "momentum": MOMENTUM, "epsilon": EPSILON}
        statistics = [weights[name] for name in ("gamma", "beta", "mean", "variance")]
        yield ("BatchNormalization", options, statistics), [last]
        last = "head_batch_norm", features[1]
    for index, units in enumerate(head.hidden, 1):
        name = f"head_hidden_{index}" if index > 1 else "head_hidden"
        kernel = weights[f"kernel_{index}"], weights[f"bias_{index}"]
        yield ("Dense", _dense(head, name, units) | {"activation": "relu"}, kernel), [last]
        last = name, units
    if head.dropout:
        yield ("Dropout", {"name": "head_dropout", "rate": head.dropout}, ()), [last]
        last = "head_dropout", last[1]
    logits = _dense(head, "head_logits", num_classes)
    yield ("Dense", logits, (weights["kernel"], weights["bias"])), [last]
    last = "head_logits", num_classes
    if head.hidden:
        linear = _dense(head, "head_linear", num_classes) | {"use_bias": False}
        yield ("Dense", linear, (weights["linear"],)), [features]
        yield ("Add", {"name": "head_sum"}, ()), [last, ("head_linear", num_classes)]
        last = "head_sum", num_classes
    yield ("Softmax", {"name": "probabilities", "axis": -1}, ()), [last]


def _dense(head: Head, name: str, units: int) -> dict[str, Any]:
    penalty = None
    if head.l1 or head.l2:
        penalty = _keras_object("keras.regularizers", "L1L2", {"l1": head.l1, "l2": head.l2})
    return {"name": name, "units": units, "kernel_regularizer": penalty}


def _layer_config(kind: str, options: dict[str, Any], sources: list[Source]) -> dict[str, Any]:
    """Write a layer and what it takes as Keras does."""
    tensors = [
        {
            "class_name": "__keras_tensor__",
            "config": {"shape": [None, length], "dtype": "float32", "keras_history": [name, 0, 0]},
        }
        for name, length in sources
    ]
    shapes = [[None, length] for _, length in sources]
    several = len(sources) > 1
    return _keras_object("keras.layers", kind, options | {"trainable": True, "dtype": "float32"}) | {
        "name": options["name"],
        "build_config": {"input_shape": shapes if several else shapes[0]},
        "inbound_nodes": [{"args": [tensors] if several else tensors, "kwargs": {}}],
    }


def _keras_object(module: str, kind: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"module": module, "class_name": kind, "config": config, "registered_name": None}


def _count_classes(layers: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count the layers of each class: their weights are numbered by it."""
    counts = dict[str, int]()
    for layer in layers:
        counts[layer["class_name"]] = counts.get(layer["class_name"], 0) + 1
    return counts


GROUPS = {"BatchNormalization": "batch_normalization"}  # names in HDF5 that are not the class in small letters


def _group_name(kind: str, counts: dict[str, int]) -> str:
    """Name the group of the next layer of a class, and count it."""
    number = counts.get(kind, 0)
    counts[kind] = number + 1
    name = GROUPS.get(kind, kind.lower())
    return f"{name}_{number}" if number else name
