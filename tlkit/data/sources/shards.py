"""DATA as shards: tar files as WebDataset has them, or parquet files with the bytes of images.

`photos/{00000..00009}.tar`, one file, or a folder with nothing but shards, perhaps in a folder per subset.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tlkit.data.layout import IMAGE_SUFFIXES, subset_named
from tlkit.data.listing import FileEntry, entries_of, is_ignored, listed, natural_key, unlisted
from tlkit.data.sources.members import SEPARATOR
from tlkit.data.sources.parquet_rows import ImageColumns, image_columns, read_columns
from tlkit.data.sources.table_rows import as_text
from tlkit.data.sources.tar import scan_tar
from tlkit.data.table import (
    LABEL_COLUMNS,
    MAX_NAMED,
    NO_LABELS,
    SUBSET_COLUMNS,
    Columns,
    ImageTable,
    ListedImage,
    file_exists,
    guess_column,
)
from tlkit.errors import DataError, OptionError
from tlkit.utils.parallel import count_workers, ordered_map
from tlkit.utils.storage import PARALLEL_REQUESTS, Location, RemotePath, as_location, exists, is_file, is_folder
from tlkit.utils.text import quote_names

BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
MAX_SHARDS = 1_000_000
SUFFIXES = (".tar", ".parquet")
STEM = re.compile(r"(.+?)[-_. ]?\d.*")  # the word before the number of a shard, such as train-00001-of-00010
EXPECTED = (
    "expected shards of WebDataset: an image, and beside it a .cls, .txt or .json of the same name with its label"
)


@dataclass(frozen=True)
class Shards:
    """Shards of images.

    Attributes:
        root: the folder that their paths are relative to
        paths: one per shard
    """

    root: Location
    paths: tuple[str, ...]


def shards_root(data: Location) -> Location | None:
    """Give the folder that paths into shards are relative to; None where the name of DATA is not that of shards."""
    if pattern := _is_pattern(data):
        return pattern
    return data.parent if data.suffix.lower() == ".tar" and not is_folder(data) else None


def find_image_shards(data: Location) -> Shards | None:
    """Find the shards that DATA is; None where it is something else.

    Raises:
        DataError: if a shard of a pattern is missing
        StorageError
    """
    if root := _is_pattern(data):
        return _expanded(data, root)
    if data.suffix.lower() in SUFFIXES and is_file(data):
        is_shard = data.suffix.lower() == ".tar" or image_columns(data)
        return Shards(data.parent, (data.name,)) if is_shard else None
    if not is_folder(data):
        return None
    paths = sorted(_shards_in(listed(data)), key=natural_key)
    parquet = next((path for path in paths if path.lower().endswith(".parquet")), None)
    is_shards = paths and (parquet is None or image_columns(unlisted(data) / parquet))
    return Shards(data, tuple(paths)) if is_shards else None


def _is_pattern(data: Location) -> Location | None:
    """Give the folder that a pattern such as `photos/{00..09}.tar` is in; None where DATA is no pattern."""
    text = str(data)
    if not BRACES.search(text) or not text.lower().endswith(SUFFIXES) or (isinstance(data, Path) and exists(data)):
        return None
    before = text[: text.index("{")]
    return as_location(before.rpartition("/")[0] or "/" * before.startswith("/") or ".")


def _expanded(data: Location, root: Location) -> Shards:
    texts = list(expand_braces(str(data)))
    prefix = len(texts[0]) if str(root) == "." else len(str(root)) + 1
    paths = texts if str(root) == "." else [text[prefix:] for text in texts]
    folder = listed(root)
    if missing := [path for path in paths if not file_exists(folder / path)]:
        raise DataError(f"'{root / missing[0]}' does not exist; '{data}' means {len(paths):,} shards.")
    return Shards(folder, tuple(paths))


def expand_braces(text: str) -> Iterator[str]:
    """Write out a pattern of shards.

    Raises:
        DataError: if it means too many

    >>> list(expand_braces("a-{08..10}.tar"))
    ['a-08.tar', 'a-09.tar', 'a-10.tar']
    """
    found = BRACES.search(text)
    if not found:
        yield text
        return
    first, last = int(found[1]), int(found[2])
    if not 0 <= last - first < MAX_SHARDS:
        raise DataError(f"'{text}' means no shards, or more than {MAX_SHARDS:,}; expected e.g. {{00000..00099}}.")
    for number in range(first, last + 1):
        yield from expand_braces(f"{text[: found.start()]}{number:0{len(found[1])}}{text[found.end() :]}")


def _shards_in(folder: Location) -> list[str]:
    """List the shards of a folder that holds no images, or whose subfolders all are such folders."""
    try:
        entries = [(name, is_inner) for name, is_inner in entries_of(folder) if not is_ignored(name)]
    except OSError:  # which the reader of folders reports
        return []
    inner = [name for name, is_inner in entries if is_inner]
    names = [name for name, is_inner in entries if not is_inner]
    if any(Path(name).suffix.lower() in IMAGE_SUFFIXES for name in names):
        return []
    shards = [name for name in names if name.lower().endswith(SUFFIXES)]
    if shards or not inner:
        return [] if inner else shards
    found = list[str]()
    for name in inner:
        below = _shards_in(folder / name)
        if not below:
            return []
        found += [f"{name}/{path}" for path in below]
    return found


def read_shards(shards: Shards, asked: Columns) -> ImageTable:
    """List the images of shards, with their labels; no image is read.

    Raises:
        DataError: if a shard is damaged
        OptionError: for a column that is not there
    """
    workers = PARALLEL_REQUESTS if isinstance(shards.root, RemotePath) else count_workers()

    def read(path: str) -> tuple[list[ListedImage], list[FileEntry]]:
        """List the images of one shard."""
        file = unlisted(shards.root) / path
        return (_rows_of_tar if path.lower().endswith(".tar") else _rows_of_parquet)(file, path, asked)

    images, skipped = list[ListedImage](), list[FileEntry]()
    with ThreadPoolExecutor(workers) as pool:
        for found, left_out in ordered_map(pool, read, shards.paths, ahead=2 * workers):
            images += found
            skipped += left_out
    note = f"the images are inside {len(shards.paths):,} shards, and are read there."
    return ImageTable(unlisted(shards.root), tuple(images), tuple(skipped), (note,))


def images_in(shard: Location) -> list[str]:
    """List the images of one shard as paths into it, with labels or without; none where it is no shard.

    Raises:
        DataError: if a tar file is damaged
        OSError, StorageError
    """
    if shard.suffix.lower() == ".tar":
        names = [name for name in scan_tar(shard).positions if Path(name).suffix.lower() in IMAGE_SUFFIXES]
    else:
        columns = image_columns(shard)
        names = read_columns(shard, columns, [])[0] if columns else []
    return [f"{shard}{SEPARATOR}{name}" for name in names if not is_ignored(name.rpartition("/")[2])]


def _rows_of_tar(file: Location, path: str, asked: Columns) -> tuple[list[ListedImage], list[FileEntry]]:
    content = scan_tar(file)
    samples = defaultdict[str, dict[str, str]](dict)
    for name in content.positions:
        folder, slash, base = name.rpartition("/")
        stem, _, ending = base.partition(".")
        samples[f"{folder}{slash}{stem}"].setdefault(ending.lower(), name)
    images, skipped = list[ListedImage](), list[FileEntry]()
    for sample in samples.values():
        image = next((name for ending, name in sample.items() if f".{ending}" in IMAGE_SUFFIXES), "")
        if not image or is_ignored(image.rpartition("/")[2]):
            continue
        address = f"{path}{SEPARATOR}{image}"
        said = _said(sample, content.labels, asked)
        label, subset = said.get("label", ""), subset_named(said.get("subset", "")) or _subset_of(path)
        if label.casefold() in NO_LABELS:
            skipped.append(FileEntry(address, "no label beside it in the shard"))
        else:
            images.append(ListedImage(address, label, subset, said.get("group", "")))
    return images, skipped


def _said(sample: dict[str, str], labels: dict[str, bytes], asked: Columns) -> dict[str, str]:
    """Read what the members beside an image say of it."""
    texts = {ending: labels.get(name, b"").decode("utf-8", "replace").strip() for ending, name in sample.items()}
    try:
        facts = json.loads(texts["json"]) if "json" in texts else {}
    except (ValueError, RecursionError):
        facts = {}
    facts = {str(name): as_text(value) for name, value in facts.items()} if isinstance(facts, dict) else {}
    label = asked.label or guess_column(list(facts), LABEL_COLUMNS)
    subset = asked.subset or guess_column(list(facts), SUBSET_COLUMNS)
    stated = {"subset": facts.get(subset, ""), "group": facts.get(asked.group, "")}
    beside = "" if asked.label else texts.get("cls", "")
    return stated | {"label": (beside or facts.get(label, "") or ("" if asked.label else texts.get("txt", ""))).strip()}


def _rows_of_parquet(file: Location, path: str, asked: Columns) -> tuple[list[ListedImage], list[FileEntry]]:
    columns = image_columns(file)
    if not columns:
        raise DataError(f"'{file}' has no column with the bytes of images, which other shards have.")
    label = _label_column(file, columns, asked)
    subset = asked.subset or guess_column(columns.others, SUBSET_COLUMNS)
    wanted = list(dict.fromkeys(filter(None, (label, subset, asked.group))))
    images, skipped = list[ListedImage](), list[FileEntry]()
    class_names = columns.class_names.get(label, [])
    for name, row in zip(*read_columns(file, columns, wanted), strict=True):
        address, stated = f"{path}{SEPARATOR}{name}", _named(row.get(label), class_names)
        if stated.casefold() in NO_LABELS:
            skipped.append(FileEntry(address, "no label in its row"))
            continue
        part = subset_named(as_text(row.get(subset))) if subset else ""
        images.append(ListedImage(address, stated, part or _subset_of(path), as_text(row.get(asked.group))))
    return images, skipped


def _label_column(file: Location, columns: ImageColumns, asked: Columns) -> str:
    """Find the column of the labels.

    Raises:
        OptionError
    """
    for option, name in (("label", asked.label), ("split", asked.subset), ("group", asked.group)):
        if name and name not in columns.others:
            names = quote_names(columns.others, MAX_NAMED)
            raise OptionError(f"--{option}-column is '{name}'; '{file}' has the columns {names} beside the images.")
    found = asked.label or next(iter(columns.class_names), "") or guess_column(columns.others, LABEL_COLUMNS)
    if not found and len(columns.others) == 1:
        return columns.others[0]
    if not found:
        raise OptionError(
            f"'{file}' has the columns {quote_names(columns.others, MAX_NAMED)} beside the images; which of them holds "
            "the labels is not clear. Name it with --label-column."
        )
    return found


def _named(label: object, class_names: Sequence[str]) -> str:
    """Give the name of a label; "" where there is none, such as the -1 of Hugging Face."""
    if class_names and isinstance(label, int):
        return class_names[label] if 0 <= label < len(class_names) else ""
    return as_text(label).strip()


def _subset_of(path: str) -> str:
    """Name the subset that the folder or the name of a shard means; "" for none.

    >>> _subset_of("data/test-00000-of-00002.parquet"), _subset_of("val/1.tar"), _subset_of("photos-1.tar")
    ('test', 'validation', '')
    """
    *folders, name = path.split("/")
    stem = STEM.fullmatch(Path(name).stem)
    words = [*folders, stem[1] if stem else Path(name).stem]
    return next((subset for word in reversed(words) if (subset := subset_named(word))), "")
