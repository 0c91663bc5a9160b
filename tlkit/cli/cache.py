"""`tlkit cache`."""

from contextlib import suppress
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tlkit.utils.cache import CachePart


@click.group()
def cache() -> None:
    """Show or empty the cache of converted networks, features and finished rungs of `tlkit compare`."""


@cache.command()
def info() -> None:
    """Where the cache is, and how large."""
    from tlkit.errors import OptionError
    from tlkit.utils.cache import cache_dir, cache_sizes, is_cache
    from tlkit.utils.text import escape_control_chars

    click.echo(escape_control_chars(f"{cache_dir()}"))
    try:
        with suppress(OSError):
            is_cache()
    except OptionError as error:
        click.echo(escape_control_chars(str(error)))
        return
    for name, (count, size) in cache_sizes(_parts()).items():
        click.echo(f"{name:<9} {count:6d} files  {size / 1e6:10.1f} MB")


@cache.command()
def clear() -> None:
    """Remove everything tlkit has cached; it is computed again when needed."""
    from tlkit.utils.cache import clear_cache
    from tlkit.utils.text import escape_control_chars

    freed, others = clear_cache(_parts())
    click.echo(f"{freed / 1e6:.1f} MB removed")
    if others:
        named = ", ".join(escape_control_chars(str(path)) for path in others[:3]) + ", ..." * (len(others) > 3)
        click.echo(f"left as it is, for tlkit did not write it: {named} ({len(others)} in all)")


def _parts() -> "list[CachePart]":
    """Collect what each owner declares, in the order they are shown."""
    from tlkit.comparison.cache import CACHED_RUN_FILES
    from tlkit.engines.cache import CONVERTED_FILES
    from tlkit.features.store import SHARD_FILES

    return [CONVERTED_FILES, SHARD_FILES, CACHED_RUN_FILES]
