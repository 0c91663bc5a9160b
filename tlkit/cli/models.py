"""`tlkit models [NETWORK] [--json] [--measure] [-o networks.png] [--cuts]`."""

import json
import math
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlkit.cli.console import Console
from tlkit.cli.help import GroupedCommand
from tlkit.cli.options import output_option
from tlkit.cli.reporting import QUIET, report_options, reporting
from tlkit.errors import OptionError

if TYPE_CHECKING:
    from tlkit.cli.screen import Part
    from tlkit.models.catalog import CatalogEntry

Speeds = dict["CatalogEntry", float | str]  # images per second, or why there is none
HALF_BYTES = 2  # activations are kept in float16
TITLES = {"finetune": "finetune --backbone", "train": "train --model"}


@click.command(
    cls=GroupedCommand,
    examples=(
        "tlkit models",
        "tlkit models mobilenet_v2 --measure",
        "tlkit models mobilenet_v2 --cuts",
        "tlkit models -o networks.png",
    ),
    common=("output", "as_json", "measure", "cuts", "image_size"),
)
@click.argument("network", required=False)
@click.option(
    "--measure", is_flag=True, help="Speed on this machine in images/s; takes seconds to minutes per network."
)
@output_option("PNG file to write: accuracy against multiply-adds.")
@click.option("--cuts", is_flag=True, help="Cut points of NETWORK for finetune --freeze lower.")
@click.option(
    "--image-size",
    metavar="INTEGER",
    type=click.IntRange(min=0),
    default=0,
    help="Image height and width in pixels for --cuts; 0 for the network's default.",
)
@report_options
def models(network: str | None, measure: bool, output: Path | None, cuts: bool, image_size: int) -> None:
    """List networks with their size, cost and accuracy.
    Give NETWORK to list one network or family.

    With --cuts, list the cut points of NETWORK. Layers below the cut are frozen, layers above it are
    trained, and each augmented view of an image takes the listed space in the cache.
    """
    from tlkit.training.option_effects import MODELS, refuse_first

    given = {"image_size": image_size, "json": reporting().as_json, "measure": measure, "output": output}
    refuse_first({name: value for name, value in given.items() if value}, MODELS, {"cuts": cuts})
    if cuts:
        if not network:
            raise OptionError("--cuts needs the name of a backbone, e.g. `tlkit models mobilenet_v2 --cuts`.")
        _print_cuts(network, image_size)
        return
    from tlkit.models.catalog import find_entries, load_catalog

    entries = find_entries(network) if network else list(load_catalog())
    if output:
        _draw(entries, output)
    speeds = _measure(entries) if measure else {}
    if reporting().as_json:
        click.echo(json.dumps([entry.as_json() | _speed_json(speeds.get(entry)) for entry in entries], indent=2))
    else:
        _print(entries, speeds)


def _speed_json(speed: float | str | None) -> dict[str, float | str | None]:
    if speed is None:
        return {}
    return {"images_per_second": speed} if isinstance(speed, float) else {"images_per_second": None, "reason": speed}


def _draw(entries: list["CatalogEntry"], output: Path) -> None:
    from tlkit.models.catalog import plot_catalog

    if not any(entry.top1 for entry in entries):
        raise OptionError(f"nothing to draw: {entries[0].name} has no published ImageNet accuracy; omit -o or NETWORK.")
    plot_catalog(entries, output)


def _measure(entries: list["CatalogEntry"]) -> "Speeds":
    """Measure images per second.

    Each is measured in a process of its own: TensorFlow never gives back the memory of a conversion.
    """
    from tlkit.models.keras_setup import require_keras

    require_keras("`tlkit models --measure`")
    console, speeds = Console(), Speeds()
    with console.stage("measuring", len(entries), "networks") as advance:
        for entry in entries:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                try:
                    speeds[entry] = float(f"{process.submit(_measure_one, entry).result():.4g}")
                except BrokenProcessPool:
                    speeds[entry] = "the process ended, probably out of memory"
                except Exception as error:  # of TensorFlow: the other networks are measured
                    speeds[entry] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
            advance(1)
    return speeds


