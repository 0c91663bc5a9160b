"""A map of a run's validation images: similar images are near each other."""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tlkit.data.image import DecodedImage, ImageSpec
from tlkit.data.reader import images_root
from tlkit.data.thumbnail import read_thumbnail
from tlkit.errors import DataError, RunError
from tlkit.features.projection import ImageMap, project, read_map
from tlkit.inference.inputs import NamedInput
from tlkit.inference.network import open_network
from tlkit.runs.run import Run
from tlkit.utils.parallel import CHUNK, count_workers, in_chunks, ordered_map
from tlkit.utils.plotting import DPI, GRAY, INK, escape_missing, fonts_for, new_figure, write_png
from tlkit.utils.progress import Progress
from tlkit.utils.storage import Location
from tlkit.utils.text import distinct_names, shorten_middle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METHOD_NAMES = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}
SIDE, SPACE = 34, 40  # pixels of a thumbnail, and between the middles of two
WIDTH, HEIGHT = 1080, 760  # pixels
LEFT, LEGEND = 0.022, 0.81  # fractions of the width: the margin, and where the legend begins
MAX_LEGEND = 20  # classes; the names of more are written on the map
MAX_NAME = 22  # columns of a class name


def compute_map(run: Run, method: str, seed: int, trust_model: bool, progress: Progress) -> ImageMap:
    """Compute a run's map by another method than the PCA that it has.

    Args:
        method: "pca", "tsne" or "umap"
        seed: of t-SNE and UMAP
        trust_model: whether Keras may open its network even if this machine did not make it

    Raises:
        RunError
        DataError: if the images are not where the training found them
        ModelError: if the method's package is not installed
    """
    known = read_map(run)
    if method == "pca":
        return known
    files = image_files(run, known.paths)
    if files is None:
        raise RunError(
            f"'{run.path}' was made on another machine, so no folder that it names is opened; "
            "use --map pca, whose points are in the run."
        )
    project(np.zeros((0, 1)), method)  # a missing package is found before the images are read
    hashes = {row["path"]: row["sha256"] for row in run.read_rows("split.csv")}
    network = open_network(run, trust_model=trust_model)
    features, kept = list[np.ndarray](), list[int]()
    with ThreadPoolExecutor(count_workers()) as pool, progress.stage("features", len(files), "images") as advance:
        for chunk in in_chunks(range(len(files)), CHUNK):
            items = pool.map(lambda index: _decode(files[index], run.manifest.image), chunk)
            pairs = list(zip(chunk, items, strict=True))
            same = [(index, item) for index, item in pairs if item and item.sha256 == hashes[known.paths[index]]]
            if same:
                features.append(network.extract(np.stack([item.pixels for _, item in same])))
            kept += [index for index, _ in same]
            advance(len(chunk))
    if not features:
        raise DataError(f"none of the validation images of '{run.path}' is as the training found it; use --map pca.")
    points = project(np.concatenate(features), method, seed)
    return ImageMap(tuple(known.paths[k] for k in kept), tuple(known.class_names[k] for k in kept), points)


def _decode(file: Location, image: ImageSpec) -> DecodedImage | None:
    decoded = NamedInput(file.name, file).decode(image, identify=True)
    return decoded if isinstance(decoded, DecodedImage) else None


def image_files(run: Run, paths: Sequence[str]) -> list[Location] | None:
    """Find the files of a run's images; None if this machine did not make it, since no folder that it names is opened.

    Args:
        paths: relative to DATA
    """
    if not run.is_own:
        return None
    request = run.read_settings()
    root = images_root(request["data"], request.get("images", ""))
    return [root / path for path in paths]


def read_thumbnails(files: Sequence[Location] | None) -> list[Image.Image | None]:
    """Read small copies of images; None for each that is missing."""
    with ThreadPoolExecutor(count_workers()) as pool:
        return list(ordered_map(pool, lambda file: read_thumbnail(file, SIDE), files or []))


