"""`tlkit cache`."""

import json
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from tlkit.cli.help import GroupedCommand, GroupedOption, HelpGroup
from tlkit.cli.options import Decorator
from tlkit.cli.reporting import QUIET, report_options, reporting

if TYPE_CHECKING:
    from tlkit.cache.folder import CachePart
    from tlkit.cli.screen import Screen

Sizes = Mapping[str, tuple[int, int]]  # files and bytes of each part
AGES = {"h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}  # seconds
SIZES = {"MB": 10**6, "GB": 10**9, "TB": 10**12}  # bytes


@click.group(cls=HelpGroup)
def cache() -> None:
    """Show, prune or clear the cache.

    It holds converted networks, features of images, hashes of files and finished candidates of `tlkit compare`.
    TLKIT_CACHE names its folder, or an address such as s3://bucket/cache. Then features and hashes are there, with a
    copy in a folder of this machine; only the copy is pruned and cleared.
    """


@cache.command(cls=GroupedCommand, examples=("tlkit cache info", "tlkit cache info --json"))
@report_options
def info() -> None:
    """Show the folder and the size of the cache."""
    from tlkit.cache.folder import cache_dir, cache_origin, cache_sizes, is_cache
    from tlkit.cache.stored_folder import stored_sizes
    from tlkit.errors import OptionError

    origin, problem = cache_origin(), ""
    try:
        with suppress(OSError):
            is_cache()
    except OptionError as error:
        problem = str(error)
    sizes = {} if problem else cache_sizes(cache_parts())
    stored = {} if problem else stored_sizes(cache_parts())
    if reporting().as_json:
        parts = _facts_of_parts(sizes) if sizes else {}
        for name, (count, size) in stored.items():
            parts[name]["stored"] = {"files": count, "bytes": size}
        facts = {"folder": str(cache_dir()), "address": str(origin or ""), "problem": problem, "parts": parts}
        click.echo(json.dumps(facts, indent=2))
        return
    where = {"cache": str(origin), "copy": str(cache_dir())} if origin else {"cache": str(cache_dir())}
    _show(where, problem, sizes, stored)


def _show(where: Mapping[str, str], problem: str, sizes: Sizes, stored: Sizes) -> None:
    """Print where the cache is, what is wrong with it, and how much of each part is here and stored."""
    from tlkit.cli.screen import STRONG, WARN, Screen
    from tlkit.utils.text import format_size

    screen = Screen()
    for label, text in where.items():
        screen.entry(label, text)
    if problem:
        screen.entry("problem", problem, style=WARN)
        return
    if reporting().verbosity > QUIET:
        rows = [[name, *_cells(sizes[name]), *(_cells(stored[name]) if stored else ())] for name in sizes]
        screen.table(("part", "files", "size", "files stored", "size stored")[: 5 if stored else 3], rows)
    total, stored_total = (format_size(sum(size for _, size in column.values())) for column in (sizes, stored))
    screen.entry("total", (total, STRONG), f" here, {stored_total} stored" if stored else "")


def _cells(files_and_bytes: tuple[int, int]) -> tuple[str, str]:
    """Write the number of files and their size."""
    from tlkit.utils.text import format_size

    return f"{files_and_bytes[0]:,}", format_size(files_and_bytes[1])


def _facts_of_parts(sizes: Mapping[str, tuple[int, int]]) -> dict[str, dict[str, Any]]:
    """Give the size of each part, its first and last use, and how many features there are."""
    from tlkit.cache.folder import cache_entries
    from tlkit.features.store import count_cached

    facts = dict[str, dict[str, Any]]()
    for part in cache_parts():
        entries, (count, size) = cache_entries(part), sizes[part.name]
        uses = [_written(entry.used) for entry in entries[:: max(1, len(entries) - 1)]]
        oldest, newest = (uses[0], uses[-1]) if uses else (None, None)
        facts[part.name] = {"files": count, "bytes": size, "oldest_use": oldest, "newest_use": newest}
    facts["features"] |= count_cached()
    return facts


def _written(seconds: float) -> str:
    """Write a time as ISO 8601 does, of this machine's time zone."""
    from datetime import datetime

    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")


def _limit_option(name: str, metavar: str, units: Mapping[str, int], example: str, words: str) -> Decorator:
    """Make an option that is a number with one of some units; without it, the limit is infinite."""

    def read(ctx: click.Context, parameter: click.Parameter, given: str) -> float:
        """Read the option."""
        match = re.fullmatch(rf"([0-9]{{1,9}}(?:\.[0-9]{{1,9}})?)\s?({'|'.join(units)})", given.strip(), re.ASCII)
        if not match and given:
            raise click.BadParameter(f"'{given}'; expected a number and one of {', '.join(units)}, e.g. {example}.")
        return float(match[1]) * units[match[2]] if match else math.inf

    return click.option(name, default="", metavar=metavar, callback=read, cls=GroupedOption, group="Main", help=words)


@cache.command(
    cls=GroupedCommand,
    examples=("tlkit cache prune --older 30d", "tlkit cache prune --max-size 50GB"),
)
@_limit_option("--older", "AGE", AGES, "30d", "Age of the last use above which files are removed, e.g. 12h, 30d or 8w.")
@_limit_option(
    "--max-size",
    "SIZE",
    SIZES,
    "50GB",
    "Size above which files are removed, the least recently used first, e.g. 500MB or 50GB.",
)
@report_options
def prune(older: float, max_size: float) -> None:
    """Remove cached files that were not used for long.

    They are computed again if needed. Commands that run meanwhile are not disturbed.
    """
    from tlkit.cache.folder import prune_cache
    from tlkit.cli.screen import GOOD, Screen
    from tlkit.errors import OptionError
    from tlkit.utils.text import format_size

    if math.isinf(older) and math.isinf(max_size):
        raise OptionError("nothing says what to remove; expected --older AGE, --max-size SIZE or both, e.g. 30d, 50GB.")
    count, freed = prune_cache(cache_parts(), older, max_size)
    if reporting().as_json:
        click.echo(json.dumps({"removed_bytes": freed, "removed_entries": count}, indent=2))
        return
    screen = Screen()
    screen.line((f"{format_size(freed)} removed", GOOD))
    _say_what_stays(screen)


@cache.command(cls=GroupedCommand, examples=("tlkit cache clear",))
@report_options
def clear() -> None:
    """Remove all cached files; they are computed again if needed."""
    from tlkit.cache.folder import clear_cache
    from tlkit.cli.screen import GOOD, WARN, Screen
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
    _say_what_stays(screen)


def _say_what_stays(screen: "Screen") -> None:
    """Say that only the copy of a cache on object storage is emptied."""
    from tlkit.cache.folder import cache_origin

    if origin := cache_origin():
        screen.entry("kept", f"what '{origin}' holds; a lifecycle rule of the bucket can remove old objects")


def cache_parts() -> "list[CachePart]":
    """Collect what each owner declares, in the order they are shown."""
    from tlkit.cache.file_memory import MEMORY_FILES
    from tlkit.comparison.cache import CACHED_RUN_FILES
    from tlkit.engines.cache import CONVERTED_FILES
    from tlkit.features.store import SHARD_FILES
    from tlkit.inference.foreign import VERDICT_FILES

    return [CONVERTED_FILES, SHARD_FILES, MEMORY_FILES, CACHED_RUN_FILES, VERDICT_FILES]
