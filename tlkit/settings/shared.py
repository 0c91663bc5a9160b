"""Options that several commands share: data, split, augmentation, head, loss, optimizer, runtime."""

import math
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from tlkit.errors import OptionError
from tlkit.settings.base import setting
from tlkit.utils.text import parse_duration

Preset = Literal["none", "light", "medium", "strong"]
Resize = Literal["auto", "crop", "pad", "squash"]
EngineName = Literal["auto", "litert", "openvino", "keras"]
CsvDialect = Literal["plain", "excel"]
Precision = Literal["float32", "bfloat16"]
Loss = Literal["cross-entropy", "mean-squared-error", "focal", "hinge"]
ClassWeight = Literal["none", "balanced", "sqrt"]
Optimizer = Literal["sgd", "rmsprop", "adam", "adamw", "adadelta", "adagrad", "nadam"]
TrackerName = Literal["mlflow", "wandb", "tensorboard"]
Schedule = Literal["constant", "step", "exponential", "cosine", "plateau", "one-cycle"]

MAX_UNITS = 65536  # of a hidden layer
MAX_SEED = 2**31 - 1
MAX_EPOCHS = 1_000_000


def csv_dialect_option() -> Any:
    """Make the field of --csv-dialect."""
    return setting(
        "plain",
        "Output",
        "Csv dialect: plain for programs, excel for spreadsheets with a decimal comma (byte order mark, semicolons, "
        "0,5).",
    )


def trust_model_option() -> Any:
    """Make the field of --trust-model. No settings.json has it: only the person who types it can decide so."""
    text = "Open the network of a run from another machine; it can contain code. It runs in a limited process."
    return field(default=False, metadata={"group": "Run", "help": text, "limits": {}, "is_stored": False})


@dataclass(frozen=True, kw_only=True)
class LayoutSettings:
    """Options of how DATA says which image is which."""

    images: str = setting("", "Data", "Folder of the images that a table lists. Default: the folder of the table.")
    path_column: str = setting("", "Data", "Column of a table with the paths of the images. Default: guessed.")
    label_column: str = setting("", "Data", "Column of a table with the labels. Default: guessed.")
    split_column: str = setting(
        "", "Data", "Column of a table that says train, validation or test. Default: one called split, if any."
    )
    group_column: str = setting(
        "", "Data", "Column of a table with what belongs together, e.g. the patient; a group stays in one subset."
    )
    label_regex: str = setting(
        "", "Data", r"Regular expression that finds the label in the path of a file, e.g. '(cat|dog)\.\d+'."
    )
    group_regex: str = setting(
        "", "Data", r"Regular expression that finds what belongs together in a path, e.g. '(p\d+)_' for patients."
    )

    @property
    def data_options(self) -> dict[str, str]:
        """The same as values, by name."""
        return {item.name: getattr(self, item.name) for item in fields(LayoutSettings)}


@dataclass(frozen=True, kw_only=True)
class PixelSettings:
    """Options of how an image file becomes pixels."""

    resize: Resize = setting(
        "auto",
        "Input",
        "Method to make an image square: crop its center, pad with gray bars, or squash; auto pads if a crop would cut "
        "off more than half of the typical image.",
    )
    gray_range: str = setting(
        "auto",
        "Input",
        "Values that become black and white in images of more than 8 bits: auto (measured once for all images), full "
        "(all values of the format) or LO,HI.",
    )
    max_megapixels: float = setting(
        64.0, "Input", "Largest image to decode; needs about 8 MB of memory per megapixel and core.", above=0, max=178
    )

    @property
    def pixel_options(self) -> dict[str, Any]:
        """The same as values; what is not resolved yet has the value that most images need."""
        resize = "crop" if self.resize == "auto" else self.resize
        limits = {"gray_range": parse_gray_range(self.gray_range), "max_megapixels": self.max_megapixels}
        return {"resize": resize, **limits}


def parse_gray_range(text: str) -> tuple[float, float] | None:
    """Read the limits of --gray-range; None where they are still to be measured.

    Raises:
        OptionError

    >>> parse_gray_range("51200,52200"), parse_gray_range("auto")
    ((51200.0, 52200.0), None)
    """
    if text in ("auto", "full"):
        return None
    with suppress(ValueError):
        low, high = (float(number) for number in text.split(","))
        if -math.inf < low < high < math.inf:
            return low, high
    raise OptionError(
        f"--gray-range is '{text}'; expected auto, full, or two numbers such as 0,4095, the smaller first."
    )


