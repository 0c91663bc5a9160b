"""`tlkit cache`."""

from contextlib import suppress

import click


@click.group()
def cache() -> None:
    """Show or empty the cache of converted networks, features and finished rungs of `tlkit compare`."""


@cache.command()
def info() -> None:
    """Where the cache is, and how large."""
    from tlkit.errors import OptionError
    from tlkit.utils.cache import cache_sizes
    from tlkit.utils.files import cache_dir, is_cache
    from tlkit.utils.text import escape_control_chars

    click.echo(escape_control_chars(f"{cache_dir()}"))
    try:
        with suppress(OSError):
            is_cache()
    except OptionError as error:
        click.echo(escape_control_chars(str(error)))
        return
    for name, (count, size) in cache_sizes().items():
        click.echo(f"{name:<9} {count:6d} files  {size / 1e6:10.1f} MB")


@cache.command()
def clear() -> None:
    """Remove everything tlkit has cached; it is computed again when needed."""
    from tlkit.utils.cache import clear_cache as remove
    from tlkit.utils.text import escape_control_chars

    freed, others = remove()
    click.echo(f"{freed / 1e6:.1f} MB removed")
    if others:
        named = ", ".join(escape_control_chars(str(path)) for path in others[:3]) + ", ..." * (len(others) > 3)
        click.echo(f"left as it is, for tlkit did not write it: {named} ({len(others)} in all)")
