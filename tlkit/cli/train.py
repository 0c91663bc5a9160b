"""`tlkit train DATA --model NAME`, and `--descriptor NAME` or `--features BACKBONE` with `--classifier NAME`."""

from dataclasses import asdict, fields
from pathlib import Path

import click

from tlkit.cli.options import GroupedCommand, config_option, options_from, run_option, typed
from tlkit.cli.outcome import show
from tlkit.cli.resuming import go_on, resume_option
from tlkit.errors import OptionError
from tlkit.settings import (
    ChosenSettings,
    ClassicSettings,
    ClassifierSettings,
    DeepSettings,
    DescriptorSettings,
    SpeedSettings,
    SplitSettings,
    TrainSettings,
    option_name,
)

SPLIT, CHOSEN, SPEED = ({item.name for item in fields(kind)} for kind in (SplitSettings, ChosenSettings, SpeedSettings))
BY_HAND = {item.name for kind in (DescriptorSettings, ClassifierSettings) for item in fields(kind)}
BY_NETWORK = {item.name for kind in (DeepSettings, ClassifierSettings, SpeedSettings) for item in fields(kind)}
ALWAYS = {"data", "output", "resume"}


@click.command(cls=GroupedCommand)
@click.argument("data", type=click.Path(path_type=Path), required=False)
@run_option("train")
@resume_option
@config_option("train")
@options_from(ChosenSettings, "chosen")
@options_from(TrainSettings)
def train(
    data: Path | None, output: Path | None, resume: Path | None, chosen: ChosenSettings, settings: TrainSettings
) -> None:
    """Train a network from scratch on DATA, or a classifier on descriptors or a network's features.

    DATA is a folder with one subfolder of images per class, or with train/, val/ and test/ above
    them. It is only read. The networks are those of the course, from a linear classifier to a
    residual network, and every one of Keras Applications. The run folder is as `finetune` leaves it.
    """
    from tlkit.cli.console import Console

    if resume:
        go_on(resume)
        return
    if not data:
        raise click.UsageError("Missing argument 'DATA': a folder with one subfolder of images per class.")
    _refuse_mixed(chosen)
    if chosen.descriptor or chosen.features:
        from tlkit.training.classic import train_classic

        shared = {name: getattr(settings, name) for name in SPLIT | SPEED}
        show(train_classic(data, output, ClassicSettings(**asdict(chosen), **shared), Console()))
    else:
        from tlkit.training.train import train as run_train

        show(run_train(data, output, settings, Console()))


def _refuse_mixed(chosen: ChosenSettings) -> None:
    """raises: OptionError where an option was given that only another kind of training has"""
    given = set(typed())
    if not (chosen.descriptor or chosen.features):
        if wrong := sorted(given & CHOSEN):
            raise OptionError(f"{option_name(wrong[0])} needs --descriptor, such as hog, or --features BACKBONE.")
        return
    asked, known = ("--descriptor", BY_HAND) if chosen.descriptor else ("--features", BY_NETWORK)
    if wrong := sorted(given - known - SPLIT - ALWAYS):
        raise OptionError(f"{option_name(wrong[0])} has no meaning with {asked}; leave one of them out.")
