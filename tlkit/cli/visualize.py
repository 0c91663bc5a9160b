"""`tlkit visualize RUN|MODEL`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlkit.cli.help import GroupedCommand
from tlkit.cli.options import open_run, options_from, output_option
from tlkit.cli.reporting import QUIET, report_options, reporting
from tlkit.settings.commands import VisualizeSettings

if TYPE_CHECKING:
    from tlkit.visualization.visualize import Visualization


@click.command(
    cls=GroupedCommand,
    examples=(
        "tlkit visualize mobilenet_v2",
        "tlkit visualize runs/finetune-001 --image photo.jpg",
        "tlkit visualize runs/finetune-001 --class ants",
        "tlkit visualize latest --map pca",
    ),
    common=("output", "image", "layer", "unit", "class_name", "map", "steps", "seed"),
)
@click.argument("model")
@output_option("PNG file to write.", default="visualize.png")
@report_options
@options_from(VisualizeSettings)
def visualize(model: str, output: Path, settings: VisualizeSettings) -> None:
    """Draw what a network has learned.
    MODEL is a run folder or the name of a backbone.

    The image shows the filters of the first layer; with --image what each layer makes of an image; with
    --layer or --class images that its units respond to most, made by gradient ascent; with --map the
    validation images of a run, similar ones near each other.
    """
    from tlkit.cli.console import Console
    from tlkit.training.option_effects import VISUALIZE, refuse_without_effect
    from tlkit.visualization.network import names_run
    from tlkit.visualization.visualize import visualize

    is_run = names_run(model)
    refuse_without_effect(settings, VISUALIZE, {"is_run": is_run, "network": model})
    run = open_run(model, settings.trust_model) if is_run else model
    shown = visualize(run, settings, Console())
    shown.save(output)
    if reporting().as_json:
        click.echo(json.dumps({"file": str(output)} | shown.as_json(), indent=2))
    else:
        _print(shown, output)


def _print(shown: "Visualization", output: Path) -> None:
    """Print which layers the image shows."""
    from tlkit.cli.screen import FAINT, STRONG, Screen

    screen = Screen()
    screen.line((shown.title, STRONG))
    if reporting().verbosity > QUIET:
        rows = [_row(row) for row in shown.layers if row.layer]
        if rows:
            screen.table(("layer", "output", "shown"), rows, (0, 1, 2))
        screen.line((shown.caption, FAINT))
    screen.entry("file", str(output))


def _row(row: Any) -> tuple[str, str, str]:
    units = ", ".join(map(str, row.units[:8])) + ", …" * (len(row.units) > 8)
    return row.layer, "×".join(map(str, row.shape)), units or "all values"
