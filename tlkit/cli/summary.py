"""`tlkit summary MODEL|RUN`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlkit.cli.options import GroupedCommand, GroupedOption, options_from, output_option
from tlkit.settings.commands import SummarySettings

if TYPE_CHECKING:
    from tlkit.models.summary import LayerRow, ModelSummary


COLUMNS = ("layer", "kind", "output", "window", "stride", "zeros", "parameters", "multiply-adds", "sees", "kB")


@click.command(cls=GroupedCommand)
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, cls=GroupedOption, group="Output", help="Everything, as JSON.")
@output_option("Draw the network, too: an SVG file.", "Output")
@options_from(SummarySettings)
def summary(model: str, as_json: bool, output: Path | None, settings: SummarySettings) -> None:
    """Show a network layer by layer: MODEL by name, or that of RUN.

    A map of N pixels becomes (N + 2z − P) / s + 1 high under windows of P pixels, s apart, with z
    zeros on either side; a convolution of K such filters on a depth of d has [(P · P · d) + 1] · K
    parameters. `sees` is the height of what one value depends on, in pixels.
    """
    from tlkit.models.keras_setup import start_keras

    start_keras()
    from tlkit.models.summary import is_run, named_network, summarize

    network = _network_of(model) if is_run(model) else named_network(model, settings)
    anatomy = summarize(network)
    if output:
        from tlkit.models.diagram import draw_network
        from tlkit.utils.files import write_new

        write_new(output, draw_network(anatomy))
    click.echo(json.dumps(_as_json(anatomy, network), indent=2) if as_json else "\n".join(_lines(anatomy)))


def _network_of(run: str) -> Any:
    from tlkit.engines.keras import load_network
    from tlkit.runs.run import load_run

    return load_network(load_run(run).network_file())


def _as_json(anatomy: "ModelSummary", network: Any) -> dict[str, Any]:
    from dataclasses import asdict

    totals = ("total_parameters", "trainable_parameters", "multiply_adds", "depth", "image_size", "name")
    layers = [asdict(row) for row in anatomy.layers]
    return {name: getattr(anatomy, name) for name in totals} | {
        "num_classes": int(network.output.shape[-1]),
        "layers": layers,
    }


def _lines(anatomy: "ModelSummary") -> list[str]:
    rows = [COLUMNS, *(_cells(row) for row in anatomy.layers)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))]
    lines = [_line(row, widths) for row in rows]
    fixed = anatomy.total_parameters - anatomy.trainable_parameters
    memory = sum(row.memory for row in anatomy.layers)
    return [
        click.style(lines[0], bold=True),
        *lines[1:],
        "",
        f"{anatomy.name}: {anatomy.total_parameters:,} parameters, {fixed:,} of them not trained; "
        f"{anatomy.depth} layers with weights",
        f"{anatomy.multiply_adds:,} multiply-adds and {memory / 1e6:.1f} MB of activations for one image "
        f"of {anatomy.image_size} pixels",
    ]


def _cells(row: "LayerRow") -> tuple[str, ...]:
    window = "×".join(map(str, row.window)) if row.window else ""
    return (
        row.name,
        row.kind,
        "×".join(map(str, row.output)),
        window,
        str(row.stride or ""),
        "" if row.padding is None else f"{row.padding:g}",
        f"{row.parameters:,}" if row.parameters else "",
        f"{row.multiply_adds:,}" if row.multiply_adds else "",
        str(row.receptive_field),
        f"{row.memory / 1e3:,.1f}",
    )


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    names = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
    numbers = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
    return "  ".join(names + numbers).rstrip()
