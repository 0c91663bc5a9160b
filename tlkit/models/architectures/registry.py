"""The registry of published architectures, which `tlkit train` trains from scratch. Imports no Keras."""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tlkit.errors import OptionError
from tlkit.models.backbones import BACKBONES, Backbone, find_backbone, normalize_name, unknown_name_error

STANDARD_OPTIONS = ("width", "activation", "batch_norm", "dropout")
OPTIONS_WITH_BATCH_NORM = ("width", "activation", "dropout")  # of networks whose batch norms are part of them


@dataclass(frozen=True)
class Architecture:
    """A published architecture without its last layer.

    Attributes:
        name: what `--model` takes
        file: module of `models/architectures` that builds it and names its paper
        function: function of that module
        image_size: default height and width, in pixels
        min_size: the smallest it can be built for, in pixels
        arguments: further arguments of the function
        defaults: values of `ArchitectureOptions` in its paper, where they differ from the class's own
        options: fields of `ArchitectureOptions` that a user may change
        family: the family whose name alone means this network; "" for the other members
        auxiliary: inner layers that get an auxiliary classifier while it is trained; `build_auxiliary` in `file` builds
            it
    """

    name: str
    file: str
    function: str
    image_size: int
    min_size: int
    arguments: dict[str, Any] = field(default_factory=dict, hash=False)
    defaults: dict[str, Any] = field(default_factory=dict, hash=False)
    options: tuple[str, ...] = STANDARD_OPTIONS
    auxiliary: tuple[str, ...] = ()
    family: str = ""


def _vgg(depth: int) -> Architecture:
    options: dict[str, Any] = {"arguments": {"depth": depth}, "defaults": {"dropout": 0.5}}
    return Architecture(f"vgg{depth}", "vgg", "build_vgg", 224, 32, **options, family="vgg" * (depth == 16))


def _resnet(depth: int) -> Architecture:
    options: dict[str, Any] = {"arguments": {"depth": depth}, "options": OPTIONS_WITH_BATCH_NORM}
    return Architecture(f"resnet{depth}", "resnet", "build_resnet", 224, 8, **options, family="resnet" * (depth == 50))


def _small_resnet(depth: int) -> Architecture:
    return Architecture(
        f"resnet{depth}", "resnet", "build_small_resnet", 32, 4, {"depth": depth}, options=OPTIONS_WITH_BATCH_NORM
    )


ARCHITECTURES: dict[str, Architecture] = {
    spec.name: spec
    for spec in (
        Architecture("linear", "mlp", "build_linear", 28, 1, options=()),
        Architecture(
            "mlp", "mlp", "build_mlp", 28, 1, defaults={"hidden": (200, 80)}, options=(*STANDARD_OPTIONS, "hidden")
        ),
        Architecture(
            "neocognitron", "neocognitron", "build_neocognitron", 32, 1, options=("width", "activation", "batch_norm")
        ),
        Architecture("lenet5", "lenet", "build_lenet5", 32, 32, options=("width", "dropout")),
        Architecture("lenet5_relu", "lenet", "build_lenet5_relu", 32, 16, family="lenet"),
        Architecture("alexnet", "alexnet", "build_alexnet", 227, 67, defaults={"dropout": 0.5}),
        *(_vgg(depth) for depth in (11, 13, 16, 19)),
        Architecture(
            *("googlenet", "googlenet", "build_googlenet", 224, 32),
            defaults={"dropout": 0.4},
            auxiliary=("inception_4a", "inception_4d"),
        ),
        Architecture("inception_small", "inception", "build_inception_small", 64, 8, options=OPTIONS_WITH_BATCH_NORM),
        Architecture(
            "plain34",
            "resnet",
            "build_resnet",
            224,
            8,
            {"depth": 34, "shortcuts": False},
            options=OPTIONS_WITH_BATCH_NORM,
        ),
        *(_resnet(depth) for depth in (18, 34, 50, 101, 152)),
        *(_small_resnet(depth) for depth in (20, 32, 44, 56, 110)),
    )
}


def families() -> dict[str, str]:
    """Give the network that the name of a family alone means, by family."""
    specs: list[Architecture | Backbone] = [*ARCHITECTURES.values(), *BACKBONES.values()]
    return {spec.family: spec.name for spec in specs if spec.family}


def options_of(spec: Architecture | Backbone) -> tuple[str, ...]:
    """Name the options that vary a network; a backbone of Keras Applications has none."""
    return () if isinstance(spec, Backbone) else (*spec.options, "gray")


def find_trainable(name: str) -> Architecture | Backbone:
    """Find a network that can be trained from scratch: an architecture, or a backbone of Keras Applications.

    Args:
        name: of the network or of its family, in any case

    Raises:
        OptionError: with the nearest names

    >>> find_trainable("LeNet-5").name, find_trainable("Xception").name, find_trainable("LeNet").name
    ('lenet5', 'xception', 'lenet5_relu')
    """
    spellings = {normalize_name(spec.family): spec for spec in ARCHITECTURES.values() if spec.family}
    spellings |= {normalize_name(spec.name): spec for spec in ARCHITECTURES.values()}
    if spec := spellings.get(normalize_name(name)):
        return spec
    with suppress(OptionError):
        return find_backbone(name)
    raise unknown_name_error("network", name, [*ARCHITECTURES, *BACKBONES])
