"""`tlkit train DATA --model NAME`, and `--descriptor NAME --classifier NAME`."""

from dataclasses import asdict, fields
from pathlib import Path

import click

from tlkit.cli.options import GroupedCommand, config_option, options_from, run_option
from tlkit.cli.outcome import show
from tlkit.cli.resuming import go_on, resume_option
from tlkit.errors import OptionError
from tlkit.settings import ClassicSettings, DescriptorSettings, SplitSettings, TrainSettings, option_name

CLASSIC = {item.name for item in fields(DescriptorSettings)}
SHARED = {item.name for item in fields(SplitSettings)}
ALWAYS = {"data", "output", "resume"}


@click.command(cls=GroupedCommand)
@click.argument("data", type=click.Path(path_type=Path), required=False)
@run_option("train")
@resume_option
@config_option("train")
@options_from(DescriptorSettings, "classic")
@options_from(TrainSettings)
def train(
    data: Path | None, output: Path | None, resume: Path | None, classic: DescriptorSettings, settings: TrainSettings
) -> None:
    """Train a network from scratch on DATA, or a classifier on descriptors made by hand.

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
    _refuse_mixed(bool(classic.descriptor))
    if classic.descriptor:
        from tlkit.training.classic import train_classic

        shared = {name: getattr(settings, name) for name in SHARED}
        show(train_classic(data, output, ClassicSettings(**asdict(classic), **shared), Console()))
    else:
        from tlkit.training.train import train as run_train

        show(run_train(data, output, settings, Console()))


def _refuse_mixed(is_classic: bool) -> None:
    """raises: OptionError where an option was given that the other kind of training has"""
    context = click.get_current_context()
    default = click.core.ParameterSource.DEFAULT
    given = {name for name in context.params if context.get_parameter_source(name) != default}
    wrong = sorted(given - CLASSIC - SHARED - ALWAYS if is_classic else given & CLASSIC)
    if wrong and is_classic:
        raise OptionError(f"{option_name(wrong[0])} is of networks; leave it out, or leave out --descriptor.")
    if wrong:
        raise OptionError(f"{option_name(wrong[0])} needs --descriptor, such as --descriptor hog.")
