"""`tlkit augment DATA`."""

from pathlib import Path

import click

from tlkit.cli.options import GroupedCommand, options_from, output_option
from tlkit.settings.commands import ContactSheetSettings


@click.command(cls=GroupedCommand)
@click.argument("data", type=click.Path(path_type=Path))
@output_option("Picture to draw.", default="augment.png")
@options_from(ContactSheetSettings)
def augment(data: Path, output: Path, settings: ContactSheetSettings) -> None:
    """Draw a contact sheet of what training sees of the images in DATA.

    One line per picture: the plain view, as predict sees it, then augmented ones.
    """
    from tlkit.data.augment import Augmentation, AugmentedViews
    from tlkit.data.contact_sheet import draw_contact_sheet
    from tlkit.data.image import ImageSpec
    from tlkit.utils.text import escape_control_chars

    spec = ImageSpec(settings.image_size, settings.resize)
    augmentation = Augmentation.from_options(settings.augment, settings.amounts)
    views = AugmentedViews(settings.views, settings.seed, augmentation)
    names = draw_contact_sheet(data, output, spec, views, settings.images)
    click.echo(f"{len(names)} pictures, {settings.views} views of each, the first plain:")
    click.echo("\n".join(escape_control_chars(name) for name in names))
    click.echo(f"drawn  {escape_control_chars(str(output))}")
