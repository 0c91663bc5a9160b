"""`tlkit finetune DATA`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlkit.cli.help import GroupedCommand, GroupedOption
from tlkit.cli.options import (
    DATA,
    config_option,
    open_run,
    options_from,
    resume_option,
    resume_run,
    run_option,
    verify_option,
    workers_options,
)
from tlkit.cli.output import print_training
from tlkit.cli.reporting import report_options
from tlkit.settings.training import FinetuneSettings
from tlkit.utils.locations import Location

if TYPE_CHECKING:
    from tlkit.training.loop.cost import CostEstimate

TRAINED = {"all": "head", "lower": "head, then upper blocks and head", "none": "all layers"}


@click.command(
    cls=GroupedCommand,
    examples=(
        "tlkit finetune photos",
        "tlkit finetune photos --freeze lower --time-limit 10m",
        "tlkit finetune photos --dry-run",
        "tlkit finetune more_photos --from runs/finetune-001",
        "tlkit finetune --resume runs/finetune-001",
    ),
    common=(
        *("output", "backbone", "freeze", "time_limit", "epochs", "augment"),
        *("validation_split", "folds", "seed", "resume"),
    ),
)
@click.argument("data", type=DATA, required=False)
@run_option("finetune")
@resume_option
@click.option(
    "--dry-run",
    is_flag=True,
    cls=GroupedOption,
    group="Run",
    help="Estimate of the time and disk space of each --freeze strategy; nothing is trained.",
)
@config_option("finetune")
@verify_option
@report_options
@options_from(FinetuneSettings)
@workers_options
def finetune(
    data: Location | None, output: Path | None, resume: Path | None, dry_run: bool, settings: FinetuneSettings
) -> None:
    """Adapt a pretrained network to the images in DATA.
    DATA has one subfolder per class, or train/, val/ and test/ folders that do.

    DATA is never changed. The run folder receives the model, the split, all metrics and the plots.
    """
    from tlkit.cli.console import Console

    if settings.from_run and not resume:
        settings = replace(settings, from_run=str(open_run(settings.from_run, settings.trust_model).path))
    if resume:
        resume_run(resume, settings.trust_model)
    elif data and dry_run:
        from tlkit.models.keras_setup import start_keras
        from tlkit.training.finetune import finetune_recipe
        from tlkit.utils.progress import Stopwatch

        stopwatch = Stopwatch()
        start_keras("`tlkit finetune`")
        from tlkit.training.estimate import estimate_costs

        _print_estimates(estimate_costs(data, finetune_recipe(settings), stopwatch))
    elif data:
        from tlkit.training.finetune import finetune as run_finetune

        print_training(run_finetune(data, output, settings, Console()))
    else:
        raise click.UsageError("Missing argument 'DATA': a folder with one subfolder of images per class.")


def _print_estimates(costs: "dict[str, CostEstimate]") -> None:
    """Print time and disk space of each strategy."""
    from tlkit.cli.screen import FAINT, Screen
    from tlkit.utils.text import format_duration, format_size

    screen = Screen()
    rows = [
        (name, *map(format_duration, (cost.seconds, cost.max_seconds)), format_size(cost.disk), TRAINED[name])
        for name, cost in costs.items()
    ]
    screen.table(("--freeze", "time", "at most", "disk", "trained layers"), rows, left=(0, 4))
    screen.blank()
    screen.line(("Cached features reduce these times. Nothing was trained.", FAINT))
