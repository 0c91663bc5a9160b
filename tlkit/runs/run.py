"""The run folder that a training leaves: created, finished, loaded."""

import csv
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlkit.data.image import DECODE_VERSION
from tlkit.engines.base import versions
from tlkit.errors import OptionError, RunError
from tlkit.runs.manifest import FORMAT_VERSION, Manifest, parse_manifest
from tlkit.utils.files import (
    TEMPORARY,
    Owned,
    atomic_open,
    atomic_write,
    csv_writer,
    is_folder,
    owned_files,
    path_exists,
    remove_owned,
    sha256_file,
    write_json,
)

UNFINISHED = "UNFINISHED"  # in a run that is running, or was stopped
DONE = "DONE"  # in a finished run
MODEL = "model.keras"  # the whole network, of runs that have one
COMPARISON = "compare.csv"  # in the folder of several runs that were compared
LATEST = "latest"  # stands for the newest finished run
RUN_FILES = Owned(  # everything a run or a comparison writes; other files in its folder are not tlkit's
    files=re.compile(
        r"UNFINISHED|DONE|RESUMED|model\.keras|classic\.npz"
        r"|(?:settings|model|metrics|speed|compare|comparison-key|checkpoint-(?:strategy|versions))\.json"
        r"|(?:split|history|left_out|conflicts|per_class|confusion_matrix|predictions_val|wrong|compare)\.csv"
        r"|compare\.png|checkpoint-[a-z]+\.npz"
        r"|engine/(?:lower|upper|classifier)\.(?:tflite|keras)|plots/(?:confusion|curves|wrong)\.png"
        r"|tensorboard/[a-z]+/events\.out\.tfevents\.[^/]+"
        r"|folds/(?:per_class|confusion_matrix|predictions|wrong)\.csv"
        rf"|(?:(?:engine|folds|plots)/)?{TEMPORARY.pattern}"
    ),
    folders=re.compile(r"engine|folds|plots|tensorboard(?:/[a-z]+)?"),
)


@dataclass(frozen=True)
class Run:
    """A run folder; see docs/architecture.md for the files in it."""

    path: Path

    @property
    def manifest(self) -> Manifest:
        """The content of `model.json`, read and checked at every access.

        Raises:
            RunError: if it is damaged or was written by another version
        """
        return parse_manifest(self.read_json("model.json"), self.path / "model.json")

    def write_json(self, name: str, value: Any) -> None:
        """Write one of the run's files."""
        write_json(self.path / name, value)

    def write_rows(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Write one of the run's tables as csv with a header."""
        with atomic_open(self.path / name) as file:
            writer = csv_writer(file)
            writer.writerow(columns)
            writer.writerows(rows)

    def read_rows(self, name: str) -> list[dict[str, str]]:
        """Read one of the run's tables, checked against its hash.

        Raises:
            RunError
        """
        file = self.checked_file(name)
        with file.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
            return list(csv.DictReader(lines))

    def read_json(self, name: str) -> Any:
        """Read one of the run's JSON files.

        Raises:
            RunError
        """
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"'{self.path / name}' cannot be read ({error}); train again.") from None

    def read_settings(self) -> dict[str, Any]:
        """Read `settings.json`: "command", "data" and the command's options.

        Raises:
            RunError: if it is not an object with a command and data
        """
        content = self.read_json("settings.json")
        if not isinstance(content, dict) or not all(isinstance(content.get(key), str) for key in ("command", "data")):
            file = self.path / "settings.json"
            raise RunError(f"'{file}' is damaged (no command or DATA in it); restore it or start a new run.")
        return content

    def checked_file(self, name: str) -> Path:
        """Find one of the run's files, and check that its content is what the run wrote.

        Raises:
            RunError
        """
        file, expected = self.path / name, self.manifest.sha256.get(name)
        if not file.is_file():
            raise RunError(f"'{file}' is missing; restore it or train again.")
        if sha256_file(file) != expected:
            raise RunError(
                f"'{file}' is not the file that the run wrote (its SHA-256 differs); restore it or train again."
            )
        return file

    def network_file(self) -> Path:
        """Find the run's network, for Keras to open, and check that its content is what the run wrote.

        Raises:
            RunError: also if the run's classifier is not a network
        """
        if MODEL not in self.manifest.sha256:
            raise RunError(f"'{self.path}' contains a classic classifier; expected the run of a network.")
        return self.checked_file(MODEL)


def create_run(path: Path | None, command: str) -> Run:
    """Create a run folder at `path`, or at the next free `runs/<command>-001`.

    Raises:
        OptionError: if `path` exists, or nothing can be written
    """
    try:
        run = Run(path or _make_next_folder(Path("runs"), command))
        if path:
            path.mkdir(parents=True)
        atomic_write(
            run.path / UNFINISHED, f"`tlkit {command}` is running or was interrupted; --resume continues it.\n"
        )
        return run
    except FileExistsError:
        raise OptionError(f"'{path}' already exists; choose another folder with -o.") from None
    except OSError as error:
        raise OptionError(
            f"cannot create the run folder '{path or 'runs'}' ({error.strerror}); choose another folder with -o."
        ) from None


