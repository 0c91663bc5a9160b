"""`tlkit summary MODEL|RUN`."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlkit.cli.help import GroupedCommand
from tlkit.cli.options import open_run, options_from, output_option
from tlkit.cli.reporting import QUIET, report_options, reporting
from tlkit.settings.base import to_json
from tlkit.settings.commands import SummarySettings

if TYPE_CHECKING:
    from tlkit.models.summary import LayerSummary, ModelSummary


@click.command(
    cls=GroupedCommand,
    examples=("tlkit summary lenet5", "tlkit summary runs/train-001 -o network.svg"),
    common=("output", "as_json", "image_size", "num_classes", "width", "gray"),
)
@click.argument("model")
@output_option("SVG file to write: a diagram of the network.", "Output")
@report_options
@options_from(SummarySettings)
def summary(model: str, output: Path | None, settings: SummarySettings) -> None:
    """Show the layers of a network: sizes, parameters and cost.
    MODEL is the name of a network or a run folder.

    Output size is (N + 2z − P)/s + 1 for input size N, kernel P, stride s, padding z. A convolution with
    K filters on d channels has (P·P·d + 1)·K parameters. "field" is the receptive field in pixels, "kB" the size of the
    output of one image as float32.
    """
    from tlkit.models.architectures.registry import find_trainable, options_of
    from tlkit.runs.run import LATEST
    from tlkit.training.option_effects import SHOWN_NETWORK, refuse_without_effect
    from tlkit.utils.storage import is_folder

    is_run = is_folder(model) or "/" in model or model == LATEST
    spec = None if is_run else find_trainable(model)
    facts = {"is_run": is_run, "network": model, "options": options_of(spec) if spec else ()}
    refuse_without_effect(settings, SHOWN_NETWORK, facts)
    network, name = _build(spec, settings) if spec else _load_from_run(model, settings.trust_model)
    from tlkit.models.summary import summarize

    summarized = replace(summarize(network), name=name)
    if output:
        from tlkit.models.diagram import draw_network
        from tlkit.utils.files import write_new

        write_new(output, draw_network(summarized))
    if reporting().as_json:
        click.echo(json.dumps(_as_json(summarized, network), indent=2))
    else:
        _print(summarized)


def _build(spec: Any, settings: SummarySettings) -> "tuple[Any, str]":
    """Build a network of the registry, and give its name."""
    from tlkit.models.keras_setup import start_keras

    start_keras("`tlkit summary`")
    from tlkit.models.summary import build_whole_network

    return build_whole_network(spec, **to_json(settings)), spec.name


def _load_from_run(path: str, trust_model: bool) -> "tuple[Any, str]":
    """Load the network of a run, and the name of its architecture."""
    from tlkit.runs.trust import load_run_network

    run = open_run(path, trust_model)
    network = load_run_network(run, trust_model)
    return network, str(run.read_json("model.json").get("backbone", network.name))


def _as_json(summarized: "ModelSummary", network: Any) -> dict[str, Any]:
    totals = ("total_parameters", "trainable_parameters", "multiply_adds", "depth", "image_size", "name")
    return {name: getattr(summarized, name) for name in totals} | {
        "num_classes": int(network.output.shape[-1]),
        "layers": [asdict(layer) for layer in summarized.layers],
    }


HEADER = ("layer", "kind", "output", "kernel", "stride", "padding", "parameters", "multiply-adds", "field", "kB")
LEFT = (0, 1)  # columns that are aligned to the left
DROPPED = (9, 7, 1, 5, 4, 3)  # columns that a narrow terminal does not get, the first of them first


def _print(summarized: "ModelSummary") -> None:
    """Print a row for each layer, and the totals."""
    from tlkit.cli.screen import FAINT, STRONG, Screen
    from tlkit.utils.text import format_size

    screen = Screen()
    if reporting().verbosity > QUIET:
        screen.table(HEADER, [_row(layer) for layer in summarized.layers], LEFT, DROPPED)
        screen.line(("field: receptive field in pixels", FAINT))
        screen.blank()
    fixed = summarized.total_parameters - summarized.trainable_parameters
    memory = sum(layer.memory for layer in summarized.layers)
    screen.line(
        (summarized.name, STRONG),
        f": {summarized.total_parameters:,} parameters ({fixed:,} not trainable), "
        f"{summarized.depth} layers with weights",
    )
    screen.line(
        f"{summarized.multiply_adds:,} multiply-adds and {format_size(memory)} of activations per image "
        f"of {summarized.image_size}×{summarized.image_size} pixels"
    )


def _row(layer: "LayerSummary") -> tuple[str, ...]:
    return (
        layer.name,
        layer.kind,
        "×".join(map(str, layer.output)),
        "×".join(map(str, layer.kernel or ())),
        str(layer.stride or ""),
        "" if layer.padding is None else f"{layer.padding:g}",
        f"{layer.parameters:,}" if layer.parameters else "",
        f"{layer.multiply_adds:,}" if layer.multiply_adds else "",
        str(layer.field),
        f"{layer.memory / 1e3:,.1f}",
    )
