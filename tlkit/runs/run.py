"""The run folder that a training leaves: created, finished, loaded."""

import csv
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlkit.data.image import DECODE_VERSION
from tlkit.engines.base import versions
from tlkit.errors import OptionError, RunError, WriteError
from tlkit.models.keras_setup import start_keras
from tlkit.runs.ledger import is_recorded, record_run
from tlkit.runs.manifest import FORMAT_VERSION, MODEL, READ_COLUMNS, REMADE, RUN_FILES, Manifest, parse_manifest
from tlkit.utils.files import (
    TEMPORARY,
    atomic_open,
    atomic_write,
    owned_files,
    remove_if_possible,
    remove_owned,
    sha256_file,
    write_json,
)
from tlkit.utils.html import html_card, html_facts
from tlkit.utils.reading import MAX_ROWS, parse_table, read_regular, refuse_links_on_the_way, sha256_regular
from tlkit.utils.storage import exists, is_folder
from tlkit.utils.tables import csv_writer
from tlkit.utils.text import distinct_names, quote_names

if TYPE_CHECKING:
    from tlkit.runs.dataset import RunDataset

UNFINISHED = "UNFINISHED"  # in a run that is running, or was stopped
DONE = "DONE"  # in a finished run
COMPARISON = "compare.csv"  # in the folder of several runs that were compared
COMMANDS_OF_RUNS = ("finetune", "train", "compare")  # that make runs
RUNS = Path("runs")  # gets runs without a name
LATEST = "latest"  # means the newest finished run
MAX_JSON_BYTES = 16_000_000  # of a file that is read; a run's are far smaller
MAX_TABLE_BYTES, OWN_TABLES = 512_000_000, 50  # of a csv that is read; times as much of this machine's own runs
MAX_FILE_BYTES = 8_000_000_000  # of any other file; the largest network has 1.4 GB


@dataclass(frozen=True)
class Run:
    """A run folder; the `name` of a file in it is relative to its `path`. See docs/architecture.md for the files."""

    path: Path

    @property
    def manifest(self) -> Manifest:
        """The content of `model.json`, read and checked at every access.

        Raises:
            RunError: if it is damaged or was written by another version
        """
        return parse_manifest(self.read_json("model.json"), self.path / "model.json")

    @property
    def is_own(self) -> bool:
        """True if this machine made it: its `model.json`, which has the hashes of its files, is in the ledger."""
        try:
            return is_recorded(sha256_regular(self.path / "model.json", MAX_JSON_BYTES))
        except OSError:
            return False

    def _repr_html_(self) -> str:
        facts: list[tuple[str, Any]] = [("folder", self.path)]
        with suppress(RunError, KeyError, TypeError, ValueError, ArithmeticError, AttributeError):  # cannot be read
            settings, metrics, names = self.read_settings(), self.read_json("metrics.json"), self.manifest.class_names
            figures = metrics.get(metrics["headline"]) or metrics
            accuracy, low, high = (f"{100 * value:.1f}" for value in (figures["accuracy"], *figures["accuracy_ci95"]))
            facts += [("made by", f"tlkit {settings['command']}"), ("images", settings["data"])]
            facts += [("accuracy", f"{accuracy} % ({low} to {high} %) on {metrics['headline']} images")]
            facts += [(f"{len(names):,} classes", quote_names(distinct_names(names)))]
        return html_card("Run", html_facts(facts))

    def write_json(self, name: str, value: Any) -> None:
        """Write a `value` as one of the run's JSON files."""
        write_json(self.path / name, value)

    def write_rows(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Write one of the run's tables as csv: the names of the `columns`, then `rows` of as many cells."""
        with atomic_open(self.path / name) as file:
            writer = csv_writer(file)
            writer.writerow(columns)
            writer.writerows(rows)

    def read_rows(self, name: str) -> list[dict[str, str]]:
        """Read one of the run's tables, checked against its hash and for the columns that are read.

        Raises:
            RunError
        """
        file, factor = self.checked_file(name), OWN_TABLES if self.is_own else 1
        try:
            text = read_regular(file, factor * MAX_TABLE_BYTES).decode("utf-8", "surrogateescape")
            return parse_table(text, READ_COLUMNS.get(name, ()), self.manifest.class_names, factor * MAX_ROWS)
        except (OSError, ValueError, csv.Error) as error:
            raise RunError(f"'{file}' cannot be read ({_reason(error)}); restore it or train again.") from None

    def read_json(self, name: str) -> Any:
        """Read one of the run's JSON files.

        Raises:
            RunError
        """
        try:
            refuse_links_on_the_way(self.path, name)
            return json.loads(read_regular(self.path / name, MAX_JSON_BYTES).decode())
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"'{self.path / name}' cannot be read ({_reason(error)}); train again.") from None

    def read_settings(self) -> dict[str, Any]:
        """Read `settings.json`: "command", "data" and the command's options.

        Raises:
            RunError: if it is not an object with a command and data
        """
        if is_done(self.path) and (self.path / "model.json").exists():
            self.checked_file("settings.json")
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
        try:
            refuse_links_on_the_way(self.path, name)
            if expected is None or sha256_regular(file, MAX_FILE_BYTES) != expected:
                raise RunError(
                    f"'{file}' is not the file that the run wrote (its SHA-256 differs); restore it or train again."
                )
        except FileNotFoundError:
            raise RunError(f"'{file}' is missing; restore it or train again.") from None
        except OSError as error:
            raise RunError(f"'{file}' cannot be read ({_reason(error)}); restore it or train again.") from None
        return file

    def to_dataset(
        self, subset: str = "validation", batch_size: int = 32, shuffle: bool = False, data: str | Path | None = None
    ) -> "RunDataset":
        """Open the images of a `subset` or "all" for Keras: batches of pixels, float32 0 to 255, and labels, int32.

        A batch has `batch_size` images; `shuffle` gives each epoch another order; `data` is their folder if it moved.

        Raises:
            RunError: if another machine made the run and `data` is None
            DataError: if an image has moved or changed
        """
        start_keras()
        from tlkit.runs.dataset import RunDataset

        return RunDataset(self, subset, batch_size, shuffle, data)

    def network_file(self) -> Path:
        """Find the run's network, for Keras to open, and check that its content is what the run wrote.

        Raises:
            RunError: also if the run's classifier is not a network
        """
        if MODEL not in self.manifest.sha256:
            raise RunError(f"'{self.path}' contains a classic classifier; expected the run of a network.")
        return self.checked_file(MODEL)


