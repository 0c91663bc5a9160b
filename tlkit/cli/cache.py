"""`tlkit cache`."""

import click


@click.group()
def cache() -> None:
    """Show or empty the cache of converted networks, features and finished rungs of `tlkit compare`."""


@cache.command()
def info() -> None:
    """Where the cache is, and how large."""
    from tlkit.cache import measure
    from tlkit.files import cache_root

    click.echo(f"{cache_root()}")
    for name, (count, size) in measure().items():
        click.echo(f"{name:<9} {count:6d} files  {size / 1e6:10.1f} MB")


@cache.command()
def clear() -> None:
    """Remove everything tlkit has cached; it is computed again when needed."""
    from tlkit.cache import clear as remove

    click.echo(f"{remove() / 1e6:.1f} MB removed")
