"""Images listed in a table: csv, tsv, jsonl or parquet, with a column of paths and one of labels."""

import csv
import io
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlkit.data.layout import LABEL_TABLES, subset_named
from tlkit.data.listing import FileEntry, describe_special_file, list_files
from tlkit.errors import DataError, OptionError, require
from tlkit.utils.storage import is_file, is_folder
from tlkit.utils.text import quote_names

MAX_TABLE_BYTES = 1 << 30
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


@dataclass(frozen=True)
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

    root: Path
    images: tuple[ListedImage, ...]
    skipped: tuple[FileEntry, ...]
    notes: tuple[str, ...]


def is_table(path: Path) -> bool:
    """Tell by its name whether a file is a table."""
    return path.suffix.lower() in LABEL_TABLES


def read_table(file: Path, root: Path | None = None, columns: Columns | None = None) -> ImageTable:
    """Read a table of images and find their files.

    A path counts from `root`. Where no file is there, a file of that name anywhere below `root` is taken if it is the
    only one, with or without its suffix: tables of competitions name images by their numbers.

    root: the folder of the images; None for the folder of the table
    Raises:
        DataError: if the table cannot be read, or none of its images is there
        OptionError: for a column that it does not have, or where it is not clear which column is meant
    """
    root = root or file.parent
    if not is_folder(root):
        raise OptionError(f"--images is '{root}', which is not a folder; expected the folder of the table's images.")
    names, rows = read_rows(file)
    if not rows:
        raise DataError(f"'{file}' has no rows; expected a header and one row per image.")
    chosen = _choose_columns(file, names, rows, columns or Columns(), root)
    images, skipped = _find_images(rows, chosen, root)
    if not images:
        raise DataError(_nothing_found(file, root, rows, chosen, skipped))
    return ImageTable(root, tuple(images), tuple(skipped), tuple(_notes(names, chosen, columns or Columns())))


