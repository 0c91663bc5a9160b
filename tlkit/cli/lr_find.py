"""`tlkit lr-find DATA`."""

from pathlib import Path

import click

from tlkit.cli.help import GroupedCommand
from tlkit.cli.options import options_from, output_option
from tlkit.settings.training import FinetuneSettings


@click.command(
    cls=GroupedCommand,
    name="lr-find",
    examples=("tlkit lr-find photos", "tlkit lr-find photos --freeze lower -o lower.png"),
    common=(
        *("output", "backbone", "freeze", "weights", "optimizer", "batch_size"),
        *("augment", "image_size", "validation_split", "seed"),
    ),
)
@click.argument("data", type=click.Path(path_type=Path))
@output_option("PNG file to write.", default="lr-find.png")
@options_from(FinetuneSettings)
def lr_find(data: Path, output: Path, settings: FinetuneSettings) -> None:
    """Suggest a learning rate by a range test on DATA.
    The loss is measured and drawn while the learning rate grows.

    The test trains the layers that `tlkit finetune` with these options trains last: the head, with
    --freeze lower the upper blocks, with --freeze none all layers. No model is saved.
    """
    from tlkit.cli.console import Console
    from tlkit.models.keras_setup import start_keras

    start_keras()
    from tlkit.evaluation.plots import draw_rates
    from tlkit.training.lr_finder import find_learning_rate
    from tlkit.utils.files import refuse_inside
    from tlkit.utils.text import escape_control_chars, sparkline

    refuse_inside(data, output)
    result = find_learning_rate(data, settings, Console())
    click.echo(f"loss {sparkline(result.losses[::3])}  at learning rates {result.rates[0]:g} to {result.rates[-1]:.2g}")
    click.echo(f"suggestion for the {result.phase}: {result.option} {result.suggested:g}")
    draw_rates(result.rates, result.losses, result.suggested, output)  # last: the suggestion is printed in any case
    click.echo(f"file  {escape_control_chars(str(output))}")
