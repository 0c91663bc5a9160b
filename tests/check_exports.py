"""Check that every backbone can be exported in every format: `python -m tests.check_exports`; small networks first.

Each backbone has random weights, batch norms with the statistics of photos, and a head whose logits are standardized
over them, so that they spread over the classes: without that, every file would agree with every other. It is checked
in a process of its own, as `tests/check_backbones.py` does; each format of a large one, too, so that only one is in
memory. The rows of a backbone are in `docs/exports.csv` as soon as it is checked: started again, the command continues
with the next one. At the end they become `docs/exports.md`.
"""

import csv
import io
import json
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np

from tests.check_backbones import PREFIX, ROOT, run_child
from tests.check_explanations import num_parameters, small_first
from tlkit.data.image import ImageSpec, decode_square
from tlkit.data.sources.files import read_file
from tlkit.export.base import ExportSource, RuntimeFunction
from tlkit.export.formats import FORMATS
from tlkit.export.images import RunImages
from tlkit.export.verification import TOLERANCE, Reference, answers_of, compare_answers, measure_speeds
from tlkit.models.backbones import BACKBONES, find_backbone
from tlkit.models.graph import topological_order
from tlkit.utils.files import atomic_write

CHECKED = {name: row for name, row in FORMATS.items() if row.in_all}
NUM_PHOTOS, NUM_CLASSES, SPREAD = 32, 6, 1.0  # standard deviation of each class's logits over the photos
DAMPED, DAMPED_DEEP = 0.25, 0.1  # scale of batch norms in networks where rounding errors would grow
DEEP = 120  # batch norms, above which a network with SiLU has the smaller scale
PIXELS_AT_ONCE = 4 * 224**2  # of the photos that go through Keras together
MAX_SIDE = 320  # pixels, up to which `NUM_PHOTOS` are compared
COMPARED_PIXELS = NUM_PHOTOS * MAX_SIDE**2  # of all photos: fewer where they are larger
PACKAGES = ("tlkit", "keras", "tensorflow", "ai-edge-litert", "onnx", "onnxruntime", "openvino")
LARGE = 150_000_000  # parameters, above which each format is checked alone
CONDITIONS = (*PACKAGES, "image_size")
RESULTS = (
    "works",
    "largest_difference",
    "photos",
    "agreement",
    "classes",
    "mb",
    "images_per_second",
    "seconds",
    "error",
)
COLUMNS = ("name", "format", *RESULTS, *CONDITIONS)
Row = dict[str, str]


def check(name: str, image_size: int, data: Path, formats: Sequence[str] = tuple(CHECKED)) -> Iterator[Row]:
    """Export a backbone in some formats, and compare each file with Keras on photos.

    data: folder of photos
    """
    size = image_size or find_backbone(name).image_size
    photos = read_photos(data, size)
    network, probabilities = lively_classifier(name, photos.pixels)
    for format_name, row in compare_formats(network, Reference(0, photos, probabilities), formats).items():
        yield {"name": name, "format": format_name, "image_size": str(size)} | row


def compare_formats(network: Any, reference: Reference, formats: Sequence[str]) -> dict[str, Row]:
    """Export a network in some formats, and compare each file with the answers of Keras."""
    runs, rows = dict[str, RuntimeFunction](), dict[str, Row]()
    with tempfile.TemporaryDirectory() as temporary:
        source = ExportSource(network, {}, {}, workspace=Path(temporary))
        for format_name in formats:
            folder, start = Path(temporary) / f"{format_name}_files", time.monotonic()
            folder.mkdir()
            try:
                exporter = CHECKED[format_name].load()
                exporter.write(source, folder)
                runs[format_name] = exporter.open(folder)
                found = compare_answers(reference, np.concatenate(list(answers_of(runs[format_name], reference))))
            except Exception as error:  # any library may raise anything; the table has to say it
                message = f"{type(error).__name__}: {error}".splitlines()[0][:200]
                rows[format_name] = {"works": "no", "error": message}
                continue
            num_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            equal = found.agreement == 1 and found.max_difference <= TOLERANCE
            rows[format_name] = {
                "works": "yes" if equal else "no",
                "largest_difference": f"{found.max_difference:.1e}",
                "photos": str(len(reference.images)),
                "agreement": f"{found.agreement:.3f}",
                "classes": str(len(np.unique(reference.probabilities.argmax(axis=1)))),
                "mb": f"{num_bytes / 1e6:.1f}",
                "seconds": f"{time.monotonic() - start:.1f}",
            }
        for format_name, speed in zip(runs, measure_speeds(list(runs.values()), reference.images.pixels), strict=True):
            rows[format_name]["images_per_second"] = f"{speed:.1f}"
    return rows


