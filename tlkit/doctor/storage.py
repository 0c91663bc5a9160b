"""Checks of what tlkit keeps on disk: the cache, free space, and the pretrained weights of Keras."""

import hashlib
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import cache as remember
from importlib.util import find_spec
from pathlib import Path

from tlkit.cache.folder import NO_CACHE, CachePart, cache_dir, cache_origin, cache_sizes, is_cache
from tlkit.cache.stored_folder import stored_sizes
from tlkit.doctor.base import Observation
from tlkit.engines.base import is_installed
from tlkit.errors import OptionError, StorageError
from tlkit.models.backbones import BACKBONES, imagenet_file
from tlkit.utils.text import format_size

MIN_DISK = 1e9  # bytes that features and a run take at most, of a few thousand images
UNHASHED = ("MobileNet", "MobileNetV2")  # constructors for whose weights Keras knows no hash


def check_storage(parts: Sequence[CachePart]) -> list[Observation]:
    """Look at the cache, the free space and the weights.

    Args:
        parts: all that the cache may hold
    """
    return [_check_cache(parts), *_check_disk(), *_check_weights()]


def _check_cache(parts: Sequence[CachePart]) -> Observation:
    if found := _check_origin(parts):
        return found
    root, home = cache_dir(), Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.expanduser raises without a home
    another = f"export TLKIT_CACHE={shlex.quote(str((home if home.is_absolute() else Path('/tmp')) / 'tlkit-cache'))}"
    if root == NO_CACHE:
        return Observation("cache", "this user has no home folder, so nothing is cached", "remark", another)
    try:
        is_cache()
        with tempfile.TemporaryFile(dir=_existing(root)):  # os.access says yes to root for every file system
            pass
    except OptionError as error:
        return Observation("cache", str(error), "problem", another, error.exit_code)
    except OSError as error:
        text = f"'{root}' cannot be used ({error.strerror}), so nothing new is cached"
        return Observation("cache", text, "remark", another)
    size = format_size(sum(num_bytes for _, num_bytes in cache_sizes(parts).values()))
    return Observation("cache", f"{root}, {size}" if root.is_dir() else f"{root}, which is created when it is needed")


def _check_origin(parts: Sequence[CachePart]) -> Observation | None:
    """Look whether a cache on object storage can be reached; None where the cache is a folder."""
    if not (origin := cache_origin()):
        return None
    try:
        stored = format_size(sum(num_bytes for _, num_bytes in stored_sizes(parts).values()))
        copied = format_size(sum(num_bytes for _, num_bytes in cache_sizes(parts).values()))
    except StorageError as error:
        return Observation(
            "cache", f"TLKIT_CACHE is '{origin}': {error}", "problem", "unset TLKIT_CACHE", error.exit_code
        )
    return Observation("cache", f"{origin}, {stored}; its copy is {cache_dir()}, {copied}")


def _existing(path: Path) -> Path:
    """Find the nearest folder above a path that is there."""
    return next((parent for parent in (path, *path.absolute().parents) if os.path.lexists(parent)), Path("/"))


def _check_disk() -> list[Observation]:
    """Look at the free space for the cache, and for runs in this folder."""
    devices = dict[int, tuple[Path, list[str]]]()
    for purpose, path in (("the cache", cache_dir()), ("runs in this folder", Path())):
        with suppress(OSError):
            folder = _existing(path)
            devices.setdefault(folder.stat().st_dev, (folder, []))[1].append(purpose)
    findings = []
    for folder, purposes in devices.values():
        total, _, free = shutil.disk_usage(folder)
        if not total:  # such as /proc
            continue
        text = f"{format_size(free)} free for {' and '.join(purposes)}"
        is_low = free < MIN_DISK
        remedy = "tlkit cache clear" if is_low and "the cache" in purposes else ""
        findings.append(Observation("disk", text + ", which is little" * is_low, "remark" if is_low else "ok", remedy))
    return findings


def _check_weights() -> list[Observation]:
    """Look for damaged files among the weights in Keras's folder, if networks can be trained here."""
    if not is_installed("keras"):
        return []
    folder = imagenet_file(BACKBONES["mobilenet_v2"], 224).parent
    complete, findings = [], []
    for spec in BACKBONES.values():
        for size in spec.sizes or (spec.image_size,):
            file = imagenet_file(spec, size)
            if not os.path.lexists(file):
                continue
            if problem := weights_problem(file, spec.constructor not in UNHASHED):
                text = f"the file of {spec.name} is damaged ({problem}); remove it, and the next use downloads it"
                findings.append(Observation("weights", text, "problem", f"rm {shlex.quote(str(file))}", 4))
            else:
                complete.append(spec.name if size == spec.image_size else f"{spec.name} ({size} pixels)")
    if complete:
        return [Observation("weights", f"{', '.join(complete)}, in {folder}"), *findings]
    return findings or [Observation("weights", f"none in {folder}; a backbone downloads its own when it is first used")]


def weights_problem(file: Path, has_hash: bool) -> str:
    """Say what is wrong with a file of weights; "" where it is whole.

    Args:
        has_hash: True if Keras knows the hash of the file
    """
    import h5py

    try:
        with h5py.File(file):  # which finds one that ends too early
            pass
        return "its hash is not the one that Keras expects" if has_hash and not _has_known_hash(file) else ""
    except OSError as error:
        if isinstance(error, PermissionError):
            return "it may not be read"
        return "it ends too early" if "truncated" in str(error) else "it is not an HDF5 file"


def _has_known_hash(file: Path) -> bool:
    hashes = known_hashes()
    if not hashes:
        return True
    with file.open("rb") as content:
        return any(
            hashlib.file_digest(content, name).hexdigest() in hashes
            for name in ("md5", "sha256")
            if not content.seek(0)
        )


@remember
def known_hashes() -> frozenset[str]:
    """Read the hashes of official weights from Keras's source, which takes seconds to import."""
    spec = find_spec("keras")
    folder = Path(spec.origin).parent / "src" / "applications" if spec and spec.origin else Path()
    texts = [file.read_text(encoding="utf-8") for file in folder.glob("*.py")] if spec else []
    return frozenset(found for text in texts for found in re.findall(r'"([0-9a-f]{32}|[0-9a-f]{64})"', text))
