"""`tlkit evaluate RUN [DATA]`."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlkit.cli.help import GroupedCommand
from tlkit.cli.options import DATA, open_run, options_from, output_option, workers_options
from tlkit.cli.reporting import QUIET, report_options, reporting
from tlkit.settings.commands import EvaluateSettings
from tlkit.utils.locations import Location

if TYPE_CHECKING:
    from tlkit.cli.screen import Screen
    from tlkit.evaluation.gates import QualityGate
    from tlkit.inference.evaluate import Evaluation


@click.command(
    cls=GroupedCommand,
    examples=(
        "tlkit evaluate runs/finetune-001",
        "tlkit evaluate latest new --min-accuracy 0.9 -o tables",
        "tlkit evaluate runs/finetune-001 new --json",
    ),
    common=("as_json", "output", "split", "include_training", "min_accuracy", "top_k", "unknown_data", "engine"),
)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data", type=DATA, required=False)
@output_option(
    "New folder for tables (per_class.csv, confusion_matrix.csv, predictions.csv and wrong.csv).",
    "Output",
    is_folder=True,
)
@report_options
@options_from(EvaluateSettings)
@workers_options
def evaluate(run: Path, data: Location | None, output: Path | None, settings: EvaluateSettings) -> None:
    """Measure the accuracy of RUN on labeled images.
    They are in DATA, one subfolder per class; without DATA they are the validation images of RUN.

    Classes are matched by name. If DATA has subsets, its test/ is used, else its val/. Only images that
    are new to RUN count; its own training and validation images in DATA are reported apart. For RUN,
    `latest` means the newest finished run in runs/, and a comparison means the run of its recommended
    model.
    """
    from tlkit.cli.console import Console
    from tlkit.errors import GateError
    from tlkit.evaluation.gates import check_gates, parse_recall_gates
    from tlkit.inference.evaluate import evaluate as run_evaluate
    from tlkit.training.option_effects import EVALUATE, refuse_without_effect

    started = time.perf_counter()
    refuse_without_effect(settings, EVALUATE, vars(settings) | {"has_data": data is not None})
    _check_output(output, data, settings)
    opened = open_run(run, settings.trust_model)
    recalls = parse_recall_gates(settings.min_recall, opened.manifest.class_names)
    evaluation = run_evaluate(opened, data, settings, Console())
    gates = check_gates(evaluation.report, _measured(evaluation), settings.min_accuracy, recalls, settings.max_ece)
    if output:
        from tlkit.inference.tables import write_evaluation

        write_evaluation(evaluation, output, settings.csv_dialect, settings.probs)
    if settings.junit:
        _write_junit(Path(settings.junit), gates, evaluation, (opened.path, data), time.perf_counter() - started)
    if reporting().as_json:
        click.echo(json.dumps(_as_json(evaluation, settings.top_k, gates), indent=2))
    else:
        _print(evaluation, opened.path, settings.top_k, gates)
    if failures := [gate.failure for gate in gates if not gate.passed]:
        raise GateError(f"{'; '.join(failures)}.")


def _write_junit(
    file: Path,
    gates: "Sequence[QualityGate]",
    evaluation: "Evaluation",
    asked: tuple[Path, Location | None],
    seconds: float,
) -> None:
    """Write the gates for CI.

    Args:
        asked: RUN and DATA
    """
    from tlkit.engines.base import installed_version
    from tlkit.evaluation.gates import junit
    from tlkit.utils.files import write_new

    run, data = asked
    images = f"{len(evaluation.report.labels)} {_name_images(evaluation)}"
    facts = {"run": str(run), "data": str(data or ""), "images": images, "tlkit": installed_version("tlkit")}
    write_new(file, junit(gates, facts, seconds))


def _check_output(output: Path | None, data: Location | None, settings: EvaluateSettings) -> None:
    """Refuse a folder among the images, and options of its files without effect, with an OptionError"""
    from tlkit.errors import OptionError
    from tlkit.utils.files import check_new_file
    from tlkit.utils.storage import refuse_inside

    if output and data:
        refuse_inside(data, output)
    if settings.junit:
        check_new_file(settings.junit)
        if data:
            refuse_inside(data, settings.junit)
    if settings.csv_dialect != "plain" and not output:
        raise OptionError(f"--csv-dialect is {settings.csv_dialect}, but no csv is written; add -o FOLDER.")
    if settings.probs and not output:
        raise OptionError("--probs has no effect, because no csv is written; add -o FOLDER.")


def _as_json(evaluation: "Evaluation", top_k: int, gates: "Sequence[QualityGate]") -> dict[str, object]:
    from dataclasses import asdict

    from tlkit.data.listing import count_reasons
    from tlkit.evaluation.metrics import difference_interval, wilson_interval

    report, (correct, total) = evaluation.report, evaluation.recorded
    difference = difference_interval(evaluation.recorded, (report.num_correct, len(report.labels)))
    return {
        **report.as_json(),
        "split": evaluation.subset,
        "counted": evaluation.counted,
        "apart": {
            kind: {"accuracy": part.accuracy, "accuracy_ci95": list(part.interval), "num_images": len(part.labels)}
            for kind, part in evaluation.apart.items()
        },
        "recorded": {
            "accuracy": correct / total,
            "accuracy_ci95": list(wilson_interval(correct, total)),
            "num_images": total,
            "difference_ci95": list(difference),
        },
        "calibration": _calibration(evaluation),
        "answered": _answered(evaluation),
        "unknown": _unknown(evaluation),
        "gates": [asdict(gate) for gate in gates],
        "top_k": {str(top_k): report.top_k(top_k)},
        "per_class": [asdict(score) for score in report.scores],
        "class_names": list(report.class_names),
        "confusion_matrix": report.confusion.tolist(),
        "left_out": count_reasons(evaluation.skipped),
    }


def _measured(evaluation: "Evaluation") -> "tuple[float, tuple[float, float]] | None":
    """Measure the calibration error on images that the temperature was not fitted on; None where they are too few."""
    from tlkit.evaluation.calibration import measure_calibration

    if evaluation.counted not in ("new", "test"):
        return None
    return measure_calibration(evaluation.report.probabilities, evaluation.report.labels)


def _calibration(evaluation: "Evaluation") -> dict[str, Any] | None:
    """Give the calibration error by the names of --json."""
    measured = _measured(evaluation)
    return {"ece": measured[0], "ece_ci95": list(measured[1])} if measured else None


def _answered(evaluation: "Evaluation") -> dict[str, float | int] | None:
    """Count the images that get an answer, and the correct answers; None where the run has no threshold."""
    if evaluation.answered is None:
        return None
    report, answered = evaluation.report, evaluation.answered
    correct, total = int((answered & (report.predicted == report.labels)).sum()), int(answered.sum())
    accuracy = correct / total if total else 0.0
    return {"coverage": total / len(answered), "accuracy": accuracy, "num_answered": total, "num_correct": correct}


def _unknown(evaluation: "Evaluation") -> dict[str, float | int | None] | None:
    """Give the separation of images of no class with both error rates; None where there are no such images."""
    from dataclasses import asdict

    if evaluation.unknown is None:
        return None
    refused, answered = evaluation.unknown.num_refused, evaluation.answered
    rates = {"known_refused": None, "unknown_answered": None}
    if refused is None or answered is None:
        return asdict(evaluation.unknown) | rates
    unknown_answered = 1 - refused / evaluation.unknown.num_images
    return asdict(evaluation.unknown) | {
        "known_refused": 1 - float(answered.mean()),
        "unknown_answered": unknown_answered,
    }


def _print(evaluation: "Evaluation", run: Path, top_k: int, gates: "Sequence[QualityGate]") -> None:
    from tlkit.cli.charts import print_charts
    from tlkit.cli.screen import GLUE, Screen, percent
    from tlkit.cli.verdict import (
        interval,
        print_classes,
        print_figure,
        print_left_out,
        print_mistakes,
        print_verdict,
    )
    from tlkit.inference.labeled import NOT_COUNTED

    report, screen = evaluation.report, Screen()
    print_verdict(screen, report, _name_images(evaluation))
    if evaluation.counted == "new":
        _print_recorded(screen, evaluation)
    _print_trust(screen, evaluation)
    if reporting().verbosity > QUIET:
        if 1 < top_k < len(report.class_names):
            figure = f"{100 * report.top_k(top_k):>5.1f}{GLUE}%  among the {top_k} most probable"
            print_figure(screen, f"top {top_k}", figure)
        print_classes(screen, report)
        print_mistakes(screen, report, evaluation.paths, [])
        print_charts(screen, report)
        _print_apart(screen, evaluation)
        print_left_out(screen, [entry for entry in evaluation.skipped if entry.reason not in NOT_COUNTED.values()])
    screen.blank()
    if gates:
        screen.entry("gates", f"{sum(gate.passed for gate in gates)} of {len(gates)} passed")
    screen.entry("run", f"{run}  accuracy {percent(report.accuracy)} ({interval(*report.interval)})")


def _print_trust(screen: "Screen", evaluation: "Evaluation") -> None:
    """Print how far confidence is from accuracy, how many images get an answer, and how many of no class do."""
    from tlkit.cli.screen import GLUE
    from tlkit.cli.verdict import print_answered, print_auroc, print_confidence_gap, print_figure

    report = evaluation.report
    if measured := _calibration(evaluation):
        print_confidence_gap(screen, measured)
    if answered := _answered(evaluation):
        print_answered(screen, answered | {"num_images": len(report.labels)})
    if unknown := evaluation.unknown:
        refused = unknown.num_refused
        if refused is not None:
            words = f"{refused:,} of {unknown.num_images:,} images of no class get no answer"
            print_figure(screen, "unknown", f"{100 * refused / unknown.num_images:>5.1f}{GLUE}%  {words}")
        print_auroc(screen, unknown.auroc, unknown.num_images)


def _name_images(evaluation: "Evaluation") -> str:
    """Name the images that count."""
    if evaluation.counted == "all":
        return "images, including those that the run was trained on"
    if evaluation.counted == "new" and evaluation.subset != "all":
        return f"new {evaluation.subset} images"
    return f"{evaluation.counted} images"


def _print_recorded(screen: "Screen", evaluation: "Evaluation") -> None:
    """Print the accuracy that the run recorded on its validation images, and whether that differs significantly."""
    from tlkit.cli.screen import FAINT, GLUE, WARN
    from tlkit.cli.verdict import print_figure
    from tlkit.evaluation.metrics import difference_interval

    (correct, total), report = evaluation.recorded, evaluation.report
    low, high = difference_interval((correct, total), (report.num_correct, len(report.labels)))
    words = "significantly better" if low > 0 else "significantly worse" if high < 0 else "not significantly different"
    text = f"{100 * correct / total:>5.1f}{GLUE}%  on the validation images of the run: {words}"
    print_figure(screen, "run", (text, WARN if low > 0 else FAINT))


def _print_apart(screen: "Screen", evaluation: "Evaluation") -> None:
    """Print how many images of the run do not count, and the accuracy on them; or that no image is new."""
    from tlkit.cli.screen import WARN, percent
    from tlkit.inference.labeled import NEW, TRAINING

    names = {"validation": "validation images of the run", TRAINING: "images that the run was trained on"}
    is_apart = evaluation.counted != "all"
    others = [kind for kind in evaluation.apart if is_apart and kind not in (evaluation.counted, NEW)]
    none_is_new = bool(evaluation.apart) and NEW not in evaluation.apart
    if others or none_is_new:
        screen.blank()
    if none_is_new:
        screen.entry("check", "No image is new to the run; add images for an unbiased accuracy.", style=WARN)
    for kind in others:
        report = evaluation.apart[kind]
        screen.entry("not counted", f"{len(report.labels):,} {names[kind]}: {percent(report.accuracy)} correct")
