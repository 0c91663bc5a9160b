"""`tlkit lr-find DATA`."""

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlkit.cli.help import GroupedCommand
from tlkit.cli.options import (
    DATA,
    explicit_options,
    open_run,
    options_from,
    output_option,
    verify_option,
    workers_options,
)
from tlkit.cli.output import CURVE_WIDTH
from tlkit.cli.reporting import report_options, reporting
from tlkit.settings.base import command_line
from tlkit.settings.commands import LrFindSettings
from tlkit.settings.training import FinetuneSettings, NetworkSettings, TrainSettings
from tlkit.utils.locations import Location
from tlkit.utils.text import sparkline

TRAINED = {"head": "the head", "blocks": "the upper blocks", "whole": "all layers"}  # by phase

if TYPE_CHECKING:
    from tlkit.training.lr_finder import RateCurve


@click.command(
    cls=GroupedCommand,
    name="lr-find",
    examples=("tlkit lr-find photos", "tlkit lr-find photos --freeze lower -o lower.png"),
    common=(
        *("output", "backbone", "freeze", "weights", "optimizer", "batch_size"),
        *("augment", "image_size", "validation_split", "seed"),
    ),
)
@click.argument("data", type=DATA)
@output_option("PNG file to write.", default="lr-find.png")
@verify_option
@report_options
@options_from(LrFindSettings, "network")
@options_from(FinetuneSettings)
@workers_options
def lr_find(data: Location, output: Path, network: LrFindSettings, settings: FinetuneSettings) -> None:
    """Suggest a learning rate by a range test on DATA.
    The loss is measured and drawn while the learning rate grows. The suggestion is where the loss falls
    most steeply.

    The test trains the layers that `tlkit finetune` with these options trains last: the head, with
    --freeze lower the upper blocks, with --freeze none all layers. With --model it trains a network
    from scratch, as `tlkit train` does. No model is saved.
    """
    from tlkit.cli.console import Console
    from tlkit.models.keras_setup import start_keras

    start_keras("`tlkit lr-find`")
    from tlkit.evaluation.plots import draw_rates
    from tlkit.training.lr_finder import find_learning_rate
    from tlkit.utils.storage import refuse_inside

    refuse_inside(data, output)
    if settings.from_run:
        settings = replace(settings, from_run=str(open_run(settings.from_run, settings.trust_model).path))
    training = _training_settings(network, settings)
    result = find_learning_rate(data, training, Console())
    if reporting().as_json:
        click.echo(json.dumps(asdict(result) | {"plot": str(output)}, indent=2))
    else:
        suggestion: Any = {result.option[2:].replace("-", "_"): result.suggested}
        command = "train" if network.model else "finetune"
        _print(result, output, command_line(command, replace(training, **suggestion), data))
    draw_rates(result.rates, result.losses, result.suggested, output)  # last: the suggestion is printed in any case


def _print(result: "RateCurve", output: Path, command: str) -> None:
    from tlkit.cli.screen import FAINT, STRONG, WARN, Screen

    screen = Screen()
    screen.line((f"{result.option} {result.suggested:g}", STRONG), f"  suggested for {TRAINED[result.phase]}", indent=2)
    if result.lowest > result.rates[0]:
        words = f"Steepest descent: the loss falls fastest at this learning rate. It is lowest at {result.lowest:.1g}."
        screen.line((words, FAINT), indent=2)
    else:
        screen.entry("check", "The loss never fell. Check the labels, or try another --batch-size.", style=WARN)
    screen.blank()
    screen.entry("loss", sparkline(result.losses[:: -(-len(result.losses) // CURVE_WIDTH)]))
    end = " (higher ones diverge)" if result.rates[-1] < 1 else ""
    screen.entry("", f"at learning rates from {result.rates[0]:g} to {result.rates[-1]:.1g}{end}")
    screen.entry("plot", str(output))
    screen.command("next", command)


def _training_settings(network: LrFindSettings, settings: FinetuneSettings) -> NetworkSettings:
    """Give the settings of the training to try: of `tlkit train` where its network is named.

    Raises:
        OptionError: if an option of the other training was changed
    """
    from tlkit.training.option_effects import LR_FIND_NETWORK, refuse_without_effect

    for given in (network, settings):
        refuse_without_effect(given, LR_FIND_NETWORK, {"model": network.model})
    if not network.model:
        return settings
    names = {item.name for item in fields(TrainSettings)} & set(explicit_options()) - vars(network).keys()
    return TrainSettings(**vars(network), **{name: getattr(settings, name) for name in names})