def create_run(path: Path | None, command: str, parent: Path = RUNS) -> Run:
    """Create a run folder at `path`, or at the next free `<command>-001` in `parent`.

    Raises:
        OptionError: if `path` exists, or nothing can be written
    """
    try:
        run = Run(path or _make_next_folder(parent, command))
        if path:
            path.mkdir(parents=True)
    except FileExistsError:
        raise OptionError(f"'{path}' already exists; choose another folder with -o.") from None
    except OSError as error:
        raise OptionError(
            f"cannot create the run folder '{path or parent}' ({error.strerror}); choose another folder with -o."
        ) from None
    try:
        atomic_write(
            run.path / UNFINISHED, f"`tlkit {command}` is running or was interrupted; --resume continues it.\n"
        )
    except WriteError:
        delete_run(run)
        raise
    return run


def finish_run(run: Run, entries: Mapping[str, Any], is_own: bool = True) -> None:
    """Write `model.json` as `write_manifest` does, and `DONE` last."""
    write_manifest(run, entries, is_own)
    mark_done(run)


def write_manifest(run: Run, entries: Mapping[str, Any], is_own: bool = True) -> None:
    """Write `model.json` with the hash of every file that the run has written so far, and enter it in the ledger.

    Args:
        entries: of `model.json`, by the names of `Manifest`'s fields, with what `ImageSpec.as_json` gives for its image
        is_own: whether it was made from nothing of a stranger; else it stays out of the ledger
    """
    files = [file for file in owned_files(run.path, RUN_FILES) if not TEMPORARY.fullmatch(file.name)]
    files = [file for file in files if file.name not in (UNFINISHED, "model.json", *REMADE)]
    hashes = {file.relative_to(run.path).as_posix(): sha256_file(file) for file in files}
    head = {"format": FORMAT_VERSION, "decode_version": DECODE_VERSION, "versions": versions(entries["engine"])}
    run.write_json("model.json", head | dict(entries) | {"sha256": hashes})
    if is_own:
        record_run(sha256_file(run.path / "model.json"))


def mark_done(run: Run) -> None:
    """Write `DONE`, last of all, and only then remove `UNFINISHED`: one of both must always be there."""
    atomic_write(run.path / DONE, "")
    remove_if_possible(run.path / UNFINISHED)


def is_done(path: Path) -> bool:
    """Tell whether a folder holds a finished run."""
    return exists(path / DONE)


def delete_run(run: Run) -> None:
    """Remove the run's files, and its folder where nothing else is in it; no link is followed."""
    if not run.path.is_symlink():
        remove_owned(run.path, RUN_FILES)


def load_run(path: str | Path) -> Run:
    """Open a finished run, and check its `model.json`.

    Args:
        path: see `find_run`

    Returns:
        The run, whose other files are checked when they are read

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
    if str(path) == LATEST and not exists(path):
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
    content, file = comparison.read_json("compare.json"), comparison.path / "compare.json"
    try:
        name = content["advice"]["name"]
        is_listed = isinstance(name, str) and name in [row["model"] for row in content["models"]]
        is_plain = is_listed and re.fullmatch(r"[\w+-][\w.+-]{0,200}", name)
        if is_plain and not (comparison.path / name).is_symlink():  # a link may lead anywhere
            return str(name)
    except (KeyError, TypeError):
        pass
    raise RunError(f"'{file}' does not name a model; give the folder of one run in '{comparison.path}'.")


def command_of(run: Run) -> str:
    """Find the command of a run, from its `settings.json`; "finetune" where that does not say."""
    try:
        command = run.read_json("settings.json")["command"]
    except (RunError, KeyError, TypeError):
        return "finetune"
    return command if command in COMMANDS_OF_RUNS else "finetune"


def _reason(error: Exception) -> str:
    """Say why a file cannot be read, in few words."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _finished_runs_hint() -> str:
    finished = "; ".join(str(path) for path in sorted(Path("runs").glob("*/")) if is_done(path))
    return f"finished runs here: {finished}" if finished else "`tlkit finetune DATA` creates one"


def _unfinished_reason(run: Run) -> str:
    if not exists(run.path / "settings.json"):
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
