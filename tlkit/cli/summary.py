"""`tlkit summary MODEL|RUN`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlkit.cli.help import GroupedCommand, GroupedOption
from tlkit.cli.options import open_run, options_from, output_option
from tlkit.settings.commands import SummarySettings

if TYPE_CHECKING:
    from tlkit.models.summary import LayerSummary, ModelSummary


COLUMNS = ("layer", "kind", "output", "kernel", "stride", "padding", "parameters", "multiply-adds", "field", "kB")


@click.command(
    cls=GroupedCommand,
    examples=("tlkit summary lenet5", "tlkit summary runs/train-001 -o network.svg"),
    common=("output", "as_json", "image_size", "num_classes", "width", "gray"),
)
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, cls=GroupedOption, group="Output", help="JSON output.")
@output_option("SVG file to write: a diagram of the network.", "Output")
@options_from(SummarySettings)
def summary(model: str, as_json: bool, output: Path | None, settings: SummarySettings) -> None:
    """Show the layers of a network: sizes, parameters and cost.
    MODEL is the name of a network or a run folder.

    Output size is (N + 2z − P)/s + 1 for input size N, kernel P, stride s, padding z. A convolution with
    K filters on d channels has (P·P·d + 1)·K parameters. "field" is the receptive field in pixels.
    """
    from tlkit.models.architectures.registry import find_trainable, options_of
    from tlkit.models.keras_setup import start_keras
    from tlkit.runs.run import LATEST
    from tlkit.training.option_effects import SHOWN_NETWORK, refuse_without_effect

    is_run = Path(model).is_dir() or "/" in model or model == LATEST
    spec = None if is_run else find_trainable(model)
    facts = {"is_run": is_run, "network": model, "options": options_of(spec) if spec else ()}
    refuse_without_effect(settings, SHOWN_NETWORK, facts)
    start_keras()
    from tlkit.models.summary import build_whole_network, summarize

    network = build_whole_network(spec, **asdict(settings)) if spec else _load_from_run(model)
    summarized = summarize(network)
    if output:
        from tlkit.models.diagram import draw_network
        from tlkit.utils.files import write_new

        write_new(output, draw_network(summarized))
    click.echo(json.dumps(_as_json(summarized, network), indent=2) if as_json else "\n".join(_lines(summarized)))


def _load_from_run(run: str) -> Any:
    from tlkit.engines.keras import load_network

    return load_network(open_run(run).network_file())


def _as_json(summarized: "ModelSummary", network: Any) -> dict[str, Any]:
    totals = ("total_parameters", "trainable_parameters", "multiply_adds", "depth", "image_size", "name")
    return {name: getattr(summarized, name) for name in totals} | {
        "num_classes": int(network.output.shape[-1]),
        "layers": [asdict(layer) for layer in summarized.layers],
    }


def _lines(summarized: "ModelSummary") -> list[str]:
    rows = [COLUMNS, *(_cells(layer) for layer in summarized.layers)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    fixed = summarized.total_parameters - summarized.trainable_parameters
    memory = sum(layer.memory for layer in summarized.layers)
    return [
        click.style(lines[0], bold=True),
        *lines[1:],
        "",
        f"{summarized.name}: {summarized.total_parameters:,} parameters ({fixed:,} not trainable), "
        f"{summarized.depth} layers with weights",
        f"{summarized.multiply_adds:,} multiply-adds and {memory / 1e6:.1f} MB of activations per image "
        f"of {summarized.image_size}×{summarized.image_size} pixels",
    ]


def _cells(layer: "LayerSummary") -> tuple[str, ...]:
    return (
        layer.name,
        layer.kind,
        "×".join(map(str, layer.output)),
        "×".join(map(str, layer.window or ())),
        str(layer.stride or ""),
        "" if layer.padding is None else f"{layer.padding:g}",
        f"{layer.parameters:,}" if layer.parameters else "",
        f"{layer.multiply_adds:,}" if layer.multiply_adds else "",
        str(layer.receptive_field),
        f"{layer.memory / 1e3:,.1f}",
    )


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    names = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
    numbers = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
    return "  ".join(names + numbers).rstrip()
