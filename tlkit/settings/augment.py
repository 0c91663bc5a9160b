"""What `tlkit augment` may vary."""

from dataclasses import dataclass

from tlkit.settings.base import check_settings, setting
from tlkit.settings.data import Preset, Resize
from tlkit.settings.learning import AugmentSettings


@dataclass(frozen=True, kw_only=True)
class SheetMainSettings:
    """What is drawn."""

    augment: Preset = setting("light", "Main", "How far pictures are varied; single amounts below win.")
    images: int = setting(6, "Main", "Pictures, one per line, spread over the classes.", min=1, max=50)
    views: int = setting(8, "Main", "Views of each; the first is plain.", min=1, max=50)
    image_size: int = setting(160, "Main", "Height and width of a view, in pixels.", min=16, max=1024)
    resize: Resize = setting(
        "crop", "Main", "How a picture becomes square: its central square, grey bars added, or squashed."
    )
    seed: int = setting(0, "Main", "Decides every draw.", min=0, max=2**31 - 1)


@dataclass(frozen=True, kw_only=True)
class SheetSettings(AugmentSettings, SheetMainSettings):
    """A contact sheet of what training sees."""

    def __post_init__(self) -> None:
        check_settings(self)
