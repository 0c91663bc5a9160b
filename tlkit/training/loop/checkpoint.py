"""What a training needs to go on exactly where it was: written whole after an epoch, or not at all.

Keras's own checkpoints truncate the old file before they write the new one, and know neither the
state of random draws nor the order of images (Keras 3.15). Here both depend on seed and epoch alone.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkit.errors import RunError
from tlkit.utils.files import atomic_open

SECONDS_BETWEEN = 2.0  # shorter epochs share a checkpoint: to redo them takes no longer than to write each


Epoch = dict[str, Any]  # one row of the history


@dataclass
class TrainingState:
    """How far a phase has come.

    best         the weights of its best epoch; before the first, those it started from
    batch_size   images per step; less than planned where memory did not suffice
    history      one row per epoch, with `HISTORY_COLUMNS` of fit.py
    notes        what a person should know
    ended        whether it is over
    rate         share of the planned rate; less than 1 after a divergence
    since        the epoch after which batch size or rate was changed, and the optimizer begun anew
    divergences  how often it diverged
    """

    best: list[np.ndarray]
    batch_size: int
    history: list[Epoch] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ended: bool = False
    rate: float = 1.0
    since: int = 0
    divergences: int = 0


@dataclass
class Checkpoint:
    """The checkpoint of one phase of one run.

    file  a `.npz` of arrays and the history as JSON; no pickle
    """

    file: Path
    _written: float = field(default_factory=time.monotonic)

    def save(self, model: keras.Model, standing: TrainingState) -> None:
        """Write the state after an epoch, unless the last was written a moment ago."""
        if not standing.ended and time.monotonic() - self._written < SECONDS_BETWEEN:
            return
        facts = {name: value for name, value in vars(standing).items() if name != "best"}
        arrays: dict[str, Any] = {f"variable_{place}": value for place, value in enumerate(_state(model))}
        arrays |= {f"best_{place}": value for place, value in enumerate(standing.best)}
        arrays["standing"] = np.array(json.dumps(facts))
        with atomic_open(self.file, "wb") as file:
            np.savez(file, **arrays)
        self._written = time.monotonic()

    def load(self, model: keras.Model, prepare: Callable[[TrainingState], None]) -> TrainingState | None:
        """Put a model into the state that was saved.

        prepare: compiles the model for a standing, before its optimizer is filled
        returns: where the phase stands; None where nothing was saved
        raises: RunError where the file does not fit the model
        """
        if not self.file.exists():
            return None
        try:
            with np.load(self.file, allow_pickle=False) as kept:
                best = [kept[f"best_{place}"] for place in range(len(model.weights))]
                standing = TrainingState(best, **json.loads(str(kept["standing"])))
                prepare(standing)
                _set_state(model, [kept[f"variable_{place}"] for place in range(len(_variables(model)))])
            return standing
        except (OSError, ValueError, TypeError, KeyError, EOFError) as error:
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
