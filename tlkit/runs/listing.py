"""A list of runs: what each was made from, how good it is, and whether it is finished. Reads small JSON files only."""

import json
import math
import os
import shlex
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from tlkit.data.listing import natural_key
from tlkit.errors import RunError
from tlkit.runs.manifest import RUN_FILES, parse_manifest
from tlkit.runs.run import COMPARISON, DONE, MAX_JSON_BYTES, UNFINISHED
from tlkit.utils.files import is_regular, owned_files
from tlkit.utils.reading import read_regular
from tlkit.utils.storage import is_folder

State = Literal["finished", "stopped", "damaged"]
SortKey = Literal["when", "accuracy", "size", "name"]
COLUMNS = (
    *("path", "when", "command", "data", "network", "strategy", "accuracy", "ci95_low", "ci95_high"),
    *("measured_on", "bytes", "state", "resume", "reason"),
)


@dataclass(frozen=True)
class RunEntry:
    """One run of a list.

    Attributes:
        path: its folder
        when: it was finished, or its last file was written, in local time
        command: that made it: "finetune", "train" or "compare"; "" where a damaged run does not say
        data: folder of its images
        network: or descriptors; of a comparison the recommended model
        strategy: such as "freeze all", "from scratch", a classic classifier, or how many models were compared
        accuracy: on the images that `measured_on` names; of a comparison that of the best model
        interval: of it, 95 %
        measured_on: "folds", "test" or "validation"
        num_bytes: of its files, and for a comparison of its runs' files
        state: a stopped run may also be running
        resume: command that continues a stopped run; "" for others
        reason: why a damaged run cannot be used; "" for others
    """

    path: Path
    when: datetime
    command: str = ""
    data: str = ""
    network: str = ""
    strategy: str = ""
    accuracy: float | None = None
    interval: tuple[float, float] | None = None
    measured_on: str = ""
    num_bytes: int = 0
    state: State = "finished"
    resume: str = ""
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """Give the values of `COLUMNS`, by name; None where there is none."""
        low, high = self.interval or (None, None)
        made = (str(self.path), self.when.isoformat(timespec="seconds"), self.command, self.data)
        figures = (self.network, self.strategy, self.accuracy, low, high, self.measured_on)
        return dict(zip(COLUMNS, (*made, *figures, self.num_bytes, self.state, self.resume, self.reason), strict=True))


def list_runs(folder: str | Path = "runs", sort: SortKey = "when") -> list[RunEntry]:
    """List the runs in a folder, and those of its comparisons; other folders are ignored.

    Args:
        folder: of runs; or one run or comparison
        sort: newest first, highest accuracy first, largest first, or by name

    Raises:
        RunError: if there is no such folder
    """
    folder = Path(folder)
    if not is_folder(folder):
        raise RunError(f"there is no folder '{folder}'; expected a folder of runs, e.g. runs.")
    entries = list[RunEntry]()
    for path in [folder] if _is_run(folder) else _runs_in(folder):
        entries.append(read_entry(path))
        if entries[-1].command == "compare":
            entries += [read_entry(candidate) for candidate in _runs_in(path)]
    keys: dict[SortKey, Any] = {
        "when": lambda entry: -entry.when.timestamp(),
        "accuracy": lambda entry: -1.0 if entry.accuracy is None else -1.0 - entry.accuracy,
        "size": lambda entry: -entry.num_bytes,
        "name": lambda entry: 0,  # as they are
    }
    return sorted(entries, key=keys[sort])


def _runs_in(folder: Path) -> list[Path]:
    try:
        paths = sorted(folder.iterdir(), key=lambda path: natural_key(path.name))
    except OSError as error:
        raise RunError(f"the folder '{folder}' cannot be read ({error.strerror}); check its permissions.") from None
    return [path for path in paths if _is_run(path)]


def _is_run(path: Path) -> bool:
    """Tell whether a folder has a run's own files; a `DONE` alone may be of another program."""
    marked = any(is_regular(path / name) for name in (DONE, UNFINISHED))
    described = [name for name in ("settings.json", "model.json", UNFINISHED) if os.path.lexists(path / name)]
    return bool(described) and (marked or len(described) > 1)


