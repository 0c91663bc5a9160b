"""`tlkit lr-find DATA`."""

from pathlib import Path

import click

from tlkit.cli.options import GroupedCommand, GroupedOption, options_from
from tlkit.settings import FinetuneSettings


@click.command(cls=GroupedCommand, name="lr-find")
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("lr-find.png"),
    show_default=True,
    cls=GroupedOption,
    group="Main",
    help="Picture to draw.",
)
@options_from(FinetuneSettings)
def lr_find(data: Path, output: Path, settings: FinetuneSettings) -> None:
    """Try learning rates on DATA, draw the loss at each and suggest one.

    What is tried is what `tlkit finetune` would train last with these options: the head, the upper
    blocks with --freeze lower, everything with --freeze none. Nothing is kept.
    """
    from tlkit.cli.console import Console
    from tlkit.models.backend import start_keras

    start_keras()
    from tlkit.evaluation.plots import draw_rates
    from tlkit.evaluation.wording import printable, sparkline
    from tlkit.training.lr_find import find_rate

    found = find_rate(data, settings, Console())
    draw_rates(found.rates, found.losses, found.suggested, output)
    click.echo(f"loss {sparkline(found.losses[::3])}  from a rate of {found.rates[0]:g} to {found.rates[-1]:.2g}")
    click.echo(f"suggested for the {found.phase}: {found.option} {found.suggested:g}")
    click.echo(f"drawn  {printable(str(output))}")
