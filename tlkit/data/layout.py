"""The layout of a folder of images: which folders are subsets, which are classes, and which are neither."""

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlkit.data.listing import entries_of, is_ignored, natural_key
from tlkit.errors import DataError
from tlkit.utils.storage import Location
from tlkit.utils.text import quote_names

UNKNOWN = "_unknown"  # a folder of images that show none of the classes
MAX_WRAPPERS = 8  # folders around the classes, each the only one in its parent
SUBSETS_BY_NAME = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
SUBSET_FOLDER = re.compile(rf"(?:seg)?({'|'.join(SUBSETS_BY_NAME)})(?:set|data|dataset|split|images?)?")
PART_FOLDER = re.compile(  # of a download or of folds; beside another one of these it is not a class
    r".*(?:part|fold|split|chunk|shard|batch)\d+"
    r"|(?:train|test|val|valid|images?|imgs?|photos?|pictures?|data|dataset|set|subset|archive|folder|dir|disk)\d+"
    r"|(?:images?|imgs?|jpe?gimages|jpe?gs?|pngs?|labels?|annotations?|masks?|groundtruth|gt|metadata|samples?)"
    r"|(?:original|raw|augmented|processed|resized|cropped)(?:data|dataset|images?)?"
)
LETTERED_PART = re.compile(r".*(?:part|fold|split|chunk|shard|batch|set)[ _.-][a-z]", re.IGNORECASE)
LETTERS = re.compile(r"[^\W\d_](?:[-–_][^\W\d_])?")  # of an index: a, or a-c
LABEL_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")  # that may say which image is which
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".dcm"}


@dataclass(frozen=True)
class Layout:
    """The places of the classes in a folder.

    Attributes:
        root: the folder
        parents: folders whose subfolders are classes, relative to `root`, each with its subset: "" for the root itself,
            and "" for no subset
        notes: what a person should know
    """

    root: Location
    parents: dict[str, str]
    notes: tuple[str, ...] = ()

    def subset_and_class(self, path: str) -> tuple[str, str]:
        """Find the subset and the class of a file, by its path; each "" where it lies above such folders."""
        for parent, subset in self.parents.items():
            if not parent or path.startswith(f"{parent}/"):
                first, *rest = path[len(parent) + 1 if parent else 0 :].split("/")
                return subset, _class_named(first) if rest else ""
        return "", UNKNOWN if any(map(_is_unknown, path.split("/")[:-1])) else ""

    def class_folders(self) -> list[tuple[str, str]]:
        """List the folders of classes as (parent, name)."""
        return [(parent, name) for parent in self.parents for name in class_folders(self.root / parent)]

    def training_classes(self) -> set[str]:
        """Collect the names of the classes that can be trained on."""
        parents = _training_parents(self.parents)
        return {composed(name) for parent in parents for name in class_folders(self.root / parent)}


def find_layout(root: Location, class_names: Collection[str] = ()) -> Layout:
    """Find the classes of a folder: its subfolders, or those of its train/, val/ and test/.

    A folder that holds nothing but one other is passed through, with a note. Names of subsets are known in any case
    and with the usual synonyms.

    Args:
        class_names: the classes of a finished run; a folder of such a name is a class

    Raises:
        DataError: if the subfolders are rather parts of a download, or an index, than classes
    """
    top = _inside_wrappers(root, class_names)
    names = [name for name in class_folders(top) if composed(name) not in class_names]
    subsets = {name: subset for name in names if (subset := subset_named(name))}
    _refuse_parts(top, names, subsets)
    if subsets and len(subsets) == len(class_folders(top)):
        _require_one_of_each(top, subsets, bool(class_names))
        parents = _parents_of_classes(top, root, subsets)
    else:
        parents = {_relative(top, root): ""}
    nested = (
        [] if class_names else [note for parent in _training_parents(parents) for note in _check_nested(root / parent)]
    )
    inner = [parent for parent, subset in parents.items() if parent and not (subset and "/" not in parent)]
    wrapped = [f"the classes are the subfolders of {quote_names(inner)}."] if inner else []
    return Layout(root, parents, (*wrapped, *nested))


def class_folders(folder: Location) -> list[str]:
    """List the subfolders that may be classes, in natural order.

    Raises:
        DataError: if the folder cannot be read
    """
    try:
        names = [name for name, is_folder in entries_of(folder) if is_folder and not is_ignored(name)]
    except OSError as error:
        raise DataError(f"'{folder}' cannot be read ({error.strerror}); check its permissions.") from None
    return sorted((name for name in names if not _is_unknown(name)), key=natural_key)


def composed(name: str) -> str:
    """Write a name in one spelling: macOS writes `é` as two characters, the others as one."""
    return unicodedata.normalize("NFC", name)


def _is_unknown(name: str) -> bool:
    return name.casefold() == UNKNOWN


def _class_named(name: str) -> str:
    return UNKNOWN if _is_unknown(name) else composed(name)


def _key(name: str) -> str:
    return re.sub(r"[\s_.\-()]+", "", name.casefold())


def subset_named(name: str) -> str:
    """Name the subset that a folder's name means; "" for none."""
    match = SUBSET_FOLDER.fullmatch(_key(name))
    return SUBSETS_BY_NAME[match[1]] if match else ""


def _is_part(name: str) -> bool:
    return bool(subset_named(name) or PART_FOLDER.fullmatch(_key(name)) or LETTERED_PART.fullmatch(name))


