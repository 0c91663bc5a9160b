"""Several converted networks run one after the other: a frozen lower part, then the trained rest."""

from collections.abc import Sequence

import numpy as np

from tlkit.engines.engine import Engine, Session


class ChainEngine:
    """Engines of one batch size, each fed with what the one before gives."""

    def __init__(self, stages: Sequence[Engine]) -> None:
        self._stages = stages
        self.batch_size = stages[0].batch_size

    def session(self) -> Session:
        """See `Engine.session`."""
        sessions = [stage.session() for stage in self._stages]

        def run(rows: np.ndarray) -> np.ndarray:
            for session in sessions:
                rows = session(rows)
            return rows

        return run
