"""`tlkit compare DATA`."""

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlkit.cli.help import GroupedCommand, GroupedOption
from tlkit.cli.options import (
    DATA,
    WORKER_OPTIONS,
    explicit_options,
    options_from,
    resume_option,
    run_option,
    verify_option,
    workers_options,
)
from tlkit.cli.reporting import report_options, reporting
from tlkit.settings.commands import CompareSettings
from tlkit.utils.locations import Location

if TYPE_CHECKING:
    from tlkit.cli.screen import Part, Screen
    from tlkit.comparison.compare import Comparison
    from tlkit.comparison.results import CandidateResult


@click.command(
    cls=GroupedCommand,
    examples=(
        "tlkit compare photos --time-limit 15m",
        "tlkit compare photos --only classic,lenet",
        "tlkit compare --resume runs/compare-001",
    ),
    common=("output", "only", "time_limit", "validation_split", "resize", "seed", "resume", "style"),
)
@click.argument("data", type=DATA, required=False)
@run_option("compare")
@resume_option
@click.option(
    "--format",
    "style",
    type=click.Choice(("auto", "table", "csv", "json")),
    default="auto",
    show_default=True,
    cls=GroupedOption,
    group="Output",
    help="Output format; auto is table on a terminal, csv in a pipe.",
)
@verify_option
@report_options
@options_from(CompareSettings)
@workers_options
def compare(
    data: Location | None, output: Path | None, resume: Path | None, style: str, settings: CompareSettings
) -> None:
    """Compare models of increasing complexity on DATA.
    All are measured on the same validation images, and one is recommended.

    The candidates are baselines, classic classifiers on handcrafted features, networks from scratch,
    each pretrained network whose weights are on this machine (frozen), and the best of these with
    its upper blocks fine-tuned. Nothing is downloaded. Each candidate gets its own run folder.
    Finished candidates are cached, so repeating a comparison is fast.
    With --on ray, workers train candidates at the same time.
    """
    from tlkit.cli.console import Console
    from tlkit.cli.output import choose_format
    from tlkit.comparison.compare import compare as run_comparison
    from tlkit.comparison.compare import resume_comparison

    if resume:
        _refuse_others(resume)
        comparison = resume_comparison(resume, Console(stage_lines=False))
    elif data:
        comparison = run_comparison(data, output, settings, Console(stage_lines=False))
    else:
        raise click.UsageError("Missing argument 'DATA': a folder with one subfolder of images per class.")
    PRINTERS["json" if reporting().as_json else choose_format(style, None, sys.stdout.isatty())](comparison)


def _refuse_others(run: Path) -> None:
    """Refuse options of the comparison next to --resume with an OptionError."""
    from tlkit.errors import OptionError
    from tlkit.settings.base import option_name

    if others := [name for name in explicit_options() if name not in ("resume", "style", *WORKER_OPTIONS)]:
        named = "DATA" if others[0] == "data" else option_name(others[0])
        raise OptionError(f"{named} cannot be combined with --resume '{run}'; omit it or start a new comparison.")


def _print_table(comparison: "Comparison") -> None:
    """Print the best model, a row for each, the recommended model and the next command."""
    from tlkit.cli.screen import FAINT, GLUE, STRONG, Screen, percent
    from tlkit.cli.verdict import interval
    from tlkit.comparison.results import find_best

    results, screen = comparison.results, Screen()
    best = find_best(results)
    bounds = f"  95{GLUE}% interval {interval(*best.interval)}" if best.interval else ""
    screen.line((f"best accuracy {percent(best.accuracy)}", STRONG), f"  {best.title}{bounds}", indent=2)
    screen.blank()
    limits = [column for column in LIMITS if any(getattr(result, column) is not None for result in results)]
    rows = [[*_row(result, best), *(_limit(result, column) for column in limits)] for result in results]
    screen.table([*HEADER, *(LIMITS[column] for column in limits)], rows, LEFT, DROPPED)
    screen.blank()
    for note in _legend(comparison):
        screen.line((note, FAINT))
    _print_conclusion(screen, comparison)


