"""visualize(): images of what a network has learned."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.errors import OptionError
from tlkit.features.projection import ImageMap
from tlkit.runs.manifest import CLASSIC_MODEL
from tlkit.runs.run import Run, load_run
from tlkit.settings.base import settings_or_options
from tlkit.settings.commands import VisualizeSettings
from tlkit.utils.files import write_new
from tlkit.utils.progress import Progress, Silent
from tlkit.utils.text import quote_names
from tlkit.visualization.feature_maps import NUM_MAPS, check_unit, decode_for, show_maps
from tlkit.visualization.filters import class_templates, first_filters
from tlkit.visualization.image_map import METHOD_NAMES, compute_map, draw_map, image_files, read_thumbnails
from tlkit.visualization.maximization import NUM_UNITS, maximize, spread_units
from tlkit.visualization.network import (
    InspectedNetwork,
    NetworkLayer,
    build_named_network,
    close_names,
    names_run,
    open_run_network,
)
from tlkit.visualization.sheet import LayerTiles, draw_sheet, resize_tiles, shape_words

COLUMNS = 16  # filters beside each other
MIN_SIDE = 160  # pixels of a maximized image on the sheet


@dataclass(frozen=True)
class Visualization:
    """An image of what a network has learned; a notebook shows it.

    Attributes:
        kind: "filters", "feature maps", "maximization" or "map"
        network: its name
        title, caption: what is shown, and what brightness and colors mean
        layers: the tiles of each layer; () for a map
        image_map: the points of a map; None for the others
        png: the image file, with title and caption
    """

    kind: str
    network: str
    title: str
    caption: str
    layers: tuple[LayerTiles, ...] = field(repr=False)
    image_map: ImageMap | None = field(repr=False)
    png: bytes = field(repr=False)

    def save(self, file: str | Path) -> None:
        """Write it as a new PNG file.

        Args:
            file: a new file

        Raises:
            OptionError: if `file` exists
        """
        write_new(Path(file), self.png)

    def as_json(self) -> dict[str, Any]:
        """Give what it shows: network, layers with their shapes and units, number of images."""
        layers = [
            {"layer": row.layer, "shape": list(row.shape), "units": list(row.units), "values": list(row.values)}
            for row in self.layers
            if row.layer
        ]
        images = {"num_images": len(self.image_map.paths)} if self.image_map else {}
        return {"kind": self.kind, "network": self.network, "title": self.title, "layers": layers} | images

    def _repr_png_(self) -> bytes:
        return self.png


def visualize(
    model: str | Path | Run,
    settings: VisualizeSettings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Visualization:
    """Draw what a network has learned.

    With `map`, its validation images as points; with `image`, what its layers make of an image; with `layer` or
    `class_name`, images that their units respond to most; else the filters of its first layer. The modules of
    `tlkit.visualization` name the papers.

    Args:
        model: a run, its folder, or the name of a backbone
        settings: the options; the defaults where it is None
        progress: shows what is done; nothing is shown where it is None
        options: fields of `VisualizeSettings`, in place of `settings`

    Returns:
        The image, ready to be saved or shown in a notebook

    Raises:
        OptionError: also for an unknown layer, unit or class
        DataError: if an image cannot be read
        ModelError
        RunError
    """
    settings = settings_or_options(VisualizeSettings, settings, options)
    progress = progress or Silent()
    run = model if isinstance(model, Run) else load_run(model) if names_run(str(model)) else None
    if settings.map:
        if run is None:
            raise OptionError(f"--map needs a run, which has images; '{model}' is the name of a network.")
        return _show_map(run, settings, progress)
    if run and CLASSIC_MODEL in run.manifest.sha256 and not (settings.image or settings.layer or settings.class_name):
        return _show_filters(str(run.path), class_templates(run))
    if run:
        network = open_run_network(run, settings.trust_model)
    else:
        network = build_named_network(str(model), settings.weights, settings.image_size, settings.seed)
    if settings.image:
        return _show_maps(network, settings)
    if settings.layer or settings.class_name:
        return _show_maximized(network, settings, progress)
    return _show_filters(network.name, first_filters(network))


def _show_filters(name: str, row: LayerTiles) -> Visualization:
    caption = (
        "The first layer compares every small part of a photo with these. Each filter is scaled by itself: gray is "
        "zero, and the weight farthest from zero is full in its color."
    )
    title = f"First-layer filters of {name}"
    if len(row.shape) == 1:
        title = f"Templates of {name}"
        caption = (
            "Each template is multiplied with the pixels, and the sum is the value of its class or unit. Each is "
            "scaled by itself: gray is zero; where it is bright, bright pixels raise the value, and where it is dark, "
            "they lower it."
        )
    return _sheet("filters", name, title, caption, ([row], COLUMNS if len(row.shape) == 3 else NUM_MAPS))


def _show_maps(network: InspectedNetwork, settings: VisualizeSettings) -> Visualization:
    name, pixels = decode_for(network, settings.image)
    rows = show_maps(network, pixels, settings.layer, settings.unit)
    chosen = f"the {NUM_MAPS} channels whose values differ most from place to place" if settings.unit is None else "one"
    caption = (
        f"Of each layer {chosen}. Bright is a strong response, dark a weak or negative one; each map is scaled by "
        "itself, from its smallest value to its largest."
    )
    title = f"{Path(name).name}, layer by layer, in {network.name}"
    return _sheet("feature maps", network.name, title, caption, (rows, NUM_MAPS))


def _show_maximized(network: InspectedNetwork, settings: VisualizeSettings, progress: Progress) -> Visualization:
    layer, units = _chosen_units(network, settings)
    found = maximize(network, layer, units, settings.steps, settings.seed, progress)
    noun = "class" if settings.class_name else "channel" if len(layer.shape) == 3 else "unit"
    names = [settings.class_name] if settings.class_name else [str(unit) for unit in units]
    changes = zip(found.before, found.activations, strict=True)
    labels = [f"{noun} {name}: {a:.3g} → {b:.3g}" for name, (a, b) in zip(names, changes, strict=True)]
    side = max(MIN_SIDE, min(network.image.size, 224))
    row = LayerTiles(
        *(layer.name, layer.shape, units, resize_tiles(found.images, side), tuple(labels)),
        f"{layer.name}: {shape_words(layer.shape)}",
        tuple(map(float, found.activations)),
    )
    measure = {
        "class": "the value of the class before the softmax",
        "channel": "the mean activation of each channel over the image",
        "unit": "the value of each unit before its activation function",
    }[noun]
    caption = (
        f"{settings.steps} steps of gradient ascent from noise (seed {settings.seed}) raise {measure}. Below each "
        "image: that value at the start → at the end."
    )
    what = f"class '{settings.class_name}'" if settings.class_name else f"{noun}s of {layer.name}"
    title = f"Images that maximize {what}: {network.name}"
    return _sheet("maximization", network.name, title, caption, ([row], NUM_UNITS // 2))


def _chosen_units(network: InspectedNetwork, settings: VisualizeSettings) -> tuple[NetworkLayer, tuple[int, ...]]:
    """Find the layer and the units to maximize.

    Raises:
        OptionError
    """
    if not settings.class_name:
        layer = network.find_layer(settings.layer)
        if layer.layer is network.layers[0].layer:
            raise OptionError(f"--layer is '{layer.name}', the pixels themselves; expected a layer above them.")
        if settings.unit is None:
            return layer, spread_units(layer)
        check_unit(layer, settings.unit)
        return layer, (settings.unit,)
    names = network.class_names
    if not names:
        raise OptionError(f"--class needs a run, which has classes; {network.name} has none: use --layer.")
    if settings.class_name not in names:
        near = quote_names(close_names(settings.class_name, names))
        raise OptionError(f"--class is '{settings.class_name}'; expected a class of the run, such as {near}.")
    return network.logits(), (names.index(settings.class_name),)


def _show_map(run: Run, settings: VisualizeSettings, progress: Progress) -> Visualization:
    assert settings.map
    found = compute_map(run, settings.map, settings.seed, settings.trust_model, progress)
    thumbnails = read_thumbnails(image_files(run, found.paths))
    method = METHOD_NAMES[settings.map]
    title = f"{len(found.paths):,} validation images of {run.path.name} by {method} of their features"
    near = "Images that the network finds similar are near each other"
    what = (
        "neighbors are kept, distances between groups are not"
        if settings.map != "pca"
        else "distances are kept as well as a plane can"
    )
    caption = f"{near}; {what}. Color: class."
    image_map = ImageMap(found.paths, found.class_names, np.asarray(found.points))
    return Visualization(
        "map", str(run.path), title, caption, (), image_map, draw_map(found, thumbnails, title, caption)
    )


def _sheet(
    kind: str, name: str, title: str, caption: str, rows_and_columns: tuple[list[LayerTiles], int]
) -> Visualization:
    rows, columns = rows_and_columns
    png = draw_sheet(title, caption, rows, columns)
    return Visualization(kind, name, title, caption, tuple(rows), None, png)
