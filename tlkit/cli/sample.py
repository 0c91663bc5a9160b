"""`tlkit sample`."""

import shlex
from pathlib import Path

import click

from tlkit.cli.help import GroupedCommand, HelpGroup


@click.group(cls=HelpGroup)
def sample() -> None:
    """Write small image folders to try tlkit on."""


@sample.command(cls=GroupedCommand, examples=("tlkit sample digits digits",))
@click.argument("folder", type=click.Path(path_type=Path))
def digits(folder: Path) -> None:
    """Write 1,797 handwritten digits to FOLDER, by class."""
    from tlkit.cli.screen import STRONG, Screen
    from tlkit.data.sample_datasets import write_digits

    count = write_digits(folder)
    screen = Screen()
    screen.line((f"{count:,} images of handwritten digits", STRONG), f" in {folder}")
    screen.command("next", shlex.join(["tlkit", "finetune", str(folder)]))
