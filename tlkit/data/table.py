"""Images listed in a table: csv, tsv, jsonl or parquet, with a column of paths and one of labels."""

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlkit.data.layout import LABEL_TABLES, subset_named
from tlkit.data.listing import FileEntry, ListedFolder, list_files, listed
from tlkit.data.sources.table_rows import bucket_named_in, read_rows
from tlkit.errors import DataError, OptionError
from tlkit.utils.storage import Location, RemotePath, is_file, is_folder, is_remote
from tlkit.utils.text import quote_names

PATH_COLUMNS = (
    *("path", "filename", "file", "filepath", "imagepath", "imagefile", "imagename", "image", "img", "photo"),
    *("imageid", "imgid", "fileid", "idcode", "name", "id"),
)
LABEL_COLUMNS = (
    *("label", "labels", "class", "classname", "category", "target", "species", "breed", "diagnosis", "dx", "y"),
    *("classid", "categoryid", "labelid"),
)
SUBSET_COLUMNS = ("split", "subset", "partition")
GROUP_COLUMNS = (  # that are named in a note where no group is asked for
    *("group", "groupid", "patient", "patientid", "subject", "subjectid", "video", "videoid", "session"),
    *("sessionid", "lesionid", "case", "caseid", "sequence", "sequenceid", "individual", "camera", "site"),
)
MAX_NAMED = 12  # columns that a message lists
NO_LABELS = ("", "nan", "none", "null", "na", "n/a", "<na>")  # without regard to case


@dataclass(frozen=True)
class Columns:
    """Names of columns; "" guesses paths, labels and subsets, and takes no groups."""

    path: str = ""
    label: str = ""
    subset: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class ListedImage:
    """One image of a table.

    path    relative to the root, with `/`
    subset  "train", "validation", "test", or ""
    group   as the table writes it; "" where it has none
    """

    path: str
    label: str
    subset: str = ""
    group: str = ""


@dataclass(frozen=True)
class ImageTable:
    """The images that a table lists.

    root     the folder of the images
    images   in the order of the table, no path twice
    skipped  rows that are left out, each with its reason
    notes    what a person should know: which columns were taken
    """

    root: Location
    images: tuple[ListedImage, ...]
    skipped: tuple[FileEntry, ...]
    notes: tuple[str, ...]


def is_table(path: Location) -> bool:
    """Tell by its name whether a file is a table."""
    return path.suffix.lower() in LABEL_TABLES


def read_table(file: Location, root: Location | None = None, columns: Columns | None = None) -> ImageTable:
    """Read a table of images and find their files.

    A path counts from `root`. Where no file is there, a file of that name anywhere below `root` is taken if it is the
    only one, with or without its suffix: tables of competitions name images by their numbers.

    Images that are listed by URIs are taken as they are, without a look at their bucket.

    root: the folder of the images; None for the folder of the table, or for the bucket of the URIs in it
    Raises:
        DataError: if the table cannot be read, or none of its images is there
        OptionError: for a column that it does not have, or where it is not clear which column is meant
        StorageError
    """
    rows = read_rows(file)
    names = rows.names
    if not rows:
        raise DataError(f"'{file}' has no rows; expected a header and one row per image.")
    bucket = None if root else bucket_named_in(file)
    root = bucket or listed(root or file.parent)
    if not bucket and not is_folder(root):
        raise OptionError(f"--images is '{root}', which is not a folder; expected the folder of the table's images.")
    chosen = _choose_columns(file, names, rows, columns or Columns(), root)
    count = len(rows)
    images, skipped = _find_images(rows.taken(), chosen, root)
    if not images:
        raise DataError(_nothing_found(file, root, count, chosen, skipped))
    return ImageTable(root, tuple(images), tuple(skipped), tuple(_notes(names, chosen, columns or Columns())))


def _choose_columns(
    file: Location, names: Sequence[str], rows: Sequence[Mapping[str, str]], asked: Columns, root: Location
) -> Columns:
    """Take the columns asked for, and guess the others by their names.

    Raises:
        OptionError
    """
    for option, name in (("path", asked.path), ("label", asked.label), ("split", asked.subset), ("group", asked.group)):
        if name and name not in names:
            raise OptionError(
                f"--{option}-column is '{name}'; '{file}' has the columns {quote_names(names, MAX_NAMED)}."
            )
    path = asked.path or _column_of_paths(file, names, rows, root)
    label = asked.label or guess_column(names, LABEL_COLUMNS, but=path)
    others = [name for name in names if name and name not in (path, asked.group, asked.subset)]
    if not label and len(others) == 1:
        label = others[0]
    if not label:
        raise OptionError(
            f"'{file}' has the columns {quote_names(names, MAX_NAMED)}; which of them holds the labels is not clear. "
            "Name it with --label-column."
        )
    subset = asked.subset or guess_column(names, SUBSET_COLUMNS, but=path)
    if subset and not asked.subset and not any(subset_named(row.get(subset, "")) for row in rows[:1000]):
        subset = ""
    return Columns(path, label, subset, asked.group)