def _inside_wrappers(folder: Location, class_names: Collection[str]) -> Location:
    """Follow folders that hold a single one to that which holds classes; `folder` itself where none does."""
    top = folder
    for _ in range(MAX_WRAPPERS):
        names = class_folders(top)
        if len(names) != 1:
            return top if len(names) > 1 else folder
        if composed(names[0]) in class_names or (subset_named(names[0]) and class_folders(top / names[0])):
            return top
        top = top / names[0]
        if _holds_images(top):
            return folder
    return folder


def _parents_of_classes(top: Location, root: Location, subsets: dict[str, str]) -> dict[str, str]:
    """List the folders whose subfolders are classes, below those of the subsets and below wrappers."""
    training = [name for name, subset in subsets.items() if subset == "train"]
    known = {composed(name) for folder in training for name in class_folders(_inside_wrappers(top / folder, ()))}
    parents = {}
    for name, subset in subsets.items():
        inner = _inside_wrappers(top / name, known)
        parents[_relative(inner, root)] = subset
    return parents


def _training_parents(parents: dict[str, str]) -> list[str]:
    return [parent for parent, subset in parents.items() if subset in ("", "train")]


def _relative(folder: Location, root: Location) -> str:
    return "" if folder == root else folder.relative_to(str(root)).as_posix()


def _holds_images(folder: Location) -> bool:
    """Tell whether images lie in a folder itself, by their names; one that cannot be read may hold some."""
    try:
        names = [name for name, _ in entries_of(folder) if not is_ignored(name)]
        return any(Path(name).suffix.lower() in IMAGE_SUFFIXES for name in names)
    except OSError:
        return True


def _require_one_of_each(folder: Location, subsets: dict[str, str], has_run: bool) -> None:
    """Refuse two folders of the same subset, and none for training, with a DataError"""
    names = list(subsets)
    if "train" not in subsets.values() and not has_run:
        raise DataError(f"'{folder}' has {' and '.join(names)} but no 'train' folder; add one.")
    for subset in set(subsets.values()):
        twins = [name for name in names if subsets[name] == subset]
        if len(twins) > 1:
            raise DataError(f"'{folder}' has {' and '.join(twins)}, which mean the same; keep one of them.")


def _refuse_parts(folder: Location, names: Sequence[str], subsets: dict[str, str]) -> None:
    """Refuse subfolders that are parts of a download or of a split, not classes, with a DataError"""
    if len(names) < 2 or len(subsets) == len(names):
        return
    beside = [name for name in names if name not in subsets]
    if all(_is_part(name) for name in names):
        raise DataError(
            f"'{folder}' has the subfolders {quote_names(names)}, which look like parts of a data set, not classes; "
            f"{_way_out(folder, names)}."
        )
    holders = [name for name in subsets if _has_classes(folder / name)]
    if len(set(subsets.values())) > 1 or holders:
        raise DataError(
            f"'{folder}' has {quote_names(list(subsets))} beside {quote_names(beside)}; expected either classes or "
            f"subsets such as train, val and test; move {quote_names(beside)} elsewhere, or rename what is a class."
        )


def _way_out(folder: Location, names: Sequence[str]) -> str:
    """Say what to do with parts: give the one that holds classes, merge them, or sort the images."""
    holders = [name for name in names if _has_classes(folder / name)]
    rename = "if they are classes, rename them"
    if len(holders) == 1:
        return f"give '{folder / holders[0]}', which holds class folders; {rename}"
    if holders:
        return f"merge the class folders that are in them, or give one of them as DATA; {rename}"
    tables = sorted(name for name, _ in entries_of(folder) if Path(name).suffix.lower() in LABEL_TABLES)
    if tables:
        return f"if '{tables[0]}' says which image is which, give it as DATA: '{folder / tables[0]}'; {rename}"
    return f"sort the images into one folder per class, or use --label-regex if file names have the labels; {rename}"


def _has_classes(folder: Location) -> bool:
    """Tell whether a folder holds at least two subfolders and no image beside them, or subsets with such."""
    names = class_folders(folder)
    if names and all(map(subset_named, names)):
        return any(_has_classes(folder / name) for name in names)
    return len(names) > 1 and not _holds_images(folder)


def _check_nested(folder: Location) -> list[str]:
    """Note that the images of all classes lie in folders below them.

    Raises:
        DataError: if the subfolders are the letters of an index rather than classes
    """
    names = class_folders(folder)
    if len(names) < 2 or any(_holds_images(folder / name) for name in names):
        return []
    inner = {name: class_folders(folder / name) for name in names}
    children = [child for group in inner.values() for child in group]
    if not all(inner.values()) or len(set(children)) < len(children):  # a name in two folders
        return []
    first = f"'{names[0]}/{inner[names[0]][0]}'"
    if all(LETTERS.fullmatch(name) for name in names) or all(_begin_with(name, inner[name]) for name in names):
        raise DataError(
            f"'{folder}' has one subfolder per letter ({quote_names(names)}), with folders such as {first} below; "
            "expected all classes on one level; give the folder of one letter as DATA, or move the folders of all "
            "letters up; if the letters are the classes, move the images up."
        )
    return [f"the images of {quote_names(names)} are in folders below, such as {first}; these folders are not classes."]


def _begin_with(letters: str, names: Sequence[str]) -> bool:
    """Tell whether names begin with the two or three letters of their folder."""
    return len(letters) <= 3 and all(name.casefold().startswith(letters.casefold()) for name in names)
