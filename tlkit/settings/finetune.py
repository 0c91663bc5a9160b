"""What `tlkit finetune` may vary."""

from dataclasses import dataclass, fields
from typing import Any, Literal

from tlkit.durations import seconds_of
from tlkit.errors import OptionError
from tlkit.settings.base import check_settings, setting
from tlkit.settings.learning import (
    AugmentSettings,
    HeadSettings,
    LossSettings,
    OptimizerSettings,
    Preset,
    WatchSettings,
    hidden_units,
)

Resize = Literal["crop", "pad", "squash"]
EngineName = Literal["auto", "litert", "openvino", "keras"]
Precision = Literal["float32", "bfloat16"]
BatchNorms = Literal["shift", "frozen", "trained"]


@dataclass(frozen=True, kw_only=True)
class MainSettings:
    """What matters first."""

    backbone: str = setting("mobilenet_v2", "Main", "Pretrained network to start from; `tlkit models` lists them.")
    freeze: Literal["auto", "all", "lower", "none"] = setting(
        "auto", "Main", "Layers that keep their weights: all of the backbone's, the lower ones, none; auto measures."
    )
    augment: Preset = setting(
        "light", "Main", "How far pictures are varied, where more than the head is trained; `tlkit augment` shows it."
    )
    epochs: int = setting(0, "Main", "Passes over the images at most; 0 to choose by their number.", min=0)
    time_limit: str = setting(
        "", "Main", "What should be the end of it, such as 5m, 90s or 1h; decides what is trained and how long."
    )
    validation_split: float = setting(
        0.2, "Main", "Share of the images kept for validation where DATA has no val/.", above=0, below=1
    )
    test_split: float = setting(
        0.0, "Main", "Share kept for a final test, never looked at before; where DATA has no test/.", min=0, below=1
    )
    image_size: int = setting(
        0, "Main", "Height and width images are resized to, in pixels; 0 for the backbone's own.", min=0, max=2048
    )
    seed: int = setting(0, "Main", "Decides the split, the order of images and random weights.", min=0, max=2**31 - 1)
    weights: str = setting("imagenet", "Start", "Weights to start from: imagenet, none (random) or a weights file.")
    folds: int = setting(
        0,
        "Measuring",
        "Cross-validate besides, in so many folds: every image is held out once; 0 for no.",
        min=0,
        max=100,
    )
    seeds: str = setting("", "Measuring", "Train with other seeds besides, such as 1,2, and tell how far they differ.")
    from_run: str = setting("", "Start", "Start from the classifier of a former run: its folder.")
    resize: Resize = setting(
        "crop", "Start", "How a picture becomes square: its central square, grey bars added, or squashed."
    )


@dataclass(frozen=True, kw_only=True)
class LowerSettings:
    """How upper blocks are trained."""

    cut: str = setting(
        "auto", "Freeze lower", "Where layers begin to be trained: a cut point's name, a share of the layers, or auto."
    )
    views: int = setting(3, "Freeze lower", "Views of each image to learn from; the first is plain.", min=1, max=100)
    upper_epochs: int = setting(0, "Freeze lower", "Passes over the images; 0 to choose by their number.", min=0)
    upper_batch_size: int = setting(32, "Freeze lower", "Images per step.", min=1, max=65536)
    upper_learning_rate: float | None = setting(
        None, "Freeze lower", "Largest step size, for the head; not given, the optimizer's own.", above=0, max=100
    )
    layer_decay: float = setting(
        0.5, "Freeze lower", "Share of that step size just above the cut; it rises to 1 at the head.", above=0, max=1
    )
    batch_norms: BatchNorms = setting(
        "shift", "Freeze lower", "What the backbone's batch norms learn: to shift, nothing, or all, from batches."
    )
    head_first: bool = setting(True, "Freeze lower", "Train the head before the blocks.")
    cache_limit: float = setting(
        0.0, "Freeze lower", "Disk space for kept activations, in GB; 0 for a quarter of what is free.", min=0
    )


@dataclass(frozen=True, kw_only=True)
class SpeedSettings:
    """What computes."""

    engine: EngineName = setting("auto", "Speed", "What computes frozen layers; auto is litert where it is installed.")
    precision: Precision = setting(
        "float32", "Speed", "Of frozen layers; bfloat16 is faster on some processors and needs openvino."
    )


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(
    SpeedSettings,
    WatchSettings,
    LowerSettings,
    OptimizerSettings,
    LossSettings,
    HeadSettings,
    AugmentSettings,
    MainSettings,
):
    """Fields come in the order of the help page: of the last base first."""

    def __post_init__(self) -> None:
        check_settings(self)
        seconds_of(self.time_limit)
        parse_seeds(self.seeds)
        if self.folds == 1:
            raise OptionError("--folds is 1; expected 2 or more, or 0 for none.")
        if self.hidden != "auto":
            hidden_units(self.hidden)
        if self.validation_split + self.test_split >= 1:
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


def is_random(settings: FinetuneSettings) -> bool:
    """Whether the backbone has learnt nothing yet."""
    return settings.weights == "none" and not settings.from_run


def settings_from(values: dict[str, Any]) -> FinetuneSettings:
    """The settings a `settings.json` holds.

    raises: OptionError for keys that are no setting
    """
    known = {item.name for item in fields(FinetuneSettings)}
    if unknown := sorted(values.keys() - known - {"command", "data"}):
        raise OptionError(f"there is no setting '{unknown[0]}'; the settings are {', '.join(sorted(known))}.")
    return FinetuneSettings(**{name: value for name, value in values.items() if name in known})
