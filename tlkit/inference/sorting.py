"""Folders by predicted class, filled with links to the images or with copies; the images stay where they are."""

import errno
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePath

from tlkit.data.sources.files import read_file
from tlkit.data.sources.members import SEPARATOR, is_member
from tlkit.errors import DataError
from tlkit.evaluation.rejection import NOT_SURE
from tlkit.inference.predictor import Prediction
from tlkit.utils.storage import RemotePath, as_location, is_file

UNKNOWN, UNREADABLE = "unknown", "unreadable"  # folders of images without a class
NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # of a file system without links
MAX_STEM = 200  # bytes of a file name before its ending, so that a number fits behind it


class SortedFolders:
    """A folder with one folder per answer, which gets the images one by one.

    Attributes:
        counts: images by the name of their folder
    """

    def __init__(self, root: Path, class_names: tuple[str, ...], copy: bool = False) -> None:
        """Take an empty folder.

        Args:
            class_names: in label order; each gets a folder once it has an image
            copy: whether images are copied instead of linked
        """
        self._root, self._copy = root, copy
        self._folders = folder_names(class_names)
        self.counts = Counter[str]()

    def add(self, prediction: Prediction) -> None:
        """Put one image into the folder of its answer; what is not a file is left out.

        Raises:
            DataError: if the folder cannot hold links, or no link can lead to the image
            OSError: if it cannot be written, or a file cannot be copied
        """
        source = as_location(prediction.path)
        is_inside = isinstance(source, RemotePath) or is_member(source)
        if is_inside and not self._copy:
            raise DataError(f"links to '{source}' cannot be made, which is not a file of this machine; add --copy.")
        if (prediction.status == "error") if is_inside else not is_file(source):
            return
        folder = self._folders[str(prediction.label)]
        if prediction.status != "ok":
            folder = UNREADABLE if prediction.status == "error" else UNKNOWN
        (self._root / folder).mkdir(exist_ok=True)
        target = self._free_name(folder, source.name.rpartition(SEPARATOR)[2])
        if is_inside:
            target.write_bytes(read_file(source))
        else:
            self._add_file(Path(str(source)), target)
        self.counts[folder] += 1

    def _add_file(self, source: Path, target: Path) -> None:
        """Copy a file or make a link to it; DataError if links cannot be made"""
        try:
            if self._copy:
                shutil.copy2(source, target)
            else:
                target.symlink_to(source.resolve())
        except OSError as error:
            if self._copy or error.errno not in NO_LINKS:
                raise
            raise DataError(f"links cannot be made in '{self._root.parent}' ({error.strerror}); add --copy.") from None

    def _free_name(self, folder: str, name: str) -> Path:
        """Find a name that no image of this folder has: of two with one name, the second gets a number."""
        target, number = self._root / folder / name, 2
        stem, suffix = PurePath(name).stem, PurePath(name).suffix
        while target.is_symlink() or target.exists():
            short = stem.encode("utf-8", "surrogateescape")[:MAX_STEM].decode("utf-8", "ignore")
            target, number = self._root / folder / f"{short}-{number}{suffix}", number + 1
        return target


def folder_names(class_names: Iterable[str]) -> dict[str, str]:
    """Give each class the name of a folder, also where its own name cannot be one or is taken.

    >>> folder_names(["bee", "a/b", "unknown", ".."])
    {'None': 'unreadable', 'bee': 'bee', 'a/b': 'a_b', 'unknown': 'unknown_2', '..': '_..'}
    """
    names, taken = {"None": UNREADABLE}, {UNKNOWN, UNREADABLE}
    for name in class_names:
        plain = re.sub(r"[/\\\x00-\x1f]", "_", name)
        plain = f"_{plain}" if plain.startswith(".") or not plain else plain
        number, free = 2, plain
        while free.casefold() in taken:
            free, number = f"{plain}_{number}", number + 1
        taken.add(free.casefold())
        names[name] = free
    return names


def with_min_confidence(predictions: Iterable[Prediction], minimum: float) -> Iterator[Prediction]:
    """Answer "unknown" where the confidence is below a minimum from 0 to 1."""
    for prediction in predictions:
        is_low = prediction.status == "ok" and prediction.confidence is not None and prediction.confidence < minimum
        yield replace(prediction, status="unknown", reason=NOT_SURE) if is_low else prediction
