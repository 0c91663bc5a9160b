"""`tlkit train DATA --model NAME`, and `--descriptor NAME` or `--features BACKBONE` with `--classifier NAME`."""

from dataclasses import asdict, fields
from pathlib import Path

import click

from tlkit.cli.options import (
    GroupedCommand,
    config_option,
    explicit_options,
    options_from,
    resume_option,
    resume_run,
    run_option,
)
from tlkit.cli.output import print_summary
from tlkit.errors import OptionError
from tlkit.settings.base import option_name
from tlkit.settings.shared import RuntimeSettings, SplitSettings
from tlkit.settings.training import (
    ClassicOptions,
    ClassicSettings,
    ClassifierSettings,
    DeepFeatureSettings,
    DescriptorSettings,
    TrainSettings,
)

SPLIT, CHOSEN, SPEED = (
    {item.name for item in fields(kind)} for kind in (SplitSettings, ClassicOptions, RuntimeSettings)
)
BY_HAND = {item.name for kind in (DescriptorSettings, ClassifierSettings) for item in fields(kind)}
BY_NETWORK = {item.name for kind in (DeepFeatureSettings, ClassifierSettings, RuntimeSettings) for item in fields(kind)}
ALWAYS = {"data", "output", "resume"}


@click.command(cls=GroupedCommand)
@click.argument("data", type=click.Path(path_type=Path), required=False)
@run_option("train")
@resume_option
@config_option("train")
@options_from(ClassicOptions, "chosen")
@options_from(TrainSettings)
def train(
    data: Path | None, output: Path | None, resume: Path | None, chosen: ClassicOptions, settings: TrainSettings
) -> None:
    """Train a network from scratch on DATA, or a classifier on descriptors or a network's features.

    DATA is a folder with one subfolder of images per class, or with train/, val/ and test/ above
    them. It is only read. The networks are those of the course, from a linear classifier to a
    residual network, and every one of Keras Applications. The run folder is as `finetune` leaves it.
    """
    from tlkit.cli.console import Console

    if resume:
        resume_run(resume)
        return
    if not data:
        raise click.UsageError("Missing argument 'DATA': a folder with one subfolder of images per class.")
    _refuse_mixed(chosen)
    if chosen.descriptor or chosen.features:
        from tlkit.training.classic import train_classic

        shared = {name: getattr(settings, name) for name in SPLIT | SPEED}
        print_summary(train_classic(data, output, ClassicSettings(**asdict(chosen), **shared), Console()))
    else:
        from tlkit.training.from_scratch import train as run_train

        print_summary(run_train(data, output, settings, Console()))


def _refuse_mixed(chosen: ClassicOptions) -> None:
    """raises: OptionError where an option was given that only another kind of training has"""
    given = set(explicit_options())
    if not (chosen.descriptor or chosen.features):
        if wrong := sorted(given & CHOSEN):
            raise OptionError(f"{option_name(wrong[0])} needs --descriptor, such as hog, or --features BACKBONE.")
        return
    asked, known = ("--descriptor", BY_HAND) if chosen.descriptor else ("--features", BY_NETWORK)
    if wrong := sorted(given - known - SPLIT - ALWAYS):
        raise OptionError(f"{option_name(wrong[0])} has no meaning with {asked}; leave one of them out.")
