"""`tlkit augment DATA`."""

from pathlib import Path

import click

from tlkit.cli.options import GroupedCommand, options_from, output_option
from tlkit.settings import SheetSettings


@click.command(cls=GroupedCommand)
@click.argument("data", type=click.Path(path_type=Path))
@output_option("Picture to draw.", default="augment.png")
@options_from(SheetSettings)
def augment(data: Path, output: Path, settings: SheetSettings) -> None:
    """Draw a contact sheet of what training sees of the images in DATA.

    One line per picture: the plain view, as predict sees it, then augmented ones.
    """
    from tlkit.data.sheet import draw_sheet
    from tlkit.evaluation.wording import printable

    names = draw_sheet(data, output, settings)
    click.echo(f"{len(names)} pictures, {settings.views} views of each, the first plain:")
    click.echo("\n".join(printable(name) for name in names))
    click.echo(f"drawn  {printable(str(output))}")
