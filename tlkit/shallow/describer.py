"""What describes a picture by hand: descriptors, with the vocabularies that local ones are compared with."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tlkit.shallow.descriptors import DESCRIPTORS, resized
from tlkit.shallow.encoding import encode


@dataclass(frozen=True)
class Describer:
    """Pixels in, a row of values out.

    descriptors   their names, in order
    sizes         height and width of the picture each is made of, in pixels
    levels        of the spatial pyramid over local ones
    vocabularies  of local descriptors, by name, once they are learnt
    """

    descriptors: tuple[str, ...]
    sizes: tuple[int, ...]
    levels: int
    vocabularies: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    def describe(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (side, side, 3) to float32 (values,)."""
        each = zip(self.descriptors, self.sizes, strict=True)
        return self.join([DESCRIPTORS[name].describe(resized(pixels, size)) for name, size in each])

    def join(self, described: Sequence[np.ndarray]) -> np.ndarray:
        """What the descriptors of one picture say, local ones encoded, one after the other: float32 (values,)."""
        parts = zip(self.descriptors, described, strict=True)
        return np.concatenate([self._encoded(name, values) for name, values in parts]).astype(np.float32)

    def lengths(self, described: Sequence[np.ndarray]) -> list[int]:
        """How many values each descriptor has in `join`."""
        parts = zip(self.descriptors, described, strict=True)
        return [len(self._encoded(name, values)) for name, values in parts]

    def only(self, names: Sequence[str]) -> "Describer":
        """The same with some of its descriptors, in another order."""
        sizes = dict(zip(self.descriptors, self.sizes, strict=True))
        vocabularies = {name: learnt for name, learnt in self.vocabularies.items() if name in names}
        return replace(
            self, descriptors=tuple(names), sizes=tuple(sizes[name] for name in names), vocabularies=vocabularies
        )

    def with_vocabulary(self, name: str, vocabulary: dict[str, np.ndarray]) -> "Describer":
        """The same with the vocabulary of one local descriptor learnt."""
        return replace(self, vocabularies=self.vocabularies | {name: vocabulary})

    def _encoded(self, name: str, values: np.ndarray) -> np.ndarray:
        return encode(self.vocabularies[name], values, self.levels) if DESCRIPTORS[name].local else values