def draw_map(found: ImageMap, thumbnails: Sequence[Image.Image | None], title: str, caption: str) -> bytes:
    """Draw a map as PNG: thumbnails in frames of the class's color where there is space, and dots.

    Args:
        thumbnails: one per image, or none at all
        title, caption: above the map
    """
    names = list(dict.fromkeys(found.class_names))
    colors = dict(zip(names, _class_colors(len(names)), strict=True))
    shown = distinct_names(names)
    with fonts_for([title, *shown]) as missing:
        title, *shown = (escape_missing(text, missing) for text in (title, *shown))
        labels = {name: shorten_middle(text, MAX_NAME) for name, text in zip(names, shown, strict=True)}
        has_legend = len(names) <= MAX_LEGEND
        figure = new_figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI)
        axes = figure.add_axes((LEFT, 0.03, (LEGEND if has_legend else 1) - 2 * LEFT, 0.86))
        _draw_dots(axes, found, labels, colors)
        figure.text(LEFT, 0.95, title, fontsize=12, color=INK, parse_math=False)
        figure.text(LEFT, 0.91, caption, fontsize=8.5, color=GRAY)
        if has_legend:
            style: dict[str, Any] = {"frameon": False, "fontsize": 8.5, "labelcolor": INK, "borderpad": 0}
            legend = figure.legend(loc="upper left", bbox_to_anchor=(LEGEND - LEFT, 0.89), **style)
            for text in legend.get_texts():
                text.set_parse_math(False)
        figure.draw_without_rendering()  # now the pixels of each point are known
        _draw_thumbnails(axes, found, thumbnails, colors)
        if not has_legend:
            _write_names(axes, found, labels)
        content = io.BytesIO()
        write_png(figure, content)
    return content.getvalue()


def _draw_dots(axes: "Axes", found: ImageMap, labels: dict[str, str], colors: dict[str, Any]) -> None:
    """Draw a dot per image, class by class; the axes have no units."""
    classes = np.array(found.class_names)
    for name, label in labels.items():
        of_class = classes == name
        style: dict[str, Any] = {"s": 22, "linewidths": 0.5, "edgecolors": "white", "color": [colors[name]]}
        axes.scatter(*found.points[of_class].T, label=f"{label} ({of_class.sum()})", **style)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("#bbbbbb")
    axes.margins(0.06)


def _class_colors(count: int) -> list[Any]:
    """Give classes colors that are as different as their number allows."""
    from matplotlib import colormaps

    if count <= 10:
        return list(colormaps["tab10"].colors[:count])  # type: ignore[attr-defined]
    if count <= MAX_LEGEND:
        return list(colormaps["tab20"].colors[:count])  # type: ignore[attr-defined]
    return [colormaps["hsv"](index / count) for index in range(count)]


def _draw_thumbnails(
    axes: "Axes", found: ImageMap, thumbnails: Sequence[Image.Image | None], colors: dict[str, Any]
) -> None:
    """Draw the thumbnails that do not cover each other, those of the first images first."""
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    pixels = axes.transData.transform(found.points)
    placed: list[np.ndarray] = []
    for index, thumbnail in enumerate(thumbnails):
        if thumbnail is None or any(np.abs(pixels[index] - other).max() < SPACE for other in placed):
            continue
        placed.append(pixels[index])
        box = OffsetImage(np.asarray(thumbnail), zoom=72 / DPI, interpolation="nearest")
        frame = {"edgecolor": colors[found.class_names[index]], "linewidth": 1.6}
        axes.add_artist(AnnotationBbox(box, tuple(found.points[index]), pad=0.08, bboxprops=frame))


def _write_names(axes: "Axes", found: ImageMap, labels: dict[str, str]) -> None:
    """Write the name of each class at the middle of its images."""
    from matplotlib.patheffects import withStroke

    classes = np.array(found.class_names)
    for name, label in labels.items():
        x, y = np.median(found.points[classes == name], axis=0)
        text = axes.text(x, y, label, fontsize=8, color=INK, ha="center", parse_math=False)
        text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
        text.set_zorder(5)
