"""Facts about every network: year, size, operations and accuracy on ImageNet, in `catalog.csv`; and their plot."""

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
    """A line of `catalog.csv`, for 1,000 classes and the network's own image size.

    Attributes:
        command: "finetune", with ImageNet's weights; or "train", from scratch
        year: of the paper
        top1: published accuracy on ImageNet's validation images, in percent; None where there is none
        source: of top1, a key of `SOURCES`
        depth: layers with kernels on the longest path
        parameters: weights and biases, moving statistics included
        multiply_adds: of convolutions and dense layers, for one image
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
    def spec(self) -> Backbone | Architecture:
        """Its entry in the registry, from which it is built."""
        return BACKBONES[self.name] if self.command == "finetune" else ARCHITECTURES[self.name]

    @property
    def weights_cached(self) -> bool:
        """True if a training needs no download."""
        spec = self.spec
        return isinstance(spec, Architecture) or imagenet_file(spec, spec.image_size).exists()

    def as_json(self) -> dict[str, Any]:
        """Give every fact, with the source in words."""
        sizes = {"image_size": self.spec.image_size, "min_size": self.spec.min_size, "size_bytes": self.size}
        return vars(self) | sizes | {"source": SOURCES.get(self.source), "weights_cached": self.weights_cached}


@cache
def load_catalog() -> tuple[CatalogEntry, ...]:
    """Read the facts of every network, in the order of both registries."""
    with files("tlkit.models").joinpath("catalog.csv").open(encoding="utf-8") as file:
        return tuple(_parse_entry(cells) for cells in csv.DictReader(file))


def find_entries(name: str) -> list[CatalogEntry]:
    """Find the entries of a network: one, or two where it can be finetuned and trained from scratch.

    Raises:
        OptionError: with the nearest names
    """
    registered_name = find_trainable(name).name
    return [entry for entry in load_catalog() if entry.name == registered_name]


def _parse_entry(cells: dict[str, str]) -> CatalogEntry:
    top1 = float(cells["top1"]) if cells["top1"] else None
    counts = {name: int(cells[name]) for name in ("year", "depth", "parameters", "multiply_adds")}
    return CatalogEntry(cells["command"], cells["name"], top1=top1, source=cells["source"], **counts)


FAMILY_COLORS = {  # by the beginning of a name; the first that fits
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
BUBBLE_AREA, MIN_BUBBLE_AREA = 4.0, 8.0  # points², per million parameters and of none


def plot_catalog(entries: Sequence[CatalogEntry], file: Path) -> None:
    """Plot accuracy against operations, as a PNG, for the networks whose accuracy is published.

    Full bubbles are networks with pretrained weights, rings those trained from scratch. Networks that
    are best for their cost are labeled first; a label that would cover another is left out.

    Raises:
        OptionError: if `file` exists
    """
    shown = [entry for entry in entries if entry.top1]
    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.add_subplot()
    for entry in sorted(shown, key=lambda entry: -entry.parameters):
        _draw_bubble(axes, entry)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("billion multiply-adds per image", color=INK)
    axes.set_ylabel("published top-1 accuracy on ImageNet, %", color=INK)
    axes.set_title("What networks get right, and what it costs them", color=INK, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#eeeeee")
    axes.set_axisbelow(True)
    _draw_legend(axes)
    _draw_labels(figure, axes, shown)
    save_new_figure(figure, file)


def _draw_bubble(axes: Any, entry: CatalogEntry) -> None:
    is_ring, color = entry.command == "train", _color(entry)
    axes.scatter(
        *(entry.multiply_adds / 1e9, entry.top1, _area(entry.parameters / 1e6)),
        facecolor="none" if is_ring else color,
        edgecolor=color if is_ring else "white",
        alpha=0.8,
        linewidth=1.2,
    )


def _area(millions: float) -> float:
    return MIN_BUBBLE_AREA + BUBBLE_AREA * millions


def _color(entry: CatalogEntry) -> str:
    return next((color for family, color in FAMILY_COLORS.items() if entry.name.startswith(family)), INK)


def _draw_legend(axes: Any) -> None:
    """Explain the areas and the rings, and name the sources."""
    for millions in (5, 25, 100):
        axes.scatter([], [], _area(millions), color="#bbbbbb", label=f"{millions} million parameters")
    axes.scatter([], [], 60, facecolor="none", edgecolor="#888888", label="from scratch: tlkit train")
    axes.legend(loc="lower right", frameon=False, labelspacing=1.6, borderpad=1.2)
    axes.figure.supxlabel(f"accuracies: {SOURCES['keras']} and the sources in `tlkit models --json`", fontsize=8)


def _draw_labels(figure: Any, axes: Any, shown: Sequence[CatalogEntry]) -> None:
    """Write names beside the bubbles, where they do not cover one another."""
    renderer: Any = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.draw_without_rendering()
    labels = list[Any]()
    for entry in sorted(shown, key=lambda entry: _count_dominators(entry, shown)):
        text = axes.annotate(
            entry.name,
            (entry.multiply_adds / 1e9, entry.top1),
            (6, 5),
            textcoords="offset points",
            fontsize=8,
            color=INK,
        )
        box = text.get_window_extent(renderer)
        if any(box.overlaps(other) for other in labels):
            text.remove()
        else:
            labels.append(box)


def _count_dominators(entry: CatalogEntry, others: Sequence[CatalogEntry]) -> int:
    """Count the networks of at least the same accuracy at no more operations, itself included."""
    return sum(
        (other.top1 or 0) >= (entry.top1 or 0) and other.multiply_adds <= entry.multiply_adds for other in others
    )
