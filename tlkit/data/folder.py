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
UNKNOWN = "_unknown"


@dataclass(frozen=True)
class ImageFolder:
    """Images with their classes, in natural order of their paths.

    root          the folder the paths are relative to
    class_names   in label order, sorted naturally
    paths         one per image, relative to `root`, with `/`
    labels        int32 (images,), an index into `class_names`
    sides         one per image: "train", "validation" or "test" where the folder says so, else ""
    sha256        one per image, of the file's bytes, hexadecimal; empty until the files are read
    groups        one per image: images with equal pixels share it; empty until the files are read
    left_out      files that are no part of this, each with its reason
    """

    root: Path
    class_names: tuple[str, ...]
    paths: tuple[str, ...]
    labels: np.ndarray
    sides: tuple[str, ...]
    sha256: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    left_out: tuple[FileEntry, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def files(self) -> list[Path]:
        """Where each image lies."""
        return [self.root / path for path in self.paths]

    @property
    def counts(self) -> list[int]:
        """How many images each class has, in label order."""
        return [int(count) for count in np.bincount(self.labels, minlength=self.num_classes)]

    def pick(self, keep: Sequence[int] | np.ndarray) -> "ImageFolder":
        """The images at these positions, in their order; the classes stay, the list of those left out does not."""
        rows = [int(row) for row in keep]
        return replace(
            self,
            paths=_at(self.paths, rows),
            labels=self.labels[rows],
            sides=_at(self.sides, rows),
            sha256=_at(self.sha256, rows),
            groups=_at(self.groups, rows),
            left_out=(),
        )

    def identified(self, hashes: Sequence[tuple[str, str]]) -> "ImageFolder":
        """The same images with (sha256, group) of each."""
        return replace(self, sha256=tuple(sha for sha, _ in hashes), groups=tuple(group for _, group in hashes))

    def leave_out(self, problems: Iterable[FileEntry]) -> "ImageFolder":
        """The same folder with more files on the list of those left out."""
        return replace(self, left_out=self.left_out + tuple(problems))


def read_folder(root: str | Path, class_names: tuple[str, ...] = ()) -> ImageFolder:
    """The images below `root`: one subfolder per class, or train/, val/ and test/ above them.

    Reads names only. `val`, `valid` and `validation` mean the same; classes are matched by name
    across them, in Unicode's composed form. Nested folders belong to their class.

    class_names: the classes of a finished run, in label order; then fewer of them may be there
    raises: DataError where this is no such folder, a class is empty or not among `class_names`,
        or fewer than two classes are found
    """
    root = Path(root)
    _require_folder(root)
    sides = _subsets_of(root, class_names)
    files = list(list_files(root))
    problems = [found for found in files if found.problem]
    images = [_placed(found.path, sides) for found in files if not found.problem]
    problems += [FileEntry(path, "not inside a class folder") for _, name, path in images if not name]
    problems += [FileEntry(path, f"in {UNKNOWN}/, which is reserved") for _, name, path in images if name == UNKNOWN]
    images = [image for image in images if image[1] not in ("", UNKNOWN)]
    learnt = set(class_names) or _learnt(root, sides)
    _refuse_strangers(root, sides, learnt)
    if not class_names:
        _require_classes(root, sides, learnt, {name for _, name, _ in images})
        class_names = tuple(sorted(learnt, key=natural_key))
    return ImageFolder(
        root=root,
        class_names=class_names,
        paths=tuple(path for _, _, path in images),
        labels=_labels([name for _, name, _ in images], class_names),
        sides=tuple(side for side, _, _ in images),
        left_out=tuple(problems),
    )


def _require_folder(root: Path) -> None:
    if not root.is_dir():
        found = "is a file" if root.exists() else "does not exist"
        raise DataError(f"'{root}' {found}; expected a folder with one subfolder of images per class.")


def _subsets_of(root: Path, class_names: tuple[str, ...]) -> dict[str, str]:
    """Folders to read and the side each is: {"": ""} unless all class-like folders name sides."""
    names = [name for name in _subfolders(root) if name != UNKNOWN]
    if not names or not set(names) <= SUBSET_FOLDERS.keys() - set(class_names):
        return {"": ""}
    if "train" not in names and not class_names:
        raise DataError(f"'{root}' has {' and '.join(names)} but no 'train' folder to learn from; add one.")
    sides = {name: SUBSET_FOLDERS[name] for name in names}
    if len(set(sides.values())) < len(sides):
        twins = [name for name in sides if sides[name] == "validation"]
        raise DataError(f"'{root}' has {' and '.join(twins)}, which mean the same; keep one of them.")
    return sides


def _subfolders(folder: Path) -> list[str]:
    try:
        names = [entry.name for entry in folder.iterdir() if entry.is_dir() and not is_ignored(entry.name)]
    except OSError as error:
        raise DataError(f"'{folder}' cannot be read ({error.strerror}); check its permissions.") from None
    return sorted(names, key=natural_key)


def _placed(path: str, sides: dict[str, str]) -> tuple[str, str, str]:
    """The side and the class a file is in, each "" where it lies above such folders, and its path."""
    parts = path.split("/")
    side = "" if "" in sides else sides.get(parts[0], "")
    inner = parts[1:] if side else parts
    is_classed = len(inner) > 1 and (side or "" in sides or inner[0] == UNKNOWN)
    return side, (_composed(inner[0]) if is_classed else ""), path


def _composed(name: str) -> str:
    """One spelling per name: macOS writes `é` as two characters, the others as one."""
    return unicodedata.normalize("NFC", name)


def _learnt(root: Path, sides: dict[str, str]) -> set[str]:
    """The classes there are to learn, from the names of folders."""
    return {
        _composed(name)
        for folder in sides
        if SUBSET_FOLDERS.get(folder, "train") == "train"
        for name in _classes(root, folder)
    }


def _classes(root: Path, folder: str) -> list[str]:
    return [name for name in _subfolders(root / folder) if name != UNKNOWN]


def _refuse_strangers(root: Path, sides: dict[str, str], learnt: set[str]) -> None:
    for folder in sides:
        for name in _classes(root, folder):
            if _composed(name) not in learnt:
                raise DataError(
                    f"'{root / folder}' has a class '{name}' that was not learnt; "
                    f"expected only {_listed(learnt)}; rename or remove it."
                )


def _require_classes(root: Path, sides: dict[str, str], learnt: set[str], filled: set[str]) -> None:
    if len(learnt) < 2:
        where = "its 'train' folder" if "train" in sides else "it"
        found = f"one subfolder ('{min(learnt)}')" if learnt else "no subfolder"
        raise DataError(
            f"'{root}' is no folder of classes: {where} has {found}; "
            "expected two or more subfolders of images, one per class."
        )
    if empty := sorted(learnt - filled, key=natural_key):
        raise DataError(f"'{root}' has no file for class '{empty[0]}'; add images of it or remove its folder.")


def _listed(names: set[str]) -> str:
    shown = sorted(names, key=natural_key)
    return ", ".join(shown[:10]) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")


def _labels(names: Sequence[str], class_names: Sequence[str]) -> np.ndarray:
    position = {name: label for label, name in enumerate(class_names)}
    return np.array([position[name] for name in names], dtype=np.int32)


def _at(values: tuple[str, ...], rows: list[int]) -> tuple[str, ...]:
    return tuple(values[row] for row in rows) if values else ()
