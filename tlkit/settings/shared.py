"""Options that several commands share: data, split, augmentation, head, loss, optimizer, runtime."""

from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Literal

from tlkit.errors import OptionError
from tlkit.settings.base import setting
from tlkit.utils.text import parse_duration

Preset = Literal["none", "light", "medium", "strong"]
Resize = Literal["crop", "pad", "squash"]
EngineName = Literal["auto", "litert", "openvino", "keras"]
Precision = Literal["float32", "bfloat16"]
Loss = Literal["cross-entropy", "mean-squared-error", "focal"]
ClassWeight = Literal["none", "balanced", "sqrt"]
Optimizer = Literal["sgd", "rmsprop", "adam", "adamw", "adadelta", "adagrad", "nadam"]
Schedule = Literal["constant", "step", "exponential", "cosine", "plateau", "one-cycle"]

MAX_UNITS = 65536  # of a hidden layer
MAX_SEED = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class SplitSettings:
    """Options of the images and their split."""

    validation_split: float = setting(
        0.2, "Main", "Share of the images kept for validation where DATA has no val/.", above=0, below=1
    )
    test_split: float = setting(
        0.0, "Main", "Share kept for a final test, never looked at before; where DATA has no test/.", min=0, below=1
    )
    image_size: int = setting(
        0, "Main", "Height and width images are resized to, in pixels; 0 for the network's own.", min=0, max=2048
    )
    seed: int = setting(0, "Main", "Decides the split, the order of images and random weights.", min=0, max=MAX_SEED)
    resize: Resize = setting(
        "crop", "Start", "How a picture becomes square: its central square, gray bars added, or squashed."
    )


@dataclass(frozen=True, kw_only=True)
class DataSettings(SplitSettings):
    """Options of a network's training: images, duration, measurement."""

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
    """Check what needs more than the limits of one field.

    raises: OptionError
    """
    parse_duration(settings.time_limit)
    parse_seeds(settings.seeds)
    if settings.folds == 1:
        raise OptionError("--folds is 1; expected 2 or more, or 0 for none.")
    check_split(settings)


def check_split(settings: SplitSettings) -> None:
    """Check that images are left to train on.

    raises: OptionError
    """
    if settings.validation_split + settings.test_split >= 1:
        raise OptionError("--validation-split and --test-split add up to 1 or more; leave images to train on.")


def parse_seeds(text: str) -> list[int]:
    """Read the numbers of --seeds.

    raises: OptionError

    >>> parse_seeds("1,2"), parse_seeds("")
    ([1, 2], [])
    """
    try:
        seeds = [int(number) for number in text.split(",")] if text else []
        if not all(0 <= seed <= MAX_SEED for seed in seeds):
            raise ValueError(seeds)
    except ValueError:
        raise OptionError(
            f"--seeds is '{text}'; expected whole numbers from 0 on with commas between, such as 1,2."
        ) from None
    return seeds


def augmentation_option(help: str, **limits: float) -> float | None:
    """Make the field of one amount of the augmentation; None takes the preset's."""
    return setting(None, "Augmentation", help, min=0, **limits)  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """Options of the augmentation."""

    hflip: bool | None = setting(None, "Augmentation", "Mirror half of the views, or none.")
    rotation: float | None = augmentation_option("Degrees, either way.", max=180)
    zoom: float | None = augmentation_option("Share by which pictures grow or shrink.", max=10)
    shift: float | None = augmentation_option("Share of the width and height, either way.", max=1)
    shear: float | None = augmentation_option("Degrees, either way.", max=80)
    crop: float | None = setting(
        None, "Augmentation", "Least share of the area that is seen; 1 for the whole.", above=0, max=1
    )
    brightness: float | None = augmentation_option("Share, either way.", max=1)
    contrast: float | None = augmentation_option("Share, either way.", max=1)
    saturation: float | None = augmentation_option("Share, either way.", max=1)
    noise: float | None = augmentation_option("Largest deviation of noise, as a share of white.", max=1)
    erase: float | None = augmentation_option("Largest share of the area hidden in half of the views.", max=1)

    @property
    def amounts(self) -> dict[str, float | None]:
        """All amounts of the augmentation, by field name; None takes the preset's."""
        return {item.name: getattr(self, item.name) for item in fields(AugmentSettings)}


