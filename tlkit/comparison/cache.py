"""Finished candidates kept in the cache, and what a comparison depends on."""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import fields
from functools import cache
from pathlib import Path

import tlkit
from tlkit.comparison.ladder import build_candidates, cached_backbones
from tlkit.comparison.results import has_speed
from tlkit.data.folder import ImageFolder, read_folder
from tlkit.engines.base import installed_version
from tlkit.errors import OptionError, RunError
from tlkit.models.backbones import find_backbone, imagenet_file
from tlkit.runs.run import (
    DONE,
    RUN_FILES,
    UNFINISHED,
    Run,
    command_of,
    create_run,
    delete_run,
    is_done,
    mark_done,
    read_manifest,
)
from tlkit.runs.unfinished import drop_temporaries, refuse_links, refuse_special, reopen_run
from tlkit.settings.base import to_json
from tlkit.settings.commands import CompareSettings
from tlkit.settings.training import AnySettings, FinetuneSettings
from tlkit.utils.files import (
    cache_dir,
    claim_cache,
    owned_files,
    refuse_inside,
    sha256_file,
    sha256_text,
    temporary_beside,
)
from tlkit.utils.parallel import count_workers, ordered_map
from tlkit.utils.progress import Progress

PACKAGES = (  # whose versions a rung may depend on
    *("keras", "tensorflow", "ai-edge-litert", "openvino"),
    *("numpy", "pillow", "pillow-heif", "scikit-learn", "scikit-image"),
)


def fingerprint(folder: ImageFolder, progress: Progress) -> str:
    """SHA-256 over the place, the paths and the contents of every file of a folder."""
    digests = []
    with progress.stage("hashing", len(folder), "images") as advance, ThreadPoolExecutor(count_workers()) as pool:
        for digest in ordered_map(pool, _content, folder.files):
            digests.append(digest)
            advance(1)
    left_out = [(found.path, found.problem) for found in folder.left_out]
    return sha256_text(folder.root.resolve(), *zip(folder.paths, digests, strict=True), *left_out)


def run_key(images: str, settings: AnySettings | CompareSettings) -> str:
    """What a rung's result depends on where nothing limits its time, as a hash; or that of a whole ladder.

    images: the folder's fingerprint
    """
    installed = [(package, installed_version(package)) for package in PACKAGES]
    facts = [to_json(settings), type(settings).__name__, installed, _weights(settings)]
    return sha256_text(_program(), images, json.dumps(facts, sort_keys=True))


def load_cached_run(key: str, target: Path) -> bool:
    """Copy a rung trained earlier to a new folder, `DONE` last; whether there is one, whole and unchanged."""
    source, run = _folder() / key, Run(target)
    if not is_done(source):
        return False
    try:
        _copy(source, target)
        for name in read_manifest(run).sha256:  # of the copy: another comparison may replace the source meanwhile
            run.checked_file(name)
        if has_speed(target):
            mark_done(run)
            return True
    except (RunError, OSError):
        pass
    delete_run(run)
    return False


def cache_run(key: str, run: Path) -> None:
    """Keep a copy of a finished rung, where the cache can be written; in place of one that was damaged.

    raises: OptionError where the cache folder is not tlkit's
    """
    copied = temporary_beside(_folder() / key)
    try:
        with suppress(OSError):
            claim_cache()
            _copy(run, copied)
            (copied / DONE).touch()
            delete_run(Run(_folder() / key))
            copied.rename(_folder() / key)  # fails where something that is not a run's was left there
    finally:
        delete_run(Run(copied))


def _copy(run: Path, target: Path) -> None:
    """What a run wrote, without `DONE`; whether the copy may be written to does not depend on the original."""
    for source in (path for path in owned_files(run, RUN_FILES) if path.name not in (DONE, UNFINISHED)):
        copied = target / source.relative_to(run)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copied)


@cache
def _program() -> str:
    """Of every line of this package, as a hash: a release's number does not change with each of them."""
    return sha256_text(*map(sha256_file, sorted(Path(tlkit.__file__).parent.rglob("*.py"))))


def _weights(settings: AnySettings | CompareSettings) -> dict[str, str]:
    """Of the pretrained network that a rung starts from, or of all that a ladder may start from: hashes by name."""
    names = [settings.backbone] if isinstance(settings, FinetuneSettings) else []
    names += cached_backbones() if isinstance(settings, CompareSettings) else []
    rows = [find_backbone(name) for name in names]
    return {row.name: _content(imagenet_file(row, row.image_size)) for row in rows}


def _content(file: Path) -> str:
    try:
        return sha256_file(file)
    except OSError as error:
        return hashlib.sha256(str(error.strerror).encode()).hexdigest()


def _folder() -> Path:
    return cache_dir() / "rungs"


DEPENDS_ON = "begun.json"  # what all its rungs depend on, as a hash


def start_comparison(data: str | Path, output: str | Path | None, settings: CompareSettings) -> Run:
    """A comparison's folder, begun.

    raises: DataError, OptionError, RunError
    """
    folder = read_folder(data)
    rungs = build_candidates(settings)
    if not any(rung.choose for rung in rungs):
        raise OptionError("--only names no rung that is trained; add one, such as linear.")
    refuse_inside(folder.root, output or "runs")
    run = create_run(Path(output) if output else None, "compare")
    run.write_json("settings.json", {"command": "compare", "data": str(folder.root.resolve()), **to_json(settings)})
    return run


def reopen_comparison(path: Path) -> Run:
    """A comparison that was stopped.

    raises: RunError
    """
    run = reopen_run(path)
    if (command := command_of(run)) != "compare":
        raise RunError(f"'{path}' is no comparison; `tlkit {command} --resume {path}` goes on with it.")
    return run


def requested(run: Run) -> tuple[Path, CompareSettings]:
    """The images and the settings a comparison was begun with.

    raises: RunError where another tlkit began it, which had other settings
    """
    request = run.read_json("settings.json")
    names = {item.name for item in fields(CompareSettings)}
    if odd := sorted(request.keys() ^ {"command", "data", *names}):
        raise RunError(
            f"'{run.path}' was begun by another tlkit, whose settings differ from this one's in '{odd[0]}'; "
            "compare anew, or go on with that version."
        )
    try:
        return Path(request["data"]), CompareSettings(**{name: request[name] for name in names})
    except (OptionError, TypeError) as error:
        raise RunError(f"'{run.path / 'settings.json'}' is damaged ({error}); restore it or compare anew.") from None


def check_unchanged(run: Run, key: str) -> None:
    """Hold a comparison that is gone on with to what it was begun with.

    key: all that it depends on, as a hash
    raises: RunError
    """
    if (run.path / DEPENDS_ON).exists() and run.read_json(DEPENDS_ON) != key:
        raise RunError(
            f"since '{run.path}' was begun, the images, the pretrained weights at hand, tlkit or a package it needs "
            "have changed; compare anew."
        )


def accept(run: Run, key: str, rungs: Sequence[str]) -> None:
    """Note what a comparison depends on; the first change to the folder of one that is gone on with.

    rungs: names of those that will be made in it
    raises: RunError where one of them is a link, or holds one where tlkit would write
    """
    there = [run.path / name for name in rungs if os.path.lexists(run.path / name)]
    for path in there:
        refuse_special(path, "folder")
        refuse_links(path)
    for path in (run.path, *there):
        drop_temporaries(Run(path))
    if not (run.path / DEPENDS_ON).exists():
        run.write_json(DEPENDS_ON, key)