def _measure_one(entry: "CatalogEntry") -> float:
    from tlkit.models.keras_setup import start_keras

    start_keras()
    from tlkit.engines.factory import images_per_second
    from tlkit.models.summary import build_whole_network

    return images_per_second(build_whole_network(entry.spec))


def _print(entries: list["CatalogEntry"], speeds: Speeds) -> None:
    """Print a table per command, why a network has no speed, and what the columns mean."""
    from tlkit.cli.screen import BAD, FAINT, Screen

    screen = Screen()
    for command, title in TITLES.items():
        of_command = [entry for entry in entries if entry.command == command]
        if of_command:
            header = [title, *HEADER, *["images/s"] * bool(speeds), ""]
            screen.table(header, [_row(item, speeds) for item in of_command], (0, len(header) - 1), DROPPED)
            screen.blank()
    for entry, reason in speeds.items():
        if isinstance(reason, str):
            screen.entry("no speed", f"{entry.name}: {reason}", style=BAD)
    if reporting().verbosity > QUIET:
        for sentence in _legend(entries):
            screen.line((sentence, FAINT))


HEADER = ("pixels", "min", "year", "depth", "params/M", "MB", "ops/G", "top-1")
DROPPED = (2, 6, 4, 3, 1, 7)  # columns that a narrow terminal does not get, the first of them first


def _row(entry: "CatalogEntry", speeds: Speeds) -> "list[Part]":
    from tlkit.cli.screen import GOOD
    from tlkit.utils.text import format_rate

    speed = speeds.get(entry)
    measured = [format_rate(speed) if isinstance(speed, float) else "–"] if speeds else []
    return [
        entry.name,
        str(entry.spec.image_size),
        str(entry.spec.min_size),
        str(entry.year),
        str(entry.depth),
        f"{entry.parameters / 1e6:.2f}",
        f"{entry.size / 1e6:.1f}",
        f"{entry.multiply_adds / 1e9:.3f}",
        f"{entry.top1:.1f}" if entry.top1 else "",
        *measured,
        ("cached", GOOD) if entry.command == "finetune" and entry.weights_cached else "",
    ]


def _legend(entries: list["CatalogEntry"]) -> list[str]:
    """Explain the columns, and what a name means, in sentences."""
    from tlkit.models.architectures.registry import families

    lines = [
        "pixels: default image size; min: minimum image size; params/M: million parameters with 1,000 classes; "
        "MB: their size as float32; ops/G: billion multiply-adds for one image of the default size; "
        "top-1: published ImageNet accuracy (%). The sources are in --json."
    ]
    if len(entries) <= 2:
        return lines
    members = ", ".join(f"{family} ({name})" for family, name in families().items())
    return [
        *lines,
        "cached: ImageNet weights are on this machine. `train --model` also accepts every backbone.",
        f"The name of a family means one of its networks: {members}.",
    ]


def _print_cuts(backbone: str, image_size: int) -> None:
    """Print the cut points of a backbone."""
    from tlkit.cli.screen import FAINT, GOOD, Screen
    from tlkit.models.backbones import find_backbone
    from tlkit.models.keras_setup import start_keras

    spec = find_backbone(backbone)
    start_keras("`tlkit models --cuts`")
    from tlkit.models.build import build_backbone
    from tlkit.models.cut import choose_cut, cut_points, parameters_below

    body = build_backbone(spec, "none", image_size or spec.image_size)
    cuts = [cut for cut in cut_points(body) if len(cut.shape) == 3]
    try:
        chosen = choose_cut(body, cuts, "auto").index
    except OptionError:  # it has none; the list says so
        chosen = -1
    rows: list[list[Part]] = []
    for cut in cuts:
        below = parameters_below(body, cut)
        space = HALF_BYTES * math.prod(cut.shape) / 1e3
        counts = [f"{below:,}", f"{body.count_params() - below:,}", f"{space:,.1f}"]
        rows.append([cut.name, "×".join(map(str, cut.shape)), *counts, ("auto", GOOD) if cut.index == chosen else ""])
    screen = Screen()
    screen.table(("cut point", "shape", "frozen", "trained", "kB/view", ""), rows, (0, 5), (1,))
    if reporting().verbosity > QUIET:
        screen.line(("frozen, trained: parameters below and above the cut; auto: what --cut auto chooses", FAINT))
