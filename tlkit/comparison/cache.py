"""Finished candidates kept in the cache, and what a comparison depends on.

Nothing here imports a training, so that `tlkit cache` stays light.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from tlkit.cache.folder import KEY, CachePart, cache_dir, claim_cache, remember_use
from tlkit.data.folder import ImageFolder
from tlkit.data.sources.files import hash_of
from tlkit.data.sources.members import is_member
from tlkit.engines.base import installed_version
from tlkit.errors import OptionError, RunError
from tlkit.models.backbones import find_backbone, imagenet_file
from tlkit.runs.manifest import RUN_FILES
from tlkit.runs.run import DONE, UNFINISHED, Run, delete_run, is_done, mark_done
from tlkit.runs.unfinished import drop_temporaries, refuse_links, refuse_special
from tlkit.settings.base import to_json
from tlkit.settings.commands import CompareSettings
from tlkit.utils.files import TEMPORARY, Owned, owned_files, sha256_file, sha256_text, temporary_beside, write_json
from tlkit.utils.parallel import count_workers, ordered_map
from tlkit.utils.progress import Progress
from tlkit.utils.storage import Location, as_location

PACKAGES = (  # whose versions a candidate may depend on
    *("keras", "tensorflow", "ai-edge-litert", "openvino"),
    *("numpy", "pillow", "pillow-heif", "scikit-learn", "scikit-image"),
)
_RUN_FOLDER = f"(?:{KEY}|{TEMPORARY.pattern})"  # perhaps one that is still being copied
CACHED_RUN_FILES = CachePart(
    "runs",
    Owned(
        files=re.compile(f"{_RUN_FOLDER}/(?:{RUN_FILES.files.pattern})"),
        folders=re.compile(f"{_RUN_FOLDER}(?:/(?:{RUN_FILES.folders.pattern}))?"),
    ),
)
SPEED_FILE = "speed.json"  # in a candidate's run folder, beside what its training wrote
SPEED_FIELDS = {"images_per_second", "training_seconds", "reading_seconds", "features_reused"}  # what it holds
KEY_FILE = "comparison-key.json"  # what all candidates of a comparison, or a cached one, depend on, as a hash


def fingerprint(folder: ImageFolder, progress: Progress) -> str:
    """Hash where a folder lies, the paths and contents of its files, and what they are, with SHA-256."""
    digests = []
    with progress.stage("hashing", len(folder), "images") as advance, ThreadPoolExecutor(count_workers()) as pool:
        for digest in ordered_map(pool, _content, folder.files):
            digests.append(digest)
            advance(1)
    left_out = [(entry.path, entry.reason) for entry in folder.skipped]
    meaning = [folder.class_names, folder.labels.tolist(), folder.subsets, folder.related]
    return sha256_text(folder.root.resolve(), *zip(folder.paths, digests, strict=True), *left_out, meaning)


def run_key(images: str, command: str, settings: Any, backbones: Sequence[str] = ()) -> str:
    """Hash everything that the result of a training without a time limit, or of a whole comparison, depends on.

    Args:
        images: the folder's fingerprint
        backbones: names of those whose official weights it starts from, or may start from
    """
    versions = [(package, installed_version(package)) for package in PACKAGES]
    rows = [find_backbone(name) for name in backbones]
    weights = {row.name: _content(imagenet_file(row, row.image_size)) for row in rows}
    dependencies = [to_json(settings), command, versions, weights]
    return sha256_text(_program(), images, json.dumps(dependencies, sort_keys=True))


@cache
def _program() -> str:
    """Hash every line of this package, because the number of a release does not change with each line."""
    return sha256_text(*map(sha256_file, sorted(Path(__file__).parents[1].rglob("*.py"))))


def _content(file: Location) -> str:
    try:
        return sha256_file(file) if isinstance(file, Path) and not is_member(file) else hash_of(file)
    except OSError as error:
        return hashlib.sha256(str(error.strerror).encode()).hexdigest()


def load_cached_run(key: str, target: Path) -> bool:
    """Copy a candidate trained earlier to a new folder, `DONE` last; False if none is as it was written."""
    source, run = _folder() / key, Run(target)
    if not is_done(source):
        return False
    try:
        if Run(source).read_json(KEY_FILE) != key:
            return False
        _copy(source, target)
        for name in run.manifest.sha256:  # of the copy: another comparison may replace the source meanwhile
            run.checked_file(name)
        if has_speed(target):
            mark_done(run)
            remember_use(source / DONE)
            return True
    except (RunError, OSError):
        pass
    delete_run(run)
    return False


def cache_run(key: str, run: Path) -> None:
    """Keep a copy of a finished candidate, where the cache can be written; it replaces one that was damaged.

    Raises:
        OptionError: if the cache folder is not tlkit's
    """
    cached = _folder() / key
    copied = temporary_beside(cached)
    try:
        with suppress(OSError):
            claim_cache(CACHED_RUN_FILES)
            _copy(run, copied)
            write_json(copied / KEY_FILE, key)
            (copied / DONE).touch()
            delete_run(Run(cached))
            copied.rename(cached)  # fails where something that is not a run's was left there
    finally:
        delete_run(Run(copied))


def _copy(run: Path, target: Path) -> None:
    """Copy what a run wrote, without `DONE`; whether the copy may be written to does not depend on the original."""
    for source in (path for path in owned_files(run, RUN_FILES) if path.name not in (DONE, UNFINISHED, KEY_FILE)):
        copied = target / source.relative_to(run)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copied)


def _folder() -> Path:
    return cache_dir() / CACHED_RUN_FILES.name


def has_speed(run: Path) -> bool:
    """Tell whether the speed of a run was measured, and can be read."""
    try:
        return set(Run(run).read_json(SPEED_FILE)) == SPEED_FIELDS
    except (RunError, TypeError):
        return False


def read_request(run: Run) -> tuple[Location, CompareSettings]:
    """Read the images and the settings that a comparison was started with.

    Raises:
        RunError: if another tlkit began it, which had other settings
    """
    request = run.read_json("settings.json")
    names = {item.name for item in fields(CompareSettings)}
    if odd := sorted(request.keys() ^ {"command", "data", *names}):
        raise RunError(
            f"'{run.path}' was started by another version of tlkit (setting '{odd[0]}' differs); "
            "start a new comparison or use that version."
        )
    try:
        return as_location(request["data"]), CompareSettings(**{name: request[name] for name in names})
    except (OptionError, TypeError) as error:
        raise RunError(
            f"'{run.path / 'settings.json'}' is damaged ({error}); restore it or start a new comparison."
        ) from None


def check_unchanged(run: Run, key: str) -> None:
    """Require that the inputs of a comparison are those it was started with.

    Raises:
        RunError
    """
    if (run.path / KEY_FILE).exists() and run.read_json(KEY_FILE) != key:
        raise RunError(
            f"the images, the cached pretrained weights, tlkit or a package it needs changed since '{run.path}' was "
            "started; start a new comparison."
        )


def prepare_folders(run: Run, key: str, names: Sequence[str]) -> None:
    """Keep what a comparison depends on, and remove half-written files; nothing is changed before in a resumed one.

    Args:
        names: of the candidates that will be trained in it

    Raises:
        RunError: if the folder of one of them is a link, or holds one where tlkit would write
    """
    existing = [run.path / name for name in names if os.path.lexists(run.path / name)]
    for path in existing:
        refuse_special(path, "folder")
        refuse_links(path)
    for path in (run.path, *existing):
        drop_temporaries(Run(path))
    if not (run.path / KEY_FILE).exists():
        run.write_json(KEY_FILE, key)
