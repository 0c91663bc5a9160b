"""Every option, written once: the command line, `settings.json` and the docs are made from this."""

import math
import operator
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args, get_type_hints

from tlkit.durations import seconds_of
from tlkit.errors import OptionError

Resize = Literal["crop", "pad", "squash"]
EngineName = Literal["auto", "litert", "openvino", "keras"]
Precision = Literal["float32", "bfloat16"]
SideName = Literal["train", "validation", "test", "all"]
TableFormat = Literal["auto", "table", "csv", "json", "jsonl"]


def setting(default: Any, group: str, help: str, **limits: float | bool) -> Any:
    """A field with its default, its group on the help page, a help text that states the unit, and limits.

    limits: `min`, `max` (inclusive), `above`, `below` (exclusive)
    """
    return field(default=default, metadata={"group": group, "help": help, "limits": limits})


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """What `tlkit finetune` may vary."""

    backbone: str = setting("mobilenet_v2", "Main", "Pretrained network to start from; `tlkit models` lists them.")
    weights: str = setting("imagenet", "Main", "Its weights: imagenet, none (random) or a weights file.")
    freeze: Literal["auto", "all", "lower", "none"] = setting(
        "auto", "Main", "Layers that keep their weights: all of the backbone's, the lower ones, none; auto measures."
    )
    time_limit: str = setting(
        "", "Main", "What should be the end of it, such as 5m, 90s or 1h; decides what is trained and how long."
    )
    from_run: str = setting("", "Main", "Start from the classifier of a former run: its folder.")
    validation_split: float = setting(
        0.2, "Main", "Share of the images kept for validation where DATA has no val/.", above=0, below=1
    )
    test_split: float = setting(
        0.0, "Main", "Share kept for a final test, never looked at before; where DATA has no test/.", min=0, below=1
    )
    seed: int = setting(0, "Main", "Decides the split, the order of images and random weights.", min=0, max=2**31 - 1)
    image_size: int = setting(
        0, "Images", "Height and width images are resized to, in pixels; 0 for the backbone's own.", min=0, max=2048
    )
    resize: Resize = setting(
        "crop", "Images", "How a picture becomes square: its central square, grey bars added, or squashed."
    )
    dropout: float = setting(0.5, "Head", "Share of the units dropped before the last layer.", min=0, below=1)
    batch_norm: bool = setting(True, "Head", "Standardize the features with a batch norm.")
    hidden: int = setting(
        -1,
        "Head",
        "Units of a hidden layer beside the linear one; 0 for none, -1 to choose by the number of images.",
        min=-1,
        max=65536,
    )
    epochs: int = setting(0, "Training", "Passes over the images at most; 0 to choose by their number.", min=0)
    batch_size: int = setting(128, "Training", "Images per step.", min=1, max=65536)
    learning_rate: float = setting(
        2e-3, "Training", "First step size of AdamW, falling to 0 as a cosine.", above=0, max=10
    )
    weight_decay: float = setting(0.1, "Training", "AdamW's weight decay.", min=0, max=10)
    label_smoothing: float = setting(
        0.1,
        "Training",
        "Share of certainty taken from the labels, so that the head does not learn to be sure.",
        min=0,
        below=1,
    )
    patience: int = setting(8, "Training", "Epochs without a lower validation loss before it stops.", min=1)
    cut: str = setting(
        "auto", "Freeze lower", "Where layers begin to be trained: a cut point's name, a share of the layers, or auto."
    )
    views: int = setting(5, "Freeze lower", "Views of each image to learn from; the first is plain.", min=1, max=100)
    upper_epochs: int = setting(0, "Freeze lower", "Passes over the images; 0 to choose by their number.", min=0)
    upper_batch_size: int = setting(32, "Freeze lower", "Images per step.", min=1, max=65536)
    upper_learning_rate: float = setting(
        4e-4, "Freeze lower", "Largest step size of AdamW, for the head; less for each layer below.", above=0, max=10
    )
    cache_limit: float = setting(
        0.0, "Freeze lower", "Disk space for kept activations, in GB; 0 for a quarter of what is free.", min=0
    )
    engine: EngineName = setting("auto", "Speed", "What computes frozen layers; auto is litert where it is installed.")
    precision: Precision = setting(
        "float32", "Speed", "Of frozen layers; bfloat16 is faster on some processors and needs openvino."
    )

    def __post_init__(self) -> None:
        check_settings(self)
        seconds_of(self.time_limit)
        if self.validation_split + self.test_split >= 1:
            raise OptionError("--validation-split and --test-split add up to 1 or more; leave images to train on.")


