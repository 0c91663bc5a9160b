"""The classic pipeline as an engine: pictures described by hand, and told apart without a network."""

from pathlib import Path

from tlkit.engines.engine import Session
from tlkit.shallow.descriptors import Descriptor, resized
from tlkit.shallow.pipeline import open_pipeline


class ClassicEngine:
    """A fitted pipeline: uint8 (1, side, side, 3), or features, to float32 (…, classes)."""

    batch_size = 1

    def __init__(self, file: Path) -> None:
        self._pipeline = open_pipeline(file)

    def session(self) -> Session:
        """See `Engine.session`."""
        return self._pipeline.classify


class DescriptorEngine:
    """One descriptor: uint8 (1, side, side, 3) to what it says of that picture, (1, …)."""

    batch_size = 1

    def __init__(self, row: Descriptor, size: int) -> None:
        self._row, self._size = row, size

    def session(self) -> Session:
        """See `Engine.session`."""
        return lambda rows: self._row.describe(resized(rows[0], self._size))[None]
