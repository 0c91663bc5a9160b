"""From a folder of images to an `ImageFolder`: which files there are, and which class each is."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tlkit.data.listing import FileEntry, is_ignored, list_files, natural_key
from tlkit.errors import DataError

SUBSET_FOLDERS = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
UNKNOWN = "_unknown"  # a folder that is reserved


@dataclass(frozen=True)
class ImageFolder:
    """Images with their classes, in natural order of their paths.

    root         the folder the paths are relative to
    class_names  in label order, sorted naturally
    paths        one per image, relative to `root`, with `/`
    labels       int32 (images,), an index into `class_names`
    subsets      one per image: "train", "validation" or "test" where the folder says so, else ""
    sha256       one per image, of the file's bytes, hexadecimal; empty until the files are read
    groups       one per image: images with equal pixels share it; empty until the files are read
    skipped      files that are no part of this, each with its reason
    """

    root: Path
    class_names: tuple[str, ...]
    paths: tuple[str, ...]
    labels: np.ndarray
    subsets: tuple[str, ...]
    sha256: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    skipped: tuple[FileEntry, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def files(self) -> list[Path]:
        """The path of each image, with `root`."""
        return [self.root / path for path in self.paths]

    @property
    def class_counts(self) -> list[int]:
        """The number of images of each class, in label order."""
        return [int(count) for count in np.bincount(self.labels, minlength=self.num_classes)]

    def subset(self, positions: Sequence[int] | np.ndarray) -> "ImageFolder":
        """Take the images at these positions, in their order; all classes stay, `skipped` becomes empty."""
        indices = [int(position) for position in positions]
        return replace(
            self,
            paths=_at(self.paths, indices),
            labels=self.labels[indices],
            subsets=_at(self.subsets, indices),
            sha256=_at(self.sha256, indices),
            groups=_at(self.groups, indices),
            skipped=(),
        )

    def with_hashes(self, hashes: Sequence[tuple[str, str]]) -> "ImageFolder":
        """Add the (sha256, group) of each image."""
        return replace(self, sha256=tuple(sha for sha, _ in hashes), groups=tuple(group for _, group in hashes))

    def with_skipped(self, entries: Iterable[FileEntry]) -> "ImageFolder":
        """Add files to `skipped`."""
        return replace(self, skipped=self.skipped + tuple(entries))


def read_folder(root: str | Path, class_names: tuple[str, ...] = ()) -> ImageFolder:
    """List the images below `root`: one subfolder per class, or train/, val/ and test/ above them.

    Reads names only. `val`, `valid` and `validation` mean the same; classes are matched by name
    across them, in Unicode's composed form. Nested folders belong to their class.

    class_names: the classes of a finished run, in label order; then fewer of them may be there
    raises: DataError where this is no such folder, a class is empty or not among `class_names`,
        or fewer than two classes are found
    """
    root = Path(root)
    if not root.is_dir():
        found = "is a file" if root.exists() else "does not exist"
        raise DataError(f"'{root}' {found}; expected a folder with one subfolder of images per class.")
    subset_folders = _find_subset_folders(root, class_names)
    entries = list(list_files(root))
    skipped = [entry for entry in entries if entry.reason]
    located = [(entry.path, *_subset_and_class(entry.path, subset_folders)) for entry in entries if not entry.reason]
    skipped += [FileEntry(path, "not inside a class folder") for path, _, name in located if not name]
    skipped += [FileEntry(path, f"in {UNKNOWN}/, which is reserved") for path, _, name in located if name == UNKNOWN]
    images = [(path, subset, name) for path, subset, name in located if name not in ("", UNKNOWN)]
    allowed = set(class_names) or _training_classes(root, subset_folders)
    _refuse_other_classes(root, subset_folders, allowed)
    if not class_names:
        _require_classes(root, subset_folders, allowed, {name for _, _, name in images})
        class_names = tuple(sorted(allowed, key=natural_key))
    label_of = {name: label for label, name in enumerate(class_names)}
    return ImageFolder(
        root=root,
        class_names=class_names,
        paths=tuple(path for path, _, _ in images),
        labels=np.array([label_of[name] for _, _, name in images], dtype=np.int32),
        subsets=tuple(subset for _, subset, _ in images),
        skipped=tuple(skipped),
    )


def _find_subset_folders(root: Path, class_names: tuple[str, ...]) -> dict[str, str]:
    """Folders above the classes, each with its subset: {"": ""} unless all subfolders are named after subsets."""
    names = [name for name in _subfolders(root) if name != UNKNOWN]
    if not names or not set(names) <= SUBSET_FOLDERS.keys() - set(class_names):
        return {"": ""}
    if "train" not in names and not class_names:
        raise DataError(f"'{root}' has {' and '.join(names)} but no 'train' folder to learn from; add one.")
    subset_folders = {name: SUBSET_FOLDERS[name] for name in names}
    if len(set(subset_folders.values())) < len(names):
        twins = [name for name, subset in subset_folders.items() if subset == "validation"]
        raise DataError(f"'{root}' has {' and '.join(twins)}, which mean the same; keep one of them.")
    return subset_folders


def _subset_and_class(path: str, subset_folders: dict[str, str]) -> tuple[str, str]:
    """The subset and the class of a file, each "" where it lies above such folders."""
    parts = path.split("/")
    subset = "" if "" in subset_folders else subset_folders.get(parts[0], "")
    inner = parts[1:] if subset else parts
    has_class = len(inner) > 1 and (subset or "" in subset_folders or inner[0] == UNKNOWN)
    return subset, _composed(inner[0]) if has_class else ""


def _training_classes(root: Path, subset_folders: dict[str, str]) -> set[str]:
    return {
        _composed(name)
        for folder in subset_folders
        if SUBSET_FOLDERS.get(folder, "train") == "train"
        for name in _class_folders(root / folder)
    }


def _refuse_other_classes(root: Path, subset_folders: dict[str, str], allowed: set[str]) -> None:
    for folder in subset_folders:
        for name in _class_folders(root / folder):
            if _composed(name) not in allowed:
                shown = sorted(allowed, key=natural_key)
                listed = ", ".join(shown[:10]) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")
                raise DataError(
                    f"'{root / folder}' has a class '{name}' that was not learnt; "
                    f"expected only {listed}; rename or remove it."
                )


def _require_classes(root: Path, subset_folders: dict[str, str], classes: set[str], with_files: set[str]) -> None:
    if len(classes) < 2:
        where = "its 'train' folder" if "train" in subset_folders else "it"
        found = f"one subfolder ('{min(classes)}')" if classes else "no subfolder"
        raise DataError(
            f"'{root}' is no folder of classes: {where} has {found}; "
            "expected two or more subfolders of images, one per class."
        )
    if empty := sorted(classes - with_files, key=natural_key):
        raise DataError(f"'{root}' has no file for class '{empty[0]}'; add images of it or remove its folder.")


def _class_folders(folder: Path) -> list[str]:
    return [name for name in _subfolders(folder) if name != UNKNOWN]


def _subfolders(folder: Path) -> list[str]:
    try:
        names = [entry.name for entry in folder.iterdir() if entry.is_dir() and not is_ignored(entry.name)]
    except OSError as error:
        raise DataError(f"'{folder}' cannot be read ({error.strerror}); check its permissions.") from None
    return sorted(names, key=natural_key)


def _composed(name: str) -> str:
    """One spelling per name: macOS writes `é` as two characters, the others as one."""
    return unicodedata.normalize("NFC", name)


def _at(items: tuple[str, ...], indices: list[int]) -> tuple[str, ...]:
    return tuple(items[index] for index in indices) if items else ()
