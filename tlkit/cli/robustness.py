"""`tlkit robustness RUN [DATA]`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlkit.cli.help import GroupedCommand
from tlkit.cli.options import DATA, open_run, options_from, output_option
from tlkit.cli.reporting import QUIET, report_options, reporting
from tlkit.settings.robustness import RobustnessSettings
from tlkit.utils.locations import Location

if TYPE_CHECKING:
    from tlkit.cli.screen import Part, Screen
    from tlkit.robustness.results import CorruptionFigures, Robustness


@click.command(
    cls=GroupedCommand,
    examples=(
        "tlkit robustness runs/finetune-001",
        "tlkit robustness latest new_photos -o damage",
        "tlkit robustness latest --corruptions jpeg,motion-blur",
    ),
    common=("as_json", "output", "corruptions", "severities", "max_images", "split", "seed"),
)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data", type=DATA, required=False)
@output_option(
    "New folder for tables and a heat map (robustness.csv, consistency.csv and robustness.png).",
    "Output",
    is_folder=True,
)
@report_options
@options_from(RobustnessSettings)
def robustness(run: Path, data: Location | None, output: Path | None, settings: RobustnessSettings) -> None:
    """Measure how RUN answers to damaged copies of labeled images.
    They are in DATA, one subfolder per class; without DATA they are the validation images of RUN.

    The square that the network gets is damaged: noise, blur, light, compression and position, each in
    five severities. Only images count that RUN was not trained on. Mirrored, shifted and newly encoded
    copies show how often an answer changes where nobody would notice a difference.
    """
    from tlkit.cli.console import Console
    from tlkit.errors import OptionError
    from tlkit.robustness.measure import measure_robustness
    from tlkit.training.option_effects import ROBUSTNESS, refuse_without_effect
    from tlkit.utils.plotting import require_matplotlib
    from tlkit.utils.storage import refuse_inside

    refuse_without_effect(settings, ROBUSTNESS, vars(settings) | {"has_data": data is not None})
    if settings.csv_dialect != "plain" and not output:
        raise OptionError(f"--csv-dialect is {settings.csv_dialect}, but no csv is written; add -o FOLDER.")
    if output:
        require_matplotlib("the heat map of -o")
        if data:
            refuse_inside(data, output)
    opened = open_run(run, settings.trust_model)
    measured = measure_robustness(opened, data, settings, Console())
    if output:
        from tlkit.robustness.output import write_robustness

        write_robustness(measured, opened.path.name, output, settings.csv_dialect)
    if reporting().as_json:
        from tlkit.data.listing import count_reasons

        content = {"run": str(opened.path), **measured.as_json(), "left_out": count_reasons(measured.skipped)}
        click.echo(json.dumps(content, indent=2))
    else:
        _print(measured, opened.path, output)


def _print(measured: "Robustness", run: Path, output: Path | None) -> None:
    from tlkit.cli.screen import GLUE, STRONG, Screen, percent
    from tlkit.cli.verdict import interval, print_figure, print_left_out
    from tlkit.inference.labeled import NOT_COUNTED

    screen, clean = Screen(), measured.clean
    kind = "images" if measured.counted == "all" else f"{measured.counted} images"
    words = f"{100 * clean.accuracy:>5.1f}{GLUE}%  {clean.num_correct:,} of {clean.num_images:,} {kind} correct"
    print_figure(screen, "undamaged", f"{words} ({interval(*clean.interval)})")
    corruptions = _counted(len(measured.corruptions), "corruption", "corruptions")
    count = f"{corruptions} × {_counted(len(measured.severities), 'severity', 'severities')}"
    mean = f"{100 * measured.corruption_mean:>5.1f}{GLUE}%"
    print_figure(
        screen, "damaged", (mean, STRONG), f"  mean of {count} ({interval(*measured.corruption_mean_interval)})"
    )
    if reporting().verbosity > QUIET:
        _print_table(screen, measured)
        screen.blank()
    _print_weakest(screen, measured)
    if reporting().verbosity > QUIET:
        _print_copies(screen, measured)
        if clean.num_images + len(measured.skipped) < measured.num_available:
            words = f"{clean.num_images:,} of {measured.num_available:,} images, drawn at random"
            screen.entry("note", f"{words}; --max-images{GLUE}0 for all")
        print_left_out(screen, [entry for entry in measured.skipped if entry.reason not in NOT_COUNTED.values()])
    if output:
        screen.entry("files", f"{output}/robustness.csv, consistency.csv, robustness.png")
    screen.entry("run", f"{run}  corruption mean {percent(measured.corruption_mean)}")


def _counted(count: int, singular: str, plural: str) -> str:
    return f"{count:,} {singular if count == 1 else plural}"


def _print_table(screen: "Screen", measured: "Robustness") -> None:
    """Print the accuracy by corruption and severity, the weakest corruption first."""
    from tlkit.cli.screen import FAINT

    rows = {(row.corruption, row.severity): row for row in measured.rows}
    severities, has_unknown = measured.severities, measured.clean.unknown_rate is not None
    header = ["corruption", *map(str, severities), "mean", "gap", *["unknown"] * has_unknown]
    table: list[list[Part]] = [
        ["none", *["" for _ in severities], _number(measured.clean.accuracy), *_trust([measured.clean])]
    ]
    for name, mean in measured.means.items():
        cells = [rows[name, severity] for severity in severities]
        table.append([name, *[_cell(row, measured.clean) for row in cells], _number(mean), *_trust(cells)])
    screen.blank()
    screen.line(("accuracy in %, by severity; the other columns are means over the severities", FAINT))
    screen.table(header, table, dropped=(len(severities) + 2, len(severities) + 3))


def _cell(row: "CorruptionFigures", clean: "CorruptionFigures") -> "Part":
    """Write an accuracy: orange if it is significantly lower than undamaged, red below half of it."""
    from tlkit.cli.screen import BAD, WARN

    has_fallen = row.change.interval[1] < 0
    style = BAD if has_fallen and row.accuracy < clean.accuracy / 2 else WARN if has_fallen else ""
    return (_number(row.accuracy), style) if style else _number(row.accuracy)


def _number(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def _trust(rows: "Sequence[CorruptionFigures]") -> list[str]:
    """Write the mean calibration error, and the mean fraction of unknown answers if the run has a threshold."""
    gaps, unknown = [row.ece for row in rows], [row.unknown_rate for row in rows if row.unknown_rate is not None]
    return [_number(sum(values) / len(values)) for values in (gaps, unknown) if values]


def _print_weakest(screen: "Screen", measured: "Robustness") -> None:
    """Print one sentence about the corruption with the lowest mean accuracy."""
    from tlkit.cli.screen import percent
    from tlkit.robustness.results import SIGNIFICANT

    weakest = measured.weakest
    change, (low, high) = weakest.change, weakest.change.interval
    if change.p >= SIGNIFICANT or change.difference >= 0:
        images = _counted(measured.clean.num_images, "image", "images")
        words = f"with {images} no corruption lowers the accuracy significantly"
        screen.entry("weakest", f"{words}; the lowest mean is that of {weakest.name}.")
        return
    points = f"{-100 * change.difference:.1f} points below undamaged ({-100 * high:.1f} to {-100 * low:.1f})"
    words = f"{weakest.name}: {percent(weakest.accuracy)} on average, {points}"
    if weakest.ties:
        named = ", ".join(weakest.ties[:3]) + f" and {len(weakest.ties) - 3} more" * (len(weakest.ties) > 3)
        words += f"; not significantly weaker than {named}"
    elif weakest.others:
        words += "; significantly weaker than every other corruption"
    screen.entry("weakest", f"{words}.")


def _print_copies(screen: "Screen", measured: "Robustness") -> None:
    """Print how often the answer to a copy differs, and how far the confidence moves."""
    from tlkit.cli.screen import percent

    for number, row in enumerate(measured.consistency):
        counts = f"{row.num_changed:,} of {row.num_images:,}"
        words = f"{row.copy}: {percent(row.num_changed / row.num_images)} of the answers change ({counts})"
        moved = f"confidence moves by {100 * row.confidence_change:.1f} points on average"
        screen.entry("" if number else "copies", f"{words}; {moved}")
