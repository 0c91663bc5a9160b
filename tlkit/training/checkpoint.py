"""What a training needs to go on exactly where it was: written whole after an epoch, or not at all.

Keras's own checkpoints truncate the old file before they write the new one, and know neither the
state of random draws nor the order of images (Keras 3.15). Here both depend on seed and epoch alone.
"""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkit.errors import RunError
from tlkit.files import open_atomically

SECONDS_BETWEEN = 2.0  # shorter epochs share a checkpoint: to redo them takes no longer than to write each


@dataclass
class Checkpoint:
    """The checkpoint of one phase of one run.

    file  a `.npz` of arrays and the history as JSON; no pickle
    """

    file: Path
    _written: float = field(default_factory=time.monotonic)

    def save(self, model: keras.Model, best: list[np.ndarray], history: list[dict[str, Any]], is_last: bool) -> None:
        """Write the state after an epoch, unless the last was written a moment ago."""
        if not is_last and time.monotonic() - self._written < SECONDS_BETWEEN:
            return
        arrays: dict[str, Any] = {f"variable_{place}": value for place, value in enumerate(_state(model))}
        arrays |= {f"best_{place}": value for place, value in enumerate(best)}
        arrays["history"] = np.array(json.dumps({"rows": history, "ended": is_last}))
        with open_atomically(self.file, "wb") as file:
            np.savez(file, **arrays)
        self._written = time.monotonic()

    def load(self, model: keras.Model) -> tuple[list[np.ndarray], list[dict[str, Any]], bool] | None:
        """Put a model, compiled as it was, into the state that was saved.

        returns: the best weights, the history and whether the phase had ended; None where nothing was saved
        raises: RunError where the file does not fit the model
        """
        if not self.file.exists():
            return None
        try:
            with np.load(self.file, allow_pickle=False) as kept:
                content = json.loads(str(kept["history"]))
                _set_state(model, [kept[f"variable_{place}"] for place in range(len(_variables(model)))])
                best = [kept[f"best_{place}"] for place in range(len(model.weights))]
            return best, content["rows"], content["ended"]
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise RunError(
                f"'{self.file}' is damaged ({error}); remove it, and --resume begins the phase anew."
            ) from None


def seed_draws(model: keras.Model, seed: int, epoch: int) -> None:
    """Make every random draw of an epoch, such as dropout's, depend on seed, epoch and layer alone.

    Layers that draw are counted from the output down, so that a network and its upper part draw alike.
    """
    generators = [getattr(layer, "seed_generator", None) for layer in reversed(model.layers)]
    for rank, generator in enumerate(found for found in generators if found is not None):
        drawn = np.random.SeedSequence((seed, epoch, rank)).generate_state(2)
        generator.state.assign(drawn.astype(generator.state.dtype))


def _variables(model: keras.Model) -> list[Any]:
    model.optimizer.build(model.trainable_variables)
    return [*model.weights, *model.optimizer.variables]


def _state(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(variable) for variable in _variables(model)]


def _set_state(model: keras.Model, values: list[np.ndarray]) -> None:
    for variable, value in zip(_variables(model), values, strict=True):
        variable.assign(value)