HEADER = ("model", "accuracy", "vs best", "interval", "training", "images/s", "size")
LEFT = (0, 2)  # columns that are aligned to the left
DROPPED = (6, 5, 4, 3)  # columns that a narrow terminal does not get, the first of them first


def _row(result: "CandidateResult", best: "CandidateResult") -> "list[Part]":
    from tlkit.cli.screen import BAD, STRONG
    from tlkit.comparison.recommendation import describe_difference
    from tlkit.comparison.results import format_speed, format_training_time
    from tlkit.utils.text import format_size

    words = describe_difference(result, best)
    difference = (words, BAD if words.startswith("worse") else "")
    interval = "{:.1f} – {:.1f}".format(*(100 * bound for bound in result.interval)) if result.interval else ""
    return [
        (f"★ {result.title}", STRONG) if result is best else f"  {result.title}",
        (f"{100 * result.accuracy:.1f} %", STRONG if result is best else ""),
        ("best", STRONG) if result is best else difference,
        interval,
        format_training_time(result),
        format_speed(result),
        format_size(result.num_bytes) if result.num_bytes else "",
    ]


LIMITS = {"precision_at_5": "precision@5", "adversarial_epsilon": "epsilon"}  # columns that are asked for


def _limit(result: "CandidateResult", column: str) -> str:
    from tlkit.comparison.limits import EPSILONS

    value = getattr(result, column)
    if column == "precision_at_5":
        return "–" if value is None else f"{100 * value:.1f} %"
    if result.adversarial_attack is None:
        return "–"
    return (f"> {EPSILONS[-1]}" if value is None else f"{value:g}") + "*" * (result.adversarial_attack == "square")


def _legend(comparison: "Comparison") -> list[str]:
    """Explain the table in a few sentences."""
    lines = [
        f"All models were measured on the same {comparison.num_images:,} validation images. p: McNemar's exact test "
        "against the best. The best accuracy is slightly optimistic: it was selected on these images."
    ]
    if any(result.features_cached for result in comparison.results):
        lines.append("≥: without feature extraction, which was cached; such times are not used for the recommendation.")
    if any(result.precision_at_5 is not None for result in comparison.results):
        lines.append(
            "precision@5: of the five nearest validation images by a model's features, those of the same class."
        )
    if any(result.adversarial_attack is not None for result in comparison.results):
        lines.append("epsilon: gray levels of change that make half of the correct answers wrong, by PGD.")
    if any(result.adversarial_attack == "square" for result in comparison.results):
        lines.append("*: by the Square attack, for a model without a gradient; it finds less than PGD.")
    return lines


def _print_csv(comparison: "Comparison") -> None:
    """Print the rows of `compare.csv` for another program; what is for people goes to stderr."""
    from tlkit.cli.screen import Screen
    from tlkit.comparison.report import COLUMNS, csv_rows
    from tlkit.utils.tables import csv_writer

    csv_writer(sys.stdout).writerows([COLUMNS, *csv_rows(comparison.results)])
    _print_conclusion(Screen(sys.stderr), comparison)


def _print_json(comparison: "Comparison") -> None:
    """Print all of it, and where the runs are."""
    from tlkit.comparison.report import comparison_json

    content = comparison_json(comparison.results, comparison.recommendation, comparison.notes)
    click.echo(json.dumps({"run": str(comparison.run.path), "num_images": comparison.num_images} | content, indent=2))


PRINTERS = {"table": _print_table, "csv": _print_csv, "json": _print_json}


def _print_conclusion(screen: "Screen", comparison: "Comparison") -> None:
    """Print the notes, the recommended model, the run and the next command."""
    from tlkit.cli.screen import STRONG, WARN
    from tlkit.runs.manifest import COMPARISON_PAGE

    for note in comparison.notes:
        screen.entry("note", note, style=WARN)
    screen.blank()
    screen.entry("advice", (comparison.recommendation.reason, STRONG))
    screen.entry("run", str(comparison.run.path))
    if (page := comparison.run.path / COMPARISON_PAGE).is_file():
        screen.entry("page", str(page))
    chosen = comparison.run.path / comparison.recommendation.name
    screen.command("next", shlex.join(["tlkit", "predict", str(chosen), "FOLDER"]))
