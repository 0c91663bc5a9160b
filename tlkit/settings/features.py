"""What `tlkit features` may vary."""

from dataclasses import dataclass
from typing import ClassVar

from tlkit.settings.base import check_settings, setting
from tlkit.settings.data import SplitSettings, check_split
from tlkit.settings.learning import SpeedSettings


@dataclass(frozen=True, kw_only=True)
class SourceSettings:
    """Whose features, and from where in it."""

    backbone: str = setting("mobilenet_v2", "Main", "Pretrained network to take them from; `tlkit models` lists them.")
    run: str = setting("", "Main", "Take them from the network of a finished run instead: its folder.")
    layer: str = setting(
        "", "Main", "Layer to take, averaged over the picture where it is a map; not given, what is classified on."
    )
    weights: str = setting("imagenet", "Start", "The backbone's: imagenet, none (random) or a weights file.")


@dataclass(frozen=True, kw_only=True)
class CompressionSettings:
    """How they are made smaller; learnt from training images alone."""

    pca: int = setting(0, "Compression", "Principal components to reduce each row to; 0 for none.", min=0)
    pq: int = setting(
        0, "Compression", "Bytes to compress each row to by product quantization, after any PCA; 0 for none.", min=0
    )


@dataclass(frozen=True, kw_only=True)
class FeaturesSettings(SpeedSettings, CompressionSettings, SplitSettings, SourceSettings):
    """A table of features."""

    freeze: ClassVar[str] = "all"

    def __post_init__(self) -> None:
        check_settings(self)
        check_split(self)

    @property
    def from_run(self) -> str:
        """The run whose network it is, and whose sides its images keep."""
        return self.run
