"""Facts about every network: year, size, operations and accuracy on ImageNet, in `catalog.csv`; and their plot."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlkit.models.architectures.registry import ARCHITECTURES, Architecture, find_trainable
from tlkit.models.backbones import BACKBONES, Backbone, imagenet_file
from tlkit.utils.plotting import INK, new_figure, save_new_figure

if TYPE_CHECKING:
    from matplotlib.transforms import Bbox

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


FAMILY_COLORS = {  # color and name in the legend, by the beginning of a network's name; the first that fits
    "mobilenet": ("#4daf4a", "MobileNet"),
    "efficientnet_v2": ("#b2182b", "EfficientNetV2"),
    "efficientnet": ("#e7695e", "EfficientNet"),
    "convnext": ("#7b3294", "ConvNeXt"),
    "densenet": ("#a6761d", "DenseNet"),
    "nasnet": ("#888888", "NASNet"),
    "inception": ("#f0a12e", "Inception"),
    "googlenet": ("#f0a12e", "Inception"),
    "xception": ("#f0a12e", "Inception"),
    "resnet": ("#2166ac", "ResNet"),
    "plain": ("#92c5de", "plain"),
    "vgg": ("#01665e", "VGG"),
    "alexnet": ("#333333", "AlexNet"),
}
BUBBLE_AREA, MIN_BUBBLE_AREA = 4.0, 8.0  # points², per million parameters and of none
AREAS = (5, 25, 100)  # millions of parameters in the legend


def plot_catalog(entries: Sequence[CatalogEntry], file: Path) -> None:
    """Plot accuracy against operations, as a PNG, for the networks whose accuracy is published.

    Full bubbles are networks with pretrained weights, rings those trained from scratch. Networks that
    are best for their cost are labeled first; a label that would cover something is left out.

    Raises:
        OptionError: if `file` exists
        ModelError: if matplotlib is not installed
    """
    shown = [entry for entry in entries if entry.top1]
    figure = new_figure(figsize=(11, 7), layout="constrained")
    axes = figure.add_subplot()
    for entry in sorted(shown, key=lambda entry: -entry.parameters):
        _draw_bubble(axes, entry)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("billion multiply-adds per image", color=INK)
    axes.set_ylabel("published top-1 accuracy on ImageNet, %", color=INK)
    axes.set_title("Accuracy of networks, and their cost", color=INK, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#eeeeee")
    axes.set_axisbelow(True)
    _draw_legend(axes, shown)
    _draw_labels(figure, axes, shown)
    save_new_figure(figure, file)


def _draw_bubble(axes: Any, entry: CatalogEntry) -> None:
    is_ring, (color, _) = entry.command == "train", _family(entry)
    axes.scatter(
        *(entry.multiply_adds / 1e9, entry.top1, _area(entry.parameters / 1e6)),
        facecolor="none" if is_ring else color,
        edgecolor=color if is_ring else "white",
        alpha=0.8,
        linewidth=1.2,
    )


def _area(millions: float) -> float:
    return MIN_BUBBLE_AREA + BUBBLE_AREA * millions


def _family(entry: CatalogEntry) -> tuple[str, str]:
    """Give the color of a network, and the name of its family."""
    return next((found for family, found in FAMILY_COLORS.items() if entry.name.startswith(family)), (INK, "other"))


def _draw_legend(axes: Any, shown: Sequence[CatalogEntry]) -> None:
    """Explain the colors, the areas and the rings, and name the sources."""
    families = dict.fromkeys(_family(entry) for entry in shown)
    colors = [axes.scatter([], [], 50, color=color, label=name) for color, name in families]
    first = axes.legend(handles=colors, loc="lower right", frameon=False, fontsize=9, bbox_to_anchor=(0.78, 0.0))
    axes.add_artist(first)
    areas = [axes.scatter([], [], _area(size), color="#bbbbbb", label=f"{size} million parameters") for size in AREAS]
    areas.append(axes.scatter([], [], 60, facecolor="none", edgecolor="#888888", label="from scratch: tlkit train"))
    axes.legend(handles=areas, loc="lower right", frameon=False, labelspacing=1.6, borderpad=1.2, fontsize=9)
    axes.figure.supxlabel(f"accuracies: {SOURCES['keras']} and the sources in `tlkit models --json`", fontsize=8)


def _draw_labels(figure: Any, axes: Any, shown: Sequence[CatalogEntry]) -> None:
    """Write each name once, next to its bubble, where it covers neither another name nor a bubble."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer: Any = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.draw_without_rendering()
    taken = {entry: _bubble_box(axes, entry) for entry in shown}
    named = set[str]()
    for entry in sorted(shown, key=lambda entry: _count_dominators(entry, shown)):
        radius = math.sqrt(_area(entry.parameters / 1e6) / math.pi)
        for x, y in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            if entry.name in named:
                break
            text = axes.annotate(
                entry.name,
                (entry.multiply_adds / 1e9, entry.top1),
                (x * (0.7 * radius + 3), y * (0.7 * radius + 2)),
                textcoords="offset points",
                ha="left" if x > 0 else "right",
                va="bottom" if y > 0 else "top",
                fontsize=8,
                color=INK,
            )
            box = text.get_window_extent(renderer)
            if any(box.overlaps(other) for owner, other in taken.items() if owner is not entry) or not _is_inside(
                axes, box
            ):
                text.remove()
            else:
                named.add(entry.name)
                taken[text] = box


def _bubble_box(axes: Any, entry: CatalogEntry) -> "Bbox":
    """Give the square around a bubble, in pixels."""
    from matplotlib.transforms import Bbox

    x, y = axes.transData.transform((entry.multiply_adds / 1e9, entry.top1))
    radius = math.sqrt(_area(entry.parameters / 1e6) / math.pi) * axes.figure.dpi / 72
    return Bbox([[x - radius, y - radius], [x + radius, y + radius]])


def _is_inside(axes: Any, box: "Bbox") -> bool:
    frame = axes.bbox
    return bool(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1)


def _count_dominators(entry: CatalogEntry, others: Sequence[CatalogEntry]) -> int:
    """Count the networks of at least the same accuracy at no more operations, itself included."""
    return sum(
        (other.top1 or 0) >= (entry.top1 or 0) and other.multiply_adds <= entry.multiply_adds for other in others
    )