@dataclass(frozen=True, kw_only=True)
class HeadSettings:
    """Options of the head."""

    dropout: float = setting(0.5, "Head", "Share of the units dropped before the last layer.", min=0, below=1)
    batch_norm: bool = setting(True, "Head", "Standardize the features with a batch norm.")
    hidden: str = setting(
        "auto", "Head", "Units of the hidden layers beside the linear one, such as 512 or 200,80; 0 for none."
    )


def hidden_units(text: str) -> tuple[int, ...]:
    """Read the units of --hidden, by layer, from the input up.

    raises: OptionError

    >>> hidden_units("200,80"), hidden_units("0")
    ((200, 80), ())
    """
    with suppress(ValueError):
        units = tuple(int(number) for number in text.split(","))
        if units == (0,):
            return ()
        if min(units) > 0 and max(units) <= MAX_UNITS:
            return units
    raise OptionError(
        f"--hidden is '{text}'; expected numbers of units with commas between, such as 512 or 200,80, "
        f"each at most {MAX_UNITS}; 0 for no hidden layer, or auto."
    )


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """Options of the loss."""

    l1: float = setting(0.0, "Loss", "L1 penalty on the head's weights.", min=0, max=10)
    l2: float = setting(0.0, "Loss", "L2 penalty on the head's weights.", min=0, max=10)
    loss: Loss = setting("cross-entropy", "Loss", "What is made small; focal looks at hard images most.")
    label_smoothing: float = setting(
        0.1,
        "Loss",
        "Share of certainty taken from the labels, so that the head does not learn to be sure.",
        min=0,
        below=1,
    )
    mixup: float = setting(
        0.0, "Loss", "Alpha of MixUp: images mixed in pairs above the cut; 0 for none.", min=0, max=10
    )
    cutmix: float = setting(
        0.0, "Loss", "Alpha of CutMix: pieces of one image in another, above a cut; 0 for none.", min=0, max=10
    )
    class_weight: ClassWeight = setting(
        "none", "Loss", "Weight of rare classes: by their number, its square root, or all alike."
    )


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """Options of the optimizer."""

    optimizer: Optimizer = setting("adamw", "Optimizer", "Keras's own.")
    learning_rate: float | None = setting(  # defaults: training/hyperparameters.py
        None, "Optimizer", "Largest step size; not given, the optimizer's own.", above=0, max=100
    )
    decay: Schedule = setting("cosine", "Optimizer", "How the step size falls.")
    warm_up: float | None = setting(
        None, "Optimizer", "Share of the steps in which it rises; not given, as the phase needs it.", min=0, below=1
    )
    batch_size: int = setting(128, "Optimizer", "Images per step.", min=1, max=65536)
    momentum: float = setting(0.9, "Optimizer", "Of SGD.", min=0, below=1)
    nesterov: bool = setting(False, "Optimizer", "Nesterov's momentum, for SGD.")
    weight_decay: float | None = setting(
        None, "Optimizer", "Spares biases and norms; not given, 0.1 for AdamW, none for the others.", min=0, max=10
    )
    clip: float = setting(0.0, "Optimizer", "Largest length of the whole gradient; 0 for any.", min=0)
    ema: float = setting(
        0.0, "Optimizer", "Decay of a moving average of the weights, such as 0.99; 0 for none.", min=0, below=1
    )
    patience: int = setting(8, "Optimizer", "Epochs without a better one before it stops.", min=1)


@dataclass(frozen=True, kw_only=True)
class LoggingSettings:
    """Options of logging."""

    tensorboard: bool = setting(False, "Watching", "Write curves for TensorBoard into the run's folder.")


@dataclass(frozen=True, kw_only=True)
class RuntimeSettings:
    """Options of the engine."""

    engine: EngineName = setting("auto", "Speed", "What computes frozen layers; auto is litert where it is installed.")
    precision: Precision = setting(
        "float32", "Speed", "Of frozen layers; bfloat16 is faster on some processors and needs openvino."
    )
