"""`tlkit gradcheck MODEL`."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tlkit.cli.help import GroupedCommand
from tlkit.cli.options import options_from
from tlkit.settings.commands import GradcheckSettings

if TYPE_CHECKING:
    from tlkit.models.gradient_check import LayerGradientCheck


@click.command(
    cls=GroupedCommand,
    examples=("tlkit gradcheck lenet5", "tlkit gradcheck mlp --per-layer 20"),
    common=("image_size", "num_classes", "width", "per_layer", "seed"),
)
@click.argument("model")
@options_from(GradcheckSettings)
def gradcheck(model: str, settings: GradcheckSettings) -> None:
    """Check MODEL's gradients against finite differences.
    MODEL is an architecture of `tlkit models`. The exit code is 5 if a layer fails.

    The check uses central differences in float64 on random images, for randomly chosen entries of
    every weight tensor. Dropout is disabled and batch norms use the statistics of the batch.
    """
    from tlkit.errors import GateError
    from tlkit.models.architectures.registry import find_trainable, options_of
    from tlkit.models.keras_setup import start_keras
    from tlkit.training.option_effects import SHOWN_NETWORK, refuse_without_effect

    spec = find_trainable(model)
    start_keras()
    from tlkit.models.gradient_check import FIXED_WIDTH, check_architecture

    options = () if spec.name in FIXED_WIDTH else options_of(spec)
    refuse_without_effect(settings, SHOWN_NETWORK, {"is_run": False, "network": spec.name, "options": options})
    checks = check_architecture(model, **asdict(settings))
    click.echo("\n".join(_lines(checks)))
    if wrong := [check.name for check in checks if not check.passed]:
        raise GateError(f"the gradients of {len(wrong)} of {len(checks)} layers are off, {wrong[0]} first.")


def _lines(checks: "list[LayerGradientCheck]") -> list[str]:
    width = max(len(check.name) for check in checks)
    head = f"{'layer':<{width}}  {'parameters':>11}  {'tried':>5}  {'largest gradient':>16}  {'relative error':>14}"
    body = [
        f"{check.name:<{width}}  {check.parameters:>11,}  {check.checked:>5}  {check.max_gradient:>16.1e}"
        f"  {check.error:>14.1e}" + ("" if check.passed else "  off")
        for check in checks
    ]
    worst = max(check.error for check in checks)
    return [click.style(head, bold=True), *body, "", f"{len(checks)} layers, the largest relative error is {worst:.1e}"]