def finish_run(run: Run, entries: Mapping[str, Any]) -> None:
    """Write `model.json` with the hash of every file that the run wrote, and `DONE` last.

    Args:
        entries: of `model.json`, by the names of `Manifest`'s fields, with what `ImageSpec.as_json` gives for its image
    """
    files = [file for file in owned_files(run.path, RUN_FILES) if not TEMPORARY.fullmatch(file.name)]
    files = [file for file in files if file.name not in (UNFINISHED, "model.json")]
    hashes = {file.relative_to(run.path).as_posix(): sha256_file(file) for file in files}
    head = {"format": FORMAT_VERSION, "decode_version": DECODE_VERSION, "versions": versions(entries["engine"])}
    run.write_json("model.json", head | dict(entries) | {"sha256": hashes})
    mark_done(run)


def mark_done(run: Run) -> None:
    """Write `DONE`, last of all, and only then remove `UNFINISHED`: one of both must always be there."""
    atomic_write(run.path / DONE, "")
    (run.path / UNFINISHED).unlink(missing_ok=True)


def is_done(path: Path) -> bool:
    """Tell whether a folder holds a finished run."""
    return path_exists(path / DONE)


def delete_run(run: Run) -> None:
    """Remove the run's files, and its folder where nothing else is in it; no link is followed."""
    if not run.path.is_symlink():
        remove_owned(run.path, RUN_FILES)


def load_run(path: str | Path) -> Run:
    """Open a finished run, and check its `model.json`.

    Args:
        path: see `find_run`

    Raises:
        RunError: it says what is there instead
        OptionError: if it is not a path
    """
    if not isinstance(path, str | os.PathLike):
        hint = "; give its `run`" if hasattr(path, "run") else ""
        raise OptionError(f"a run is of type {type(path).__name__}; expected a Run or the path of its folder{hint}.")
    path = find_run(path)
    if not is_folder(path):
        raise RunError(f"there is no run folder '{path}'; {_finished_runs_hint()}.")
    run = Run(path)
    if not is_done(path):
        raise RunError(f"'{path}' {_unfinished_reason(run)}.")
    _ = run.manifest  # a damaged one is found at once
    return run


def find_run(path: str | Path) -> Path:
    """Find the folder of the run that a path means; it may be missing or unfinished.

    Args:
        path: a run folder, or the `model.keras` or `model.json` in it; a comparison means the run of its recommended
            model; `latest` means the newest finished run in `runs/`, where no folder has that name

    Raises:
        RunError: if there is no finished run, or a comparison is damaged
    """
    path = Path(path)
    path = path.parent if path.name in (MODEL, "model.json") else path
    if str(path) == LATEST and not path_exists(path):
        finished = [path for path in Path("runs").glob("*/") if is_done(path) and (path / "settings.json").is_file()]
        if not finished:
            raise RunError("there is no finished run in 'runs'; `tlkit finetune DATA` creates one.")
        path = max(finished, key=finished_at)
    if is_done(path) and (path / COMPARISON).exists():
        return path / recommended_in(Run(path))
    return path


def finished_at(path: Path) -> float:
    """Give the time at which a finished run wrote `DONE`, in seconds since 1970."""
    return (path / DONE).stat().st_mtime


def recommended_in(comparison: Run) -> str:
    """Name the recommended candidate of a finished comparison; its run folder has the same name.

    Raises:
        RunError
    """
    content = comparison.read_json("compare.json")
    try:
        name = content["advice"]["name"]
        if name in [row["model"] for row in content["models"]] and Path(name).name == name:
            return str(name)
    except (KeyError, TypeError):
        pass
    file = comparison.path / "compare.json"
    raise RunError(f"'{file}' does not name a model; give the folder of one run in '{comparison.path}'.")


def command_of(run: Run) -> str:
    """Find the command of a run, from its `settings.json`; "finetune" where that does not say."""
    try:
        return str(run.read_json("settings.json")["command"])
    except (RunError, KeyError, TypeError):
        return "finetune"


def _finished_runs_hint() -> str:
    finished = "; ".join(str(path) for path in sorted(Path("runs").glob("*/")) if is_done(path))
    return f"finished runs here: {finished}" if finished else "`tlkit finetune DATA` creates one"


def _unfinished_reason(run: Run) -> str:
    if not path_exists(run.path / "settings.json"):
        return f"is not a run folder (it has no {DONE} file); {_finished_runs_hint()}"
    return f"is unfinished (it has no {DONE} file); `tlkit {command_of(run)} --resume {run.path}` continues it"


def _make_next_folder(parent: Path, command: str) -> Path:
    """Make the next free `<command>-NNN`; two runs that start at once get two numbers."""
    matches = (re.fullmatch(rf"{command}-([0-9]+)", path.name) for path in parent.glob(f"{command}-*"))
    number = max((int(match[1]) for match in matches if match), default=0) + 1
    while True:
        try:
            (path := parent / f"{command}-{number:03d}").mkdir(parents=True)
            return path
        except FileExistsError:
            number += 1
