"""One reader behind every command that takes DATA: a folder of classes, a table of images, or shards.

A folder has a subfolder per class (`folder.py`), or labels in the names of its files (`--label-regex`), or a
`metadata.csv` as Hugging Face's imagefolder has it. A table is read by `table.py`. Each may be in an object store.
"""

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from tlkit.data.folder import ImageFolder, read_folder
from tlkit.data.layout import UNKNOWN, composed, subset_named
from tlkit.data.listing import FileEntry, entries_of, list_files, listed, natural_key, unlisted
from tlkit.data.related_names import related_notes
from tlkit.data.sources.shards import EXPECTED, Shards, find_image_shards, read_shards, shards_root
from tlkit.data.sources.table_rows import bucket_named_in, read_rows
from tlkit.data.table import Columns, ImageTable, ListedImage, file_exists, is_table, read_table
from tlkit.errors import DataError, OptionError
from tlkit.utils.storage import Location, as_location, exists, is_folder, require_existing
from tlkit.utils.text import quote_names

METADATA = ("metadata.csv", "metadata.jsonl")  # of an imagefolder of Hugging Face, with a column `file_name`
ARCHIVES = {
    ".zip": "unzip",
    ".tar": "tar -xf",
    ".tgz": "tar -xf",
    ".gz": "tar -xf",
    ".bz2": "tar -xf",
    ".xz": "tar -xf",
}
MAX_NAMED, NEIGHBORS = 200_000, 1000  # images whose names are compared, and of them those that lie side by side
MAX_CLASSES_WITHOUT_QUESTION = 20  # more, at less than two images each, are values or names rather than classes


@dataclass(frozen=True)
class DataOptions:
    """Options that say which image of DATA is which; "" guesses, or does without.

    Attributes:
        images: folder of a table's images; "" for the folder of the table
        path_column: of a table; so are the next ones
        label_regex: finds the label in the path of a file; "" for the folder it is in
        group_regex: finds what belongs together in the path of a file
    """

    images: str = ""
    path_column: str = ""
    label_column: str = ""
    split_column: str = ""
    group_column: str = ""
    label_regex: str = ""
    group_regex: str = ""

    @property
    def columns(self) -> Columns:
        """The columns of a table."""
        return Columns(self.path_column, self.label_column, self.split_column, self.group_column)

    @property
    def needs_table(self) -> bool:
        """True if an option is given that only a table has."""
        return bool(self.images) or self.columns != Columns()


def read_data(
    data: str | Location, options: DataOptions | None = None, class_names: tuple[str, ...] = ()
) -> ImageFolder:
    """List the images of DATA, with their classes, subsets and groups; no image is opened.

    class_names: the classes of a finished run, in label order; then fewer of them may be there
    Raises:
        DataError: if DATA is none of these, or a class is empty or unknown
        OptionError: for an option that does not fit DATA
        StorageError: if an object store does not give it
    """
    options = options or DataOptions()
    label_regex, group_regex = compiled("label", options.label_regex), compiled("group", options.group_regex)
    folder = _list_images(as_location(data), options, label_regex, class_names)
    if group_regex:
        return _grouped_by(group_regex, folder)
    if class_names or any(folder.related):
        return folder
    return replace(folder, notes=(*folder.notes, *related_notes(_named(folder))))


