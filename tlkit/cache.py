"""What lies in the cache folder, and how to empty it: only what tlkit itself put there."""

import shutil
from pathlib import Path

from tlkit.files import cache_root

PARTS = ("engines", "features", "rungs")


def measure() -> dict[str, tuple[int, int]]:
    """Files and bytes of each part of the cache."""
    sizes = {part: [file.stat().st_size for file in _files(cache_root() / part)] for part in PARTS}
    return {part: (len(found), sum(found)) for part, found in sizes.items()}


def clear() -> int:
    """Remove every part of the cache; returns the bytes that were in it."""
    freed = sum(size for _, size in measure().values())
    for part in PARTS:
        shutil.rmtree(cache_root() / part, ignore_errors=True)
    return freed


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]
