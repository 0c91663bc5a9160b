"""`tlkit lr-find DATA`."""

from pathlib import Path

import click

from tlkit.cli.options import GroupedCommand, options_from, output_option
from tlkit.settings.training import FinetuneSettings


@click.command(cls=GroupedCommand, name="lr-find")
@click.argument("data", type=click.Path(path_type=Path))
@output_option("Picture to draw.", default="lr-find.png")
@options_from(FinetuneSettings)
def lr_find(data: Path, output: Path, settings: FinetuneSettings) -> None:
    """Try learning rates on DATA, draw the loss at each and suggest one.

    What is tried is what `tlkit finetune` would train last with these options: the head, the upper
    blocks with --freeze lower, everything with --freeze none. Nothing is kept.
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
    click.echo(f"loss {sparkline(result.losses[::3])}  from a rate of {result.rates[0]:g} to {result.rates[-1]:.2g}")
    click.echo(f"suggested for the {result.phase}: {result.option} {result.suggested:g}")
    draw_rates(result.rates, result.losses, result.suggested, output)  # last: the suggestion is printed in any case
    click.echo(f"drawn  {escape_control_chars(str(output))}")
