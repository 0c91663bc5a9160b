"""Output of the commands of `tlkit search`: tables, csv, json, contact sheets."""

import io
import json
import shlex
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlkit.cli.reporting import QUIET, VERBOSE, reporting
from tlkit.cli.screen import BAD, FAINT, STRONG, WARN, Screen, percent
from tlkit.errors import OptionError
from tlkit.utils.files import write_new
from tlkit.utils.tables import csv_writer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tlkit.search.build import Change
    from tlkit.search.evaluate import Figures, SearchEvaluation
    from tlkit.search.index import Index
    from tlkit.search.near import NearPair, NearResult
    from tlkit.search.query import QueryResult

ENDINGS = {".csv": "csv", ".json": "json", ".png": "png"}
COLUMNS = ("query", "rank", "path", "class", "distance", "error")
MAX_PAIRS = 20  # on the screen; --verbose and --json have all
MAX_CLASSES = 20  # on the screen; --json has all


def query_format(requested: str, output: Path | None, as_json: bool, is_terminal: bool) -> str:
    """Choose the format of a query's results: the requested one, or by the output.

    Raises:
        OptionError: for a file with an unknown ending
    """
    if output is not None and output.suffix.lower() not in ENDINGS:
        raise OptionError(f"'{output.name}' does not end in {', '.join(ENDINGS)}; choose one of these.")
    if output is not None and output.suffix.lower() == ".png" and requested != "auto":
        raise OptionError(f"'{output.name}' is a contact sheet; leave out --format, or name a file for {requested}.")
    if requested != "auto":
        return requested
    if output is not None:
        return ENDINGS[output.suffix.lower()]
    return "json" if as_json else "table" if is_terminal else "csv"


def write_results(index: "Index", results: "Sequence[QueryResult]", kind: str, output: Path | None) -> None:
    """Print the results of queries, or write them to a new file.

    Raises:
        OptionError: if the file exists
    """
    if kind == "png":
        from tlkit.search.sheet import draw_matches

        assert output is not None
        write_new(output, draw_matches(results, index.is_own))
    elif kind == "table":
        _print_results(results)
    else:
        text = (
            _as_csv(results) if kind == "csv" else json.dumps([asdict(result) for result in results], indent=2) + "\n"
        )
        if output is None:
            click.echo(text, nl=False)
        else:
            write_new(output, text)
    if output is not None and not reporting().as_json:
        Screen().entry("file", str(output))


def _as_csv(results: "Sequence[QueryResult]") -> str:
    buffer = io.StringIO()
    writer = csv_writer(buffer)
    writer.writerow(COLUMNS)
    for result in results:
        if result.error:
            writer.writerow([result.path, "", "", "", "", result.error])
        for rank, match in enumerate(result.matches, 1):
            writer.writerow([result.path, rank, match.path, match.label, match.distance, ""])
    return buffer.getvalue()


def _print_results(results: "Sequence[QueryResult]") -> None:
    screen = Screen()
    for number, result in enumerate(results):
        if number:
            screen.blank()
        screen.line((result.path, STRONG))
        if result.error:
            screen.line((result.error, BAD), indent=2)
            continue
        rows = [[match.path, match.label or "–", f"{match.distance:.3f}"] for match in result.matches]
        screen.table(("nearest images", "class", "distance"), rows, left=(0, 1))


def print_change(change: "Change", verb: str) -> None:
    """Print what a change of an index did."""
    from tlkit.cli.verdict import print_left_out
    from tlkit.data.listing import count_reasons

    index = change.index
    if reporting().as_json:
        content = {"index": str(index.path), "added": change.num_added, "removed": change.num_removed}
        content |= _facts(index) | {"left_out": count_reasons(change.skipped), "notes": list(change.notes)}
        click.echo(json.dumps(content, indent=2))
        return
    screen = Screen()
    count = change.num_removed if verb == "removed" else change.num_added
    total = "" if verb == "indexed" else f"  {len(index):,} are in the index"
    replaced = f", {change.num_removed:,} in the place of older ones" * bool(verb == "added" and change.num_removed)
    screen.line((f"{_images(count)} {verb}{replaced}", STRONG), total)
    if reporting().verbosity > QUIET:
        screen.entry("features", _source_words(index))
        screen.entry("kind", _kind_words(index))
        for note in change.notes:
            screen.entry("check", note, style=WARN)
        print_left_out(screen, change.skipped)
    screen.entry("index", str(index.path))
    screen.command("next", f"tlkit search query {shlex.quote(str(index.path))} IMAGE")


def print_info(index: "Index") -> None:
    """Print what an index holds."""
    from tlkit.utils.text import format_size

    classes = Counter(record.label for record in index.records())
    size = sum(size for size, _ in index.facts.files.values())
    if reporting().as_json:
        names = {name: count for name, count in classes.most_common() if name}
        click.echo(json.dumps(_facts(index) | {"classes": names, "bytes": size, "own": index.is_own}, indent=2))
        return
    screen = Screen()
    named = len([name for name in classes if name])
    words = f"  {named:,} class{'es' * (named != 1)}" if named else "  without classes"
    screen.line((_images(len(index)), STRONG), words)
    screen.entry("features", _source_words(index))
    screen.entry("kind", _kind_words(index))
    screen.entry("size", format_size(size))
    for root in index.facts.roots:
        screen.entry("images", root)
    if not index.is_own:
        screen.entry("note", "another machine made it; every vector is compared, and it cannot be changed", style=WARN)
    screen.entry("files", "all are what was written")


