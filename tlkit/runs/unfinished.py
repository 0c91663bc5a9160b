"""Unfinished runs: reopened, only with the same split; their checkpoints."""

import csv
import io
import os
from pathlib import Path

from tlkit.data.split import Split
from tlkit.engines.base import CLASSIC_PACKAGES, PACKAGES, versions
from tlkit.errors import RunError
from tlkit.runs.manifest import RUN_FILES
from tlkit.runs.run import COMPARISON, UNFINISHED, Run, is_done
from tlkit.utils.files import (
    TEMPORARY,
    atomic_write,
    is_regular,
    owned_files,
    remove_if_possible,
)
from tlkit.utils.storage import exists
from tlkit.utils.tables import csv_writer

SPLIT = "split.csv"
SPLIT_COLUMNS = ("path", "class", "split", "group", "sha256", "reason", "pixels")
VERSIONS = "checkpoint-versions.json"  # of the packages that a run started with, until it is finished
RESUMED = "RESUMED"  # in a run that continued what it had trained before it was stopped


def reopen_run(path: Path) -> Run:
    """Open an unfinished run to continue it; nothing in it is changed.

    Raises:
        RunError: if there is none, it is finished, or what it would write is a link
    """
    if is_done(path):
        raise RunError(f"'{path}' is finished and cannot be resumed; {_use_of(path)}.")
    if not exists(path / UNFINISHED) or not exists(path / "settings.json"):
        raise RunError(f"'{path}' is not an unfinished run; give the folder of an interrupted run.")
    refuse_links(path)
    return Run(path)


def save_versions(run: Run, engine: str, is_classic: bool) -> None:
    """Write the versions of the packages that a run starts with.

    Args:
        engine: of the frozen layers, "auto" where there are none
        is_classic: whether a classic classifier is fitted
    """
    run.write_json(VERSIONS, _versions(engine, is_classic))


def check_versions(run: Run, engine: str, is_classic: bool) -> None:
    """Require the versions that the run started with: with others it would not end with the same weights.

    Raises:
        RunError: it names the first package that differs
    """
    if not (run.path / VERSIONS).exists():
        return
    before, now = run.read_json(VERSIONS), _versions(engine, is_classic)
    if changed := [name for name, version in before.items() if now.get(name) != version]:
        name = changed[0]
        package = PACKAGES.get(name, name)
        found = f"{package} {now[name]}" if now.get(name) else "none"
        raise RunError(
            f"'{run.path}' was started with {package} {before[name]}, but {found} is installed; install that version "
            f"(pip install '{package}=={before[name]}') or start a new run."
        )


def _versions(engine: str, is_classic: bool) -> dict[str, str]:
    """Give the versions of everything that the numbers of a training depend on; Python's own is not part of it."""
    unused = ("python", *(() if is_classic else CLASSIC_PACKAGES))
    found = versions(engine if engine in PACKAGES else "classic")
    return {name: version for name, version in found.items() if name not in unused}


def save_or_check_split(run: Run, split: Split) -> None:
    """Write `split.csv`; in a resumed run, require that it is the same, and only then start to change the run.

    Raises:
        RunError: with the first difference, if the images are not those that the run started with
    """
    now, file = _as_csv(split), run.path / SPLIT
    before = file.read_bytes().decode("utf-8", "surrogateescape") if file.exists() else None
    if before is not None and before != now:
        raise RunError(f"'{run.path}' cannot be resumed: {_difference(before, now)}; start a new run.")
    drop_temporaries(run)
    if before is None:
        atomic_write(file, now)
    elif has_progress(run):
        atomic_write(run.path / RESUMED, "What was trained before it was stopped is not in its seconds.\n")


def drop_temporaries(run: Run) -> None:
    """Remove what a killed process left half written; only once it is certain that the run continues."""
    for file in owned_files(run.path, RUN_FILES):
        if TEMPORARY.fullmatch(file.name):
            remove_if_possible(file)


def has_progress(run: Run) -> bool:
    """Tell whether the run has trained anything that can be continued."""
    trained = any((run.path / name).exists() for name in ("history.csv", "metrics.json"))
    return trained or any(run.path.glob("checkpoint-*.npz"))


def was_resumed(run: Run) -> bool:
    """Tell whether the seconds in `metrics.json` are those of the last part of the training only."""
    return (run.path / RESUMED).exists()


def delete_checkpoints(run: Run) -> None:
    """Remove the checkpoints of a run that needs them no more."""
    for file in owned_files(run.path, RUN_FILES):
        if file.name.startswith("checkpoint-"):
            remove_if_possible(file)


def refuse_links(path: Path) -> None:
    """Check that everything with the name of a run's file or folder is a plain file or folder.

    Raises:
        RunError: it names a link, which could lead anywhere, or another special file
    """
    for folder, folder_names, file_names in os.walk(path):
        for entry in (Path(folder) / name for name in (*folder_names, *file_names)):
            name = entry.relative_to(path).as_posix()
            if RUN_FILES.folders.fullmatch(name):
                refuse_special(entry, "folder")
            elif RUN_FILES.files.fullmatch(name) and not TEMPORARY.fullmatch(entry.name):
                refuse_special(entry, "regular file")


def refuse_special(path: Path, expected: str) -> None:
    """Check that a path is what tlkit would write there.

    Args:
        expected: "folder" or "regular file"

    Raises:
        RunError: if `path` is a link or something else
    """
    if not path.is_symlink() and (path.is_dir() if expected == "folder" else is_regular(path)):
        return
    found = "a symbolic link" if path.is_symlink() else f"not a {expected}"
    raise RunError(f"'{path}' is {found}; expected a {expected} that tlkit wrote: move it away or start a new run.")


def _use_of(finished: Path) -> str:
    if (finished / COMPARISON).exists():
        return f"'{finished / COMPARISON}' has its results, and `tlkit predict` accepts each run in it"
    return f"use it with `tlkit predict {finished} IMAGE...`"


def _as_csv(split: Split) -> str:
    lines = io.StringIO(newline="")
    writer = csv_writer(lines)
    writer.writerow(SPLIT_COLUMNS)
    for subset, images in split.subsets.items():
        names = [images.class_names[label] for label in images.labels]
        reasons = images.reasons or [""] * len(images)
        columns = (images.groups, images.sha256, reasons, images.digests)
        for path, name, *contents in zip(images.paths, names, *columns, strict=True):
            writer.writerow((path, name, subset, *contents))
    return lines.getvalue()


def _difference(before: str, now: str) -> str:
    """Say how many images are gone, new or changed between two split.csv, and name the first of them."""
    kept = ("path", "class", "pixels", "sha256")  # an image that is added may change the group or subset of another
    old, new = (
        {row["path"]: [row[name] for name in kept] for row in csv.DictReader(io.StringIO(text, newline=""))}
        for text in (before, now)
    )
    changes = {
        "missing": sorted(old.keys() - new.keys()),
        "new": sorted(new.keys() - old.keys()),
        "changed": sorted(path for path in old.keys() & new.keys() if old[path] != new[path]),
    }
    named = ", ".join(f"{len(paths)} {change} (e.g. {paths[0]})" for change, paths in changes.items() if paths)
    return f"the images have changed: {named}" if named else "another version of tlkit split its images differently"
