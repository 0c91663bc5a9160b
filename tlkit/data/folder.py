"""From a folder of images to an `ImageFolder`: which files there are, and which class each is."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tlkit.cache.hash_table import HexColumn
from tlkit.data.appearance import APPEARANCE, Appearances
from tlkit.data.layout import UNKNOWN, Layout, composed, find_layout
from tlkit.data.listing import FileEntry, list_files, listed, natural_key, unlisted
from tlkit.data.survey import Survey, survey_files
from tlkit.errors import DataError
from tlkit.utils.html import html_bar, html_card, html_facts, html_faint, html_table
from tlkit.utils.storage import Location, as_location, exists, is_folder, is_remote, require_existing
from tlkit.utils.text import distinct_names, lookalike_names, quote_names

OUTSIDE = "not inside a class folder"
WITHOUT_IMAGES = {  # what follows if a folder of held-out images has none
    "validation": "validation images are taken from the training images",
    "test": "there are no test images",
}


@dataclass(frozen=True)
class ImageFolder:
    """Images with their classes, in natural order of their paths.

    Attributes:
        root: the folder the paths are relative to
        class_names: in label order, sorted naturally
        paths: one per image, relative to `root`, with `/`
        labels: int32 (images,), an index into `class_names`
        subsets: one per image: "train", "validation" or "test" where the folder says so, else ""
        related: one per image: the patient or another group it belongs to, as options or a table say; "" for none
        sha256: one per image, of the file's bytes, hexadecimal; empty until the files are read
        digests: one per image, of its pixels; empty until the files are read
        groups: one per image: images that are never in two subsets share it; empty until the files are read
        reasons: one per image: why others are in its group, "" where it is alone
        appearances: one `APPEARANCE` per image, on disk where they are many; None until the files are read
        skipped: files that are not part of this, each with its reason
        unknown: paths of files that show none of the classes, relative to `root`
        notes: what a person should know of the folder
        survey: what the headers of the files say; None until they are read
    """

    root: Location
    class_names: tuple[str, ...]
    paths: tuple[str, ...]
    labels: np.ndarray
    subsets: tuple[str, ...]
    related: tuple[str, ...] = ()
    sha256: Sequence[str] = ()
    digests: Sequence[str] = ()
    groups: Sequence[str] = ()
    reasons: tuple[str, ...] = ()
    appearances: Appearances | None = field(default=None, repr=False)
    skipped: tuple[FileEntry, ...] = ()
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    survey: Survey | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        return (
            f"ImageFolder('{self.root}', {len(self)} images, {self.num_classes} classes, {len(self.skipped)} skipped)"
        )

    def _repr_html_(self) -> str:
        counts, names = self.class_counts, distinct_names(self.class_names)
        commonest = max(counts, default=1) or 1
        rows = [(name, html_bar(count / commonest, f"{count:,}")) for name, count in zip(names, counts, strict=True)]
        skipped = f"{len(self.skipped):,}" if self.skipped else ""
        facts = html_facts([("folder", self.root), ("images", f"{len(self):,}"), ("left out", skipped)])
        return html_card("ImageFolder", facts, html_table((), rows, "classes"), *map(html_faint, self.notes))

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def files(self) -> "FileList":
        """The path of each image, with `root`."""
        return FileList(self.root, self.paths)

    @property
    def class_counts(self) -> list[int]:
        """The number of images of each class, in label order."""
        return [int(count) for count in np.bincount(self.labels, minlength=self.num_classes)]

    def subset(self, positions: Sequence[int] | np.ndarray) -> "ImageFolder":
        """Take the images at these positions, in their order; all classes stay, `skipped` becomes empty.

        Args:
            positions: indices into `paths`
        """
        where = np.asarray(positions, np.int64)
        indices = where.tolist()
        return replace(
            self,
            paths=_at(self.paths, indices),
            labels=self.labels[where],
            subsets=_at(self.subsets, indices),
            related=_at(self.related, indices),
            sha256=_hashes_at(self.sha256, indices),
            digests=_hashes_at(self.digests, indices),
            groups=_hashes_at(self.groups, indices),
            reasons=_at(self.reasons, indices),
            appearances=None if self.appearances is None else self.appearances[where],
            skipped=(),
        )

    def surveyed(self) -> "ImageFolder":
        """Read the headers of the files."""
        return replace(self, survey=survey_files(self.files, self.subsets))

    def readable(self, positions: Sequence[int] | np.ndarray) -> "ImageFolder":
        """Take the images that can be read, with a note if a subset that the folder gives has none of them.

        Args:
            positions: indices into `paths` of the images that can be read
        """
        images = self.subset(positions)
        lost = [name for name in WITHOUT_IMAGES if name in self.subsets and name not in images.subsets]
        notes = [f"no {name} image of '{self.root}' can be read; {WITHOUT_IMAGES[name]}." for name in lost]
        return replace(images, notes=(*self.notes, *notes))

    def with_contents(
        self, sha256: Sequence[str], digests: Sequence[str], appearances: Appearances | Sequence[np.void]
    ) -> "ImageFolder":
        """Add what reading each file gave: its sha256, the digest of its pixels, its appearance.

        Images with equal pixels are then one group; see `duplicates.group_images` for more.

        Args:
            sha256: one per image, of the file's bytes, hexadecimal
            digests: one per image, of its pixels, hexadecimal
            appearances: one `APPEARANCE` per image
        """
        looks = np.array(list(appearances), APPEARANCE) if isinstance(appearances, list | tuple) else appearances
        return replace(self, sha256=sha256, digests=digests, groups=digests, appearances=looks)

    def with_skipped(self, entries: Iterable[FileEntry]) -> "ImageFolder":
        """Add files to `skipped`.

        Args:
            entries: files, each with the reason why it is left out
        """
        return replace(self, skipped=self.skipped + tuple(entries))


class FileList(Sequence[Location]):
    """Files below a folder; a location takes half a kilobyte and is made when it is asked for."""

    def __init__(self, root: Location, paths: Sequence[str]) -> None:
        self._root, self._paths = root, paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: Any) -> Any:
        """Give one file, or the list of some positions."""
        if isinstance(index, np.ndarray):
            return FileList(self._root, [self._paths[position] for position in index.tolist()])
        if isinstance(index, slice):
            return FileList(self._root, self._paths[index])
        path = self._paths[index]
        return as_location(path) if is_remote(path) else self._root / path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


def read_folder(root: str | Location, class_names: tuple[str, ...] = ()) -> ImageFolder:
    """List the images below `root`: one subfolder per class, or train/, val/ and test/ above them.

    Reads names only. Classes are matched by name across subsets, in Unicode's composed form. Nested folders belong to
    their class; see `layout.py` for what is a class.

    Args:
        root: a folder, or its URI in an object store
        class_names: the classes of a finished run, in label order; then fewer of them may be there

    Returns:
        The images by class, with the files that are left out and why; no image is opened

    Raises:
        StorageError: if the object store, the bucket or the folder in it cannot be read
        DataError: if there is no such folder, a class is empty or not among `class_names`, or fewer than two classes
            are found
    """
    root = as_location(root)
    require_existing(root)
    if not is_folder(root):
        found = "is a file" if exists(root) else "does not exist"
        raise DataError(f"'{root}' {found}; expected a folder with one subfolder of images per class.")
    root = listed(root)
    layout = find_layout(root, class_names)
    entries = list(list_files(root))
    skipped = [entry for entry in entries if entry.reason]
    located = [(entry.path, *layout.subset_and_class(entry.path)) for entry in entries if not entry.reason]
    skipped += [FileEntry(path, OUTSIDE) for path, _, name in located if not name]
    images = [(path, subset, name) for path, subset, name in located if name not in ("", UNKNOWN)]
    allowed = set(class_names) or layout.training_classes()
    _refuse_other_classes(layout, allowed)
    name_notes = list[str]()
    if not class_names:
        _require_classes(layout, allowed, {name for _, _, name in images}, skipped)
        class_names = tuple(sorted(allowed, key=natural_key))
        subsets = {subset for _, subset, _ in images}
        name_notes = [*_subset_notes(layout, subsets), *_name_notes(layout, class_names)]
    label_of = {name: label for label, name in enumerate(class_names)}
    return ImageFolder(
        root=unlisted(root),
        class_names=class_names,
        paths=tuple(path for path, _, _ in images),
        labels=np.array([label_of[name] for _, _, name in images], dtype=np.int32),
        subsets=tuple(subset for _, subset, _ in images),
        skipped=tuple(skipped),
        unknown=tuple(path for path, _, name in located if name == UNKNOWN),
        notes=(*layout.notes, *name_notes),
    )


def _subset_notes(layout: Layout, subsets: set[str]) -> list[str]:
    """Name folders of held-out images that hold none, and say what follows."""
    return [
        f"'{parent}' has no images of its own in class folders; {WITHOUT_IMAGES[subset]}."
        for parent, subset in layout.parents.items()
        if subset in WITHOUT_IMAGES and subset not in subsets
    ]


def _name_notes(layout: Layout, class_names: Sequence[str]) -> list[str]:
    """Name classes that people may take for one, and folders that are one class although they seem to be two."""
    notes = []
    spellings = defaultdict[str, set[str]](set)
    for _, name in layout.class_folders():
        spellings[composed(name)].add(name)
    for names in spellings.values():
        if len(names) > 1:
            shown = quote_names(sorted(name.encode("ascii", "backslashreplace").decode() for name in names))
            notes.append(f"the folders {shown} have one name, with accents spelled in two ways; they are one class.")
    if groups := lookalike_names(class_names):
        others = f" So do {len(groups) - 1} more groups of names." if len(groups) > 1 else ""
        notes.append(
            f"the class names {quote_names(groups[0])} look alike, but are different classes; "
            f"merge their folders if they mean the same.{others}"
        )
    return notes


def _refuse_other_classes(layout: Layout, allowed: set[str]) -> None:
    for parent, name in layout.class_folders():
        if composed(name) not in allowed:
            shown = sorted(allowed, key=natural_key)
            listed = ", ".join(shown[:10]) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")
            alike = [known for known in shown if lookalike_names([known, composed(name)])]
            way_out = f"rename it to '{alike[0]}'" if alike else "rename or remove it"
            raise DataError(
                f"'{layout.root / parent}' has an unknown class '{name}'; expected only {listed}; {way_out}."
            )


def _require_classes(layout: Layout, classes: set[str], with_files: set[str], skipped: Sequence[FileEntry]) -> None:
    root = layout.root
    if len(classes) < 2:
        training = [parent for parent, subset in layout.parents.items() if subset == "train"]
        where = f"its '{training[0]}' folder" if training else "it"
        found = f"one subfolder ('{min(classes)}')" if classes else "no subfolder"
        num_outside = sum(entry.reason == OUTSIDE for entry in skipped)
        found += f", but {num_outside:,} files" if num_outside and not classes else ""
        raise DataError(
            f"'{root}' is not a folder of classes: {where} has {found}; "
            "expected two or more subfolders of images, one per class."
        )
    if empty := sorted(classes - with_files, key=natural_key):
        folders = {
            f"{parent}/{name}".lstrip("/") for parent, name in layout.class_folders() if composed(name) == empty[0]
        }
        reasons = [entry.reason for entry in skipped if entry.path in folders and entry.reason]
        if reasons:
            raise DataError(f"class '{empty[0]}' in '{root}' is a {reasons[0]}; remove it, or give it its own images.")
        raise DataError(f"'{root}' has no files of class '{empty[0]}'; add images of it or remove its folder.")


def _at(items: Sequence[str], indices: list[int]) -> tuple[str, ...]:
    return tuple(map(items.__getitem__, indices)) if items else ()


def _hashes_at(items: Sequence[str], indices: list[int]) -> Sequence[str]:
    return items[indices] if isinstance(items, HexColumn) else _at(items, indices)


def number_names(names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Number names in the order in which they first occur.

    Returns:
        The number of each, and each distinct name once

    >>> number_names(["b", "a", "b"])
    (array([0, 1, 0]), ['b', 'a'])
    """
    distinct = list(dict.fromkeys(names))
    number_of = dict(zip(distinct, range(len(distinct)), strict=True))
    return np.fromiter(map(number_of.__getitem__, names), np.int64, len(names)), distinct
