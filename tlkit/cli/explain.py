"""`tlkit explain RUN IMAGE...`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlkit.cli.help import GroupedCommand
from tlkit.cli.options import open_run, options_from, output_option
from tlkit.cli.predict import SOME_FAILED
from tlkit.cli.reporting import QUIET, report_options, reporting
from tlkit.settings.commands import ExplainSettings

if TYPE_CHECKING:
    from tlkit.cli.screen import Screen
    from tlkit.explain.base import Explanation
    from tlkit.explain.explainer import Explainer

MAX_SHOWN = 40  # images in a sheet
DEFAULT_OUTPUT = Path("explain.png")


@click.command(
    cls=GroupedCommand,
    examples=(
        "tlkit explain runs/finetune-001 photo.jpg",
        "tlkit explain latest new_photos -o reasons",
        "tlkit explain latest photo.jpg --method occlusion",
    ),
    common=("output", "class_name", "method", "as_json"),
)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@output_option(
    "PNG file to write, or new folder for one file per image. Default: explain.png, or the next free name.",
    is_folder=True,
)
@report_options
@options_from(ExplainSettings)
def explain(run: Path, images: tuple[str, ...], output: Path | None, settings: ExplainSettings) -> None:
    """Show where in each IMAGE the reasons of a RUN are.
    The file has each image, its heat map and the nearest training images.

    Each IMAGE is a file, a folder or a pattern such as '*.jpg'. The heat map is bright where the image speaks for the
    class: for a network by Grad-CAM, for a classic classifier by hiding parts of the image, or by its weights.
    """
    from tlkit.errors import DataError
    from tlkit.explain.explainer import open_explainer
    from tlkit.inference.inputs import expand_inputs

    output = _choose_output(output, images)
    explainer = open_explainer(open_run(run, settings.trust_model), settings.method, settings.trust_model)
    explanations = explainer.explain(expand_inputs(images), settings.class_name or None)
    with _writing(output, explainer) as write:
        contents, shown = list[dict[str, Any]](), list["Explanation"]()
        for explanation in explanations:
            write(explanation)
            contents.append(_as_json(explanation))
            shown += [explanation] if len(shown) < MAX_SHOWN else []
        if not contents:  # inside the block, so that no file is left
            raise DataError(f"no file was found in {', '.join(images)}; give image files or folders that hold some.")
    if reporting().as_json:
        click.echo(json.dumps({"file": str(output) if output else None, "images": contents}, indent=2))
    else:
        _print(shown, len(contents), output)
    if any(content["status"] == "error" for content in contents):
        click.get_current_context().exit(SOME_FAILED)


def _choose_output(output: Path | None, images: tuple[str, ...]) -> Path | None:
    """Choose the file or folder to write; none with --json alone. OptionError if it cannot be made"""
    from tlkit.errors import OptionError
    from tlkit.utils.files import next_free
    from tlkit.utils.storage import is_folder, refuse_inside

    if output is None and reporting().as_json:
        return None
    output = output or next_free(DEFAULT_OUTPUT)
    if output.suffix.lower() not in ("", ".png"):
        raise OptionError(f"'{output.name}' does not end in .png; give a .png file, or the name of a new folder.")
    for folder in filter(is_folder, images):
        refuse_inside(folder, output)
    return output


@contextmanager
def _writing(output: Path | None, explainer: "Explainer") -> Iterator[Any]:
    """Give a function that takes one explanation after the other; what they make is whole or absent."""
    from tlkit.explain.sheet import sheet_bytes
    from tlkit.utils.files import new_folder, next_free, write_new

    root, kept = explainer.neighbors.root, list["Explanation"]()
    if output is None or output.suffix:
        yield lambda explanation: kept.append(explanation) if len(kept) < MAX_SHOWN else None
        if output:
            write_new(output, sheet_bytes(kept, root))
        return
    with new_folder(output) as folder:
        yield lambda explanation: write_new(
            next_free(folder / f"{Path(explanation.path).stem}.png"), sheet_bytes([explanation], root)
        )


def _as_json(explanation: "Explanation") -> dict[str, Any]:
    """Give what --json says of an image."""
    names = ("path", "status", "label", "confidence", "reason", "method", "peak", "size", "error")
    content = {name: getattr(explanation, name) for name in names}
    content |= {"class": explanation.explained, "class_probability": explanation.probability}
    content["neighbors"] = [vars(neighbor) for neighbor in explanation.neighbors]
    return content


def _print(explanations: "list[Explanation]", count: int, output: Path | None) -> None:
    """Print answers and reasons: of one image in lines, of several in a table."""
    from tlkit.cli.screen import Screen

    screen = Screen()
    if len(explanations) == 1 and explanations[0].error is None:
        _print_one(screen, explanations[0])
    elif reporting().verbosity > QUIET:
        _print_table(screen, explanations)
    else:
        screen.line(f"{count:,} images")
    if count > len(explanations):
        where = " and the sheet" if output and output.suffix else ""
        words = f"the first {len(explanations)} of {count:,} images are in this table{where}; -o FOLDER writes all"
        screen.entry("note", words)
    if output:
        screen.entry("file", str(output))


def _print_one(screen: "Screen", explanation: "Explanation") -> None:
    from tlkit.cli.screen import FAINT, STRONG, percent
    from tlkit.explain.sheet import METHOD_WORDS

    answer = explanation.label if explanation.status == "ok" else f"unknown ({explanation.reason})"
    screen.line((str(answer), STRONG), f"  {percent(explanation.confidence or 0)}  ", (explanation.path, FAINT))
    if reporting().verbosity <= QUIET:
        return
    width, height = explanation.size or (0, 0)
    method = METHOD_WORDS[explanation.method]
    where = f"nothing in the image speaks for it ({method})"
    if explanation.peak:
        x, y = explanation.peak
        where = f"strongest at x {x:,}, y {y:,} of {width:,} × {height:,} pixels ({method})"
    if explanation.explained != explanation.label:
        where += f"; its probability is {percent(explanation.probability or 0)}"
    screen.entry(f"'{explanation.explained}'", where)
    for number, neighbor in enumerate(explanation.neighbors):
        words = f"{neighbor.distance:.2f}  {neighbor.label}  "
        screen.entry("" if number else "nearest", words, (neighbor.path, FAINT))


def _print_table(screen: "Screen", explanations: "list[Explanation]") -> None:
    from tlkit.cli.screen import BAD, WARN, Part, percent

    rows: list[list[Part]] = []
    for explanation in explanations:
        if explanation.error is not None:
            rows.append([explanation.path, ("unreadable", BAD), "", "", ""])
            continue
        nearest = explanation.neighbors[0] if explanation.neighbors else None
        label: Part = str(explanation.label) if explanation.status == "ok" else ("unknown", WARN)
        peak = "{:,}, {:,}".format(*explanation.peak) if explanation.peak else "–"
        near = f"{nearest.label} ({nearest.distance:.2f})" if nearest else "–"
        rows.append([explanation.path, label, percent(explanation.confidence or 0), peak, near])
    screen.table(("image", "answer", "confidence", "strongest at", "nearest"), rows, left=(0, 1, 4), dropped=(4, 3))
    for explanation in explanations:
        if explanation.error is not None:
            screen.entry("unreadable", f"{explanation.path}: {explanation.error}", style=BAD)
