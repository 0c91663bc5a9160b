"""`tlkit finetune DATA`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlkit.cli.options import GroupedCommand, GroupedOption, config_option, options_from
from tlkit.errors import OptionError
from tlkit.settings import FinetuneSettings, option_name

if TYPE_CHECKING:
    from tlkit.training.finetune import Finetuned
    from tlkit.training.forecast import Forecast

TRAINED = {"all": "the head", "lower": "the head, then the upper blocks with it", "none": "everything"}


@click.command(cls=GroupedCommand)
@click.argument("data", type=click.Path(path_type=Path), required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    cls=GroupedOption,
    group="Main",
    help="Run folder to make  [default: the next free runs/finetune-NNN]",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    cls=GroupedOption,
    group="Start",
    help="Go on with a run that was stopped: its folder, without DATA; it ends as if it had not been.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    cls=GroupedOption,
    group="Start",
    help="Measure for a few seconds, tell how long each strategy would take, and stop.",
)
@config_option
@options_from(FinetuneSettings)
def finetune(
    data: Path | None, output: Path | None, resume: Path | None, dry_run: bool, settings: FinetuneSettings
) -> None:
    """Adapt a pretrained network to DATA.

    DATA is a folder with one subfolder of images per class, or with train/, val/ and test/ above
    them. It is only read. The run folder gets the model, the split, every figure and the plots.
    """
    from tlkit.cli.console import Console

    if resume:
        _refuse_changes(resume)
        from tlkit.training.finetune import resume as run_resume

        show(run_resume(resume, Console()))
    elif data and dry_run:
        from tlkit.models.backend import start_keras
        from tlkit.training.finetune import resolve

        start_keras()
        from tlkit.training.forecast import forecast_strategies

        click.echo("\n".join(_forecast_lines(forecast_strategies(data, resolve(settings)))))
    elif data:
        from tlkit.training.finetune import finetune as run_finetune

        show(run_finetune(data, output, settings, Console()))
    else:
        raise click.UsageError("Missing argument 'DATA': a folder with one subfolder of images per class.")


def _forecast_lines(found: "dict[str, Forecast]") -> list[str]:
    from tlkit.durations import spoken

    lines = [f"{'--freeze':<10} {'time':>12} {'disk':>10}  what is trained"]
    lines += [
        f"{name:<10} {spoken(forecast.seconds):>12} {forecast.disk / 1e6:>7,.0f} MB  {TRAINED[name]}"
        for name, forecast in found.items()
    ]
    return [*lines, "", "Features that are in the cache already save their part. Nothing was trained."]


def _refuse_changes(run: Path) -> None:
    """raises: OptionError where an option was typed that is not what the run was begun with"""
    from tlkit.training.resume import reopen_run

    context = click.get_current_context()
    begun = reopen_run(run).read_json("settings.json")
    typed = [
        name
        for name in context.params
        if name != "resume" and context.get_parameter_source(name) != click.core.ParameterSource.DEFAULT
    ]
    for name in typed:
        given = context.params[name]
        given = str(given.resolve()) if name == "data" else given
        if given != begun.get(name):
            option = "DATA" if name == "data" else option_name(name)
            raise OptionError(
                f"{option} is {given}, but '{run}' was begun with {begun.get(name)}; leave it out, or start a new run."
            )


def show(done: "Finetuned") -> None:
    """The short summary: how good, for which classes, where it is and what to type next."""
    from tlkit.evaluation.wording import class_table, confusion_lines, headline, printable

    metrics = done.metrics
    lines = [
        click.style(headline(done.report, "validation"), bold=True),
        f"always answering '{printable(metrics['baseline_class'])}' would give {metrics['baseline_accuracy']:.3f}",
    ]
    if done.test:
        lines += [click.style(headline(done.test, "test"), bold=True) + ", which nothing was chosen on"]
    else:
        lines += [
            "the best epoch was chosen on these images, so expect slightly less; --test-split gives a clean figure"
        ]
    lines += ["", *class_table(done.report), "", *_listed("often mistaken", confusion_lines(done.report))]
    lines += _listed("left out", [f"{count} × {reason}" for reason, count in metrics["left_out"].items()])
    if metrics["advice"]:
        lines += ["advice: " + metrics["advice"]["reason"]]
    lines += _listed("note", [printable(note) for note in metrics["notes"]])
    lines += _measured_besides(metrics)
    lines += [f"{what:<10} loss {curve}" for what, curve in _curves(done.history).items() if curve]
    lines += [f"diagnosis: {found['words']}\n      try: {found['next']}" for found in metrics["diagnosis"]]
    seconds = metrics["seconds"]
    lines += [
        f"{metrics['num_train']} images trained on, {metrics['num_validation']} held out, "
        f"{metrics['features_reused']} from the cache; {seconds['total']:.1f} s "
        f"(features {seconds['features']:.1f}, training {seconds['fit']:.1f})",
        "",
        f"run   {printable(str(done.run.path))}",
        f"next  tlkit predict {printable(shlex.quote(str(done.run.path)))} IMAGE...",
    ]
    click.echo("\n".join(lines))


def _curves(history: list[dict[str, Any]]) -> dict[str, str]:
    from tlkit.evaluation.wording import sparkline

    return {
        "training": sparkline([row["loss"] for row in history]),
        "validation": sparkline([row["val_loss"] for row in history]),
    }


def _measured_besides(metrics: dict[str, Any]) -> list[str]:
    """What folds and seeds have shown, where they were asked for."""
    lines = []
    if folds := metrics["folds"]:
        low, high = folds["accuracy_ci95"]
        each = " ".join(f"{value:.3f}" for value in folds["accuracies"])
        lines.append(
            f"cross-validated: accuracy {folds['accuracy']:.3f} on {folds['num_images']} images, each held out once, "
            f"95 % interval {low:.3f} to {high:.3f}; folds {each}"
        )
    if seeds := metrics["seeds"]:
        lines.append("other seeds: {least:.3f} ← {median:.3f} → {greatest:.3f}".format(**seeds))
    return lines


def _listed(title: str, items: list[str]) -> list[str]:
    return [f"{title}: {item}" for item in items]
