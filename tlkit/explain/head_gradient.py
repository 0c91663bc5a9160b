"""The gradient of a head by its features, in NumPy: a few matrix products."""

from collections.abc import Mapping

import numpy as np

from tlkit.errors import RunError
from tlkit.models.head import GRID
from tlkit.models.map_grid import MapGrid
from tlkit.runs.manifest import HEAD_ARRAYS, MAX_SIDE
from tlkit.runs.run import Run
from tlkit.utils.arrays import ArrayHeader, check_shapes, open_arrays

MAX_BYTES = 1 << 30


class HeadGradient:
    """The head of a run: features to logits, and the gradient of a logit by the features.

    The softmax behind the logits and the temperature are left out, as in the paper of Grad-CAM.

    Attributes:
        grid: of the feature map whose averages are features; None where there is none
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take the arrays that `models.head.head_arrays` gives."""
        self._arrays = arrays
        self.grid = MapGrid(*map(float, arrays[GRID])) if GRID in arrays else None
        self._num_hidden = sum(name.startswith("kernel_") for name in arrays)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Compute logits: float32 (images, features) to (images, classes)."""
        arrays, hidden = self._arrays, self._hidden_values(features)
        logits = hidden[-1] @ arrays["kernel"] + arrays["bias"]
        return np.asarray(logits + features @ arrays["linear"] if "linear" in arrays else logits)

    def gradient(self, features: np.ndarray, label: int) -> np.ndarray:
        """Compute the derivatives of one class's logit: float32 (images, features), by each feature of each image."""
        arrays, hidden = self._arrays, self._hidden_values(features)
        gradient = np.repeat(arrays["kernel"][None, :, label], len(features), axis=0)
        for index in range(self._num_hidden, 0, -1):
            gradient = (gradient * (hidden[index] > 0)) @ arrays[f"kernel_{index}"].T
        if "scale" in arrays:
            gradient = gradient * arrays["scale"]
        return np.asarray(gradient + arrays["linear"][:, label] if "linear" in arrays else gradient)

    def _hidden_values(self, features: np.ndarray) -> list[np.ndarray]:
        """Compute the standardized features, and the output of each hidden layer."""
        arrays = self._arrays
        values = [features * arrays["scale"] + arrays["offset"] if "scale" in arrays else features]
        for index in range(1, self._num_hidden + 1):
            values.append(np.maximum(values[-1] @ arrays[f"kernel_{index}"] + arrays[f"bias_{index}"], 0))
        return values


def open_head_gradient(run: Run, num_features: int) -> HeadGradient:
    """Read the head of a run, checked against its hash.

    Args:
        num_features: that the network gives the head

    Raises:
        RunError
    """
    file = run.checked_file(HEAD_ARRAYS)
    try:
        with open_arrays(file, MAX_BYTES) as stored:
            sizes = {"features": num_features, "classes": len(run.manifest.class_names), "two": 2}
            check_shapes(stored.headers, _expected_shapes(stored.headers), sizes)
            arrays = stored.read_all()
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError("it has values that are not finite")
        if GRID in arrays and not (abs(arrays[GRID][0]) <= MAX_SIDE and 1 <= arrays[GRID][1] <= MAX_SIDE):
            raise ValueError("its feature map lies outside the image")
        return HeadGradient(arrays)
    except (OSError, ValueError) as error:
        reason = str(error).removeprefix("it is damaged: ")
        raise RunError(f"'{file}' is damaged ({reason}); restore it or train again.") from None


def _expected_shapes(headers: Mapping[str, ArrayHeader]) -> dict[str, str]:
    """Describe the arrays that a head with these names has, for `check_shapes`."""
    num_hidden = sum(name.startswith("kernel_") for name in headers)
    widths = ["features", *(f"hidden_{index}" for index in range(1, num_hidden + 1))]
    expected = {"kernel": f"f {widths[-1]} classes", "bias": "f classes"}
    for index in range(1, num_hidden + 1):
        expected[f"kernel_{index}"] = f"f {widths[index - 1]} {widths[index]}"
        expected[f"bias_{index}"] = f"f {widths[index]}"
    if "scale" in headers or "offset" in headers:
        expected |= {"scale": "f features", "offset": "f features"}
    if GRID in headers:
        expected[GRID] = "f two"
    return expected | ({"linear": "f features classes"} if "linear" in headers else {})
