"""`tlkit augment DATA`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlkit.cli.help import GroupedCommand
from tlkit.cli.options import DATA, options_from, output_option
from tlkit.cli.reporting import QUIET, report_options, reporting
from tlkit.settings.commands import ContactSheetSettings
from tlkit.utils.locations import Location

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command(
    cls=GroupedCommand,
    examples=("tlkit augment photos", "tlkit augment photos --augment strong -o strong.png"),
    common=("output", "augment", "rows", "views", "image_size", "hflip", "rotation", "crop", "brightness", "seed"),
)
@click.argument("data", type=DATA)
@output_option("PNG file to write.", default="augment.png")
@report_options
@options_from(ContactSheetSettings)
def augment(data: Location, output: Path, settings: ContactSheetSettings) -> None:
    """Draw a contact sheet of augmented images of DATA.
    Each row shows one image: first unchanged, as predict uses it, then augmented views.

    The views are those of `tlkit finetune`, unless all of the backbone is frozen, or with --for train
    those of `tlkit train`.
    """
    from tlkit.data.augment import NO_AUGMENTATION, Augmentation, AugmentedViews, flip_note, flip_sensitive_class
    from tlkit.data.contact_sheet import draw_contact_sheet
    from tlkit.data.image import ImageSpec
    from tlkit.data.reader import DataOptions, read_data
    from tlkit.training.option_effects import AUGMENT, refuse_without_effect
    from tlkit.utils.storage import refuse_inside

    refuse_without_effect(settings, AUGMENT)
    folder = read_data(data, DataOptions(**settings.data_options))
    refuse_inside(data, output)
    class_names, asked = folder.class_names, settings.hflip
    if settings.for_command == "train" and asked is None and flip_sensitive_class(class_names):
        settings = replace(settings, hflip=False)  # as `NetworkRecipe.adapted_to` decides
    spec = ImageSpec(settings.image_size, settings.resize)
    augmentation = Augmentation.from_options(settings.augment, settings.amounts)
    views = AugmentedViews(settings.views, settings.seed, augmentation)
    note = flip_note(class_names, augmentation.hflip) if asked is None and augmentation != NO_AUGMENTATION else None
    names = draw_contact_sheet(folder, output, spec, views, settings.rows)
    content: dict[str, Any] = {
        "file": str(output),
        "images": names,
        "views": settings.views,
        "notes": [note] if note else [],
    }
    if reporting().as_json:
        click.echo(json.dumps(content, indent=2))
    else:
        _print(**content)


def _print(file: str, images: "Sequence[str]", views: int, notes: "Sequence[str]") -> None:
    """Print which image is in which row of the sheet."""
    from tlkit.cli.screen import STRONG, WARN, Screen

    screen = Screen()
    screen.line((f"{len(images)} images", STRONG), f", {views} views each, the first unchanged")
    if reporting().verbosity > QUIET:
        screen.table(("image (row)",), [[name] for name in images])
        for note in notes:
            screen.entry("note", note, style=WARN)
    screen.entry("file", file)
