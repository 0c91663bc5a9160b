"""The predictions that a contact sheet shows: by class, the most confident first, what has no class at the end.

Predictions are taken one by one. Only as many of each class are remembered as a sheet shows, so that memory does not
grow with the number of images.
"""

import os
from bisect import insort
from typing import NamedTuple

from tlkit.data.listing import natural_key
from tlkit.inference.predictor import Prediction, is_unsure
from tlkit.utils.text import distinct_names, escape_control_chars, whole_percent

MAX_SHOWN = 60  # images of one class
END = 3  # of the images shown of a large class, every third is from the end of its order: the least confident
STATUSES = ("ok", "unknown", "error")  # in the order of the sheet


class Limits(NamedTuple):
    """Limits of a sheet.

    Attributes:
        sections: classes that are shown; of more, those with the most images
        images: of all classes, unless every class has only `min_images`
        min_images: of a class
        max_images: of a class, at most `MAX_SHOWN`
    """

    sections: int
    images: int
    min_images: int
    max_images: int


class Tile(NamedTuple):
    """An image on the sheet.

    Attributes:
        rank: the lower, the earlier
        number: its position in the input, which decides between equal ranks
        path: as it was given
        figure: its confidence
        note: what is special about it; why it is unreadable
    """

    rank: float
    number: int
    path: str
    figure: str = ""
    note: str = ""


class Section:
    """The images with one answer.

    Attributes:
        name: of the class, or "unknown", or "unreadable"
        status: as a prediction has it
        count: images added
    """

    def __init__(self, name: str, status: str) -> None:
        self.name, self.status, self.count = name, status, 0
        self._tiles: list[Tile] = []

    def add(self, tile: Tile) -> None:
        """Take one image; forget one from the middle of the order if there are more than are ever shown."""
        self.count += 1
        insort(self._tiles, tile)
        if len(self._tiles) > MAX_SHOWN:
            del self._tiles[MAX_SHOWN - MAX_SHOWN // END]

    def choose_tiles(self, limit: int) -> tuple[list[Tile], list[Tile]]:
        """Give the images to show: all of them, or the first and the last ones, `limit` in all."""
        if self.count <= limit:
            return self._tiles, []
        num_last = limit // END
        return self._tiles[: limit - num_last], self._tiles[len(self._tiles) - num_last :]


class PredictionSheet:
    """The predictions of a contact sheet, taken one by one."""

    def __init__(self) -> None:
        self._sections: dict[tuple[str, str], Section] = {}
        self._folder: str | None = None
        self.count = 0

    def add(self, prediction: Prediction) -> None:
        """Take one prediction."""
        status, label = prediction.status, prediction.label or ""
        name = {"ok": label, "unknown": "unknown"}.get(status, "unreadable")
        section = self._sections.setdefault((status, name), Section(name, status))
        section.add(_make_tile(prediction, self.count))
        folder = os.path.dirname(prediction.path)  # noqa: PTH120 - "" for what is not a file
        self._folder = folder if self._folder is None else _common_folder(self._folder, folder)
        self.count += 1

    @property
    def folder(self) -> str:
        """The folder that all images are in; "" where there is none."""
        return self._folder or ""

    def short_path(self, tile: Tile) -> str:
        """Write the path of an image below the folder of all images."""
        path = tile.path.removeprefix(self.folder).lstrip(os.sep) if self.folder else tile.path
        return escape_control_chars(path)

    @property
    def sections(self) -> list[Section]:
        """All sections: classes in natural order, then unknown, then unreadable."""
        return sorted(self._sections.values(), key=lambda item: (STATUSES.index(item.status), natural_key(item.name)))

    def section_names(self) -> dict[Section, str]:
        """Write the names of all sections so that no two of them look the same."""
        return dict(zip(self.sections, distinct_names([item.name for item in self.sections]), strict=True))

    def choose_sections(self, limits: Limits) -> tuple[list[Section], int]:
        """Choose the sections to show, in their order, and how many images each may show."""
        classes = [section for section in self.sections if section.status == "ok"]
        chosen = sorted(classes, key=lambda section: -section.count)[: limits.sections]
        num_images = limits.images // max(1, len(chosen)) // limits.min_images * limits.min_images
        shown = [section for section in self.sections if section.status != "ok" or section in chosen]
        return shown, min(limits.max_images, max(limits.min_images, num_images))

    def summary(self) -> str:
        """Say how many images have a class, how many are unknown and how many unreadable."""
        counts = {status: sum(item.count for item in self.sections if item.status == status) for status in STATUSES}
        num_classes = sum(section.status == "ok" for section in self.sections)
        words = f"{count_of(counts['ok'] + counts['unknown'], 'image')}: {counts['ok']:,} in "
        words += f"{num_classes:,} class" + "es" * (num_classes != 1)
        words += f", {counts['unknown']:,} unknown" * bool(counts["unknown"])
        return words + f"; {count_of(counts['error'], 'unreadable file')}" * bool(counts["error"])


def count_of(number: int, name: str) -> str:
    """Write a number and what is counted.

    >>> count_of(1, "image"), count_of(1200, "image")
    ('1 image', '1,200 images')
    """
    return f"{number:,} {name}{'s' * (number != 1)}"


def _make_tile(prediction: Prediction, number: int) -> Tile:
    """Note what is shown of a prediction; the arrays it holds are dropped."""
    if prediction.status == "error":
        return Tile(0, number, prediction.path, note=escape_control_chars(prediction.error or ""))
    confidence = prediction.confidence or 0.0
    names = distinct_names([name for name, _ in prediction.top])
    second = f"{names[1]} {whole_percent(prediction.top[1][1])}" if len(names) > 1 else ""
    if prediction.status == "unknown":
        figure = f"{escape_control_chars(prediction.label or '')} {whole_percent(confidence)}"
        return Tile(-confidence, number, prediction.path, figure, prediction.reason)
    unsure = prediction.probabilities is not None and is_unsure(prediction)
    return Tile(
        -confidence, number, prediction.path, whole_percent(confidence), f"? {second}".strip() if unsure else ""
    )


def _common_folder(first: str, second: str) -> str:
    if first == second:
        return first
    try:
        return os.path.commonpath([first, second])
    except ValueError:  # one is absolute, or on another drive
        return ""
