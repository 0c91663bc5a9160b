"""`tlkit gradcheck MODEL`."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tlkit.cli.options import GroupedCommand, options_from
from tlkit.settings.commands import GradcheckSettings

if TYPE_CHECKING:
    from tlkit.models.gradient_check import LayerGradientCheck


@click.command(cls=GroupedCommand)
@click.argument("model")
@options_from(GradcheckSettings)
def gradcheck(model: str, settings: GradcheckSettings) -> None:
    """Compare the gradients of MODEL with what moving its weights does to the loss.

    Central differences in float64, on random pictures, for entries drawn from every weight of every
    layer; dropout is left out, batch norms use the batch. Exit code 5 where a layer is off.
    """
    from tlkit.errors import GateError
    from tlkit.models.keras_setup import start_keras

    start_keras()
    from tlkit.models.gradient_check import check_architecture

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
