"""`tlkit finetune DATA`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlkit.cli.options import (
    GroupedCommand,
    GroupedOption,
    config_option,
    options_from,
    resume_option,
    resume_run,
    run_option,
)
from tlkit.cli.output import print_summary
from tlkit.settings.training import FinetuneSettings

if TYPE_CHECKING:
    from tlkit.training.estimate import CostEstimate

TRAINED = {"all": "the head", "lower": "the head, then the upper blocks with it", "none": "everything"}


@click.command(cls=GroupedCommand)
@click.argument("data", type=click.Path(path_type=Path), required=False)
@run_option("finetune")
@resume_option
@click.option(
    "--dry-run",
    is_flag=True,
    cls=GroupedOption,
    group="Start",
    help="Measure for a few seconds, tell how long each strategy would take, and stop.",
)
@config_option("finetune")
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
        resume_run(resume)
    elif data and dry_run:
        from tlkit.models.keras_setup import start_keras
        from tlkit.training.finetune import finetune_recipe

        start_keras()
        from tlkit.training.estimate import estimate_costs

        click.echo("\n".join(_estimate_lines(estimate_costs(data, finetune_recipe(settings)))))
    elif data:
        from tlkit.training.finetune import finetune as run_finetune

        print_summary(run_finetune(data, output, settings, Console()))
    else:
        raise click.UsageError("Missing argument 'DATA': a folder with one subfolder of images per class.")


def _estimate_lines(costs: "dict[str, CostEstimate]") -> list[str]:
    from tlkit.utils.text import format_duration

    lines = [f"{'--freeze':<10} {'time':>12} {'disk':>10}  what is trained"]
    lines += [
        f"{name:<10} {format_duration(cost.seconds):>12} {cost.disk / 1e6:>7,.0f} MB  {TRAINED[name]}"
        for name, cost in costs.items()
    ]
    return [*lines, "", "Features that are in the cache already save their part. Nothing was trained."]
