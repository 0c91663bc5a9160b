"""`tlkit cache`."""

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from tlkit.cli.help import GroupedCommand, HelpGroup

if TYPE_CHECKING:
    from tlkit.utils.cache import CachePart


@click.group(cls=HelpGroup)
def cache() -> None:
    """Show or clear the cache.

    It holds converted networks, features of images and finished candidates of `tlkit compare`.
    """


@cache.command(cls=GroupedCommand, examples=("tlkit cache info",))
def info() -> None:
    """Show the folder and the size of the cache."""
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


@cache.command(cls=GroupedCommand, examples=("tlkit cache clear",))
def clear() -> None:
    """Remove all cached files; they are computed again if needed."""
    from tlkit.utils.cache import clear_cache
    from tlkit.utils.text import escape_control_chars

    freed, others = clear_cache(_parts())
    click.echo(f"{freed / 1e6:.1f} MB removed")
    if others:
        named = ", ".join(escape_control_chars(str(path)) for path in others[:3]) + ", ..." * (len(others) > 3)
        click.echo(f"kept {len(others)} files that tlkit did not write: {named}")


def _parts() -> "list[CachePart]":
    """Collect what each owner declares, in the order they are shown."""
    from tlkit.comparison.cache import CACHED_RUN_FILES
    from tlkit.engines.cache import CONVERTED_FILES
    from tlkit.features.store import SHARD_FILES

    return [CONVERTED_FILES, SHARD_FILES, CACHED_RUN_FILES]