def read_rows(file: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Read a table as text: its columns, and one dictionary per row.

    Raises:
        DataError: if it is no such table
        ModelError: if the package for it is missing
    """
    try:
        if reason := describe_special_file(file.stat().st_mode):
            raise DataError(f"'{file}' is {reason}; expected a table of images, such as labels.csv.")
        if file.stat().st_size > MAX_TABLE_BYTES:
            raise DataError(f"'{file}' is larger than 1 GB; expected a table of paths and labels.")
        if file.suffix.lower() == ".parquet":
            return _read_parquet(file)
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"'{file}' cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError as error:
        raise DataError(f"'{file}' is not UTF-8 text (byte {error.start}); save the table as UTF-8.") from None
    if file.suffix.lower() in (".jsonl", ".ndjson"):
        return _read_jsonl(file, text)
    return _read_csv(file, text)


def _read_csv(file: Path, text: str) -> tuple[list[str], list[dict[str, str]]]:
    header = text.split("\n", 1)[0]
    delimiter = "\t" if file.suffix.lower() == ".tsv" else max(",;\t|", key=header.count)
    try:
        names, *lines = [line for line in csv.reader(io.StringIO(text), delimiter=delimiter, strict=True) if line]
    except ValueError:
        raise DataError(f"'{file}' is empty; expected a header and one row per image.") from None
    except csv.Error as error:
        raise DataError(f"'{file}' cannot be read as a table ({error}).") from None
    names = [name.strip() for name in names]
    if duplicates := [name for name, count in Counter(names).items() if count > 1 and name]:
        raise DataError(f"'{file}' has two columns called '{duplicates[0]}'; rename one of them.")
    for number, line in enumerate(lines, 2):
        if len(line) > len(names):
            raise DataError(f"'{file}' has {len(line)} values in row {number}, but {len(names)} columns.")
    return names, [dict(zip(names, [*line, *[""] * (len(names) - len(line))], strict=True)) for line in lines]


def _read_jsonl(file: Path, text: str) -> tuple[list[str], list[dict[str, str]]]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise DataError(f"'{file}' has no JSON object in line {number}; expected one per line.")
        rows.append({name: _as_text(value) for name, value in content.items()})
    return list(dict.fromkeys(name for row in rows for name in row)), rows


def _read_parquet(file: Path) -> tuple[list[str], list[dict[str, str]]]:
    require("pyarrow", "parquet", f"'{file}'")
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(file)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"'{file}' cannot be read as parquet ({reason}).") from None
    rows = [{name: _as_text(value) for name, value in row.items()} for row in table.to_pylist()]
    return list(table.column_names), rows


def _as_text(value: Any) -> str:
    """
    >>> _as_text(3.0), _as_text(None), _as_text(float("nan")), _as_text(["cat"]), _as_text(True)
    ('3', '', '', 'cat', 'True')
    """
    if isinstance(value, list) and len(value) == 1:
        return _as_text(value[0])
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _choose_columns(
    file: Path, names: Sequence[str], rows: Sequence[Mapping[str, str]], asked: Columns, root: Path
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
    label = asked.label or _guess(names, LABEL_COLUMNS, but=path)
    others = [name for name in names if name and name not in (path, asked.group, asked.subset)]
    if not label and len(others) == 1:
        label = others[0]
    if not label:
        raise OptionError(
            f"'{file}' has the columns {quote_names(names, MAX_NAMED)}; which of them holds the labels is not clear. "
            "Name it with --label-column."
        )
    subset = asked.subset or _guess(names, SUBSET_COLUMNS, but=path)
    if subset and not asked.subset and not any(subset_named(row.get(subset, "")) for row in rows[:1000]):
        subset = ""
    return Columns(path, label, subset, asked.group)


def _column_of_paths(file: Path, names: Sequence[str], rows: Sequence[Mapping[str, str]], root: Path) -> str:
    """Guess by the names of the columns, then by where files are.

    Raises:
        OptionError
    """
    if guess := _guess(names, PATH_COLUMNS):
        return guess
    for name in names:
        if any(is_file(root / row[name]) for row in rows[:20] if row.get(name)):
            return name
    raise OptionError(
        f"'{file}' has the columns {quote_names(names, MAX_NAMED)}; which of them holds the paths of the "
        "images is not clear. Name it with --path-column."
    )


def _guess(names: Sequence[str], usual: Sequence[str], but: str = "") -> str:
    """Find the column with the most usual name, without regard to case, blanks and underscores; "" for none."""
    by_key = {re.sub(r"[\s_.\-]+", "", name.casefold()): name for name in reversed(names) if name != but}
    return next((by_key[key] for key in usual if key in by_key), "")


def _find_images(
    rows: Iterable[Mapping[str, str]], columns: Columns, root: Path
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

    def __init__(self, root: Path) -> None:
        self.root, self.resolved = root, root.resolve()
        self._by_name: dict[str, list[str]] | None = None

    def find(self, name: str) -> tuple[str, str]:
        """Give the path of a file and why there is none, either of them ""."""
        if not name:
            return "", "no path in the table"
        file = self.root / name.replace("\\", "/")
        if is_file(file):
            return self._relative(file.resolve() if ".." in file.parts else file)
        found = self._named(Path(name.replace("\\", "/")).name)
        if len(found) == 1:
            return found[0], ""
        return "", f"{len(found)} files have this name" if found else "no such file"

    def _relative(self, file: Path) -> tuple[str, str]:
        try:
            return file.relative_to(self.root).as_posix(), ""
        except ValueError:
            resolved = file.resolve()
            if resolved.is_relative_to(self.resolved):
                return resolved.relative_to(self.resolved).as_posix(), ""
            return "", "outside the folder of the images; give a folder above it as --images"

    def _named(self, name: str) -> list[str]:
        if self._by_name is None:
            self._by_name = defaultdict(list)
            for entry in list_files(self.root):
                if not entry.reason:
                    self._by_name[Path(entry.path).name].append(entry.path)
                    self._by_name[Path(entry.path).stem].append(entry.path)
        return self._by_name.get(name, [])


def _nothing_found(
    file: Path, root: Path, rows: Sequence[Mapping[str, str]], columns: Columns, skipped: Sequence[FileEntry]
) -> str:
    commonest, count = Counter(entry.reason or "" for entry in skipped).most_common(1)[0]
    first = skipped[0].path
    if commonest == "no such file":
        return (
            f"'{file}' lists {len(rows)} images, but none of them is in '{root}', e.g. '{first}' of the column "
            f"'{columns.path}'; give the folder of the images as --images, or the column as --path-column."
        )
    return f"'{file}' lists no image that can be used ({commonest}: {count}, e.g. '{first}')."


def _notes(names: Sequence[str], chosen: Columns, asked: Columns) -> list[str]:
    subset = f", subsets from '{chosen.subset}'" if chosen.subset else ""
    group = f", groups from '{chosen.group}'" if chosen.group else ""
    notes = [f"paths are from the column '{chosen.path}', labels from '{chosen.label}'{subset}{group}."]
    if not asked.group and (hint := _guess(names, GROUP_COLUMNS, but=chosen.label)):
        notes.append(
            f"the table has a column '{hint}': --group-column '{hint}' keeps what belongs together in one subset."
        )
    return notes
