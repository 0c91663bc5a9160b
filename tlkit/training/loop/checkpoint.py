"""The state of a training on disk, written whole after an epoch or not at all, to continue from exactly there.

Keras's own checkpoints truncate the old file before they write the new one, and know neither the
state of random draws nor the order of images (Keras 3.15). Here both depend on seed and epoch alone.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.errors import RunError
from tlkit.training.loop.history import EpochRecord
from tlkit.training.loop.learner import Learner
from tlkit.utils.arrays import ArrayFile, open_arrays
from tlkit.utils.files import atomic_open

MAX_BYTES = 32 << 30  # of a checkpoint: weights, best weights and moments of the largest network are a third of it
SECONDS_BETWEEN = 2.0  # shorter epochs share a checkpoint: to redo them takes no longer than to write each


@dataclass
class TrainingState:
    """Progress of a phase.

    Attributes:
        best: the weights of its best epoch; before the first, those it started from
        batch_size: images per step; less than planned where memory did not suffice
        history: one record per epoch
        notes: what a person should know
        ended: whether it is over
        lr_scale: fraction of the planned learning rate; less than 1 after a divergence
        restarted_at: the epoch after which batch size or learning rate was changed, and the optimizer restarted
        divergences: how often it diverged
        epoch_seconds: of the last epoch without what only its first step takes, such as tracing a graph; not kept
    """

    best: list[np.ndarray]
    batch_size: int
    history: list[EpochRecord] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ended: bool = False
    lr_scale: float = 1.0
    restarted_at: int = 0
    divergences: int = 0
    epoch_seconds: float = 0.0

    @property
    def epoch(self) -> int:
        """The last epoch that ended; 0 before the first."""
        return self.history[-1].epoch if self.history else 0


@dataclass
class Checkpoint:
    """The checkpoint of one phase of one run.

    Attributes:
        file: a `.npz` of arrays and the rest as JSON; no pickle
    """

    file: Path
    _written: float = field(default_factory=time.monotonic)

    def save(self, learner: Learner, state: TrainingState) -> None:
        """Write the state after an epoch, unless the last was written a moment ago."""
        if not state.ended and time.monotonic() - self._written < SECONDS_BETWEEN:
            return
        content = {name: value for name, value in vars(state).items() if name not in ("best", "history")}
        content["history"] = [asdict(record) for record in state.history]
        arrays: dict[str, Any] = {f"variable_{index}": value for index, value in enumerate(learner.get_state())}
        arrays |= {f"best_{index}": value for index, value in enumerate(state.best)}
        arrays["state"] = np.array(json.dumps(content))
        with atomic_open(self.file, "wb") as file:
            np.savez(file, **arrays)
        self._written = time.monotonic()

    def load(self, learner: Learner, prepare: Callable[[TrainingState], None]) -> TrainingState | None:
        """Put a learner into the state that was saved.

        Args:
            prepare: gives it the optimizer of a state, before that is filled

        Returns:
            The state; None where nothing was saved

        Raises:
            RunError: if the file does not fit the learner
        """
        if not self.file.exists():
            return None
        try:
            with open_arrays(self.file, MAX_BYTES) as arrays:
                best = _read_like(arrays, "best", learner.get_weights())
                content = json.loads(str(arrays.read("state")))
                content["history"] = [EpochRecord(**record) for record in content["history"]]
                state = TrainingState(best, **content)
                prepare(state)
                learner.set_state(_read_like(arrays, "variable", learner.get_state()))
            return state
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RunError(
                f"'{self.file}' is damaged ({error}); remove it, then --resume restarts the phase."
            ) from None


def _read_like(arrays: ArrayFile, name: str, values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Read an array for each value, once it is clear that there is one of its shape for each; else ValueError"""
    for index, value in enumerate(values):
        header = arrays.headers.get(f"{name}_{index}")
        if header is None or header.shape != value.shape:
            raise ValueError(f"'{name}_{index}' does not fit the model")
    return [arrays.read(f"{name}_{index}") for index in range(len(values))]
