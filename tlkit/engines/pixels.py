"""The engine below the first layer: nothing is frozen, so the pixels are the features."""

import numpy as np

from tlkit.engines.engine import Session


class PixelEngine:
    """Gives the pixels it is given."""

    batch_size = 1

    def session(self) -> Session:
        """See `Engine.session`."""
        return np.array
