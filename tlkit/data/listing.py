"""The files below a folder, by names alone: natural order, no loop followed, no device opened.

A folder of an object store is listed once, with everything below it; what lies in it is then known without a request.
"""

import os
import re
import stat
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tlkit.utils.storage import Location, RemotePath, list_files_below

SYSTEM_NAMES = {  # without regard to case; names that start with a dot are ignored, too
    *("__macosx", "icon\r", "network trash folder", "temporary items"),  # macOS
    *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini", "$recycle.bin"),  # Windows
    *("system volume information", "found.000", "lost.dir", "lost+found"),  # file systems
    *("@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@sharebin"),  # network storage
    "__pycache__",
}
NUMBER = re.compile(r"\d+")
HIDDEN = "hidden or system file"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file below a folder.

    Attributes:
        path: relative to the folder, with `/`
        reason: why the file is left out; None where it is not
    """

    path: str
    reason: str | None = None


@dataclass
class Tree:
    """The names below a folder of an object store, by the folder they are in, relative to it; "" for itself."""

    folders: defaultdict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    files: defaultdict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, path: str) -> None:
        """Add a file, and the folders around it."""
        folder, _, name = path.rpartition("/")
        self.files[folder][name] = None
        while folder:
            parent, _, name = folder.rpartition("/")
            if name in self.folders[parent]:
                return
            self.folders[parent][name] = None
            folder = parent


@dataclass(frozen=True, order=True)
class ListedFolder(RemotePath):
    """A folder of an object store, with what is below it when it was listed.

    Attributes:
        top: the folder that was listed, which this is or is below
        tree: the names below `top`
    """

    top: RemotePath = field(compare=False)
    tree: Tree = field(compare=False, repr=False)

    def __truediv__(self, path: str | os.PathLike[str]) -> "ListedFolder":
        return ListedFolder(str(self.plain / path), self.top, self.tree)

    @property
    def plain(self) -> RemotePath:
        """The folder without what is below it."""
        return RemotePath(self.uri)

    def entries(self) -> Iterator[tuple[str, bool]]:
        """Give each name in this folder, and whether it is a folder."""
        folder = self._inside
        yield from ((name, True) for name in self.tree.folders.get(folder, ()))
        yield from ((name, False) for name in self.tree.files.get(folder, ()))

    def is_listed(self) -> bool:
        """Tell whether this was a file when the folder was listed."""
        folder, _, name = self._inside.rpartition("/")
        return name in self.tree.files.get(folder, ())

    @property
    def _inside(self) -> str:
        return self.uri[len(self.top.uri) + 1 :]


def listed(root: Location) -> Location:
    """List a folder of an object store, unless it was; a path stays as it is.

    Raises:
        StorageError
    """
    if isinstance(root, Path | ListedFolder):
        return root
    tree = Tree()
    for file in list_files_below(root):
        tree.add(file.path)
    return ListedFolder(root.uri, root, tree)


def unlisted(root: Location) -> Location:
    """Give a location without what was listed below it."""
    return root.plain if isinstance(root, ListedFolder) else root


def entries_of(folder: Location) -> list[tuple[str, bool]]:
    """Give each name in a folder, and whether it is a folder.

    Raises:
        OSError, StorageError
    """
    if not isinstance(folder, Path):
        known = listed(folder)
        assert isinstance(known, ListedFolder)
        return list(known.entries())
    with os.scandir(folder) as entries:
        return [(entry.name, _is_folder(entry)) for entry in entries]


def natural_key(text: str) -> tuple[str, str]:
    """Make a key that sorts as people count, of text alone: a list of numbers and texts takes three times as much.

    >>> sorted(["b10", "b2", "a"], key=natural_key)
    ['a', 'b2', 'b10']
    """
    return NUMBER.sub(_counted, text.casefold()), text


def _counted(number: re.Match[str]) -> str:
    """Write a number so that text order is that of numbers: it sorts before all letters, a longer one after it."""
    digits = str(int(number[0]))
    return f"\0{len(digits):04}{digits}"


def is_ignored(name: str) -> bool:
    """Tell whether a name starts with a dot, like `.git` and macOS's `._photo.jpg`, or is one of `SYSTEM_NAMES`."""
    return name.startswith(".") or name.casefold() in SYSTEM_NAMES