def _column_of_paths(file: Location, names: Sequence[str], rows: Sequence[Mapping[str, str]], root: Location) -> str:
    """Guess by the names of the columns, then by where files are.

    Raises:
        OptionError
    """
    if guess := guess_column(names, PATH_COLUMNS):
        return guess
    for name in names:
        values = [row[name] for row in rows[:20] if row.get(name)]
        if any(is_remote(value) if _takes_uris(root) else file_exists(root / value) for value in values):
            return name
    raise OptionError(
        f"'{file}' has the columns {quote_names(names, MAX_NAMED)}; which of them holds the paths of the "
        "images is not clear. Name it with --path-column."
    )


def guess_column(names: Sequence[str], usual: Sequence[str], but: str = "") -> str:
    """Find the column with the most usual name, without regard to case, blanks and underscores; "" for none."""
    by_key = {re.sub(r"[\s_.\-]+", "", name.casefold()): name for name in reversed(names) if name != but}
    return next((by_key[key] for key in usual if key in by_key), "")


def _find_images(
    rows: Iterable[Mapping[str, str]], columns: Columns, root: Location
) -> tuple[list[ListedImage], list[FileEntry]]:
    """Find the file of each row; rows without file or label, and those that contradict others, are left out."""
    files = _Files(root)
    images: dict[str, ListedImage] = {}
    skipped: list[FileEntry] = []
    for row in rows:
        name, label = row.get(columns.path, "").strip(), row.get(columns.label, "").strip()
        path, reason = files.find(name)
        if not reason and label.casefold() in NO_LABELS:
            reason = "no label in the table"
        if reason:
            skipped.append(FileEntry(name or "(no path)", reason))
            continue
        subset = subset_named(row.get(columns.subset, "")) if columns.subset else ""
        image = ListedImage(path, label, subset, row.get(columns.group, "").strip() if columns.group else "")
        if images.setdefault(path, image) != image:
            skipped.append(FileEntry(path, f"listed again as '{label}', after '{images[path].label}'"))
    return list(images.values()), skipped


class _Files:
    """The files below a folder, found by path, or by a name that only one of them has."""

    def __init__(self, root: Location) -> None:
        self.root, self.resolved = root, root.resolve()
        self._by_name: dict[str, list[str]] | None = None

    def find(self, name: str) -> tuple[str, str]:
        """Give the path of a file and why there is none, either of them ""."""
        if not name:
            return "", "no path in the table"
        if _takes_uris(self.root):
            is_inside = name.startswith(f"{self.root}/")
            return (name[len(str(self.root)) + 1 :], "") if is_inside else ("", f"not in '{self.root}', as others are")
        file = self.root / self._below(name.replace("\\", "/"))
        if file_exists(file):
            return self._relative(file.resolve() if ".." in file.parts else file)
        found = self._named(Path(name.replace("\\", "/")).name)
        if len(found) == 1:
            return found[0], ""
        return "", f"{len(found)} files have this name" if found else "no such file"

    def _below(self, name: str) -> str:
        """Write a name as a path below the root; in an object store, where a URI may be listed, too."""
        if isinstance(self.root, Path):
            return name
        return posixpath.normpath(name.removeprefix(f"{self.root}/"))

    def _relative(self, file: Location) -> tuple[str, str]:
        try:
            return _path_below(file, self.root), ""
        except ValueError:
            resolved = file.resolve()
            if resolved.is_relative_to(str(self.resolved)):
                return _path_below(resolved, self.resolved), ""
            return "", "outside the folder of the images; give a folder above it as --images"

    def _named(self, name: str) -> list[str]:
        if self._by_name is None:
            self._by_name = defaultdict(list)
            for entry in list_files(self.root):
                if not entry.reason:
                    self._by_name[Path(entry.path).name].append(entry.path)
                    self._by_name[Path(entry.path).stem].append(entry.path)
        return self._by_name.get(name, [])


def file_exists(file: Location) -> bool:
    """Tell whether a file is there; of a folder of an object store that was listed, without a request."""
    return file.is_listed() if isinstance(file, ListedFolder) else is_file(file)


def _takes_uris(root: Location) -> bool:
    """Tell whether a root is the bucket of URIs, which was not listed."""
    return isinstance(root, RemotePath) and not isinstance(root, ListedFolder)


def _path_below(file: Location, root: Location) -> str:
    return file.relative_to(str(root)).as_posix()


def _nothing_found(
    file: Location, root: Location, num_rows: int, columns: Columns, skipped: Sequence[FileEntry]
) -> str:
    commonest, count = Counter(entry.reason or "" for entry in skipped).most_common(1)[0]
    first = skipped[0].path
    if commonest == "no such file":
        return (
            f"'{file}' lists {num_rows} images, but none of them is in '{root}', e.g. '{first}' of the column "
            f"'{columns.path}'; give the folder of the images as --images, or the column as --path-column."
        )
    return f"'{file}' lists no image that can be used ({commonest}: {count}, e.g. '{first}')."


def _notes(names: Sequence[str], chosen: Columns, asked: Columns) -> list[str]:
    subset = f", subsets from '{chosen.subset}'" if chosen.subset else ""
    group = f", groups from '{chosen.group}'" if chosen.group else ""
    notes = [f"paths are from the column '{chosen.path}', labels from '{chosen.label}'{subset}{group}."]
    if not asked.group and (hint := guess_column(names, GROUP_COLUMNS, but=chosen.label)):
        notes.append(
            f"the table has a column '{hint}': --group-column '{hint}' keeps what belongs together in one subset."
        )
    return notes
