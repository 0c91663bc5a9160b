"""`tlkit sample`."""

from pathlib import Path

import click


@click.group()
def sample() -> None:
    """Write small image folders to try things on."""


@sample.command()
@click.argument("folder", type=click.Path(path_type=Path))
def digits(folder: Path) -> None:
    """Write 1,797 real handwritten digits to FOLDER, one subfolder per digit."""
    from tlkit.data.sample_datasets import write_digits

    count = write_digits(folder)
    click.echo(f"{count} images of handwritten digits in {folder}\nnext  tlkit finetune {folder}")
