"""Summary of a training on the screen, and the choice of an output format."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlkit.cli.reporting import QUIET, VERBOSE, reporting
from tlkit.errors import OptionError
from tlkit.utils.text import sparkline

if TYPE_CHECKING:
    from tlkit.cli.screen import Screen
    from tlkit.training.recipe import TrainingResult

CURVE_WIDTH = 40  # characters of a curve in one line, at most
FORMATS = ("csv", "xlsx", "json", "jsonl", "parquet")
ENDINGS = {f".{name}": name for name in FORMATS} | {".txt": "table"}


def print_training(result: "TrainingResult") -> None:
    """Print how good a classifier is, what to check, where its run is and what to type next; or all of it as JSON."""
    from tlkit.cli.charts import print_charts
    from tlkit.cli.screen import Screen
    from tlkit.cli.verdict import print_classes, print_left_out, print_mistakes

    metrics, run = result.metrics, str(result.run.path)
    if reporting().as_json:
        click.echo(json.dumps({"run": run} | metrics.as_json(), indent=2))
        return
    screen = Screen()
    screen.blank()
    _print_accuracies(screen, result)
    if reporting().verbosity > QUIET:
        folds, folder = result.folds, "folds/" * bool(result.folds)
        report, paths = (folds.report, folds.paths) if folds else (result.report, result.split.validation.paths)
        print_classes(screen, report, f"{folder}per_class.csv")
        files = [name for name in ("wrong.csv", "plots/wrong.png") if (result.run.path / folder / name).is_file()]
        print_mistakes(screen, report, paths, [folder + name for name in files])
        print_charts(screen, report, result.history)
        _print_findings(screen, result)
        print_left_out(screen, result.skipped, "left_out.csv")
        if reporting().verbosity == VERBOSE:
            _print_details(screen, result)
    _print_next_steps(screen, result)


def _print_accuracies(screen: "Screen", result: "TrainingResult") -> None:
    """Print the headline, and below it the figures on other images: of folds, of test and of validation images."""
    from tlkit.cli.screen import FAINT, STRONG
    from tlkit.cli.verdict import print_answered, print_confidence, print_figure, print_verdict

    metrics = result.metrics
    if folds := result.folds:
        print_verdict(screen, folds.report, "images, each held out once")
        first, *others = (100 * accuracy for accuracy in folds.accuracies)
        each = ", ".join([f"{first:>5.1f}", *(f"{accuracy:.1f}" for accuracy in others)])
        print_figure(screen, "folds", (f"{each} %", FAINT))
        screen.blank()
    if result.test:
        print_verdict(screen, result.test, "test images", STRONG if metrics.headline == "test" else "")
        screen.line(("Unbiased: nothing was selected on the test images.", FAINT), indent=2)
        if (counts := metrics.unknown["test"]) and reporting().verbosity > QUIET:
            print_answered(screen, counts)
        screen.blank()
    print_verdict(screen, result.report, "validation images", STRONG if metrics.headline == "validation" else "")
    if metrics.selected_on_validation:
        words = "Slightly optimistic: the best epoch was selected on these images."
        screen.line((words, FAINT), indent=2)
    if reporting().verbosity > QUIET:
        print_confidence(screen, metrics.calibration, metrics.unknown)


def _print_findings(screen: "Screen", result: "TrainingResult") -> None:
    """Print what was chosen and what a person should check."""
    from tlkit.cli.screen import WARN, percent

    metrics = result.metrics
    if metrics.diagnosis or metrics.notes or metrics.advice or metrics.seeds:
        screen.blank()
    for finding in metrics.diagnosis:
        screen.entry("check", finding["words"], style=WARN)
        if finding["next"]:
            screen.command("try", finding["next"])
    for note in metrics.notes:
        screen.entry("check", note, style=WARN)
    if metrics.advice:
        screen.entry("chosen", metrics.advice["reason"])
    if seeds := metrics.seeds:
        low, middle, high = (percent(seeds[name]) for name in ("least", "median", "greatest"))
        screen.entry("seeds", f"accuracy from {low} to {high} with other seeds, median {middle}")


def _print_details(screen: "Screen", result: "TrainingResult") -> None:
    """Print what `--verbose` adds: how the loss fell, macro-F1, and where the time went."""
    from tlkit.utils.text import format_duration

    metrics = result.metrics
    shown = result.history[:: -(-len(result.history) // CURVE_WIDTH) or 1]
    for name, column in (("training", "loss"), ("validation", "val_loss")):
        if curve := sparkline([epoch[column] for epoch in shown]):
            screen.entry("loss", f"{curve}  {name}")
    screen.entry("macro-F1", f"{metrics.macro_f1:.3f}")
    screen.entry(
        "images", f"{metrics.num_train:,} training images, features of {metrics.features_reused:,} from the cache"
    )
    screen.entry("seconds", ", ".join(f"{name} {value:.1f}" for name, value in metrics.seconds.items()))
    screen.entry("total", format_duration(metrics.seconds["total"]))


def _print_next_steps(screen: "Screen", result: "TrainingResult") -> None:
    """Print where the run and its page are, its accuracy once more, and a command that can be pasted."""
    from tlkit.cli.screen import STRONG, percent
    from tlkit.cli.verdict import interval
    from tlkit.runs.manifest import REPORT_PAGE

    metrics, run = result.metrics, str(result.run.path)
    accuracy, bounds = metrics.headline_accuracy
    screen.blank()
    if (page := result.run.path / REPORT_PAGE).is_file():
        screen.entry("page", f"{page}  (open it in a browser)")
    screen.entry("run", f"{run}  ", (f"accuracy {percent(accuracy)}", STRONG), f" ({interval(*bounds)})")
    screen.command("next", shlex.join(["tlkit", "predict", run, "FOLDER"]))


def choose_format(requested: str, output: Path | None, is_terminal: bool) -> str:
    """Choose a format: the requested one, or for "auto" by the output.

    Args:
        output: the file to write; None for standard output

    Raises:
        OptionError: for a file with an unknown ending
    """
    if requested != "auto":
        return requested
    if output is None:
        return "table" if is_terminal else "csv"
    if output.suffix.lower() not in ENDINGS:
        raise OptionError(f"'{output.name}' does not end in {', '.join(ENDINGS)}; add --format.")
    return ENDINGS[output.suffix.lower()]
