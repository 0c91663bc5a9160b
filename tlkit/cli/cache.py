"""`tlkit cache`."""

import json
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from tlkit.cli.help import GroupedCommand, HelpGroup
from tlkit.cli.reporting import QUIET, report_options, reporting

if TYPE_CHECKING:
    from tlkit.utils.cache import CachePart


@click.group(cls=HelpGroup)
def cache() -> None:
    """Show or clear the cache.

    It holds converted networks, features of images and finished candidates of `tlkit compare`.
    """


@cache.command(cls=GroupedCommand, examples=("tlkit cache info", "tlkit cache info --json"))
@report_options
def info() -> None:
    """Show the folder and the size of the cache."""
    from tlkit.cli.screen import STRONG, WARN, Screen
    from tlkit.errors import OptionError
    from tlkit.utils.cache import cache_dir, cache_sizes, is_cache
    from tlkit.utils.text import format_size

    problem = ""
    try:
        with suppress(OSError):
            is_cache()
    except OptionError as error:
        problem = str(error)
    sizes = {} if problem else cache_sizes(cache_parts())
    if reporting().as_json:
        parts = {name: {"files": count, "bytes": size} for name, (count, size) in sizes.items()}
        click.echo(json.dumps({"folder": str(cache_dir()), "problem": problem, "parts": parts}, indent=2))
        return
    screen = Screen()
    screen.entry("cache", str(cache_dir()))
    if problem:
        screen.entry("problem", problem, style=WARN)
        return
    if reporting().verbosity > QUIET:
        rows = [[name, f"{count:,}", format_size(size)] for name, (count, size) in sizes.items()]
        screen.table(("part", "files", "size"), rows)
    screen.entry("total", (format_size(sum(size for _, size in sizes.values())), STRONG))


@cache.command(cls=GroupedCommand, examples=("tlkit cache clear",))
@report_options
def clear() -> None:
    """Remove all cached files; they are computed again if needed."""
    from tlkit.cli.screen import GOOD, WARN, Screen
    from tlkit.utils.cache import clear_cache
    from tlkit.utils.text import format_size

    freed, others = clear_cache(cache_parts())
    if reporting().as_json:
        click.echo(json.dumps({"removed_bytes": freed, "kept": [str(path) for path in others]}, indent=2))
        return
    screen = Screen()
    screen.line((f"{format_size(freed)} removed", GOOD))
    if others:
        named = ", ".join(str(path) for path in others[:3]) + f" and {len(others) - 3:,} more" * (len(others) > 3)
        files = "1 file" if len(others) == 1 else f"{len(others):,} files"
        screen.entry("kept", f"{files} that tlkit did not write: {named}", style=WARN)


def cache_parts() -> "list[CachePart]":
    """Collect what each owner declares, in the order they are shown."""
    from tlkit.comparison.cache import CACHED_RUN_FILES
    from tlkit.engines.cache import CONVERTED_FILES
    from tlkit.features.store import SHARD_FILES
    from tlkit.inference.foreign import VERDICT_FILES

    return [CONVERTED_FILES, SHARD_FILES, CACHED_RUN_FILES, VERDICT_FILES]
