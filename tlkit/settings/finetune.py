"""What `tlkit finetune` may vary."""

from dataclasses import dataclass
from typing import Literal

from tlkit.settings.base import check_settings, setting
from tlkit.settings.data import DataSettings, check_data
from tlkit.settings.learning import (
    AugmentSettings,
    HeadSettings,
    LossSettings,
    OptimizerSettings,
    SpeedSettings,
    WatchSettings,
    hidden_units,
)

BatchNorms = Literal["frozen", "shift", "trained"]


@dataclass(frozen=True, kw_only=True)
class StartSettings:
    """What is adapted, and how much of it."""

    backbone: str = setting("mobilenet_v2", "Main", "Pretrained network to start from; `tlkit models` lists them.")
    freeze: Literal["auto", "all", "lower", "none"] = setting(
        "auto", "Main", "Layers that keep their weights: all of the backbone's, the lower ones, none; auto measures."
    )
    weights: str = setting("imagenet", "Start", "Weights to start from: imagenet, none (random) or a weights file.")
    from_run: str = setting("", "Start", "Start from the classifier of a former run: its folder.")


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
        "frozen", "Freeze lower", "What the backbone's batch norms learn: to shift, nothing, or all, from batches."
    )
    head_first: bool = setting(True, "Freeze lower", "Train the head before the blocks.")
    cache_limit: float = setting(
        0.0, "Freeze lower", "Disk space for kept activations, in GB; 0 for a quarter of what is free.", min=0
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
    DataSettings,
    StartSettings,
):
    """Fields come in the order of the help page: of the last base first."""

    def __post_init__(self) -> None:
        check_settings(self)
        check_data(self)
        if self.hidden != "auto":
            hidden_units(self.hidden)
