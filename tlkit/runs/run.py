"""The folder a training leaves: created, finished, loaded; its model.json."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from tlkit.data.image import DECODE_VERSION, RESIZES
from tlkit.errors import RunError
import csv
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from tlkit.data.image import DECODE_VERSION
from tlkit.engines.base import versions
from tlkit.errors import OptionError, RunError
from tlkit.utils.files import TEMPORARY, Owned, csv_writer, atomic_open, owned_files, remove_owned, sha256_file, atomic_write, write_json


FORMAT_VERSION = 1


@dataclass(frozen=True)
class InferenceStage:
    """One converted network of a run: its file, relative to the run, and the precision it runs in."""

    file: str
    precision: str


@dataclass(frozen=True)
class Manifest:
    """What `model.json` says.

    class_names  in label order
    image_size   height and width of the network's input, in pixels
    resize       how a picture becomes square
    engine       "litert", "openvino", "keras" or "classic"
    stages       what the engine runs, in order, from pixels to probabilities
    sha256       of every file of the run, by its name
    """

    class_names: tuple[str, ...]
    image_size: int
    resize: str
    precision: str
    engine: str
    stages: tuple[InferenceStage, ...]
    sha256: dict[str, str]


def parse_manifest(content: Any, file: Path) -> Manifest:
    """The content of a `model.json`.

    raises: RunError where it is damaged or was written by another version
    """
    try:
        if (content["format"], content["decode_version"]) != (FORMAT_VERSION, DECODE_VERSION):
            raise RunError(
                f"'{file}' was written by tlkit {content['versions']['tlkit']}, which decoded images differently; "
                "install that version or train again."
            )
        facts = Manifest(
            class_names=tuple(str(name) for name in content["class_names"]),
            image_size=int(content["image_size"]),
            resize=str(content["resize"]),
            precision=str(content["precision"]),
            engine=str(content["engine"]),
            stages=tuple(InferenceStage(str(stage["file"]), str(stage["precision"])) for stage in content["stages"]),
            sha256=dict(content["sha256"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"'{file}' is damaged ({type(error).__name__}: {error}); train again or restore it.") from None
    if not 1 <= facts.image_size <= 4096 or facts.resize not in RESIZES or len(facts.class_names) < 2:
        raise RunError(f"'{file}' is damaged (impossible values); train again or restore it.")
    return facts

UNFINISHED = "UNFINISHED"
DONE = "DONE"
MODEL = "model.keras"  # the whole network, of runs that have one
COMPARISON = "compare.csv"  # in the folder of several runs that were compared
RUN_FILES = Owned(  # everything a run or a comparison writes; whatever else is in its folder is somebody's
    files=re.compile(
        r"UNFINISHED|DONE|RESUMED|model\.keras|classic\.npz"
        r"|(?:settings|model|metrics|speed|begun|compare|checkpoint-strategy)\.json"
        r"|(?:split|history|left_out|per_class|confusion_matrix|predictions_val|compare)\.csv"
        r"|compare\.png|checkpoint-[a-z]+\.npz"
        r"|engine/(?:lower|upper|classifier)\.(?:tflite|keras)|plots/(?:confusion|curves)\.png"
        r"|tensorboard/[a-z]+/events\.out\.tfevents\.[^/]+"
        rf"|(?:(?:engine|plots)/)?{TEMPORARY.pattern}"
    ),
    folders=re.compile(r"engine|plots|tensorboard(?:/[a-z]+)?"),
)


@dataclass(frozen=True)
class Run:
    """A run folder; see docs/architecture.md for the files in it."""

    path: Path

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

        raises: RunError
        """
        file = self.checked_file(name)
        with file.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
            return list(csv.DictReader(lines))

    def read_json(self, name: str) -> Any:
        """Read one of the run's JSON files.

        raises: RunError
        """
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"'{self.path / name}' cannot be read ({error}); train again.") from None

    def checked_file(self, name: str) -> Path:
        """Where one of the run's files lies, once its content is what the run wrote.

        raises: RunError
        """
        file, expected = self.path / name, read_manifest(self).sha256.get(name)
        if not file.is_file():
            raise RunError(f"'{file}' is missing from its run; train again or restore it.")
        if sha256_file(file) != expected:
            raise RunError(f"'{file}' is not what the run wrote (its SHA-256 differs); train again or restore it.")
        return file

    def network_file(self) -> Path:
        """Where its network lies, for Keras to open, once its content is what the run wrote.

        raises: RunError, too where its classifier is no network
        """
        if MODEL not in read_manifest(self).sha256:
            raise RunError(f"'{self.path}' holds a classifier that is no network; give the run of one.")
        return self.checked_file(MODEL)


