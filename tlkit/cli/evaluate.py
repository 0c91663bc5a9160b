"""`tlkit evaluate RUN [DATA]`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlkit.cli.options import GroupedCommand, GroupedOption, options_from
from tlkit.settings.commands import EvaluateSettings

if TYPE_CHECKING:
    from tlkit.inference.evaluate import Evaluation


@click.command(cls=GroupedCommand)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, cls=GroupedOption, group="Main", help="Print the figures as JSON.")
@options_from(EvaluateSettings)
def evaluate(run: Path, data: Path | None, as_json: bool, settings: EvaluateSettings) -> None:
    """Measure RUN on DATA, or on its own validation images.

    DATA is a folder of classes, matched by name; of a folder with sides the test side is used,
    else the validation side. Images the run was trained on are left out and counted.
    """
    from tlkit.cli.console import Console
    from tlkit.errors import GateError
    from tlkit.inference.evaluate import evaluate as run_evaluate

    found = run_evaluate(run, data, settings, Console())
    click.echo(json.dumps(figures(found, settings.top_k), indent=2) if as_json else "\n".join(_lines(found, settings)))
    if found.report.accuracy < settings.min_accuracy:
        raise GateError(f"accuracy {found.report.accuracy:.3f} is below --min-accuracy {settings.min_accuracy:g}.")


def figures(found: "Evaluation", top_k: int) -> dict[str, object]:
    """Everything an evaluation found, for JSON."""
    from dataclasses import asdict

    from tlkit.data.listing import count_reasons

    return {
        **found.report.as_json(),
        "split": found.what,
        "top_k": {str(top_k): found.report.top_k(top_k)},
        "per_class": [asdict(score) for score in found.report.scores],
        "class_names": list(found.report.class_names),
        "confusion_matrix": found.report.confusion.tolist(),
        "left_out": count_reasons(found.left_out),
    }


def _lines(found: "Evaluation", settings: EvaluateSettings) -> list[str]:
    from tlkit.data.listing import count_reasons
    from tlkit.evaluation.report import class_table, confusion_lines, headline

    k = min(settings.top_k, len(found.report.class_names))
    return [
        click.style(headline(found.report, found.what), bold=True),
        f"the true class is among the {k} likeliest in {found.report.top_k(k):.3f}",
        "",
        *class_table(found.report),
        "",
        *(f"often mistaken: {line}" for line in confusion_lines(found.report)),
        *(f"left out: {count} × {reason}" for reason, count in count_reasons(found.left_out).items()),
    ]
