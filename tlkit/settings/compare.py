"""What `tlkit compare` may vary."""

from dataclasses import dataclass

from tlkit.durations import seconds_of
from tlkit.settings.base import check_settings, setting
from tlkit.settings.data import Resize


@dataclass(frozen=True, kw_only=True)
class CompareSettings:
    """Which rungs, on which split, and for how long."""

    only: str = setting("", "Main", "Rungs to try, with commas between, such as classic,lenet; not given, all.")
    time_limit: str = setting("", "Main", "When all should be done, such as 15m; what does not fit is left out.")
    validation_split: float = setting(
        0.2, "Main", "Share of the images kept for validation where DATA has no val/.", above=0, below=1
    )
    seed: int = setting(0, "Main", "Decides the split, the order of images and random weights.", min=0, max=2**31 - 1)
    resize: Resize = setting("crop", "Start", "How a picture becomes square.")

    def __post_init__(self) -> None:
        check_settings(self)
        seconds_of(self.time_limit)
