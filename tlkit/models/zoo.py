"""What is known of every network: its paper's year, size, operations, and accuracy on ImageNet."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from tlkit.models.backbones import BACKBONES, Backbone, imagenet_file
from tlkit.models.networks import NETWORKS, Network, find_trainable

SOURCES = {
    "keras": "https://keras.io/api/applications/",
    "mobilenet": "Howard 2017, https://arxiv.org/abs/1704.04861, table 6",
    "slim": "https://github.com/tensorflow/models/tree/master/research/slim/nets/mobilenet",
    "mobilenet_v3": "https://keras.io/api/applications/mobilenet/#mobilenetv3large-function",
    "torchvision": "https://docs.pytorch.org/vision/stable/models.html",
    "caffe": "https://github.com/BVLC/caffe/tree/master/models",
    "resnet": "He 2015, https://arxiv.org/abs/1512.03385, table 2, of ten crops",
}
FLOAT_BYTES = 4


@dataclass(frozen=True)
class Figures:
    """A row of `zoo.csv`, for 1,000 classes and the network's own image size.

    command        "finetune", with ImageNet's weights; or "train", from scratch
    year           of the paper
    top1           published accuracy on ImageNet's validation images, in per cent; None where there is none
    source         of top1, a key of `SOURCES`
    depth          layers with kernels on the longest way
    parameters     weights and biases, moving statistics included
    multiply_adds  of convolutions and dense layers, for one image
    """

    command: str
    name: str
    year: int
    top1: float | None
    source: str
    depth: int
    parameters: int
    multiply_adds: int

    @property
    def size(self) -> int:
        """Bytes of the weights as float32."""
        return FLOAT_BYTES * self.parameters

    @property
    def row(self) -> Backbone | Network:
        """What it is built from."""
        return BACKBONES[self.name] if self.command == "finetune" else NETWORKS[self.name]

    @property
    def is_here(self) -> bool:
        """Whether a finetuning needs no download."""
        row = self.row
        return isinstance(row, Network) or imagenet_file(row, row.image_size).exists()

    def as_json(self) -> dict[str, Any]:
        """Every figure, with the source spelt out."""
        sized = {"image_size": self.row.image_size, "least_size": self.row.least_size, "size_bytes": self.size}
        return vars(self) | sized | {"source": SOURCES.get(self.source), "weights_here": self.is_here}


@cache
def read_zoo() -> tuple[Figures, ...]:
    """Every network, in the order of the tables they come from."""
    with files("tlkit.models").joinpath("zoo.csv").open(encoding="utf-8") as file:
        return tuple(_figures(row) for row in csv.DictReader(file))


def find_figures(name: str) -> list[Figures]:
    """The rows of a network: one, or two where it can be adapted and trained from scratch.

    raises: OptionError with the nearest names
    """
    found = find_trainable(name).name
    return [row for row in read_zoo() if row.name == found]


def _figures(row: dict[str, str]) -> Figures:
    top1 = float(row["top1"]) if row["top1"] else None
    counts = {name: int(row[name]) for name in ("year", "depth", "parameters", "multiply_adds")}
    return Figures(row["command"], row["name"], top1=top1, source=row["source"], **counts)
