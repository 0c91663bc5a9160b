"""Images, tables and plots of an attack."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tlkit.data.listing import count_reasons
from tlkit.evaluation.metrics import wilson_interval
from tlkit.inference.predictor import Prediction
from tlkit.robustness.attack_result import AttackedImage, AttackResult
from tlkit.robustness.patch import DOTS_PER_INCH, printable
from tlkit.utils.files import new_folder, open_new
from tlkit.utils.plotting import BLUE, GRAY, INK, escape_missing, fonts_for, new_figure, save_new_figure, write_png
from tlkit.utils.tables import csv_writer
from tlkit.utils.text import shorten_middle

ROW_INCHES, WIDTH_INCHES = 3.5, 9.6
MAX_CLASS_LINES = 10  # of the plot; of more classes only the mean is drawn
ACCURACY_COLUMNS = ("epsilon", "class", "images", "correct", "accuracy", "low", "high", "unknown")
IMAGE_COLUMNS = ("path", "class", "before", "confidence_before", "after", "confidence", "status")


def pattern_png(result: AttackResult) -> bytes:
    """Give the learned pattern as PNG: a patch on white for a printer; or the pattern around gray, not amplified."""
    assert result.learned is not None
    content = io.BytesIO()
    if result.method == "patch":
        printable(result.learned).save(content, "PNG", dpi=(DOTS_PER_INCH, DOTS_PER_INCH))
    else:
        Image.fromarray(np.clip(128 + result.learned, 0, 255).astype(np.uint8)).save(content, "PNG")
    return content.getvalue()


def pattern_shown(image: AttackedImage) -> np.ndarray:
    """Draw what was added to an image, amplified to the whole range around gray: uint8 (size, size, 3)."""
    assert image.original is not None and image.adversarial is not None
    pattern = image.adversarial.astype(np.float32) - image.original
    return np.asarray(np.clip(128 + pattern * (127 / max(1.0, float(np.abs(pattern).max()))), 0, 255), np.uint8)


def sheet_png(images: Sequence[AttackedImage], result: AttackResult) -> bytes:
    """Draw original + epsilon × pattern = adversarial image, a row for each, as PNG."""
    with fonts_for(result.class_names) as missing:
        figure = new_figure(figsize=(WIDTH_INCHES, ROW_INCHES * len(images)))
        figure.subplots_adjust(left=0.02, right=0.98, top=1 - 0.02 / len(images), bottom=0.14 / len(images), hspace=0.2)
        axes = figure.subplots(len(images), 5, squeeze=False, width_ratios=(1, 0.08, 1, 0.08, 1))
        for row, image in zip(axes, images, strict=True):
            assert image.original is not None and image.adversarial is not None
            middle = attack_amount(result)
            before, after = (_caption(answer, missing) for answer in (image.before, image.after))
            tiles = ((image.original, before), (pattern_shown(image), middle), (image.adversarial, after))
            for axis, (pixels, caption) in zip(row[::2], tiles, strict=True):
                axis.imshow(pixels, interpolation="nearest")
                style = {"fontsize": 11, "color": INK, "ha": "center", "va": "top", "parse_math": False}
                axis.text(0.5, -0.03, caption, transform=axis.transAxes, **style)
            for axis, sign in zip(row[1::2], "+=", strict=True):
                axis.text(0.5, 0.5, sign, fontsize=22, color=INK, ha="center", va="center")
            for axis in row:
                axis.set_axis_off()
        content = io.BytesIO()
        write_png(figure, content)
    return content.getvalue()


def attack_amount(result: AttackResult) -> str:
    """Say how much the attack changes, below its pattern."""
    if result.method == "patch":
        return "a patch,\nminus what it covers"
    return f"{amount_words(result.epsilon, result.norm)}\nshown amplified"


def amount_words(epsilon: float, norm: str) -> str:
    """Say how much an attack may change.

    >>> amount_words(1, "linf"), amount_words(300, "l2")
    ('at most 1 gray level', 'length 300 gray levels')
    """
    levels = f"{epsilon:g} gray level{'s' * (epsilon != 1)}"
    return f"at most {levels}" if norm == "linf" else f"length {levels}"


def _caption(answer: Prediction, missing: set[str]) -> str:
    name = escape_missing(shorten_middle(str(answer.label), 26), missing)
    return f"{name}\n{100 * (answer.confidence or 0):.1f} %" + ", unknown" * (answer.status == "unknown")


def accuracy_rows(result: AttackResult) -> list[tuple[Any, ...]]:
    """List accuracy before the attack and at each epsilon, of all images and of each class: `ACCURACY_COLUMNS`.

    Epsilon 0 is before the attack. The interval is the 95 % Wilson interval.
    """
    rows = []
    answers = {0.0: [image.before for image in result.images]}
    answers |= {epsilon: [image.after for image in images] for epsilon, images in result.by_epsilon.items()}
    labels = [image.label for image in result.images]
    for epsilon, given in answers.items():
        for label, name in ((None, ""), *enumerate(result.class_names)):
            chosen = [(answer, own) for answer, own in zip(given, labels, strict=True) if label in (None, own)]
            if not chosen:
                continue
            correct = sum(answer.label == result.class_names[own] for answer, own in chosen)
            unknown = sum(answer.status == "unknown" for answer, _ in chosen)
            interval = wilson_interval(correct, len(chosen))
            rows.append((epsilon, name, len(chosen), correct, correct / len(chosen), *interval, unknown))
    return rows


def taken_for(result: AttackResult) -> list[tuple[str, str, int]]:
    """List which classes are taken for which after the attack: (class, answer, images), the most frequent first."""
    confusion = result.adversarial().confusion
    names = result.class_names
    cells = [(names[row], names[column], int(count)) for (row, column), count in np.ndenumerate(confusion)]
    return sorted((cell for cell in cells if cell[0] != cell[1] and cell[2]), key=lambda cell: -cell[2])


def result_json(result: AttackResult, files: Sequence[str] = ()) -> dict[str, Any]:
    """Give what --json says of an attack.

    Args:
        files: of the adversarial images, in their order, where they were written
    """
    clean, attacked = result.clean, result.adversarial()
    rows = [dict(zip(ACCURACY_COLUMNS, row, strict=True)) for row in accuracy_rows(result)]
    return {
        "method": result.method,
        "norm": result.norm,
        "epsilon": None if result.method == "patch" else result.epsilon,
        "steps": result.steps,
        "target": result.target or None,
        "counted": result.counted or None,
        "num_images": len(result.images),
        "clean_accuracy": clean.accuracy if result.is_labeled else None,
        "adversarial_accuracy": attacked.accuracy,
        "ci95": list(attacked.interval),
        "target_reached": result.num_reached / len(result.images) if result.target else None,
        "unknown_before": sum(image.before.status == "unknown" for image in result.images),
        "unknown_after": sum(image.after.status == "unknown" for image in result.images),
        "first_change": result.first_change,
        "learned_on": result.num_learned or None,
        "control_accuracy": None if result.num_control is None else result.num_control / len(result.images),
        "accuracy": rows,
        "taken_for": [{"class": own, "answer": answer, "images": count} for own, answer, count in taken_for(result)],
        "left_out": count_reasons(result.skipped),
        "images": [
            _image_json(image, result, files[number] if files else None) for number, image in enumerate(result.images)
        ],
    }


def _image_json(image: AttackedImage, result: AttackResult, file: str | None) -> dict[str, Any]:
    return {
        "path": image.path,
        "class": result.class_names[image.label] if result.is_labeled else None,
        "before": image.before.label,
        "confidence_before": image.before.confidence,
        "after": image.after.label,
        "confidence": image.after.confidence,
        "status": image.after.status,
        "file": file,
    }


def write_attack(result: AttackResult, folder: Path, content: dict[str, Any]) -> None:
    """Write a new folder with accuracy.csv, images.csv, confusion.csv, attack.json and accuracy.png.

    Raises:
        OptionError: if the folder exists or cannot be made
    """
    confusion = result.adversarial().confusion.tolist()
    tables: dict[str, list[Sequence[Any]]] = {
        "accuracy.csv": [ACCURACY_COLUMNS, *accuracy_rows(result)],
        "images.csv": [IMAGE_COLUMNS, *([row[name] for name in IMAGE_COLUMNS] for row in content["images"])],
        "confusion.csv": [
            ("class", *result.class_names),
            *((name, *counts) for name, counts in zip(result.class_names, confusion, strict=True)),
        ],
    }
    with new_folder(folder) as unfinished:
        for name, rows in tables.items():
            with open_new(unfinished / name) as file:
                csv_writer(file).writerows(rows)
        with open_new(unfinished / "attack.json") as file:
            json.dump(content, file, indent=2)
        save_new_figure(accuracy_figure(result), unfinished / "accuracy.png")


def accuracy_figure(result: AttackResult) -> Any:
    """Draw accuracy against epsilon: all images with the interval, and each class."""
    rows = accuracy_rows(result)
    with fonts_for(result.class_names) as missing:
        figure = new_figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.add_subplot()
        for name in result.class_names if len(result.class_names) <= MAX_CLASS_LINES else ():
            line = [(row[0], 100 * row[4]) for row in rows if row[1] == name]
            if line:
                axes.plot(*zip(*line, strict=True), color=GRAY, linewidth=0.8, alpha=0.7)
                axes.annotate(
                    escape_missing(shorten_middle(name, 16), missing),
                    line[-1],
                    (4, 0),
                    textcoords="offset points",
                    fontsize=7.5,
                    color=GRAY,
                    va="center",
                    parse_math=False,
                )
        total = np.array([(row[0], 100 * row[4], 100 * row[5], 100 * row[6]) for row in rows if not row[1]])
        axes.fill_between(total[:, 0], total[:, 2], total[:, 3], color=BLUE, alpha=0.2, linewidth=0)
        axes.plot(total[:, 0], total[:, 1], color=BLUE, marker="o", markersize=4, linewidth=2)
        axes.set_ylim(-3, 103)
        axes.set_xlabel(f"epsilon in gray levels ({result.norm})", color=INK)
        axes.set_ylabel("correct in %", color=INK)
        axes.spines[["top", "right"]].set_visible(False)
        title = f"{result.method.upper() if result.method != 'square' else 'Square attack'}"
        axes.set_title(f"{title}: all {len(result.images):,} images (95 % interval), and each class", fontsize=10)
    return figure
