"""`tlkit export RUN`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlkit.cli.help import GroupedCommand
from tlkit.cli.options import open_run, options_from, output_option
from tlkit.cli.reporting import QUIET, report_options, reporting
from tlkit.settings.export import ExportSettings

if TYPE_CHECKING:
    from tlkit.cli.screen import Screen
    from tlkit.export.export import Export, ExportedFile


@click.command(
    cls=GroupedCommand,
    examples=(
        "tlkit export runs/finetune-001",
        "tlkit export latest --format onnx -o flowers",
        "tlkit export latest --format openvino --quantize int8",
    ),
    common=("output", "format", "quantize", "data", "max_drop", "with_resize"),
)
@click.argument("run", type=click.Path(path_type=Path))
@output_option("New folder for the files.  [default: RUN-FORMAT, or the next free name]", is_folder=True)
@report_options
@options_from(ExportSettings)
def export(run: Path, output: Path | None, settings: ExportSettings) -> None:
    """Write RUN as a file for phones, servers and browsers.
    The file is checked before it gets its name: it must answer as predict does.

    Its input is uint8 pixels (batch, size, size, 3), RGB, named `pixels`; its output the calibrated probabilities,
    float32 (batch, classes), named `probabilities`. Golden samples and validation images run through the file in its
    own runtime. Without --quantize every answer must be the same, and every probability within 0.0001. With it, the
    accuracy may fall by --max-drop. A file that fails is removed, and the exit code is 5.

    The client makes images square, as the script beside the file does. With --with-resize the file of saved_model or
    onnx does: `pixels` is then one image of any size, and probabilities differ slightly from those of predict.
    """
    from tlkit.cli.console import Console
    from tlkit.export.export import export_run

    result = export_run(open_run(run, settings.trust_model), output, settings, Console())
    if reporting().as_json:
        click.echo((result.path / "export.json").read_text(), nl=False)
    else:
        _print(result)


def _print(result: "Export") -> None:
    """Print a table of what was written, and where it is."""
    from tlkit.cli.screen import Screen

    screen = Screen()
    if reporting().verbosity > QUIET:
        for file in result.formats.values():
            _print_file(screen, result, file)
    screen.entry("folder", f"{result.path}")


def _print_file(screen: "Screen", result: "Export", file: "ExportedFile") -> None:
    from tlkit.cli.screen import FAINT, STRONG, percent
    from tlkit.utils.text import format_size

    found = file.verification
    name = "saved_model/" if file.format == "saved_model" else file.files[-1]
    size = format_size(file.num_bytes)
    screen.line((name, STRONG), f"  {size}, {file.images_per_second:,.0f} images/s one at a time")
    count = found.num_golden + found.num_validation
    screen.entry(
        "checked",
        f"{count:,} images: {percent(found.agreement)} get the same class as from predict; "
        f"probabilities differ by at most {found.max_difference:.1g}",
    )
    if file.float32 is not None:
        low, high = found.accuracy_drop_ci95
        screen.entry(
            "accuracy",
            f"{percent(found.accuracy_before)} before, {percent(found.accuracy_after)} after: "
            f"{100 * found.accuracy_drop:+.1f} points lost",
            (f"  (95 % interval {100 * low:.1f} to {100 * high:.1f})", FAINT),
        )
        ratio = file.num_bytes / file.float32["num_bytes"]
        speed = file.images_per_second / max(file.float32["images_per_second"], 1e-9)
        screen.entry("against", f"float32: {ratio:.2f} × the size, {speed:.2f} × the speed")
