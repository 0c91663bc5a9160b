"""`tlkit models`."""

import click


@click.command()
def models() -> None:
    """List the backbones, and which have their ImageNet weights on this machine."""
    from tlkit.models.backbones import ROWS, imagenet_file

    click.echo(f"{'backbone':<24} {'image size':>10} {'least':>6}  ImageNet weights")
    for row in ROWS:
        here = "here" if imagenet_file(row, row.image_size).exists() else "to download"
        click.echo(f"{row.name:<24} {row.image_size:>10} {row.least_size:>6}  {here}")