def create_run(path: Path | None, command: str) -> Run:
    """Start a run folder at `path`, or at the next free `runs/<command>-001`.

    raises: OptionError where there is something already, or nothing can be written
    """
    try:
        run = Run(_made(path) if path else _next_free(Path("runs"), command))
        atomic_write(
            run.path / UNFINISHED, f"`tlkit {command}` is running here, or was stopped; --resume goes on.\n"
        )
        return run
    except FileExistsError:
        raise OptionError(f"'{path}' is already there and is never written into; choose another -o.") from None
    except OSError as error:
        raise OptionError(
            f"no run folder can be made at '{path or 'runs'}' ({error.strerror}); choose another -o."
        ) from None


def finish_run(run: Run, facts: dict[str, Any]) -> None:
    """Write `model.json` with the hash of every file that the run wrote, and `DONE` last."""
    files = [file for file in owned_files(run.path, RUN_FILES) if not TEMPORARY.fullmatch(file.name)]
    files = [file for file in files if file.name not in (UNFINISHED, "model.json")]
    hashes = {file.relative_to(run.path).as_posix(): sha256_file(file) for file in files}
    later = {"temperature": None, "unknown_threshold": None, "golden_samples": None}
    head = {"format": FORMAT_VERSION, "decode_version": DECODE_VERSION, "versions": versions(facts["engine"])}
    run.write_json("model.json", head | facts | later | {"sha256": hashes})
    mark_done(run)


def mark_done(run: Run) -> None:
    """Write `DONE`, last of all; only then the run is no longer unfinished, for one of both must always be there."""
    atomic_write(run.path / DONE, "")
    (run.path / UNFINISHED).unlink(missing_ok=True)


def is_done(path: Path) -> bool:
    """Whether a folder holds a finished run."""
    return (path / DONE).exists()


def delete_run(run: Run) -> None:
    """Remove what a run writes, and its folder where nothing else is in it; never anything behind a link."""
    if not run.path.is_symlink():
        remove_owned(run.path, RUN_FILES)


def load_run(path: str | Path) -> Run:
    """A finished run, by its folder or its `model.keras`.

    raises: RunError that says what is there instead
    """
    path = Path(path)
    path = path.parent if path.name in (MODEL, "model.json") else path
    if not path.is_dir():
        raise RunError(f"there is no run folder '{path}'; {_where_runs_are()}.")
    run = Run(path)
    if not is_done(path):
        raise RunError(f"'{path}' {_why_not_done(run)}.")
    if (path / COMPARISON).exists():
        raise RunError(f"'{path}' is a comparison of several runs; give the folder of one of them in it.")
    read_manifest(run)
    return run


def command_of(run: Run) -> str:
    """The command that its `settings.json` is of."""
    try:
        return str(run.read_json("settings.json")["command"])
    except (RunError, KeyError, TypeError):
        return "finetune"


def _where_runs_are() -> str:
    known = "; ".join(str(run) for run in sorted(Path("runs").glob("*/")) if is_done(run))
    return f"finished runs here: {known}" if known else "`tlkit finetune DATA` makes one"


def _why_not_done(run: Run) -> str:
    if not (run.path / "settings.json").exists():
        return f"is no run folder: it has no {DONE}; {_where_runs_are()}"
    again = f"`tlkit {command_of(run)} --resume {run.path}` goes on with one that was stopped"
    return f"is an unfinished run: it has no {DONE}; {again}"


def read_manifest(run: Run) -> Manifest:
    """What `model.json` says, checked.

    raises: RunError where it is damaged or was written by another version
    """
    return parse_manifest(run.read_json("model.json"), run.path / "model.json")


def _made(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def _next_free(parent: Path, command: str) -> Path:
    """Make the next free `<command>-NNN`; two runs that start at once get two numbers."""
    names = (re.fullmatch(rf"{command}-([0-9]+)", path.name) for path in parent.glob(f"{command}-*"))
    taken = [int(name[1]) for name in names if name]
    number = max(taken, default=0) + 1
    while True:
        try:
            return _made(parent / f"{command}-{number:03d}")
        except FileExistsError:
            number += 1
