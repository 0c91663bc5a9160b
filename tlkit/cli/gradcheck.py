"""`tlkit gradcheck MODEL`."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tlkit.cli.help import GroupedCommand
from tlkit.cli.options import options_from
from tlkit.cli.reporting import QUIET, report_options, reporting
from tlkit.settings.commands import GradcheckSettings

if TYPE_CHECKING:
    from tlkit.cli.screen import Part
    from tlkit.models.gradient_check import LayerGradientCheck


@click.command(
    cls=GroupedCommand,
    examples=("tlkit gradcheck lenet5", "tlkit gradcheck mlp --per-layer 20"),
    common=("image_size", "num_classes", "width", "per_layer", "seed"),
)
@click.argument("model")
@report_options
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
    start_keras("`tlkit gradcheck`")
    from tlkit.models.gradient_check import FIXED_WIDTH, check_architecture

    options = () if spec.name in FIXED_WIDTH else options_of(spec)
    refuse_without_effect(settings, SHOWN_NETWORK, {"is_run": False, "network": spec.name, "options": options})
    checks = check_architecture(model, **asdict(settings))
    if reporting().as_json:
        layers = [check.as_json() for check in checks]
        click.echo(json.dumps({"model": spec.name, "passed": _failure(checks) == "", "layers": layers}, indent=2))
    else:
        _print(checks)
    if failure := _failure(checks):
        raise GateError(failure)


def _failure(checks: "list[LayerGradientCheck]") -> str:
    """Say why the check fails; "" if it passes."""
    if wrong := [check.name for check in checks if not check.passed]:
        return f"the gradients of {len(wrong)} of {len(checks)} layers are wrong, {wrong[0]} first."
    if not any(check.num_comparable for check in checks):
        return "no gradient is large enough to be compared; use another --seed or a higher --per-layer."
    return ""


def _print(checks: "list[LayerGradientCheck]") -> None:
    """Print for each layer the entry that is closest to the allowed error, what the errors mean, and the verdict."""
    from tlkit.cli.screen import BAD, FAINT, GOOD, WARN, Screen
    from tlkit.models.gradient_check import DIGITS, STEPS, TOLERANCE

    screen = Screen()
    if reporting().verbosity > QUIET:
        screen.table(("layer", "gradient", "error", "allowed", "because of"), [_row(check) for check in checks], (0, 4))
        screen.blank()
        for name, words in (
            ("error", "the difference of the analytic and the numerical gradient, relative to the larger of them"),
            ("allowed", "the largest error that passes; the entry of a layer that is closest to it is shown"),
            ("tolerance", f"{TOLERANCE:.0e}: in float64, differences over steps of {STEPS[0]:.0e} are about as exact"),
            ("rounding", f"the loss has {DIGITS} digits, so the numerical value of a small gradient is less exact"),
        ):
            screen.entry(name, (f"{words}.", FAINT))
        screen.blank()
    compared = sum(check.num_comparable > 0 for check in checks)
    if failure := _failure(checks):
        screen.entry("verdict", ("failed", BAD), f": {failure}")
        return
    screen.entry("verdict", ("passed", GOOD), f": the gradients of {compared} layers agree.")
    if silent := [check.name for check in checks if not check.num_comparable]:
        layers = "1 layer was" if len(silent) == 1 else f"{len(silent)} layers were"
        words = f"{layers} not compared: all their entries that were tried have a gradient near zero"
        screen.entry("check", f"{words} ({', '.join(silent)}). A higher --per-layer tries more.", style=WARN)


def _row(check: "LayerGradientCheck") -> "list[Part]":
    from tlkit.cli.screen import BAD, FAINT, WARN

    entry = check.closest
    if not entry.is_comparable and entry.passed:
        return [check.name, f"{entry.gradient:.1e}", "–", "–", ("not compared", WARN)]
    return [
        check.name,
        f"{entry.gradient:.1e}",
        (f"{entry.error:.1e}", "" if entry.passed else BAD),
        f"{entry.allowed:.1e}",
        (entry.reason, FAINT) if entry.passed else ("wrong", BAD),
    ]
