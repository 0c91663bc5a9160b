"""`tlkit models [NETWORK] [--json] [--measure] [-o zoo.png] [--cuts]`."""

import json
import math
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlkit.cli.console import Console
from tlkit.cli.help import GroupedCommand
from tlkit.cli.options import output_option
from tlkit.cli.screen import terminal_width
from tlkit.errors import OptionError
from tlkit.utils.text import wrap

if TYPE_CHECKING:
    from tlkit.models.catalog import CatalogEntry
    from tlkit.models.cut import Cut


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
@click.option("--json", "as_json", is_flag=True, help="JSON output with all figures and their sources.")
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
def models(network: str | None, as_json: bool, measure: bool, output: Path | None, cuts: bool, image_size: int) -> None:
    """List networks with their size, cost and accuracy.
    Give NETWORK to list one network or family.

    With --cuts, list the cut points of NETWORK. Layers below the cut are frozen, layers above it are
    trained, and each augmented view of an image takes the listed space in the cache.
    """
    from tlkit.training.option_effects import MODELS, refuse_first

    given = {"image_size": image_size, "json": as_json, "measure": measure, "output": output}
    refuse_first({name: value for name, value in given.items() if value}, MODELS, {"cuts": cuts})
    if cuts:
        if not network:
            raise OptionError("--cuts needs the name of a backbone, e.g. `tlkit models mobilenet_v2 --cuts`.")
        click.echo("\n".join(_cut_lines(network, image_size)))
        return
    from tlkit.models.catalog import find_entries, load_catalog

    entries = find_entries(network) if network else list(load_catalog())
    if output:
        _draw(entries, output)
    speeds = _measure(entries) if measure else {}
    if as_json:
        facts = [entry.as_json() | ({"images_per_second": speeds[entry]} if measure else {}) for entry in entries]
        click.echo(json.dumps(facts, indent=2))
    else:
        click.echo("\n".join(_lines(entries, speeds)))


def _draw(entries: list["CatalogEntry"], output: Path) -> None:
    from tlkit.models.catalog import plot_catalog

    if not any(entry.top1 for entry in entries):
        raise OptionError(f"nothing to draw: {entries[0].name} has no published ImageNet accuracy; omit -o or NETWORK.")
    plot_catalog(entries, output)


def _measure(entries: list["CatalogEntry"]) -> dict["CatalogEntry", float | None]:
    """Measure images per second; None for a network this machine has no memory for.

    Each is measured in a process of its own: TensorFlow never gives back the memory of a conversion.
    """
    console, speeds = Console(), dict["CatalogEntry", float | None]()
    with console.stage("measuring", len(entries), "networks") as advance:
        for entry in entries:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                try:
                    speeds[entry] = round(process.submit(_measure_one, entry).result(), 1)
                except BrokenProcessPool:
                    speeds[entry] = None
                    console.note(f"{entry.name} was not measured: the process ended, probably out of memory.")
            advance(1)
    return speeds


def _measure_one(entry: "CatalogEntry") -> float:
    from tlkit.models.keras_setup import start_keras

    start_keras()
    from tlkit.engines.factory import images_per_second
    from tlkit.models.summary import build_whole_network

    return images_per_second(build_whole_network(entry.spec))


def _lines(entries: list["CatalogEntry"], speeds: dict["CatalogEntry", float | None]) -> list[str]:
    lines = list[str]()
    for command, title in TITLES.items():
        of_command = [entry for entry in entries if entry.command == command]
        if of_command:
            lines += ["", _head(title, bool(speeds)), *(_line(entry, speeds) for entry in of_command)]
    return [*lines[1:], "", _legend(entries)]


def _head(title: str, is_measured: bool) -> str:
    names = f"{'pixels':>6} {'min':>5} {'year':>4} {'depth':>5} {'params/M':>8} {'MB':>7} {'ops/G':>8} {'top-1':>5}"
    return click.style(f"{title:<23} {names}{'  images/s' * is_measured}", bold=True)


def _line(entry: "CatalogEntry", speeds: dict["CatalogEntry", float | None]) -> str:
    top1 = f"{entry.top1:.1f}" if entry.top1 else ""
    size = f"{entry.parameters / 1e6:>8.2f} {entry.size / 1e6:>7.1f} {entry.multiply_adds / 1e9:>8.3f} {top1:>5}"
    speed = f"{speeds[entry] or math.nan:>10.1f}" if entry in speeds else ""
    cached = "  cached" if entry.command == "finetune" and entry.weights_cached else ""
    pixels = f"{entry.spec.image_size:>6} {entry.spec.min_size:>5}"
    return f"{entry.name:<23} {pixels} {entry.year:>4} {entry.depth:>5} {size}{speed}{cached}"


def _legend(entries: list["CatalogEntry"]) -> str:
    from tlkit.models.architectures.registry import families

    text = (
        "params/M: million parameters with 1,000 classes; MB: their size as float32\n"
        "ops/G: billion multiply-adds for one image of the default size; min: minimum image size\n"
        "top-1: published ImageNet accuracy in %; --json lists the sources"
    )
    if len(entries) <= 2:
        return text
    members = ", ".join(f"{family} ({name})" for family, name in families().items())
    more = "cached: ImageNet weights are on this machine; `train --model` also accepts every backbone"
    names = "\n".join(wrap(f"The name of a family means one of its networks: {members}.", terminal_width()))
    return f"{text}\n{more}\n{names}"


def _cut_lines(backbone: str, image_size: int) -> list[str]:
    from tlkit.models.backbones import find_backbone
    from tlkit.models.keras_setup import start_keras

    spec = find_backbone(backbone)
    start_keras()
    from tlkit.models.build import build_backbone
    from tlkit.models.cut import choose_cut, cut_points

    body = build_backbone(spec, "none", image_size or spec.image_size)
    cuts = [cut for cut in cut_points(body) if len(cut.shape) == 3]
    try:
        chosen = choose_cut(body, cuts, "auto").index
    except OptionError:  # it has none; the list says so
        chosen = -1
    head = f"{'cut point':<32} {'shape':>16} {'below':>12} {'above':>12} {'kB/view':>10}"
    return [head, *(_cut_line(body, cut, cut.index == chosen) for cut in cuts)]


def _cut_line(body: Any, cut: "Cut", is_auto: bool) -> str:
    from tlkit.models.cut import parameters_below

    below = parameters_below(body, cut)
    shape = "×".join(str(length) for length in cut.shape)
    space = HALF_BYTES * math.prod(cut.shape) / 1e3
    line = f"{cut.name:<32} {shape:>16} {below:>12,} {body.count_params() - below:>12,} {space:>10.1f}"
    return line + ("  auto" if is_auto else "")
