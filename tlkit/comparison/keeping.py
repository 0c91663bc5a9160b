"""Finished rungs kept in the cache: a rung is a function of images, settings and versions, so it is trained once."""

import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

import tlkit
from tlkit.comparison.measuring import has_speed
from tlkit.comparison.rungs import backbones_at_hand
from tlkit.data.folder import ImageFolder
from tlkit.engines.engine import installed_version
from tlkit.errors import RunError
from tlkit.files import cache_root, claim_cache, owned_files, sha256_file, sha256_text, temporary_beside
from tlkit.models.backbones import find_backbone, imagenet_file
from tlkit.progress import Progress
from tlkit.runs import DONE, RUN_FILES, UNFINISHED, Run, close_run, discard_run, is_done, read_facts
from tlkit.settings import AnySettings, CompareSettings, FinetuneSettings, as_json
from tlkit.workers import count_workers, ordered_map

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


def rung_key(images: str, settings: AnySettings | CompareSettings) -> str:
    """What a rung's result depends on where nothing limits its time, as a hash; or that of a whole ladder.

    images: the folder's fingerprint
    """
    installed = [(package, installed_version(package)) for package in PACKAGES]
    facts = [as_json(settings), type(settings).__name__, installed, _weights(settings)]
    return sha256_text(_program(), images, json.dumps(facts, sort_keys=True))


def find_rung(key: str, target: Path) -> bool:
    """Copy a rung trained earlier to a new folder, `DONE` last; whether there is one, whole and unchanged."""
    source, run = _folder() / key, Run(target)
    if not is_done(source):
        return False
    try:
        _copy(source, target)
        for name in read_facts(run).sha256:  # of the copy: another comparison may replace the source meanwhile
            run.checked_file(name)
        if has_speed(target):
            close_run(run)
            return True
    except (RunError, OSError):
        pass
    discard_run(run)
    return False


def keep_rung(key: str, run: Path) -> None:
    """Keep a copy of a finished rung, where the cache can be written; in place of one that was damaged.

    raises: OptionError where the cache folder is not tlkit's
    """
    copied = temporary_beside(_folder() / key)
    try:
        with suppress(OSError):
            claim_cache()
            _copy(run, copied)
            (copied / DONE).touch()
            discard_run(Run(_folder() / key))
            copied.rename(_folder() / key)  # fails where something that is not a run's was left there
    finally:
        discard_run(Run(copied))


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
    names += backbones_at_hand() if isinstance(settings, CompareSettings) else []
    rows = [find_backbone(name) for name in names]
    return {row.name: _content(imagenet_file(row, row.image_size)) for row in rows}


def _content(file: Path) -> str:
    try:
        return sha256_file(file)
    except OSError as error:
        return hashlib.sha256(str(error.strerror).encode()).hexdigest()


def _folder() -> Path:
    return cache_root() / "rungs"