def read_entry(path: Path) -> RunEntry:
    """Read what a list says of a run; a damaged one has its reason."""
    files = _file_status(path)
    written = files[DONE].st_mtime if DONE in files else max((file.st_mtime for file in files.values()), default=0.0)
    num_bytes = sum(file.st_size for file in files.values())
    facts: dict[str, Any] = {"when": datetime.fromtimestamp(written).astimezone(), "num_bytes": num_bytes}
    try:
        facts |= _read_settings(path)
        command = facts["command"]
        if command == "compare":
            inner = [file for candidate in _runs_in(path) for file in _file_status(candidate).values()]
            facts["num_bytes"] += sum(file.st_size for file in inner)
        if DONE in files:
            facts |= _read_comparison(path) if command == "compare" else _read_result(path, command)
        elif UNFINISHED in files:
            facts |= {"state": "stopped", "resume": shlex.join(["tlkit", command, "--resume", str(path)])}
        else:
            raise RunError(f"it has neither {DONE} nor {UNFINISHED}")
    except RunError as error:
        facts |= {"state": "damaged", "reason": str(error).rstrip(".")}
    except Exception as error:  # files may hold anything; a damaged run is a row, not an error
        reason = f"its files hold what tlkit does not write ({type(error).__name__})"
        facts |= {"state": "damaged", "reason": reason}
    return RunEntry(path, **facts)


def _file_status(path: Path) -> dict[str, os.stat_result]:
    """Give the sizes and times of a run's own files, by name; a running training may remove some meanwhile."""
    status = dict[str, os.stat_result]()
    for file in owned_files(path, RUN_FILES):
        with suppress(OSError):
            status[file.relative_to(path).as_posix()] = file.lstat()
    return status


def _read_settings(path: Path) -> dict[str, Any]:
    """Read command, data, network and strategy, as they were asked for."""
    if not os.path.lexists(path / "settings.json"):
        raise RunError("it has no settings.json")
    content = _read_object(path / "settings.json")
    command, data = content.get("command"), content.get("data")
    if command not in ("finetune", "train", "compare") or not isinstance(data, str):
        raise RunError("its settings.json names no command and no data")
    return {"command": command, "data": data, **_describe(content)}


def _describe(content: dict[str, Any]) -> dict[str, str]:
    """Name network and strategy from the content of a settings.json or a model.json."""
    text = {name: str(content.get(name) or "") for name in ("descriptor", "features", "classifier", "freeze")}
    if text["descriptor"] or text["features"]:
        return {"network": text["descriptor"] or text["features"], "strategy": text["classifier"]}
    network = str(content.get("model") or content.get("backbone") or "")
    if content.get("command") == "train":
        return {"network": network, "strategy": "from scratch"}
    return {"network": network, "strategy": f"freeze {text['freeze']}" if text["freeze"] else ""}


def _read_result(path: Path, command: str) -> dict[str, Any]:
    """Read network, strategy and accuracy of a finished run, as they turned out."""
    content, metrics = _read_object(path / "model.json"), _read_object(path / "metrics.json")
    parse_manifest(content, path / "model.json")
    measured_on = metrics["headline"]
    figures = metrics if measured_on == "validation" else metrics[measured_on]
    low, high = map(_fraction, figures["accuracy_ci95"])
    found = {"accuracy": _fraction(figures["accuracy"]), "interval": (low, high), "measured_on": measured_on}
    return found | _describe(content | {"command": command})


def _read_comparison(path: Path) -> dict[str, Any]:
    """Read how many models a finished comparison has, the recommended one, and the best accuracy."""
    if not is_regular(path / COMPARISON):
        raise RunError(f"it has no {COMPARISON}")
    content = _read_object(path / "compare.json")
    best = next(row for row in content["models"] if row["model"] == content["best"])
    found = {"accuracy": _fraction(best["accuracy"]), "measured_on": "validation"}
    if best["ci95_low"] is not None:
        found["interval"] = (_fraction(best["ci95_low"]), _fraction(best["ci95_high"]))
    return found | {"network": str(content["advice"]["name"]), "strategy": f"{len(content['models'])} models"}


def _fraction(value: Any) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= 1:
        raise RunError(f"an accuracy in it is {str(value)[:20]}")
    return float(value)


def _read_object(file: Path) -> dict[str, Any]:
    """Read a JSON object from a regular file that is not large; no link is followed, and no device or pipe is read."""
    try:
        content = json.loads(read_regular(file, MAX_JSON_BYTES))
    except OSError as error:
        raise RunError(f"{file.name} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise RunError(f"{file.name} is not JSON") from None
    if not isinstance(content, dict):
        raise RunError(f"{file.name} holds no JSON object")
    return content
