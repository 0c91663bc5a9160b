"""What a training learns from, for how long, and how it is measured."""

from dataclasses import dataclass
from typing import Literal

from tlkit.durations import seconds_of
from tlkit.errors import OptionError
from tlkit.settings.base import setting

Preset = Literal["none", "light", "medium", "strong"]
Resize = Literal["crop", "pad", "squash"]


@dataclass(frozen=True, kw_only=True)
class SplitSettings:
    """What is learnt from, and what is held out."""

    validation_split: float = setting(
        0.2, "Main", "Share of the images kept for validation where DATA has no val/.", above=0, below=1
    )
    test_split: float = setting(
        0.0, "Main", "Share kept for a final test, never looked at before; where DATA has no test/.", min=0, below=1
    )
    image_size: int = setting(
        0, "Main", "Height and width images are resized to, in pixels; 0 for the network's own.", min=0, max=2048
    )
    seed: int = setting(0, "Main", "Decides the split, the order of images and random weights.", min=0, max=2**31 - 1)
    resize: Resize = setting(
        "crop", "Start", "How a picture becomes square: its central square, grey bars added, or squashed."
    )


@dataclass(frozen=True, kw_only=True)
class DataSettings(SplitSettings):
    """What is learnt from, for how long, and how it is measured."""

    augment: Preset = setting(
        "light", "Main", "How far pictures are varied, where more than the head is trained; `tlkit augment` shows it."
    )
    epochs: int = setting(0, "Main", "Passes over the images at most; 0 to choose by their number.", min=0)
    time_limit: str = setting(
        "", "Main", "What should be the end of it, such as 5m, 90s or 1h; decides what is trained and how long."
    )
    folds: int = setting(
        0,
        "Measuring",
        "Cross-validate besides, in so many folds: every image is held out once; 0 for no.",
        min=0,
        max=100,
    )
    seeds: str = setting("", "Measuring", "Train with other seeds besides, such as 1,2, and tell how far they differ.")


def check_data(settings: DataSettings) -> None:
    """raises: OptionError for what a limit alone cannot tell"""
    seconds_of(settings.time_limit)
    parse_seeds(settings.seeds)
    if settings.folds == 1:
        raise OptionError("--folds is 1; expected 2 or more, or 0 for none.")
    check_split(settings)


def check_split(settings: SplitSettings) -> None:
    """raises: OptionError where nothing would be left to train on"""
    if settings.validation_split + settings.test_split >= 1:
        raise OptionError("--validation-split and --test-split add up to 1 or more; leave images to train on.")


def parse_seeds(text: str) -> list[int]:
    """raises: OptionError

    >>> parse_seeds("1,2"), parse_seeds("")
    ([1, 2], [])
    """
    try:
        return [int(part) for part in text.split(",")] if text else []
    except ValueError:
        raise OptionError(f"--seeds is '{text}'; expected whole numbers with commas between, such as 1,2.") from None
