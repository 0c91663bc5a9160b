"""`tlkit augment DATA`."""

from pathlib import Path

import click

from tlkit.cli.help import GroupedCommand
from tlkit.cli.options import options_from, output_option
from tlkit.settings.commands import ContactSheetSettings


@click.command(
    cls=GroupedCommand,
    examples=("tlkit augment photos", "tlkit augment photos --augment strong -o strong.png"),
    common=("output", "augment", "images", "views", "image_size", "hflip", "rotation", "crop", "brightness", "seed"),
)
@click.argument("data", type=click.Path(path_type=Path))
@output_option("PNG file to write.", default="augment.png")
@options_from(ContactSheetSettings)
def augment(data: Path, output: Path, settings: ContactSheetSettings) -> None:
    """Draw a contact sheet of augmented images of DATA.
    Each row shows one image: first unchanged, as predict uses it, then augmented views.
    """
    from tlkit.data.augment import Augmentation, AugmentedViews
    from tlkit.data.contact_sheet import draw_contact_sheet
    from tlkit.data.image import ImageSpec
    from tlkit.utils.text import escape_control_chars

    spec = ImageSpec(settings.image_size, settings.resize)
    augmentation = Augmentation.from_options(settings.augment, settings.amounts)
    views = AugmentedViews(settings.views, settings.seed, augmentation)
    names = draw_contact_sheet(data, output, spec, views, settings.images)
    click.echo(f"{len(names)} images with {settings.views} views each, the first unchanged:")
    click.echo("\n".join(escape_control_chars(name) for name in names))
    click.echo(f"file  {escape_control_chars(str(output))}")