@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """What `tlkit predict` may vary."""

    format: TableFormat = setting(
        "auto", "Output", "Of the rows; auto is a table on a terminal, the ending of -o, else csv."
    )
    top_k: int = setting(1, "Output", "Likeliest classes shown per image.", min=1)
    probs: bool = setting(False, "Output", "Add the probability of every class.")
    skip_unreadable: bool = setting(False, "Output", "Leave out inputs that are no readable image, and do not fail.")
    engine: EngineName = setting("auto", "Speed", "What computes; auto is the engine the run was made with.")

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """What `tlkit evaluate` may vary."""

    split: Literal["auto", "train", "validation", "test", "all"] = setting(
        "auto", "Main", "Images to use; auto is validation, or for DATA its test/, else val/, else all."
    )
    include_training: bool = setting(False, "Main", "Count images of DATA that the run was trained on, too.")
    min_accuracy: float = setting(0.0, "Main", "Fail with exit code 5 below this accuracy.", min=0, max=1)
    top_k: int = setting(3, "Main", "Also tell how often the class is among this many likeliest.", min=1)
    engine: EngineName = setting("auto", "Speed", "What computes; auto is the engine the run was made with.")

    def __post_init__(self) -> None:
        check_settings(self)


Settings = FinetuneSettings | PredictSettings | EvaluateSettings


def check_settings(settings: Settings) -> None:
    """raises: OptionError for the first value that is not of its field's type or within its limits."""
    kinds = get_type_hints(type(settings))
    for item in fields(settings):
        value, kind = getattr(settings, item.name), kinds[item.name]
        option = option_name(item.name)
        if choices := get_args(kind):
            if value not in choices:
                raise OptionError(f"{option} is {value!r}; expected one of {', '.join(choices)}.")
        elif not _is_a(value, kind):
            raise OptionError(f"{option} is {value!r}; expected a value of type {kind.__name__}.")
        _check_limits(option, value, item.metadata["limits"])


def is_random(settings: FinetuneSettings) -> bool:
    """Whether the backbone has learnt nothing yet."""
    return settings.weights == "none" and not settings.from_run


def option_name(field_name: str) -> str:
    """The option of a field.

    >>> option_name("image_size")
    '--image-size'
    """
    return "--from" if field_name == "from_run" else "--" + field_name.replace("_", "-")


def settings_from(values: dict[str, Any]) -> FinetuneSettings:
    """The settings a `settings.json` holds.

    raises: OptionError for keys that are no setting
    """
    known = {item.name for item in fields(FinetuneSettings)}
    if unknown := sorted(values.keys() - known - {"command", "data"}):
        raise OptionError(f"there is no setting '{unknown[0]}'; the settings are {', '.join(sorted(known))}.")
    return FinetuneSettings(**{name: value for name, value in values.items() if name in known})


def as_json(settings: Settings) -> dict[str, Any]:
    """The settings as `settings.json` keeps them."""
    return asdict(settings)


def _is_a(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


LIMITS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "min": ("at least", operator.ge),
    "max": ("at most", operator.le),
    "above": ("more than", operator.gt),
    "below": ("less than", operator.lt),
}


def _check_limits(option: str, value: Any, limits: dict[str, float]) -> None:
    for name, bound in limits.items():
        words, holds = LIMITS[name]
        if not holds(value, bound):
            raise OptionError(f"{option} is {value}; expected {words} {bound}.")
