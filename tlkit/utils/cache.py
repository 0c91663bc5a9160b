"""What lies in the cache folder, and how to empty it: only of what tlkit itself put there."""

import re
from contextlib import suppress
from pathlib import Path

from tlkit.runs.run import RUN_FILES
from tlkit.utils.files import MARKER, TEMPORARY, Owned, cache_dir, is_cache, other_paths, owned_files, remove_owned

PARTS = ("engines", "features", "rungs")
_KEY, _UNFINISHED = "[0-9a-f]{64}", TEMPORARY.pattern
_RUNG = f"rungs/(?:{_KEY}|{_UNFINISHED})"  # a run folder, perhaps one that is still copied
CACHE_FILES = Owned(
    files=re.compile(
        rf"engines/{_KEY}\.(?:tflite|json)|features/{_KEY}/[0-9a-f]{{32}}\.npy|{_RUNG}/(?:{RUN_FILES.files.pattern})"
        rf"|(?:engines/|features/{_KEY}/)?{_UNFINISHED}"
    ),
    folders=re.compile(rf"engines|features(?:/{_KEY})?|rungs|{_RUNG}(?:/(?:{RUN_FILES.folders.pattern}))?"),
)


def cache_sizes() -> dict[str, tuple[int, int]]:
    """Files and bytes of each part of the cache."""
    root, sizes = cache_dir(), dict[str, list[int]]({part: [] for part in PARTS})
    for file in owned_files(root, CACHE_FILES):
        part = file.relative_to(root).parts[0]
        if part in sizes:
            sizes[part].append(file.lstat().st_size)
    return {part: (len(found), sum(found)) for part, found in sizes.items()}


def clear_cache() -> tuple[int, list[Path]]:
    """Remove from the cache what tlkit wrote; its root stays, marked.

    returns: the bytes that were removed, and as paths from the root what was left because it is not tlkit's
    raises: OptionError where the folder is not tlkit's cache
    """
    with suppress(OSError):  # what cannot be looked into is as good as empty
        if is_cache():
            before = _bytes()
            remove_owned(cache_dir(), CACHE_FILES)
            others = {path.relative_to(cache_dir()) for path in other_paths(cache_dir(), CACHE_FILES)}
            return before - _bytes(), sorted(others - {Path(MARKER)})
    return 0, []


def _bytes() -> int:
    return sum(size for _, size in cache_sizes().values())
