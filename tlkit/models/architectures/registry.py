"""The registry of architectures that `tlkit train` builds from scratch."""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tlkit.errors import OptionError
from tlkit.models.backbones import BACKBONES, Backbone, find_backbone, normalize_name, unknown_name_error

ALL_OPTIONS = ("width", "activation", "batch_norm", "dropout")
OPTIONS_WITH_BATCH_NORM = ("width", "activation", "dropout")  # of networks whose batch norms are part of them


@dataclass(frozen=True)
class Architecture:
    """A network of the course.

    name        what `--model` takes
    file        where in `models/scratch/` its layers are, and its source
    function    that builds it there
    image_size  height and width it is built for where none is asked for, in pixels
    least_size  the smallest it can be built for, in pixels
    options     further arguments of the function
    own         how it is varied where nothing is asked for: as in its paper
    takes       in which of the ways of `Variant` it can be varied
    auxiliary   inner layers that are given classifiers of their own while it is trained
    """

    name: str
    file: str
    function: str
    image_size: int
    least_size: int
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    own: dict[str, Any] = field(default_factory=dict, hash=False)
    takes: tuple[str, ...] = ALL_OPTIONS
    auxiliary: tuple[str, ...] = ()


def _vgg(depth: int) -> Architecture:
    return Architecture(f"vgg{depth}", "vgg", "build_vgg", 224, 32, {"depth": depth}, {"dropout": 0.5})


def _resnet(depth: int) -> Architecture:
    return Architecture(
        f"resnet{depth}", "resnet", "build_resnet", 224, 8, {"depth": depth}, takes=OPTIONS_WITH_BATCH_NORM
    )


def _small_resnet(depth: int) -> Architecture:
    return Architecture(
        f"resnet{depth}", "resnet", "build_small_resnet", 32, 4, {"depth": depth}, takes=OPTIONS_WITH_BATCH_NORM
    )


_ARCHITECTURES = (
    Architecture("linear", "linear", "build_linear", 28, 1, takes=()),
    Architecture("mlp", "mlp", "build_mlp", 28, 1, own={"hidden": (200, 80)}, takes=(*ALL_OPTIONS, "hidden")),
    Architecture(
        "neocognitron", "neocognitron", "build_neocognitron", 32, 1, takes=("width", "activation", "batch_norm")
    ),
    Architecture("lenet5", "lenet", "build_lenet5", 32, 32, takes=("width", "dropout")),
    Architecture("lenet5_relu", "lenet", "build_lenet5_relu", 32, 16),
    Architecture("alexnet", "alexnet", "build_alexnet", 227, 67, own={"dropout": 0.5}),
    *(_vgg(depth) for depth in (11, 13, 16, 19)),
    Architecture(
        *("googlenet", "googlenet", "build_googlenet", 224, 32),
        own={"dropout": 0.4},
        auxiliary=("inception_4a", "inception_4d"),
    ),
    Architecture("inception_small", "inception", "build_inception_small", 64, 8, takes=OPTIONS_WITH_BATCH_NORM),
    Architecture(
        "plain34", "resnet", "build_resnet", 224, 8, {"depth": 34, "shortcuts": False}, takes=OPTIONS_WITH_BATCH_NORM
    ),
    *(_resnet(depth) for depth in (18, 34, 50, 101, 152)),
    *(_small_resnet(depth) for depth in (20, 32, 44, 56, 110)),
)
ARCHITECTURES = {row.name: row for row in _ARCHITECTURES}


def find_trainable(name: str) -> Architecture | Backbone:
    """The row of a network that can be trained from scratch, of the course or of Keras Applications.

    raises: OptionError with the nearest names

    >>> find_trainable("LeNet-5").name, find_trainable("Xception").name
    ('lenet5', 'xception')
    """
    spellings = {normalize_name(row.name): row for row in _ARCHITECTURES}
    if row := spellings.get(normalize_name(name)):
        return row
    with suppress(OptionError):
        return find_backbone(name)
    raise unknown_name_error("network", name, [*ARCHITECTURES, *BACKBONES])
