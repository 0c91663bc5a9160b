"""`tlkit train DATA --model NAME`, and `--descriptor NAME` or `--features BACKBONE` with `--classifier NAME`."""

from dataclasses import asdict, fields
from pathlib import Path

import click

from tlkit.cli.help import GroupedCommand
from tlkit.cli.options import (
    DATA,
    config_option,
    options_from,
    resume_option,
    resume_run,
    run_option,
    verify_option,
    workers_options,
)
from tlkit.cli.output import print_training
from tlkit.cli.reporting import report_options
from tlkit.settings.shared import RuntimeSettings, SplitSettings
from tlkit.settings.training import ClassicOptions, ClassicSettings, TrainSettings
from tlkit.utils.locations import Location

SHARED = [item.name for owner in (SplitSettings, RuntimeSettings) for item in fields(owner)]  # by every training


@click.command(
    cls=GroupedCommand,
    examples=(
        "tlkit train photos --model lenet5",
        "tlkit train photos --descriptor hog --classifier svm",
        "tlkit train photos --descriptor auto",
        "tlkit train photos --features mobilenet_v2 --pca 64",
        "tlkit train --resume runs/train-001",
    ),
    common=(
        *("output", "model", "descriptor", "features", "classifier"),
        *("image_size", "epochs", "validation_split", "seed", "resume"),
    ),
)
@click.argument("data", type=DATA, required=False)
@run_option("train")
@resume_option
@config_option("train")
@verify_option
@report_options
@options_from(ClassicOptions, "classic")
@options_from(TrainSettings)
@workers_options
def train(
    data: Location | None, output: Path | None, resume: Path | None, classic: ClassicOptions, settings: TrainSettings
) -> None:
    """Train a network or a classic classifier from scratch.
    DATA has one subfolder per class, or train/, val/ and test/ folders that do.

    Architectures (--model) range from a linear classifier to ResNet, plus all of Keras Applications.
    Classic classifiers use handcrafted features (--descriptor) or a network's features (--features).
    DATA is never changed. The run folder has the same files as that of `tlkit finetune`.
    """
    from tlkit.cli.console import Console

    if resume:
        resume_run(resume)
        return
    if not data:
        raise click.UsageError("Missing argument 'DATA': a folder with one subfolder of images per class.")
    from tlkit.training.option_effects import CLASSIC, TRAIN, refuse_without_effect

    if classic.descriptor or classic.features:
        from tlkit.training.classic import train_classic

        refuse_without_effect(settings, CLASSIC, asdict(classic))
        shared = {name: getattr(settings, name) for name in SHARED}
        print_training(train_classic(data, output, ClassicSettings(**asdict(classic), **shared), Console()))
    else:
        from tlkit.training.from_scratch import train as run_train

        refuse_without_effect(classic, TRAIN, {"model": settings.model})
        print_training(run_train(data, output, settings, Console()))
