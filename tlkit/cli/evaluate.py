"""`tlkit evaluate RUN [DATA]`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlkit.cli.help import GroupedCommand, GroupedOption
from tlkit.cli.options import options_from
from tlkit.settings.commands import EvaluateSettings

if TYPE_CHECKING:
    from tlkit.inference.evaluate import Evaluation


@click.command(
    cls=GroupedCommand,
    examples=(
        "tlkit evaluate runs/finetune-001",
        "tlkit evaluate runs/finetune-001 new --min-accuracy 0.9",
        "tlkit evaluate runs/finetune-001 new --json",
    ),
    common=("as_json", "split", "include_training", "min_accuracy", "top_k", "engine"),
)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, cls=GroupedOption, group="Main", help="JSON output.")
@options_from(EvaluateSettings)
def evaluate(run: Path, data: Path | None, as_json: bool, settings: EvaluateSettings) -> None:
    """Measure the accuracy of RUN on labeled images.
    They are in DATA, one subfolder per class; without DATA they are the validation images of RUN.

    Classes are matched by name. If DATA has subsets, its test/ is used, else its val/. Images that RUN
    was trained on are excluded and counted.
    """
    from tlkit.cli.console import Console
    from tlkit.errors import GateError
    from tlkit.inference.evaluate import evaluate as run_evaluate

    evaluation = run_evaluate(run, data, settings, Console())
    if as_json:
        click.echo(json.dumps(_as_json(evaluation, settings.top_k), indent=2))
    else:
        click.echo("\n".join(_lines(evaluation, settings.top_k)))
    accuracy = evaluation.report.accuracy
    if accuracy < settings.min_accuracy:
        raise GateError(f"accuracy {accuracy:.3f} is below --min-accuracy {settings.min_accuracy:g}.")


def _as_json(evaluation: "Evaluation", top_k: int) -> dict[str, object]:
    from dataclasses import asdict

    from tlkit.data.listing import count_reasons

    report = evaluation.report
    return {
        **report.as_json(),
        "split": evaluation.subset,
        "top_k": {str(top_k): report.top_k(top_k)},
        "per_class": [asdict(score) for score in report.scores],
        "class_names": list(report.class_names),
        "confusion_matrix": report.confusion.tolist(),
        "left_out": count_reasons(evaluation.skipped),
    }


def _lines(evaluation: "Evaluation", top_k: int) -> list[str]:
    from tlkit.data.listing import count_reasons
    from tlkit.evaluation.report import class_table, confusion_lines, headline

    report = evaluation.report
    k = min(top_k, len(report.class_names))
    return [
        click.style(headline(report, evaluation.subset), bold=True),
        f"the true class is among the {k} likeliest in {report.top_k(k):.3f}",
        "",
        *class_table(report),
        "",
        *(f"often mistaken: {line}" for line in confusion_lines(report)),
        *(f"left out: {count} × {reason}" for reason, count in count_reasons(evaluation.skipped).items()),
    ]
