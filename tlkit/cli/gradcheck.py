"""`tlkit gradcheck MODEL`."""

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

    rows = check_architecture(model, settings)
    click.echo("\n".join(_lines(rows)))
    if wrong := [row.name for row in rows if not row.holds]:
        raise GateError(f"the gradients of {len(wrong)} of {len(rows)} layers are off, {wrong[0]} first.")


def _lines(rows: "list[LayerGradientCheck]") -> list[str]:
    width = max(len(row.name) for row in rows)
    head = f"{'layer':<{width}}  {'parameters':>11}  {'tried':>5}  {'largest gradient':>16}  {'relative error':>14}"
    body = [
        f"{row.name:<{width}}  {row.parameters:>11,}  {row.checked:>5}  {row.largest:>16.1e}  {row.error:>14.1e}"
        + ("" if row.holds else "  off")
        for row in rows
    ]
    worst = max(row.error for row in rows)
    return [click.style(head, bold=True), *body, "", f"{len(rows)} layers, the largest relative error is {worst:.1e}"]