def read_photos(data: Path, size: int) -> RunImages:
    """Read photos of every folder, spread evenly: their labels do not matter."""
    files, count = sorted(file for file in data.rglob("*.jpg")), min(NUM_PHOTOS, COMPARED_PIXELS // size**2)
    files = [files[position] for position in np.linspace(0, len(files) - 1, count).round().astype(int)]
    pixels = np.stack([decode_square(read_file(file), ImageSpec(size)) for file in files])
    names = tuple(file.relative_to(data).as_posix() for file in files)
    return RunImages(names, np.zeros(len(files), int), pixels, tuple(files))


def lively_classifier(name: str, pixels: np.ndarray) -> tuple[Any, np.ndarray]:
    """Build a classifier whose answers to some photos differ.

    pixels  uint8 (photos, size, size, 3)
    returns: the classifier, and its probabilities
    """
    from tlkit.models.keras_setup import start_keras

    keras = start_keras()
    from tlkit.models.build import build_backbone
    from tlkit.models.head import Head, attach_head
    from tlkit.testing import run_network

    at_once = max(1, PIXELS_AT_ONCE // pixels.shape[1] ** 2)
    parts = [part.astype(np.float32) for part in np.array_split(pixels, -(-len(pixels) // at_once))]
    body = build_backbone(find_backbone(name), "none", pixels.shape[1])
    dampen(body)
    calibrate_in_order(body, pixels.astype(np.float32))
    features = np.concatenate([run_network(body, part) for part in parts])
    classifier = attach_head(body, Head(0.5, True, (64,)), NUM_CLASSES)
    spread_logits(classifier, body.output, features)
    head = keras.Model(body.output, classifier.output)
    return classifier, run_network(head, features)


def dampen(body: Any) -> None:
    """Give some batch norms a small scale, where random weights let rounding errors grow from layer to layer.

    - All of a network with SiLU, which amplifies large values more than small ones: a photo of high contrast outgrows
      the others, and so do its errors. Small values SiLU bends little.
    - The last one of each residual branch beside a ReLU, as ResNet has many: then a block changes its input little.
    """
    import keras

    steps = topological_order(body.output)
    makers = {id(output): layer for layer, _, output in steps}
    norms = [layer for layer in makers.values() if isinstance(layer, keras.layers.BatchNormalization)]
    scale = DAMPED_DEEP if len(norms) > DEEP else DAMPED
    if not any(has_activation(layer, keras.activations.silu) for layer in body.layers):
        additions = [inputs for layer, inputs, _ in steps if isinstance(layer, keras.layers.Add)]
        added = [[makers[id(tensor)] for tensor in inputs] for inputs in additions]
        beside = [layers for layers in added if any(has_activation(layer, keras.activations.relu) for layer in layers)]
        norms, scale = [layer for layers in beside for layer in layers if layer in norms], DAMPED
    for layer in norms:
        layer.gamma.assign(keras.ops.full_like(layer.gamma, scale))


def has_activation(layer: Any, function: Any) -> bool:
    """Tell whether a layer applies this activation function."""
    return getattr(layer, "activation", None) is function


def calibrate_in_order(body: Any, pixels: np.ndarray) -> None:
    """Give batch norms the statistics of some photos; a value is dropped after the last layer that takes it.

    The photos that are compared have to be among them: others leave the range of a deep network with random weights,
    where a rounding error grows to any size. Keras keeps the values of all layers, so that few large photos fit.
    """
    import keras

    steps = topological_order(body.output)
    uses = Counter(id(tensor) for _, inputs, _ in steps for tensor in inputs)
    values = {id(body.input): keras.ops.convert_to_tensor(pixels)}
    for layer, inputs, output in steps:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        node = layer._inbound_nodes[output._keras_history.node_index]
        args, kwargs = node.arguments.fill_in(values)
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum, kwargs["training"] = 0.0, True
        values[id(output)] = layer(*args, **kwargs)
        for tensor in inputs:
            uses[id(tensor)] -= 1
            if not uses[id(tensor)]:
                values.pop(id(tensor), None)


def spread_logits(classifier: Any, inputs: Any, features: np.ndarray) -> None:
    """Give a head random weights, and logits with a mean of 0 and a deviation of `SPREAD` over some features.

    inputs  the tensor of the features
    """
    import keras

    from tlkit.testing import calibrate_batch_norms, run_network

    head = keras.Model(inputs, classifier.output)
    draws, layers = np.random.default_rng(0), {layer.name: layer for layer in head.layers}
    for layer in layers.values():
        if isinstance(layer, keras.layers.Dense):
            layer.set_weights([draws.normal(size=weight.shape) for weight in layer.get_weights()])
    calibrate_batch_norms(head, features)
    logits = run_network(keras.Model(inputs, layers["probabilities"].input), features)
    scale, mean = SPREAD / logits.std(axis=0), logits.mean(axis=0)
    kernel, bias = layers["head_logits"].get_weights()
    layers["head_logits"].set_weights([kernel * scale, (bias - mean) * scale])
    layers["head_linear"].set_weights([layers["head_linear"].get_weights()[0] * scale])


def check_alone(name: str, image_size: int, data: Path, timeout: float, formats: Sequence[str]) -> list[Row]:
    """Check one backbone in a process of its own; each of the formats has a row, also where the process crashed."""
    command = ["-m", "tests.check_exports", name, "--here", "--image-size", str(image_size), "--data", str(data)]
    lines, error = run_child([*command, *(word for key in formats for word in ("--format", key))], timeout)
    size = str(image_size or find_backbone(name).image_size)
    failed = {"name": name, "works": "no", "image_size": size, "error": error}
    return [json.loads(line) for line in lines] or [failed | {"format": key} for key in formats]


def read_table(table: Path) -> dict[tuple[str, str], Row]:
    """Read the rows by backbone and format; none where there is no file."""
    if not table.exists():
        return {}
    rows = csv.DictReader(io.StringIO(table.read_text(encoding="utf-8")))
    return {(row["name"], row["format"]): row for row in rows}


def write_table(table: Path, rows: dict[tuple[str, str], Row]) -> None:
    """Write the rows, as a whole or not at all, so that a stopped command leaves a table that can be read."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows[name, key] for name in BACKBONES for key in CHECKED if (name, key) in rows)
    atomic_write(table, text.getvalue())


def to_markdown(rows: dict[tuple[str, str], Row], current: Row) -> str:
    """Write the page: a row for each backbone, three columns for each format."""
    known = {name: [rows[name, key] for key in CHECKED if (name, key) in rows] for name in BACKBONES}
    names = [name for name in BACKBONES if known[name]]
    titles = [part for row in CHECKED.values() for part in (row.title, "MB", "images/s")]
    body = [
        [name, known[name][0]["image_size"]] + [cell for key in CHECKED for cell in cells(rows.get((name, key), {}))]
        for name in names
    ]
    done = {key: [rows[name, key]["works"] == "yes" for name in names if (name, key) in rows] for key in CHECKED}
    counts = ", ".join(f"{CHECKED[key].title} {sum(works)} of {len(works)}" for key, works in done.items())
    packages = ", ".join(f"{package} {current[package]}" for package in PACKAGES)
    table = [["backbone", "pixels", *titles], ["---", "--:", *["--:"] * len(titles)], *body]
    return "\n".join(
        [
            "# Exports",
            "",
            f"`python -m tests.check_exports` exports the backbones in every format and compares each file with Keras "
            f"on {NUM_PHOTOS} photos, fewer where they have more than {MAX_SIDE} pixels a side. A file works if the "
            "most probable class is the same for every photo and no probability differs by more than "
            f"{TOLERANCE:g}: {counts}.",
            "",
            "Weights are random. So that a fault can be seen, activations have to stay in range, and answers have to "
            "differ from photo to photo:",
            "",
            "- Batch norms have the statistics of the photos that are compared.",
            "- The head spreads the photos over the classes: the logits of each class have a mean of 0 and a standard "
            f"deviation of {SPREAD:g} over the photos.",
            f"- In networks with SiLU (EfficientNet), the scale of batch norms is {DAMPED:g}, in those with more than "
            f"{DEEP} of them (B6, B7, V2M, V2L) {DAMPED_DEEP:g}. SiLU amplifies large "
            "values more than small ones, and random weights do not correct that: a photo of high contrast outgrows "
            "the others from layer to layer, and so do its rounding errors. With a scale of 1, one of the 32 photos "
            "differed by 1.7e-4 in efficientnet_b1, even between Keras and TensorFlow's own SavedModel, and the others "
            "by less than 1e-5 ([decision 044](decisions/044-the-check-of-exports.md)). With a scale of "
            f"{DAMPED:g}, B6, B7 and V2L differed by up to 1.1e-3.",
            f"- In ResNet50, 101 and 152, the last batch norm of residual branches has a scale of {DAMPED:g}, so that "
            "a block changes its input little. With a scale of 1, rounding errors grow with the depth: the ONNX files "
            "of the three differed by 4.9e-5, 1.6e-4 and 6.3e-4.",
            "",
            "`tests/test_check_exports.py` makes a fault in a network before it is exported: the padding of one layer, "
            "two channels of one batch norm swapped, another epsilon. Each is found in every format.",
            "",
            "The first column of a format has the largest difference of a probability; the last the images per second, "
            "one at a time, of formats measured in turn (one after the other above "
            f"{LARGE / 1e6:g} million parameters). Other work ran on the machine: compare formats within a row. "
            f"Versions: {packages}. Machine: {os.cpu_count()} cores, {platform.system()} {platform.machine()}.",
            "",
            *("| " + " | ".join(cells) + " |" for cells in table),
            "",
        ]
    )


def cells(row: Row) -> list[str]:
    """Give what the page says of one file."""
    if not row or row["error"]:
        return [(row or {"error": ""})["error"].replace("|", "\\|"), "", ""]
    mark = row["largest_difference"] if row["works"] == "yes" else f"**{row['largest_difference']}**"
    return [mark, row["mb"], row["images_per_second"]]


@click.command()
@click.argument("names", nargs=-1)
@click.option("--table", type=click.Path(path_type=Path), default=ROOT / "docs" / "exports.csv", show_default=True)
@click.option("--page", type=click.Path(path_type=Path), default=ROOT / "docs" / "exports.md", show_default=True)
@click.option("--data", type=click.Path(path_type=Path), help="Folder of photos. Default: trashnet of the test data.")
@click.option("--image-size", default=0, help="In pixels; 0 for the size that each was pretrained on.")
@click.option("--timeout", default=3600, show_default=True, help="Seconds for one backbone.")
@click.option("--retry", is_flag=True, help="Check those again that had an error.")
@click.option("--format", "formats", multiple=True, type=click.Choice(list(CHECKED)), help="Default: all.")
@click.option("--here", is_flag=True, hidden=True, help="Check one backbone in this process, and print its rows.")
def main(names: tuple[str, ...], table: Path, page: Path, data: Path | None, here: bool, **options: Any) -> None:
    """Check the backbones NAMES, or all, in every format."""
    formats = options["formats"] or tuple(CHECKED)
    folder = data or Path(os.environ["TLKIT_TEST_DATA"]) / "images" / "trashnet"
    if here:
        for row in check(names[0], options["image_size"], folder, formats):
            click.echo(PREFIX + json.dumps(row))
        return
    rows, versions = read_table(table), {package: version(package) for package in PACKAGES}
    for name in [find_backbone(name).name for name in names] or small_first():
        size = str(options["image_size"] or find_backbone(name).image_size)
        current = versions | {"image_size": size}
        known = {key: rows.get((name, key), {}) for key in formats}
        missing = [
            key
            for key, row in known.items()
            if not current.items() <= row.items() or (options["retry"] and row["error"])
        ]
        is_large = num_parameters()[name] > LARGE
        for group in [[key] for key in missing] if is_large else [missing] * bool(missing):
            checked = check_alone(name, options["image_size"], folder, options["timeout"], group)
            rows |= {(name, row["format"]): dict.fromkeys(COLUMNS, "") | versions | row for row in checked}
            write_table(table, rows)
            atomic_write(page, to_markdown(rows, versions))
        outcome = [f"{key} {' '.join(cells(rows.get((name, key), {})))}" for key in formats]
        click.echo(f"{name:<24} {'; '.join(outcome)}{' (earlier)' * (not missing)}")
    failed = [key for key, row in rows.items() if row["works"] != "yes"]
    click.echo(f"{len(rows)} files are in {table}, {len(rows) - len(failed)} of them work.")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
