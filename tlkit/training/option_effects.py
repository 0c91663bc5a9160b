"""Options without effect, and the cases: one table per command.

An option that would change nothing is refused by name, where a person changed it; a default is never refused. Where
`--freeze auto` is still to decide, an option has an effect if it has one in any strategy that may be chosen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import Any

from tlkit.classic.descriptors import DESCRIPTORS
from tlkit.data.augment import NO_AUGMENTATION, Augmentation
from tlkit.errors import OptionError
from tlkit.models.architectures.registry import ARCHITECTURES, options_of
from tlkit.settings.base import typed_option
from tlkit.settings.shared import AugmentSettings, LayoutSettings, LoggingSettings
from tlkit.settings.training import (
    BlocksSettings,
    ClassicOptions,
    ClassicSettings,
    FinetuneSettings,
    PageSettings,
    TrainSettings,
    TrustSettings,
    VariantSettings,
)
from tlkit.training.loop.plan import FIXED_WARM_UPS


@dataclass(frozen=True)
class NoEffect:
    """Options that change nothing in some case.

    Attributes:
        options: names of fields, or of parameters of the command
        holds: tells the case from the facts: the resolved options, and what the command adds to them
        because: the case in words, as the end of "--rotation has no effect ..."; {name} stands for a fact
        instead: an option with which they have an effect; "" where there is none
    """

    options: tuple[str, ...]
    holds: Callable[[Any], bool]
    because: str
    instead: str = ""


def refuse_without_effect(
    asked: Any,
    table: Sequence[NoEffect],
    facts: Mapping[str, Any] | None = None,
    inherited: Mapping[str, Any] | None = None,
) -> None:
    """Refuse options that were changed from their default and would change nothing.

    Args:
        asked: settings as they were given
        facts: resolved values, by name; they take precedence over what was asked
        inherited: values that are no more a choice than a default, by name

    Raises:
        OptionError: for the first
    """
    refuse_first(changed_options(asked, inherited or {}), table, vars(asked) | dict(facts or {}))


def refuse_first(changed: Mapping[str, Any], table: Sequence[NoEffect], facts: Mapping[str, Any]) -> None:
    """Refuse the first of some changed options that would change nothing.

    Args:
        changed: their values, by name

    Raises:
        OptionError
    """
    case = SimpleNamespace(**facts)
    for row in table:
        given = [name for name in row.options if name in changed]
        if given and row.holds(case):
            option = typed_option(given[0], changed[given[0]])
            use = f", or use {row.instead.format(**facts)}" if row.instead else ""
            raise OptionError(f"{option} has no effect {row.because.format(**facts)}; leave it out{use}.")


def changed_options(asked: Any, inherited: Mapping[str, Any]) -> dict[str, Any]:
    """Give the options that differ from their default and from what is inherited, by name."""
    values = {item.name: getattr(asked, item.name) for item in fields(asked)}
    usual = {item.name: (item.default, inherited.get(item.name, item.default)) for item in fields(asked)}
    return {name: value for name, value in values.items() if value not in usual[name]}


def _names(*settings_classes: type) -> tuple[str, ...]:
    return tuple(item.name for owner in settings_classes for item in fields(owner))


def _always(case: Any) -> bool:
    return True


def _augments_nothing(case: Any) -> bool:
    amounts = {name: getattr(case, name) for name in _names(AugmentSettings)}
    return Augmentation.from_options(case.augment, amounts) == NO_AUGMENTATION


def _adds_noise(case: Any) -> bool:
    return case.harden in ("noise", "both")


def _attacks(case: Any) -> bool:
    return case.harden in ("adversarial", "both")


WITH_MOMENTUM = ("sgd",)  # optimizers that take it; `loop/optimizers.py` loads Keras, this table must not
AUGMENTATION = ("augment", *_names(AugmentSettings))
CLASSIC_ONLY = tuple(name for name in _names(ClassicOptions) if name not in ("descriptor", "features"))
FINETUNE_ONLY = tuple(name for name in _names(FinetuneSettings) if name not in _names(TrainSettings))
NETWORK_ONLY = tuple(name for name in _names(TrainSettings) if name not in _names(ClassicSettings))

NETWORK = (  # options that finetune and train share
    NoEffect(
        ("momentum", "nesterov"),
        lambda case: case.optimizer not in WITH_MOMENTUM,
        "with --optimizer {optimizer}",
        "--optimizer sgd",
    ),
    NoEffect(("nesterov",), lambda case: case.momentum == 0, "with --momentum 0", "--momentum 0.9"),
    NoEffect(("label_smoothing",), lambda case: case.loss == "hinge", "with --loss hinge", "--loss cross-entropy"),
    NoEffect(
        ("warm_up",), lambda case: case.schedule in FIXED_WARM_UPS, "with --schedule {schedule}", "--schedule cosine"
    ),
)

FINETUNE = (
    *NETWORK,
    NoEffect(("weights",), lambda case: case.from_run, "with --from"),
    NoEffect(("weights",), lambda case: case.backbone.startswith("hub:"), "with a backbone of KerasHub"),
    NoEffect(("trust_model",), lambda case: not case.from_run, "without --from"),
    NoEffect((*AUGMENTATION, "cutmix"), lambda case: case.freeze == "all", "with --freeze all", "--freeze lower"),
    NoEffect(
        AUGMENTATION,
        lambda case: case.freeze in ("auto", "lower") and case.views == 1 and not _adds_noise(case),
        "with --views 1",
    ),
    NoEffect(
        ("harden",),
        lambda case: case.freeze == "all" and _attacks(case),
        "with --freeze all: the head alone cannot learn to resist attacks",
        "--freeze lower",
    ),
    NoEffect(("harden_epsilon",), lambda case: not _attacks(case), "without attacks", "--harden adversarial"),
    NoEffect(
        ("views",),
        lambda case: case.freeze == "none" or (case.freeze == "all" and not _adds_noise(case)),
        "with --freeze {freeze}",
        "--freeze lower",
    ),
    NoEffect(
        tuple(name for name in _names(BlocksSettings) if name not in ("batch_norms", "views")),
        lambda case: case.freeze not in ("auto", "lower"),
        "with --freeze {freeze}",
        "--freeze lower",
    ),
    NoEffect(
        ("views",),
        lambda case: _augments_nothing(case) and not _adds_noise(case),
        "without augmentation",
        "--augment light",
    ),
    NoEffect(("batch_norms",), lambda case: case.freeze == "all", "with --freeze all", "--freeze lower"),
    NoEffect(
        ("batch_norms",),
        lambda case: case.freeze == "none" and not case.is_pretrained,
        "with --weights none: everything is trained",
    ),
    NoEffect(
        ("epochs", "batch_size", "learning_rate"),
        lambda case: case.freeze == "lower" and not case.head_first,
        "with --no-head-first",
        "--head-first",
    ),
)


def _of_architecture(option: str) -> NoEffect:
    """Make the row of an option that varies some architectures only."""
    capable = [name for name, spec in ARCHITECTURES.items() if option in options_of(spec)]

    def holds(case: Any) -> bool:
        """Tell whether the model lacks the option."""
        return case.model not in capable

    return NoEffect((option,), holds, "with --model {model}", f"--model {capable[0]}")


TRAIN = (
    *NETWORK,
    *map(_of_architecture, ("width", "gray", "hidden", "activation", "batch_norm", "dropout")),
    NoEffect(CLASSIC_ONLY, _always, "with --model {model}", "--descriptor or --features"),
)


def _has_local(case: Any) -> bool:
    """Tell whether a descriptor encodes patches; "auto" tries one that does."""
    names = case.descriptor.split("+")
    return "auto" in names or any(DESCRIPTORS[name].is_local for name in names if name in DESCRIPTORS)


CLASSIC = (
    NoEffect(NETWORK_ONLY, lambda case: case.descriptor, "with --descriptor {descriptor}", "--model"),
    NoEffect(NETWORK_ONLY, lambda case: case.features, "with --features {features}", "--model"),
    NoEffect(
        ("weights", "engine", "precision"),
        lambda case: case.descriptor,
        "with --descriptor {descriptor}",
        "--features mobilenet_v2",
    ),
    NoEffect(("pyramid",), lambda case: case.features, "with --features {features}", "--descriptor bow"),
    NoEffect(("pyramid",), lambda case: not _has_local(case), "with --descriptor {descriptor}", "--descriptor bow"),
    NoEffect(
        ("image_size",), lambda case: case.descriptor == "auto", "with --descriptor auto", "a descriptor by its name"
    ),
)


LR_FIND = (  # after those of finetune or train; the phases before the last are trained
    NoEffect(("harden", "harden_epsilon"), _attacks, "in lr-find"),
    NoEffect(
        (
            *_names(LoggingSettings, PageSettings, TrustSettings),
            "folds",
            "seeds",
            "time_limit",
            "cutmix",
            "upper_epochs",
            "upper_learning_rate",
        ),
        _always,
        "in lr-find",
    ),
    NoEffect(
        ("epochs", "learning_rate", "schedule", "warm_up", "ema", "patience", "mixup"),
        lambda case: case.num_phases == 1,
        "in lr-find",
    ),
)
LR_FIND_NETWORK = (  # either one of finetune or, with --model, one of train
    NoEffect(FINETUNE_ONLY, lambda case: case.model, "with --model {model}", "--backbone"),
    NoEffect(_names(VariantSettings), lambda case: not case.model, "without --model", "--model lenet5"),
)

AUGMENT = (NoEffect(AUGMENTATION, lambda case: case.views == 1, "with --views 1"),)

EVALUATE = (
    NoEffect(("include_training", *_names(LayoutSettings)), lambda case: not case.has_data, "without DATA"),
    NoEffect(
        ("junit",),
        lambda case: not (case.min_accuracy or case.min_recall or case.max_ece is not None),
        "without a gate",
        "--min-accuracy",
    ),
)

ATTACK = (NoEffect(_names(LayoutSettings), lambda case: not case.has_classes, "without a folder or table as DATA"),)

ROBUSTNESS = (NoEffect(_names(LayoutSettings), lambda case: not case.has_data, "without DATA"),)

SHOWN_NETWORK = (  # of `summary` and `gradcheck`: {network} is its name, `options` those it can be varied by
    NoEffect(("image_size", "num_classes", "width", "gray"), lambda case: case.is_run, "with the network of a run"),
    NoEffect(("width",), lambda case: "width" not in case.options, "with {network}"),
    NoEffect(("gray",), lambda case: "gray" not in case.options, "with {network}"),
    NoEffect(("trust_model",), lambda case: not case.is_run, "without a run"),
)

VISUALIZE = (  # {network} is the name of the network or the run
    NoEffect(("trust_model",), lambda case: not case.is_run, "without a run"),
    NoEffect(("weights", "image_size"), lambda case: case.is_run, "with the network of a run"),
    NoEffect(("image", "layer", "class_name", "weights"), lambda case: case.map, "with --map {map}"),
    NoEffect(("class_name",), lambda case: case.image, "with --image", "--layer"),
    NoEffect(("class_name",), lambda case: case.layer, "with --layer"),
    NoEffect(("unit",), lambda case: not case.layer, "without --layer"),
    NoEffect(
        ("steps",),
        lambda case: case.map or case.image or not (case.layer or case.class_name),
        "where nothing is maximized",
        "--layer or --class without --image",
    ),
    NoEffect(
        ("seed",),
        lambda case: case.map == "pca" or not (case.map or case.layer or case.class_name or case.weights == "none"),
        "where nothing is drawn at random",
    ),
)

MODELS = (
    NoEffect(("image_size",), lambda case: not case.cuts, "without --cuts"),
    NoEffect(("json", "measure", "output"), lambda case: case.cuts, "with --cuts"),
)