def list_files(root: Location) -> Iterator[FileEntry]:
    """Walk every file below `root`, folder by folder, in natural order of names.

    Hidden and system names get the reason `HIDDEN`; links to a folder already read or
    around `root`, broken links and everything that is neither file nor folder get a reason, too.
    Linked folders come last, so that a folder is found at its own path first.
    Only names and kinds are read; no file is opened.
    """
    if not isinstance(root, Path):
        yield from _list_objects(root)
        return
    visited = {_identity(parent): "" for parent in root.resolve().parents}
    pending, linked = [""], deque[str]()
    while pending or linked:
        folder = pending.pop() if pending else linked.popleft()
        reason = _enter(root, folder, visited)
        if reason:
            yield FileEntry(folder.rstrip("/"), reason)
            continue
        files, folders = _sorted_entries(root / folder)
        yield from (_file_entry(folder, entry) for entry in files)
        yield from (FileEntry(folder + entry.name, HIDDEN) for entry in folders if is_ignored(entry.name))
        entered = [entry for entry in folders if not is_ignored(entry.name)]
        linked += [f"{folder}{entry.name}/" for entry in entered if entry.is_symlink()]
        pending += [f"{folder}{entry.name}/" for entry in reversed(entered) if not entry.is_symlink()]


def _list_objects(root: Location) -> Iterator[FileEntry]:
    """Walk a folder of an object store in the same order."""
    top, pending = listed(root), [""]
    while pending:
        folder = pending.pop()
        entries = sorted(entries_of(top / folder), key=lambda entry: natural_key(entry[0]))
        files = [folder + name for name, is_folder in entries if not is_folder]
        folders = [folder + name for name, is_folder in entries if is_folder]
        yield from (FileEntry(path, HIDDEN if is_ignored(path[len(folder) :]) else None) for path in files)
        yield from (FileEntry(path, HIDDEN) for path in folders if is_ignored(path[len(folder) :]))
        pending += [f"{path}/" for path in reversed(folders) if not is_ignored(path[len(folder) :])]


def describe_special_file(mode: int) -> str | None:
    """Name what is not a regular file, from its `st_mode`; None for a regular file."""
    if stat.S_ISREG(mode):
        return None
    if stat.S_ISDIR(mode):
        return "a folder"
    return "not a regular file (a pipe, socket or device)"


def count_reasons(skipped: Iterable[FileEntry]) -> dict[str, int]:
    """Count the files left out for each reason, the commonest first."""
    return dict(Counter(entry.reason or "" for entry in skipped).most_common())


def summarize_reasons(skipped: Iterable[FileEntry]) -> str:
    """Count the files left out for each kind of reason, in a few words; hidden files are not counted.

    >>> summarize_reasons([FileEntry("a", "is damaged (truncated)"), FileEntry("b", "is damaged (bad header)")])
    '2 × damaged'
    """
    kinds = [re.sub(r"^copy of .*", "copy of a held-out image", entry.reason or "") for entry in skipped]
    short = [re.sub(r"^is (?:an? )?|[(,;].*", "", kind).strip() for kind in kinds if kind != HIDDEN]
    return ", ".join(f"{count} × {kind}" for kind, count in Counter(short).most_common())


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _enter(root: Path, folder: str, visited: dict[tuple[int, int], str]) -> str | None:
    """Add a folder to `visited`, by its identity; return a reason where it must not or cannot be read."""
    try:
        identity = _identity(root / folder)
        if not os.access(root / folder, os.R_OK | os.X_OK):
            return "folder that may not be read"
    except OSError as error:
        return f"folder that cannot be read ({error.strerror})"
    if identity[1] and identity in visited:  # Windows may tell no inode
        target = visited[identity].rstrip("/")
        return f"link to '{target}', which is read already" if target else "link to a folder that is read already"
    visited[identity] = folder
    return None


def _sorted_entries(folder: Path) -> tuple[list["os.DirEntry[str]"], list["os.DirEntry[str]"]]:
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: natural_key(entry.name))
    folders = [entry for entry in ordered if _is_folder(entry)]
    folder_names = {entry.name for entry in folders}
    return [entry for entry in ordered if entry.name not in folder_names], folders


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that points to itself
        return False


def _file_entry(folder: str, entry: "os.DirEntry[str]") -> FileEntry:
    path = folder + entry.name
    if is_ignored(entry.name):
        return FileEntry(path, HIDDEN)
    try:
        if entry.is_file(follow_symlinks=False):
            return FileEntry(path)
        return FileEntry(path, describe_special_file(entry.stat().st_mode))
    except OSError:
        return FileEntry(path, "broken link")