@dataclass(frozen=True, kw_only=True)
class SplitSettings(LayoutSettings, PixelSettings):
    """Options of the images and their split."""

    validation_split: float = setting(
        0.2, "Main", "Fraction of the images held out for validation, if DATA has no val/.", above=0, below=1
    )
    test_split: float = setting(
        0.0, "Main", "Fraction of the images held out for a final test, if DATA has no test/.", min=0, below=1
    )
    image_size: int = setting(
        0, "Main", "Image height and width in pixels; 0 for the network's default.", min=0, max=2048
    )
    seed: int = setting(0, "Main", "Random seed of the split, the image order and new weights.", min=0, max=MAX_SEED)


@dataclass(frozen=True, kw_only=True)
class DataSettings(SplitSettings):
    """Options of a network's training: images, duration, measurement."""

    augment: Preset = setting(
        "light", "Main", "Augmentation strength, if more than the head is trained; `tlkit augment` draws it."
    )
    epochs: int = setting(
        0, "Main", "Maximum number of epochs; 0 to choose by the number of images.", min=0, max=MAX_EPOCHS
    )
    time_limit: str = setting(
        "",
        "Main",
        "Time budget, e.g. 5m, 90s or 1h (a bare number is seconds); limits which layers are trained, and how long. "
        "No epoch starts that would end later; reading the images is not shortened.",
    )
    folds: int = setting(
        0, "Evaluation", "Also run k-fold cross-validation with this many folds; 0 to skip.", min=0, max=100
    )
    seeds: str = setting("", "Evaluation", "Also train with these seeds, e.g. 1,2, and report the spread.")


def check_data(settings: DataSettings) -> None:
    """Check what needs more than the limits of one field.

    Raises:
        OptionError
    """
    parse_duration(settings.time_limit)
    parse_seeds(settings.seeds)
    if settings.folds == 1:
        raise OptionError("--folds is 1; expected 2 or more, or 0 for none.")
    check_split(settings)


def check_split(settings: SplitSettings) -> None:
    """Check that images are left to train on, and what limits the pixels.

    Raises:
        OptionError
    """
    parse_gray_range(settings.gray_range)
    if settings.validation_split + settings.test_split >= 1:
        raise OptionError("--validation-split and --test-split add up to 1 or more; leave images to train on.")


def parse_seeds(text: str) -> list[int]:
    """Read the numbers of --seeds.

    Raises:
        OptionError

    >>> parse_seeds("1,2"), parse_seeds("")
    ([1, 2], [])
    """
    try:
        seeds = [int(number) for number in text.split(",")] if text else []
        if not all(0 <= seed <= MAX_SEED for seed in seeds):
            raise ValueError(seeds)
    except ValueError:
        raise OptionError(
            f"--seeds is '{text}'; expected whole numbers of at least 0, separated by commas, e.g. 1,2."
        ) from None
    return seeds


def augmentation_option(help: str, **limits: float) -> float | None:
    """Make the field of one amount of the augmentation; None takes the preset's."""
    return setting(None, "Augmentation", help, min=0, **limits)  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """Options of the augmentation."""

    hflip: bool | None = setting(None, "Augmentation", "Horizontal flip of half of the views.")
    rotation: float | None = augmentation_option("Maximum rotation in degrees, either way.", max=180)
    zoom: float | None = augmentation_option("Maximum zoom as a fraction, in or out.", max=10)
    shift: float | None = augmentation_option("Maximum shift as a fraction of the width and height.", max=1)
    shear: float | None = augmentation_option("Maximum shear in degrees, either way.", max=80)
    crop: float | None = setting(
        None, "Augmentation", "Minimum fraction of the area in a random crop; 1 for the whole image.", above=0, max=1
    )
    brightness: float | None = augmentation_option("Maximum change of brightness as a fraction.", max=1)
    contrast: float | None = augmentation_option("Maximum change of contrast as a fraction.", max=1)
    saturation: float | None = augmentation_option("Maximum change of saturation as a fraction.", max=1)
    noise: float | None = augmentation_option("Maximum standard deviation of noise as a fraction of white.", max=1)
    erase: float | None = augmentation_option("Maximum fraction of the area erased in half of the views.", max=1)

    @property
    def amounts(self) -> dict[str, float | None]:
        """All amounts of the augmentation, by field name; None takes the preset's."""
        return {item.name: getattr(self, item.name) for item in fields(AugmentSettings)}


