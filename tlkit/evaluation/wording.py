"""An evaluation in words, fit for a terminal."""

import math
from collections.abc import Sequence

from tlkit.evaluation.metrics import macro_f1, worst_confusions
from tlkit.evaluation.report import Report

BLOCKS = "▁▂▃▄▅▆▇█"


def headline(report: Report, what: str) -> str:
    """The accuracy in one line, with what it is worth."""
    low, high = report.interval
    images = "image" if len(report.labels) == 1 else "images"
    return (
        f"accuracy {report.accuracy:.3f} on {len(report.labels)} {what} {images} "
        f"(95 % interval {low:.3f} to {high:.3f}), macro-F1 {macro_f1(report.confusion):.3f}"
    )


def sparkline(values: Sequence[float]) -> str:
    """A curve in one line of blocks, from its least to its greatest value; nothing where a value is no number.

    >>> sparkline([3, 2, 1, 1, 2])
    '█▅▁▁▅'
    """
    numbers = [value for value in values if not math.isnan(value)]
    if not numbers:
        return ""
    low, span = min(numbers), max(numbers) - min(numbers)
    places = (round((value - low) / span * (len(BLOCKS) - 1)) if span else 0 for value in numbers)
    return "".join(BLOCKS[place] for place in places)


def class_table(report: Report) -> list[str]:
    """One line per class: precision, recall, F1 and the number of images."""
    names = [shortened(name, 30) for name in report.class_names]
    width = max(5, *map(len, names))
    lines = [f"{'class':<{width}}  precision  recall     F1  images"]
    lines += [
        f"{name:<{width}}  {score.precision:9.3f}  {score.recall:6.3f}  {score.f1:5.3f}  {score.support:6d}"
        for name, score in zip(names, report.scores, strict=True)
    ]
    return lines


def confusion_lines(report: Report) -> list[str]:
    """The commonest mistakes in words."""
    worst = worst_confusions(report.confusion, report.class_names)
    return [f"{times} × {printable(true)} taken for {printable(other)}" for true, other, times in worst]


def printable(text: str) -> str:
    """A name as a terminal may show it: control characters and broken encodings escaped.

    >>> print(printable("a" + chr(27) + "[31m"))
    a\\x1b[31m
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


def shortened(text: str, width: int) -> str:
    """A printable name of at most `width` characters.

    >>> shortened("cardboard", 6)
    'cardb…'
    """
    text = printable(text)
    return text if len(text) <= width else text[: width - 1] + "…"
