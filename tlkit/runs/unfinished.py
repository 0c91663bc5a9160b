"""Unfinished runs: reopened, held to their split, with their checkpoints."""

import csv
import io
import os
from pathlib import Path
from tlkit.data.split import Split
from tlkit.errors import RunError
from tlkit.utils.files import TEMPORARY, csv_writer, is_regular, owned_files, atomic_write
from tlkit.runs.run import COMPARISON, RUN_FILES, UNFINISHED, Run, is_done


SPLIT = "split.csv"
SPLIT_COLUMNS = ("path", "class", "split", "group", "sha256")
RESUMED = "RESUMED"  # in a run that was gone on with from where it was stopped


def reopen_run(path: Path) -> Run:
    """An unfinished run, to go on with; nothing in it is changed.

    raises: RunError where there is none, it is finished, or what it would write is a link
    """
    if is_done(path):
        raise RunError(f"'{path}' is finished, there is nothing to resume; {_use_of(path)}.")
    if not (path / UNFINISHED).exists() or not (path / "settings.json").exists():
        raise RunError(f"'{path}' is no unfinished run; give the folder of one that was stopped.")
    refuse_links(path)
    return Run(path)


def refuse_links(path: Path) -> None:
    """Of what a run writes in its folder, all that is there must be plain files and folders.

    raises: RunError that names a link, which could lead anywhere, or another special file
    """
    for place, folders, files in os.walk(path):
        for found in (Path(place) / name for name in (*folders, *files)):
            name = found.relative_to(path).as_posix()
            if RUN_FILES.folders.fullmatch(name):
                refuse_special(found, "folder")
            elif RUN_FILES.files.fullmatch(name) and not TEMPORARY.fullmatch(found.name):
                refuse_special(found, "regular file")


def refuse_special(path: Path, expected: str) -> None:
    """raises: RunError where `path` is a link, or not what is expected: "folder" or "regular file"."""
    if not path.is_symlink() and (path.is_dir() if expected == "folder" else is_regular(path)):
        return
    found = "a symbolic link" if path.is_symlink() else f"no {expected}"
    raise RunError(f"'{path}' is {found}, where tlkit writes a {expected} of its own; move it away, or start anew.")


def drop_temporaries(run: Run) -> None:
    """Remove what a killed process left half written; only once it is certain that the run is gone on with."""
    for file in owned_files(run.path, RUN_FILES):
        if TEMPORARY.fullmatch(file.name):
            file.unlink(missing_ok=True)


def was_resumed(run: Run) -> bool:
    """Whether its `metrics.json` says what the last part of its training took, not all of it."""
    return (run.path / RESUMED).exists()


def _use_of(finished: Path) -> str:
    if (finished / COMPARISON).exists():
        return f"'{finished / COMPARISON}' has its figures, and `tlkit predict` takes each run in it"
    return f"`tlkit predict {finished} IMAGE...` uses it"


def save_or_check_split(run: Run, split: Split) -> None:
    """Write `split.csv` at once; in a resumed run, require that it says the same, and only then begin to change it.

    raises: RunError with the first difference, where the images are not what the run began with
    """
    text, file = _as_csv(split), run.path / SPLIT
    before = file.read_bytes().decode("utf-8", "surrogateescape") if file.exists() else None
    if before is not None and before != text:
        raise RunError(f"the images are not those '{run.path}' began with: {_difference(before, text)}; start anew.")
    drop_temporaries(run)
    if before is None:
        atomic_write(file, text)
    elif has_progress(run):
        atomic_write(run.path / RESUMED, "What was trained before it was stopped is not in its seconds.\n")


def has_progress(run: Run) -> bool:
    """Whether anything was trained that is worth going on from."""
    return any(run.path.glob("checkpoint-*.npz")) or (run.path / "history.csv").exists()


def delete_checkpoints(run: Run) -> None:
    """A finished run needs none."""
    for file in owned_files(run.path, RUN_FILES):
        if file.name.startswith("checkpoint-"):
            file.unlink()


def _as_csv(split: Split) -> str:
    lines = io.StringIO(newline="")
    writer = csv_writer(lines)
    writer.writerow(SPLIT_COLUMNS)
    for side, part in split.parts.items():
        names = [part.class_names[label] for label in part.labels]
        writer.writerows(
            (path, name, side, group, sha256)
            for path, name, group, sha256 in zip(part.paths, names, part.groups, part.sha256, strict=True)
        )
    return lines.getvalue()


def _difference(before: str, now: str) -> str:
    """In words: images that went, came or changed, with the first of them."""
    old, new = ({row["path"]: row for row in csv.DictReader(io.StringIO(text, newline=""))} for text in (before, now))
    kinds = {
        "gone": sorted(old.keys() - new.keys()),
        "new": sorted(new.keys() - old.keys()),
        "changed": sorted(path for path in old.keys() & new.keys() if old[path] != new[path]),
    }
    return ", ".join(f"{len(paths)} {kind} (such as {paths[0]})" for kind, paths in kinds.items() if paths)
