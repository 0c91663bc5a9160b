"""The head of a classifier as a `.tflite` file, from its arrays alone."""

from collections.abc import Mapping

import numpy as np

from tlkit.engines.litert_file import LiteRTFile


def head_to_litert(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Write the head as a network of one row: float32 (1, features) to probabilities (1, classes).

    Args:
        arrays: as `models.head.head_arrays` names them; `grid` is not read
    """
    first = "kernel_1" if "kernel_1" in arrays else "kernel"
    file = LiteRTFile()
    features = values = file.tensor("features", (1, arrays[first].shape[0]))
    file.inputs = [features]
    if "scale" in arrays:
        values = file.elementwise("Mul", values, file.constant(arrays["scale"]))
        values = file.elementwise("Add", values, file.constant(arrays["offset"]))
    num_hidden = sum(name.startswith("kernel_") for name in arrays)
    for index in range(1, num_hidden + 1):
        values = file.dense(values, arrays[f"kernel_{index}"], arrays[f"bias_{index}"], "RELU")
    logits = file.dense(values, arrays["kernel"], arrays["bias"])
    if "linear" in arrays:
        linear = file.dense(features, arrays["linear"], np.zeros_like(arrays["bias"]))
        logits = file.elementwise("Add", logits, linear)
    file.outputs = [file.softmax(logits)]
    return file.to_bytes()
