"""`tlkit train DATA --model NAME`."""

from pathlib import Path

import click

from tlkit.cli.options import GroupedCommand, config_option, options_from, run_option
from tlkit.cli.outcome import show
from tlkit.cli.resuming import go_on, resume_option
from tlkit.settings import TrainSettings


@click.command(cls=GroupedCommand)
@click.argument("data", type=click.Path(path_type=Path), required=False)
@run_option("train")
@resume_option
@config_option("train")
@options_from(TrainSettings)
def train(data: Path | None, output: Path | None, resume: Path | None, settings: TrainSettings) -> None:
    """Train a network from scratch on DATA.

    DATA is a folder with one subfolder of images per class, or with train/, val/ and test/ above
    them. It is only read. The networks are those of the course, from a linear classifier to a
    residual network, and every one of Keras Applications. The run folder is as `finetune` leaves it.
    """
    from tlkit.cli.console import Console

    if resume:
        go_on(resume)
    elif data:
        from tlkit.training.train import train as run_train

        show(run_train(data, output, settings, Console()))
    else:
        raise click.UsageError("Missing argument 'DATA': a folder with one subfolder of images per class.")