@dataclass(frozen=True, kw_only=True)
class HeadSettings:
    """Options of the head."""

    dropout: float = setting(0.5, "Head", "Dropout rate before the last layer.", min=0, below=1)
    batch_norm: bool = setting(True, "Head", "Batch normalization of the features.")
    hidden: str = setting(
        "auto", "Head", "Hidden layer sizes of the head, e.g. 512 or 200,80; 0 for a linear head; auto chooses."
    )


def hidden_units(text: str) -> tuple[int, ...]:
    """Read the units of --hidden, by layer, from the input up.

    Raises:
        OptionError

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
        f"--hidden is '{text}'; expected layer sizes from 1 to {MAX_UNITS} separated by commas, e.g. 512 or 200,80, "
        "or 0 for no hidden layer, or auto."
    )


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """Options of the loss."""

    l1: float = setting(0.0, "Loss", "L1 penalty on the head's weights.", min=0, max=10)
    l2: float = setting(0.0, "Loss", "L2 penalty on the head's weights.", min=0, max=10)
    loss: Loss = setting(
        "cross-entropy",
        "Loss",
        "Loss function; focal gives hard images more weight, hinge is that of an SVM (its confidences are not "
        "probabilities).",
    )
    label_smoothing: float = setting(0.1, "Loss", "Label smoothing factor; reduces overconfidence.", min=0, below=1)
    mixup: float = setting(
        0.0, "Loss", "MixUp alpha: blends the inputs of the trained layers in pairs; 0 to disable.", min=0, max=10
    )
    cutmix: float = setting(
        0.0, "Loss", "CutMix alpha: pastes a patch of one input into another; 0 to disable.", min=0, max=10
    )
    class_weight: ClassWeight = setting(
        "none", "Loss", "Class weights in the loss: none, balanced (1/count) or sqrt (1/√count)."
    )


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """Options of the optimizer."""

    optimizer: Optimizer = setting("adamw", "Optimizer", "Optimizer, as in Keras.")
    learning_rate: float | None = setting(  # defaults: training/hyperparameters.py
        None, "Optimizer", "Peak learning rate. Default: the optimizer's (adamw: 0.002).", above=0, max=100
    )
    schedule: Schedule = setting("cosine", "Optimizer", "Learning-rate schedule.")
    warm_up: float | None = setting(
        None,
        "Optimizer",
        "Warm-up: fraction of the steps in which the learning rate rises. Default: depends on the phase.",
        min=0,
        below=1,
    )
    batch_size: int = setting(128, "Optimizer", "Batch size in images.", min=1, max=65536)
    momentum: float = setting(0.9, "Optimizer", "Momentum of sgd.", min=0, below=1)
    nesterov: bool = setting(False, "Optimizer", "Nesterov momentum, with sgd.")
    weight_decay: float | None = setting(
        None,
        "Optimizer",
        "Weight decay, not applied to biases and norms. Default: 0.1 with adamw, else 0.",
        min=0,
        max=10,
    )
    clip_norm: float = setting(0.0, "Optimizer", "Gradient clipping: maximum global norm; 0 to disable.", min=0)
    ema: float = setting(
        0.0,
        "Optimizer",
        "Decay of an exponential moving average of the weights, e.g. 0.99; 0 to disable.",
        min=0,
        below=1,
    )
    patience: int = setting(
        8, "Optimizer", "Early stopping: epochs without improvement before training stops.", min=1, max=MAX_EPOCHS
    )


@dataclass(frozen=True, kw_only=True)
class LoggingSettings:
    """Options of logging."""

    log_to: tuple[TrackerName, ...] = setting(
        (),
        "Logging",
        "Trackers that log the training on this machine: mlflow (mlflow.db), wandb (offline, in wandb/) or tensorboard "
        "(in the run folder). Repeatable.",
    )


@dataclass(frozen=True, kw_only=True)
class RuntimeSettings:
    """Options of the engine."""

    engine: EngineName = setting(
        "auto",
        "Speed",
        "Engine for frozen layers; auto is litert if it is installed. For many images, `finetune` tries openvino, too.",
    )
    precision: Precision = setting(
        "float32", "Speed", "Precision of frozen layers; bfloat16 is faster on some processors and needs openvino."
    )