def _named(folder: ImageFolder) -> list[tuple[str, str, str]]:
    """Give path, subset and class of each image, of very many those of some runs of neighbors: relatives are such."""
    positions = np.arange(len(folder))
    if len(folder) > MAX_NAMED and "validation" not in folder.subsets:
        starts = np.linspace(0, len(folder) - NEIGHBORS, MAX_NAMED // NEIGHBORS, dtype=np.int64)
        positions = (starts[:, None] + np.arange(NEIGHBORS)).ravel()
    names = (folder.class_names[label] for label in folder.labels[positions].tolist())
    return [(folder.paths[k], folder.subsets[k], name) for k, name in zip(positions.tolist(), names, strict=True)]


def _list_images(
    data: Location, options: DataOptions, label_regex: re.Pattern[str] | None, class_names: tuple[str, ...]
) -> ImageFolder:
    """List the images of DATA as what it is: shards, a table, or a folder."""
    data = listed(data) if is_folder(data) else data
    shards = None if label_regex else find_image_shards(data)
    if shards:
        return _listed(_read_shards(data, shards, options), class_names)
    require_existing(data)
    _refuse_archive(data)
    table = _find_table(data, options)
    if options.needs_table and not table:
        raise OptionError(f"'{data}' is not a table; --images and the --...-column options need one, e.g. labels.csv.")
    if table and label_regex:
        raise OptionError("--label-regex is for folders; a table says the labels itself. Leave one of them out.")
    if table:
        return _listed(table, class_names)
    if label_regex:
        return _listed(_labelled_by(label_regex, data, options.label_regex), class_names)
    return read_folder(data, class_names)


def _read_shards(data: Location, shards: Shards, options: DataOptions) -> ImageTable:
    """List the images of shards.

    Raises:
        DataError: if they hold none with a label, which is so for other archives
        OptionError: for an option that shards do not have
    """
    if options.images or options.path_column:
        raise OptionError(f"'{data}' holds its images itself; leave --images and --path-column out.")
    table = read_shards(shards, options.columns)
    if not table.images:
        _refuse_archive(data)
        raise DataError(f"'{data}' has no image with a label; {EXPECTED}.")
    return table


def images_root(data: str | Location, images: str = "") -> Location:
    """Give the folder that the paths of DATA's images are relative to.

    Args:
        data: a folder, a table or shards
        images: as in `DataOptions`
    """
    data = as_location(data)
    if images:
        return as_location(images)
    if is_table(data) and not is_folder(data):
        return (exists(data) and bucket_named_in(data)) or data.parent
    return shards_root(data) or data


def absolute_request(data: str | Location, images: str) -> dict[str, str]:
    """Give what settings.json keeps of DATA, so that it is found from any folder."""
    return {"data": str(as_location(data).resolve()), "images": str(as_location(images).resolve()) if images else ""}


def compiled(name: str, pattern: str) -> re.Pattern[str] | None:
    """Compile the expression of an option; None where it is empty.

    name: "label" or "group"; what a group of that name matches, or the first group, or else everything, counts
    Raises:
        OptionError
    """
    if not pattern:
        return None
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise OptionError(f"--{name}-regex is '{pattern}', which is not a regular expression ({error}).") from None


def found_by(pattern: re.Pattern[str], name: str, path: str) -> str:
    """Give what an expression finds in a path: its group of that name, its first group, or all of it; "" for nothing.

    >>> found_by(re.compile(r"(p\\d+)_"), "group", "cat/p017_03.png")
    'p017'
    """
    match = pattern.search(path)
    if not match:
        return ""
    if name in pattern.groupindex:
        return match[name] or ""
    return (match[1] if pattern.groups else match[0]) or ""


def _refuse_archive(data: Location) -> None:
    command = ARCHIVES.get(data.suffix.lower())
    if command and exists(data) and not is_folder(data):
        raise DataError(f"'{data}' is an archive; unpack it ({command} '{data.name}') and give the folder.")


def _find_table(data: Location, options: DataOptions) -> ImageTable | None:
    """Read the table that DATA is, or the metadata files that a folder has; None where there is none."""
    if not is_folder(data):
        if is_table(data) and exists(data):
            return read_table(data, as_location(options.images) if options.images else None, options.columns)
        return None
    if options.label_regex:
        return None
    subsets = {folder: subset_named(folder.name) for folder in _subfolders(data)}
    by_subset = {folder: subset for folder, subset in subsets.items() if subset and _metadata_in(folder)}
    if by_subset:
        return _joined(data, by_subset, options.columns)
    file = _metadata_in(data)
    return read_table(file, data, options.columns) if file else None


def _subfolders(data: Location) -> list[Location]:
    """List the folders in a folder; none where it may not be read, which `read_folder` reports."""
    try:
        return [data / name for name, is_inner in sorted(entries_of(data)) if is_inner]
    except OSError:
        return []


def _metadata_in(folder: Location) -> Location | None:
    """Find the metadata of an imagefolder, which names files; other folders may have a file of that name, too."""
    for name in METADATA:
        with suppress(DataError):  # a file of this name that is no such table
            if file_exists(folder / name) and "file_name" in read_rows(folder / name).names:
                return folder / name
    return None


def _joined(data: Location, folders: dict[Location, str], columns: Columns) -> ImageTable:
    """Read the metadata of every subset."""
    images, skipped, notes = list[ListedImage](), list[FileEntry](), dict[str, None]()
    for folder, subset in folders.items():
        file = _metadata_in(folder)
        assert file
        table = read_table(file, folder, columns)
        images += [replace(image, path=f"{folder.name}/{image.path}", subset=subset) for image in table.images]
        skipped += [FileEntry(f"{folder.name}/{entry.path}", entry.reason) for entry in table.skipped]
        notes |= dict.fromkeys(table.notes)
    return ImageTable(data, tuple(images), tuple(skipped), tuple(notes))


def _labelled_by(pattern: re.Pattern[str], root: Location, shown: str) -> ImageTable:
    """Label the files of a folder by their paths; a folder called train, val or test is a subset."""
    if not is_folder(root):
        raise DataError(f"'{root}' {'is a file' if exists(root) else 'does not exist'}; expected a folder of images.")
    images, skipped = list[ListedImage](), list[FileEntry]()
    for entry in list_files(root):
        label = "" if entry.reason else found_by(pattern, "label", entry.path).strip()
        if entry.reason or not label:
            skipped.append(FileEntry(entry.path, entry.reason or "no label by --label-regex"))
            continue
        top = entry.path.split("/")[0] if "/" in entry.path else ""
        images.append(ListedImage(entry.path, label, subset_named(top)))
    if not images:
        example = next((entry.path for entry in skipped if entry.reason == "no label by --label-regex"), "")
        tried = f", e.g. '{example}'" if example else ""
        raise DataError(f"--label-regex is '{shown}', which finds a label in no file of '{root}'{tried}.")
    return ImageTable(root, tuple(images), tuple(skipped), ())


def _listed(table: ImageTable, class_names: tuple[str, ...]) -> ImageFolder:
    """Make a folder of the images of a table.

    Raises:
        DataError: if there are fewer than two classes, a class the run does not know, or no class at all
    """
    images = [image for image in table.images if image.label != UNKNOWN]
    written = Counter(image.label for image in images)
    counts = Counter[str]()
    for label, count in written.items():
        counts[composed(label)] += count
    names = class_names or tuple(sorted(counts, key=natural_key))
    _require_classes(table.root, counts, names)
    label_of = {label: names.index(composed(label)) for label in written}
    images.sort(key=lambda image: image.path)
    images.sort(key=lambda image: natural_key(image.path)[0])  # in two steps, which take less memory
    return ImageFolder(
        root=unlisted(table.root),
        class_names=names,
        paths=tuple(image.path for image in images),
        labels=np.array([label_of[image.label] for image in images], dtype=np.int32),
        subsets=tuple(image.subset for image in images),
        related=tuple(image.group for image in images),
        skipped=table.skipped,
        unknown=tuple(image.path for image in table.images if image.label == UNKNOWN),
        notes=table.notes,
    )


def _require_classes(root: Location, counts: Counter[str], names: Sequence[str]) -> None:
    if unknown := [name for name in counts if name not in names]:
        raise DataError(f"'{root}' has images of an unknown class '{unknown[0]}'; expected only {quote_names(names)}.")
    if len(names) < 2:
        raise DataError(f"all images of '{root}' have the label {quote_names(names)}; expected two or more classes.")
    if len(counts) > MAX_CLASSES_WITHOUT_QUESTION and 2 * len(counts) > sum(counts.values()):
        raise DataError(
            f"the labels have {len(counts)} values for {sum(counts.values())} images, such as "
            f"{quote_names(list(counts)[:3])}; expected classes with several images each. Check the label column."
        )


def _grouped_by(pattern: re.Pattern[str], folder: ImageFolder) -> ImageFolder:
    """Group images by what their paths have in common.

    Raises:
        DataError: if the expression finds nothing, or the same everywhere
    """
    related = tuple(found_by(pattern, "group", path) for path in folder.paths)
    found = {group for group in related if group}
    if not found:
        raise DataError(
            f"--group-regex is '{pattern.pattern}', which finds nothing in any path, e.g. '{folder.paths[0]}'."
        )
    if len(found) == 1 and all(related):
        raise DataError(f"--group-regex puts all images into one group ('{min(found)}'); expected several groups.")
    return replace(folder, related=related)
