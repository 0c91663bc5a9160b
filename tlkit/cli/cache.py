"""`tlkit cache`."""

from contextlib import suppress

import click


@click.group()
def cache() -> None:
    """Show or empty the cache of converted networks, features and finished rungs of `tlkit compare`."""


@cache.command()
def info() -> None:
    """Where the cache is, and how large."""
    from tlkit.cache import measure
    from tlkit.errors import OptionError
    from tlkit.evaluation.wording import printable
    from tlkit.files import cache_root, is_cache

    click.echo(printable(f"{cache_root()}"))
    try:
        with suppress(OSError):
            is_cache()
    except OptionError as error:
        click.echo(printable(str(error)))
        return
    for name, (count, size) in measure().items():
        click.echo(f"{name:<9} {count:6d} files  {size / 1e6:10.1f} MB")


@cache.command()
def clear() -> None:
    """Remove everything tlkit has cached; it is computed again when needed."""
    from tlkit.cache import clear as remove
    from tlkit.evaluation.wording import printable

    freed, others = remove()
    click.echo(f"{freed / 1e6:.1f} MB removed")
    if others:
        named = ", ".join(printable(str(path)) for path in others[:3]) + ", ..." * (len(others) > 3)
        click.echo(f"left as it is, for tlkit did not write it: {named} ({len(others)} in all)")
