"""`tlkit attack RUN [DATA|IMAGE...]`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlkit.cli.help import GroupedCommand
from tlkit.cli.options import open_run, options_from, output_option
from tlkit.cli.reporting import QUIET, report_options, reporting
from tlkit.settings.attack import AttackSettings

if TYPE_CHECKING:
    from tlkit.cli.screen import Screen
    from tlkit.robustness.attack import Save
    from tlkit.robustness.attack_result import AttackedImage, AttackResult

MAX_TAKEN = 5  # pairs of classes on the screen
SHEET = Path("attack.png")
CELLS = 24  # columns of an image on the terminal


@click.command(
    cls=GroupedCommand,
    examples=(
        "tlkit attack runs/finetune-001 photo.jpg",
        "tlkit attack latest photos --method fgsm -o adversarial",
        "tlkit attack latest photo.jpg --target cat --epsilon 8",
        "tlkit attack latest photos --epsilon 1,2,4 --tables out",
    ),
    common=("method", "epsilon", "norm", "target", "steps", "max_images", "output", "pattern", "tables", "as_json"),
)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data", nargs=-1, metavar="[DATA|IMAGE...]")
@output_option("New folder for the adversarial images, as PNG in the tree of DATA.", "Output", is_folder=True)
@report_options
@options_from(AttackSettings)
def attack(run: Path, data: tuple[str, ...], output: Path | None, settings: AttackSettings) -> None:
    """Change images a little, until RUN answers wrong.
    Every adversarial image is classified again as `tlkit predict` does.

    DATA has one subfolder per class, or is a table that lists images with their classes. Only images that are new to
    RUN count, or its validation images where none is. Without DATA they are the validation images of RUN. Of an IMAGE,
    the own answer of RUN is attacked. The adversarial images have the size that the network sees.
    """
    from tlkit.cli.console import Console
    from tlkit.robustness.attack import attack as run_attack
    from tlkit.robustness.attack_sheet import pattern_png, result_json, sheet_png, write_attack
    from tlkit.utils.files import write_new

    sheet = _choose_sheet(data, output, settings)
    opened = open_run(run, settings.trust_model)
    files = list[str]()
    with _saving(output, files) as save:
        result = run_attack(opened, data or None, settings, Console(), save)
    content = result_json(result, files)
    if sheet:
        kept = [image for image in result.images if image.original is not None]
        write_new(sheet, sheet_png(kept, result))
    if settings.pattern:
        write_new(Path(settings.pattern), pattern_png(result))
    if settings.tables:
        write_attack(result, Path(settings.tables), content)
    if reporting().as_json:
        click.echo(json.dumps(content, indent=2))
        return
    written = (("images", output), ("pattern", settings.pattern), ("tables", settings.tables), ("sheet", sheet))
    _print(result, [(label, str(path)) for label, path in written if path])


def _choose_sheet(data: tuple[str, ...], output: Path | None, settings: AttackSettings) -> Path | None:
    """Choose the file of the sheet, and check all outputs before any work.

    Raises:
        OptionError: if one cannot be made
        ModelError: if matplotlib is needed and not installed
    """
    from tlkit.errors import OptionError
    from tlkit.robustness.originals import are_labeled
    from tlkit.training.option_effects import ATTACK, refuse_without_effect
    from tlkit.utils.files import check_new_file, next_free
    from tlkit.utils.plotting import require_matplotlib
    from tlkit.utils.storage import is_folder, refuse_inside

    refuse_without_effect(settings, ATTACK, vars(settings) | {"has_classes": data and are_labeled(data)})
    sheet = Path(settings.sheet) if settings.sheet else None
    if sheet is None and len(data) == 1 and not are_labeled(data) and not reporting().as_json:
        sheet = next_free(SHEET)
    _check_learned(settings)
    for option, file in (("--sheet", sheet), ("--pattern", settings.pattern)):
        if file and Path(file).suffix.lower() != ".png":
            raise OptionError(f"{option} '{file}' does not end in .png; give a .png file.")
    outputs = [path for path in (output, settings.tables, sheet, settings.pattern) if path]
    for path in outputs:
        check_new_file(path)
        for folder in filter(is_folder, data):
            refuse_inside(folder, path)
    if len({Path(path).absolute() for path in outputs}) < len(outputs):
        raise OptionError("two outputs have the same name; choose different ones.")
    if sheet or settings.tables:
        require_matplotlib(f"the sheet '{sheet}'" if sheet else "the plot of --tables")
    return sheet


def _check_learned(settings: AttackSettings) -> None:
    """Refuse options of other methods, and a --learn-from that is not a folder, with an OptionError"""
    from tlkit.cli.options import explicit_options
    from tlkit.errors import OptionError
    from tlkit.utils.storage import is_folder

    typed, method = explicit_options(), settings.method
    without = {"pattern": ("universal", "patch"), "learn_from": ("universal", "patch"), "patch_size": ("patch",)}
    for name, methods in without.items():
        if name in typed and method not in methods:
            option = "--" + name.replace("_", "-")
            raise OptionError(f"{option} has no effect with --method {method}; add --method {' or '.join(methods)}.")
    if method == "patch" and "epsilon" in typed:
        raise OptionError("--epsilon has no effect with --method patch; use --patch-size.")
    if settings.learn_from and not is_folder(settings.learn_from):
        raise OptionError(f"--learn-from '{settings.learn_from}' is not a folder; expected a folder of images.")


@contextmanager
def _saving(output: Path | None, files: list[str]) -> "Iterator[Save | None]":
    """Give a function that writes adversarial images into a new folder; it is whole or absent.

    Args:
        files: gets the name of each file, in their order
    """
    from tlkit.robustness.attack import adversarial_name
    from tlkit.utils.files import new_folder, next_free, write_new

    if output is None:
        yield None
        return
    with new_folder(output) as folder:

        def save(path: str, content: bytes) -> Path:
            """Write one image."""
            file = folder / adversarial_name(path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file = next_free(file)
            write_new(file, content)
            files.append(str(output / file.relative_to(folder)))
            return file

        yield save


def _print(result: "AttackResult", written: list[tuple[str, str]]) -> None:
    from tlkit.cli.screen import Screen

    screen = Screen()
    if len(result.images) == 1:
        _print_one(screen, result)
    else:
        _print_accuracy(screen, result)
        if reporting().verbosity > QUIET:
            _print_details(screen, result)
    _print_left_out(screen, result)
    screen.blank()
    for label, path in written:
        screen.entry(label, path)


def _print_left_out(screen: "Screen", result: "AttackResult") -> None:
    """Print which files are not attacked, other than those that the run knows."""
    from tlkit.cli.verdict import print_left_out
    from tlkit.inference.labeled import NOT_COUNTED

    skipped = [entry for entry in result.skipped if entry.reason not in NOT_COUNTED.values()]
    if skipped and reporting().verbosity > QUIET:
        screen.blank()
        print_left_out(screen, skipped)


def _describe(result: "AttackResult") -> str:
    """Say which attack it was."""
    from tlkit.robustness.attack_sheet import amount_words

    words = {
        "universal": f"one pattern, learned on {result.num_learned:,} other images",
        "patch": f"one patch, learned on {result.num_learned:,} other images",
        "fgsm": "FGSM",
        "pgd": f"PGD of {result.steps:,} steps",
        "square": f"Square attack of {result.steps:,} queries",
    }
    aim = f", towards '{result.target}'" if result.target else ""
    amount = "" if result.method == "patch" else f", {amount_words(result.epsilon, result.norm)}"
    return f"{words[result.method]}{amount}{aim}"


def _print_accuracy(screen: "Screen", result: "AttackResult") -> None:
    """Print the accuracy before and after, with counts and intervals."""
    from tlkit.cli.screen import GLUE, STRONG
    from tlkit.cli.verdict import interval, print_figure

    def figure(fraction: float) -> str:
        """Write a percentage, aligned."""
        return f"{100 * fraction:>5.1f}{GLUE}%"

    kind = f"{result.counted} images" if result.counted not in ("", "all") else "images"
    total, changed = len(result.images), "keep their answer" if not result.is_labeled else "correct"
    if result.is_labeled:
        clean = result.clean
        print_figure(screen, "before", figure(clean.accuracy), f"  {clean.num_correct:,} of {total:,} {kind} correct")
    for epsilon in result.by_epsilon:
        report = result.adversarial(epsilon)
        counts = f"  {report.num_correct:,} of {total:,} {changed}  ({interval(*report.interval)})"
        label = f"epsilon {epsilon:g}" if len(result.by_epsilon) > 1 else "attacked"
        print_figure(screen, label, (figure(report.accuracy), STRONG), counts)
    if result.target:
        words = f"  {result.num_reached:,} of {total:,} are taken for '{result.target}'"
        print_figure(screen, "reached", (figure(result.num_reached / total), STRONG), words)
    if result.num_control is not None:
        words = "with a gray patch" if result.method == "patch" else "with a random pattern"
        print_figure(screen, "control", figure(result.num_control / total), f"  {words} instead")
    confidence = sorted(image.after.confidence or 0.0 for image in result.images)[total // 2]
    print_figure(screen, "confidence", figure(confidence), "  median of the answers after the attack")
    before, after = (
        sum(answer.status == "unknown" for answer in answers)
        for answers in ([image.before for image in result.images], [image.after for image in result.images])
    )
    print_figure(
        screen,
        "unknown",
        figure(after / total),
        f"  {after:,} of {total:,} adversarial images; {before:,} before the attack",
    )
    screen.entry("  attack", _describe(result))


def _print_details(screen: "Screen", result: "AttackResult") -> None:
    """Print the accuracy of each class, and which classes are taken for which."""
    from tlkit.cli.screen import Part, percent
    from tlkit.robustness.attack_sheet import accuracy_rows, taken_for

    rows = accuracy_rows(result)
    epsilons = [0.0, *result.by_epsilon] if 0.0 not in result.by_epsilon else list(result.by_epsilon)
    table = list[list[Part]]()
    for name in result.class_names:
        own = {row[0]: row for row in rows if row[1] == name}
        if own:
            table.append([name, f"{own[epsilons[0]][2]:,}", *(percent(own[epsilon][4]) for epsilon in epsilons)])
    screen.blank()
    header = ("class", "images", *(_column(result, epsilon) for epsilon in epsilons))
    screen.table(header, table, dropped=tuple(range(2, len(header) - 1)))
    pairs = taken_for(result)
    if pairs:
        screen.blank()
    for number, (own_class, answer, count) in enumerate(pairs[:MAX_TAKEN]):
        screen.entry("" if number else "taken for", f"{count:,} × '{own_class}' is taken for '{answer}'")


def _column(result: "AttackResult", epsilon: float) -> str:
    """Name a column of accuracies."""
    if epsilon == 0:
        return "before"
    return "patched" if result.method == "patch" else f"epsilon {epsilon:g}"


def _print_one(screen: "Screen", result: "AttackResult") -> None:
    """Print the answers before and after for one image, the images themselves, and when the answer first changes."""
    from tlkit.cli.screen import BAD, FAINT, GOOD, STRONG, Part, percent

    (image,) = result.images
    if screen.is_rich and screen.is_unicode and screen.width >= 3 * CELLS + 6 and reporting().verbosity > QUIET:
        _print_tiles(screen, image)
    is_fooled = image.after.label != image.before.label
    parts = list[Part]()
    for answer in (image.before, image.after):
        parts += [(str(answer.label), STRONG), f" {percent(answer.confidence or 0)}"]
        parts += [" (unknown)"] * (answer.status == "unknown") + ["  →  "] * (answer is image.before)
    screen.line(*parts, ("  " + image.path, FAINT))
    verdict = ("the answer is another one", BAD) if is_fooled else ("the answer is the same", GOOD)
    if result.was_wrong:
        verdict = (f"the answer is wrong without an attack: the class is '{result.class_names[image.label]}'", BAD)
    screen.entry("result", verdict)
    screen.entry("attack", _describe(result))
    what = f"taken for '{result.target}'" if result.target else "the answer changes"
    if result.learned is not None or (result.was_wrong and not result.target):
        return
    if result.first_change is None:
        screen.entry("first", f"no change was found, up to epsilon {_limit(result)}")
    else:
        screen.entry("first", f"{what} at epsilon {result.first_change:.4g}")


def _limit(result: "AttackResult") -> str:
    from tlkit.robustness.attack import MAX_SEARCHED

    return f"{MAX_SEARCHED[result.norm]:,.0f}"


def _print_tiles(screen: "Screen", image: "AttackedImage") -> None:
    """Print original + pattern = adversarial image with half blocks, two pixels above each other per character."""
    import numpy as np
    from PIL import Image

    from tlkit.cli.screen import GLUE, Part
    from tlkit.robustness.attack_sheet import pattern_shown

    assert image.original is not None and image.adversarial is not None
    tiles = [
        np.asarray(Image.fromarray(pixels).resize((CELLS, CELLS), Image.Resampling.BOX))
        for pixels in (image.original, pattern_shown(image), image.adversarial)
    ]
    for row in range(0, CELLS, 2):
        parts = list[Part]()
        for tile, sign in zip(tiles, ("+", "=", ""), strict=True):
            for above, below in zip(tile[row], tile[row + 1], strict=True):
                colors = (",".join(map(str, pixel.tolist())) for pixel in (above, below))
                parts.append(("▀", "rgb({}) on rgb({})".format(*colors)))
            parts.append(f"{GLUE}{sign if row == CELLS // 2 - CELLS // 2 % 2 else GLUE}{GLUE}" if sign else "")
        screen.line(*parts)
    screen.blank()
