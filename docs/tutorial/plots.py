"""The tutorial's plots."""

import csv
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from tlkit.classic.descriptors import compute_colors, resize_square
from tlkit.classic.gradients import HOG_CELL, HOG_ORIENTATIONS, orientation_maps, pool_orientations
from tlkit.utils.plotting import BLUE, INK, ORANGE, save_figure

TEN = ("#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f", "#edc948", "#b07aa1", "#ff9da7", "#9c755f", "#79706e")


def draw_colors(scenes: Path, file: Path) -> None:
    """Draw scenes of both classes, below each its two most frequent colors."""
    shown = [path for name in ("beach", "desert") for path in sorted((scenes / name).glob("*.jpg"))[:4]]
    figure = Figure(figsize=(10, 1.6), layout="constrained")
    grid = figure.subplots(2, len(shown), gridspec_kw={"height_ratios": (4, 1)})
    for (above, below), path in zip(grid.T, shown, strict=True):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        above.imshow(pixels)
        above.set_title(path.parent.name, fontsize=9, color=INK)
        below.imshow(compute_colors(resize_square(_squared(pixels), 64)).reshape(1, 2, 3), aspect="auto")
        for axes in (above, below):
            axes.set_axis_off()
    save_figure(figure, file)


def draw_hog(digits: Path, file: Path) -> None:
    """Draw digits, and next to each what its cells count: arrows from dark to bright, as long as the gradient."""
    figure = Figure(figsize=(10, 1.2), layout="constrained")
    axes = figure.subplots(1, 10)
    for index, name in enumerate(("0", "3", "5", "7", "8")):
        pixels = np.asarray(Image.open(sorted((digits / name).glob("*.png"))[0]).convert("L").resize((96, 96)))
        axes[2 * index].imshow(pixels, cmap="gray")
        axes[2 * index + 1].imshow(pixels, cmap="gray", alpha=0.25)
        _draw_cells(axes[2 * index + 1], pixels.astype(np.float32) / 255)
    for plot in axes:
        plot.set_axis_off()
    save_figure(figure, file)


def _draw_cells(axes: Any, gray: np.ndarray) -> None:
    sums = pool_orientations(orientation_maps(gray, HOG_ORIENTATIONS), HOG_CELL)
    down, across, direction = (indices.ravel() for indices in np.indices(sums.shape))
    turn, strength = 2 * np.pi * direction / HOG_ORIENTATIONS, sums.ravel() / sums.max()
    centers = HOG_CELL * (across + 0.5), HOG_CELL * (down + 0.5)
    ends = HOG_CELL * strength * np.cos(turn), HOG_CELL * strength * np.sin(turn)
    axes.quiver(*centers, *ends, color=BLUE, angles="xy", scale_units="xy", scale=1, width=0.012)


def draw_templates(model: Path, file: Path) -> None:
    """Draw the weights of a linear classifier as images: blue for a class, red against it."""
    network = keras.saving.load_model(model, compile=False)
    kernel = next(layer for layer in reversed(network.layers) if isinstance(layer, keras.layers.Dense)).get_weights()[0]
    side = int((len(kernel) // 3) ** 0.5)
    weights = kernel.reshape(side, side, 3, -1).mean(axis=2)
    figure = Figure(figsize=(10, 1.5), layout="constrained")
    for label, axes in enumerate(figure.subplots(1, weights.shape[-1])):
        limit = np.abs(weights[..., label]).max()
        axes.imshow(weights[..., label], cmap="RdBu", vmin=-limit, vmax=limit)
        axes.set_title(str(label), fontsize=10, color=INK)
        axes.set_axis_off()
    save_figure(figure, file)


def draw_map(table: Path, file: Path) -> None:
    """Draw every image as a point in two principal components, training images pale."""
    with np.load(table, allow_pickle=False) as stored:
        points, names, subsets = (stored[name] for name in ("features", "class", "split"))
        explained = stored["explained"].sum()
    figure = Figure(figsize=(6.4, 5), layout="constrained")
    axes = figure.add_subplot()
    for color, name in zip(TEN, np.unique(names), strict=True):
        for subset, alpha, size in (("train", 0.25, 8), ("validation", 1, 14)):
            chosen = (names == name) & (subsets == subset)
            label = str(name) if subset == "validation" else None
            axes.scatter(*points[chosen].T, s=size, alpha=alpha, color=color, label=label, linewidth=0)
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5), markerscale=1.6)
    axes.set_title(f"{100 * explained:.0f} % of the variance", fontsize=10, color=INK, loc="left")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    save_figure(figure, file)


def draw_mistakes(root: Path, run: Path, file: Path, count: int = 8) -> None:
    """Draw the misclassified validation images of a run, the most confident first."""
    with (run / "predictions_val.csv").open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["label"] != row["class"]]
    rows.sort(key=lambda row: -float(row["confidence"]))
    shown = rows[:count]
    figure = Figure(figsize=(0.4 + 1.5 * len(shown), 1.8), layout="constrained")
    for row, axes in zip(shown, figure.subplots(1, len(shown), squeeze=False)[0], strict=True):
        axes.imshow(Image.open(root / row["path"]).convert("L"), cmap="gray")
        axes.set_title(f"a {row['class']}", fontsize=9, color=BLUE)
        axes.set_xlabel(f"said {row['label']}: {float(row['confidence']):.2f}", fontsize=9, color=ORANGE)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    save_figure(figure, file)


def make_strangers(folder: Path, photo: Path) -> list[str]:
    """Write images that show no digit, and give their paths."""
    folder.mkdir()
    random = np.random.default_rng(0)
    drawn = {
        "noise": random.integers(0, 256, (64, 64, 3), np.uint8),
        "stripes": np.tile(np.repeat([[0, 255]], 8, axis=1).astype(np.uint8), (64, 4))[..., None].repeat(3, axis=2),
        "nothing": np.zeros((64, 64, 3), np.uint8),
    }
    for name, pixels in drawn.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    Image.open(photo).save(folder / "beach.png")
    return [str(folder / f"{name}.png") for name in (*drawn, "beach")]


def _squared(pixels: np.ndarray) -> np.ndarray:
    side = min(pixels.shape[:2])
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]