def print_evaluation(result: "SearchEvaluation") -> None:
    """Print the figures of an index."""
    screen, names = Screen(), (f"precision@{result.precision_k}", f"recall@{result.recall_k}", "mAP")
    _print_figures(screen, names, result.all_queries)
    words = f"{result.all_queries.num_queries:,} queries among {result.num_ranked:,} images"
    screen.line((f"{words}; neither a query nor its duplicates count", FAINT), indent=2)
    if reporting().verbosity > QUIET:
        _print_remarks(screen, names, result)
        if len(result.by_class) > 1:
            screen.blank()
            worst = sorted(result.by_class.items(), key=lambda item: item[1].precision)[:MAX_CLASSES]
            rows = [[name, *_cells(figures), f"{figures.num_queries:,}"] for name, figures in worst]
            screen.table(("class", *names, "queries"), rows, dropped=(4, 2))
            if len(result.by_class) > len(worst):
                screen.line((f"the {MAX_CLASSES} worst of {len(result.by_class):,} classes; --json has all", FAINT))


def _print_remarks(screen: Screen, names: "Sequence[str]", result: "SearchEvaluation") -> None:
    if result.num_trained_on and result.new_queries:
        num_new = result.new_queries.num_queries
        known = f"{result.num_trained_on:,} of the queries; of the {num_new:,} others:"
        none_new = "every query; --queries DATA measures other images"
        screen.entry("check", f"the run was trained on {known if num_new else none_new}", style=WARN)
        if num_new:
            _print_figures(screen, names, result.new_queries)
    elif result.num_trained_on == 0:
        screen.line(("the run was trained on none of the queries", FAINT), indent=2)
    if result.num_alone:
        screen.entry("alone", f"{result.num_alone:,} queries have no other image of their class; they do not count")
    if result.skipped:
        screen.entry("left out", f"{result.skipped:,} query files cannot be read", style=WARN)
    if result.found_of_exact is not None:
        screen.entry("index", f"finds {percent(result.found_of_exact)} of the {result.recall_k} exact nearest images")


def _print_figures(screen: Screen, names: "Sequence[str]", figures: "Figures") -> None:
    precision, recall, mean = _cells(figures)
    screen.line((f"{names[0]}  {precision}", STRONG), f"  ({figures.hits:,} of {figures.retrieved:,} found images)")
    screen.line(f"{names[1]}  {recall}", indent=2)
    screen.line(f"{names[2]}  {mean}", indent=2)


def _cells(figures: "Figures") -> list[str]:
    values = (figures.precision, figures.recall, figures.average_precision)
    return ["–" if value != value else percent(value) for value in values]  # noqa: PLR0124 - NaN


def _images(count: int) -> str:
    return f"{count:,} image{'s' * (count != 1)}"


def _facts(index: "Index") -> dict[str, Any]:
    facts = index.facts
    names = ("key", "kind", "metric", "num_images", "num_values", "source")
    return {name: getattr(facts, name) for name in names} | {"roots": list(facts.roots)}


def _source_words(index: "Index") -> str:
    source, values = index.facts.source, f"{index.facts.num_values:,} values"
    name = source["descriptor"] or (f"run {source['run']}" if source["run"] else source["backbone"])
    return f"{name}, {values}, {index.facts.metric} distance"


def _kind_words(index: "Index") -> str:
    if index.facts.kind == "flat":
        return "flat: every image is compared"
    return f"{index.facts.kind}, by FAISS" if index.uses_faiss else f"{index.facts.kind}; every image is compared"


def print_near(result: "NearResult") -> None:
    """Print pairs of images that are nearly the same."""
    if reporting().as_json:
        pairs = [asdict(pair) | {"labels": list(pair.labels)} for pair in result.pairs]
        content = {"pairs": pairs, "equal": [list(paths) for paths in result.equal], "images": len(result.folder)}
        click.echo(json.dumps(content | {"notes": list(result.notes)}, indent=2))
        return
    screen = Screen()
    num_pairs, num_equal = len(result.pairs), len(result.equal)
    words = f"{num_pairs:,} pair{'s' * (num_pairs != 1)} of near duplicates, "
    words += f"{num_equal:,} set{'s' * (num_equal != 1)} of equal images"
    screen.line((words, STRONG), f"  {len(result.folder):,} images")
    shown = result.pairs if reporting().verbosity == VERBOSE else result.pairs[:MAX_PAIRS]
    if shown:
        rows = [[pair.first, pair.second, f"{pair.score:.3f}", _other_class(pair)] for pair in shown]
        screen.table(("image", "near duplicate", "alike", ""), rows, left=(0, 1, 3), dropped=(3,))
    if len(shown) < len(result.pairs):
        screen.line((f"… {len(result.pairs) - len(shown):,} more; --verbose and --json show them", FAINT))
    if reporting().verbosity > QUIET:
        for paths in result.equal[:MAX_PAIRS]:
            screen.entry("equal", ", ".join(paths))
        for note in result.notes:
            screen.entry("note", note, style=WARN)


def _other_class(pair: "NearPair") -> str:
    return "" if pair.labels[0] == pair.labels[1] else "another class"
