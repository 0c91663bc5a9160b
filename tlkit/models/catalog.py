"""What is known of every network: year, size, operations, accuracy on ImageNet; and its plot."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tlkit.models.architectures.registry import ARCHITECTURES, Architecture, find_trainable
from tlkit.models.backbones import BACKBONES, Backbone, imagenet_file
from tlkit.utils.plotting import INK, save_new_figure

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
class CatalogEntry:
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
    def row(self) -> Backbone | Architecture:
        """What it is built from."""
        return BACKBONES[self.name] if self.command == "finetune" else ARCHITECTURES[self.name]

    @property
    def is_here(self) -> bool:
        """Whether a finetuning needs no download."""
        row = self.row
        return isinstance(row, Architecture) or imagenet_file(row, row.image_size).exists()

    def as_json(self) -> dict[str, Any]:
        """Every figure, with the source spelt out."""
        sized = {"image_size": self.row.image_size, "least_size": self.row.least_size, "size_bytes": self.size}
        return vars(self) | sized | {"source": SOURCES.get(self.source), "weights_here": self.is_here}


@cache
def load_catalog() -> tuple[CatalogEntry, ...]:
    """Every network, in the order of the tables they come from."""
    with files("tlkit.models").joinpath("catalog.csv").open(encoding="utf-8") as file:
        return tuple(_entry(row) for row in csv.DictReader(file))


def find_entries(name: str) -> list[CatalogEntry]:
    """The rows of a network: one, or two where it can be adapted and trained from scratch.

    raises: OptionError with the nearest names
    """
    found = find_trainable(name).name
    return [row for row in load_catalog() if row.name == found]


def _entry(row: dict[str, str]) -> CatalogEntry:
    top1 = float(row["top1"]) if row["top1"] else None
    counts = {name: int(row[name]) for name in ("year", "depth", "parameters", "multiply_adds")}
    return CatalogEntry(row["command"], row["name"], top1=top1, source=row["source"], **counts)


FAMILIES = {  # the beginning of a name: colour; the first that fits
    "mobilenet": "#4daf4a",
    "efficientnet_v2": "#b2182b",
    "efficientnet": "#e7695e",
    "convnext": "#7b3294",
    "densenet": "#a6761d",
    "nasnet": "#888888",
    "inception": "#f0a12e",
    "googlenet": "#f0a12e",
    "xception": "#f0a12e",
    "resnet": "#2166ac",
    "plain": "#92c5de",
    "vgg": "#01665e",
    "alexnet": "#333333",
}
BUBBLE, MIN_BUBBLE = 4.0, 8.0  # points² per million parameters, and beside them


def plot_catalog(rows: Sequence[CatalogEntry], file: Path) -> None:
    """A PNG of the networks whose accuracy is published.

    Full bubbles are networks that come with weights, rings those trained from scratch; labels that
    would cover another are left out, those of the best for their cost last.

    raises: OptionError where `file` is there already
    """
    shown = [row for row in rows if row.top1]
    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.add_subplot()
    for row in sorted(shown, key=lambda row: -row.parameters):
        _bubble(axes, row)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("billion multiply-adds per image", color=INK)
    axes.set_ylabel("published top-1 accuracy on ImageNet, %", color=INK)
    axes.set_title("What networks get right, and what it costs them", color=INK, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#eeeeee")
    axes.set_axisbelow(True)
    _legend(axes)
    _label(figure, axes, shown)
    save_new_figure(figure, file)


def _bubble(axes: Any, row: CatalogEntry) -> None:
    ring, colour = row.command == "train", _color(row)
    axes.scatter(
        *(row.multiply_adds / 1e9, row.top1, _area(row.parameters / 1e6)),
        facecolor="none" if ring else colour,
        edgecolor=colour if ring else "white",
        alpha=0.8,
        linewidth=1.2,
    )


def _area(millions: float) -> float:
    return MIN_BUBBLE + BUBBLE * millions


def _color(row: CatalogEntry) -> str:
    return next((colour for family, colour in FAMILIES.items() if row.name.startswith(family)), INK)


def _legend(axes: Any) -> None:
    """How large a bubble is, what a ring is, and whose figures these are."""
    for millions in (5, 25, 100):
        axes.scatter([], [], _area(millions), color="#bbbbbb", label=f"{millions} million parameters")
    axes.scatter([], [], 60, facecolor="none", edgecolor="#888888", label="from scratch: tlkit train")
    axes.legend(loc="lower right", frameon=False, labelspacing=1.6, borderpad=1.2)
    axes.figure.supxlabel(f"accuracies: {SOURCES['keras']} and the sources in `tlkit models --json`", fontsize=8)


def _label(figure: Any, axes: Any, shown: Sequence[CatalogEntry]) -> None:
    """Names beside the bubbles, where they do not cover one another."""
    renderer: Any = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.draw_without_rendering()
    taken = list[Any]()
    for row in sorted(shown, key=lambda row: _dominators(row, shown)):
        text = axes.annotate(
            row.name, (row.multiply_adds / 1e9, row.top1), (6, 5), textcoords="offset points", fontsize=8, color=INK
        )
        box = text.get_window_extent(renderer)
        if any(box.overlaps(other) for other in taken):
            text.remove()
        else:
            taken.append(box)


def _dominators(row: CatalogEntry, others: Sequence[CatalogEntry]) -> int:
    """How many are at least as often right at no more cost."""
    return sum((other.top1 or 0) >= (row.top1 or 0) and other.multiply_adds <= row.multiply_adds for other in others)
