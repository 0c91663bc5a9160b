"""The content of a finished run that its page shows, read from its files and checked."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import numpy as np

from tlkit.data.reader import images_root
from tlkit.errors import OptionError, RunError
from tlkit.evaluation.calibration import Calibration
from tlkit.evaluation.report import Report
from tlkit.runs.run import Run, finished_at, is_done
from tlkit.runs.unfinished import was_resumed
from tlkit.settings.base import command_line, to_json
from tlkit.settings.training import settings_from
from tlkit.utils.storage import Location, as_location
from tlkit.utils.text import distinct_names

MAX_PROBABILITIES = 200_000_000  # of all images and classes that a page is made of
MAX_TEXTS = 50  # notes or findings of one run
FACTS = ("backbone", "freeze", "descriptor", "features", "classifier")  # of model.json, where it has them
WORDS = {"folds": "all images, each held out once,", "test": "test images", "validation": "validation images"}


@dataclass(frozen=True)
class Accuracy:
    """An accuracy on images of one kind, with its 95 % interval and the accuracy of the commonest class.

    Attributes:
        measured_on: "folds", "test" or "validation"
        baseline: accuracy of always answering `commonest`
    """

    measured_on: str
    value: float
    low: float
    high: float
    total: int
    baseline: float
    commonest: str

    @property
    def correct(self) -> int:
        """The number of images classified correctly."""
        return round(self.value * self.total)

    @property
    def subject(self) -> str:
        """The images in words, as the subject of a sentence."""
        return WORDS[self.measured_on]


@dataclass(frozen=True)
class RunContent:
    """The content of a run's files, read and checked.

    Attributes:
        name: of the run's folder
        root: folder of its images; it may have moved
        headline: the accuracy to quote
        others: further accuracies, on other images
        report: of the images that the page shows; `paths` are in its order, `table` is its file
        shown_names: of classes, so that no two look alike
        sha256: of the images of DATA, by path
        seconds: of the training, by step; `was_resumed` says that they cover only its last part
        options: every option that settings.json has; `changed` are those that differ from the default
        command: that makes the run again, from its options
    """

    run: Run = field(repr=False)
    name: str
    when: datetime
    root: Location
    headline: Accuracy
    others: tuple[Accuracy, ...]
    report: Report
    paths: tuple[str, ...] = field(repr=False)
    table: str
    shown_names: tuple[str, ...]
    sha256: Mapping[str, str] = field(repr=False)
    split: Sequence[Mapping[str, str]] = field(repr=False)
    history: Sequence[Mapping[str, Any]] = field(repr=False)
    left_out: Sequence[Mapping[str, str]] = field(repr=False)
    conflicts: Sequence[Mapping[str, str]] = field(repr=False)
    points: Sequence[tuple[str, str, float, float]] = field(repr=False)
    calibration: Calibration = field(repr=False)
    unknown: Mapping[str, Any] = field(repr=False)
    selected_on_validation: bool
    best_epoch: int
    findings: Sequence[tuple[str, str]]
    notes: Sequence[str]
    chosen: str
    seconds: Mapping[str, float]
    was_resumed: bool
    settings: Any = field(repr=False)
    options: Mapping[str, Any] = field(repr=False)
    changed: Mapping[str, Any] = field(repr=False)
    facts: Mapping[str, Any] = field(repr=False)
    versions: Mapping[str, str] = field(repr=False)
    command: str
    map_method: str = "pca"  # that `points` are of

    @property
    def data(self) -> Location:
        """DATA, as it was given."""
        return as_location(self.run.read_settings()["data"])

    @property
    def names(self) -> dict[str, str]:
        """The names of classes as the page shows them, by name."""
        return dict(zip(self.report.class_names, self.shown_names, strict=True))

    @property
    def folder(self) -> str:
        """The folder of the tables that the page shows: "folds/" or ""."""
        return "".join(self.table.rpartition("/")[:2])

    def class_name(self, label: int) -> str:
        """Give the name of a class as the page shows it."""
        return self.shown_names[label]


def read_content(run: Run) -> RunContent:
    """Read what the page of a finished run shows.

    Raises:
        RunError: if a file is missing, damaged or not what tlkit writes
    """
    file = run.path / "metrics.json"
    run.checked_file("metrics.json")
    metrics, manifest = run.read_json("metrics.json"), run.read_json("model.json")
    try:
        return _content(run, metrics, manifest)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        reason = f"{type(error).__name__}: {error}"[:100]
        raise RunError(f"'{file}' does not fit the other files of the run ({reason}); train again.") from None


def _content(run: Run, metrics: Mapping[str, Any], manifest: Mapping[str, Any]) -> RunContent:
    names = run.manifest.class_names
    kind = str(metrics["headline"])
    accuracies = {name: found for name in WORDS if (found := _accuracy(metrics, name))}
    table = "folds/predictions.csv" if "folds" in accuracies else "predictions_val.csv"
    report, paths = read_predictions(run, table)
    request, split = run.read_settings(), run.read_rows("split.csv")
    settings, command = _settings(run, request)
    return RunContent(
        run=run,
        name=run.path.resolve().name,
        when=datetime.fromtimestamp(finished_at(run.path)) if is_done(run.path) else datetime.now(),
        root=images_root(str(request["data"]), str(request.get("images", ""))),
        headline=accuracies[kind],
        others=tuple(found for name, found in accuracies.items() if name != kind),
        report=report,
        paths=paths,
        table=table,
        shown_names=tuple(distinct_names(names)),
        sha256={row["path"]: row["sha256"] for row in split},
        split=split,
        history=_rows(run, "history.csv", _epoch),
        left_out=_rows(run, "left_out.csv", _left_out),
        conflicts=_rows(run, "conflicts.csv", dict),
        points=_rows(run, "map.csv", _point),
        calibration=_calibration(metrics["calibration"]),
        unknown=_unknown(metrics["unknown"]),
        selected_on_validation=bool(metrics["selected_on_validation"]),
        best_epoch=int(metrics.get("best_epoch") or 0),
        findings=[(str(item["words"]), str(item["next"])) for item in metrics["diagnosis"][:MAX_TEXTS]],
        notes=[str(note) for note in metrics["notes"][:MAX_TEXTS]],
        chosen=str(metrics["advice"]["reason"]) if metrics["advice"] else "",
        seconds={str(name): _number(value) for name, value in metrics["seconds"].items()},
        was_resumed=was_resumed(run),
        settings=settings,
        options=to_json(settings),
        changed=_changed(settings),
        facts={name: manifest.get(name) for name in FACTS},
        versions={str(name): str(version) for name, version in manifest["versions"].items()},
        command=command,
    )


def read_predictions(run: Run, table: str) -> tuple[Report, tuple[str, ...]]:
    """Read a table of predictions as a report, with the paths of its images.

    Of a table with the most probable classes only, the others have the probability 0.

    Raises:
        RunError: also if it is too large for a page
        ValueError: if a probability is not a number from 0 to 1
    """
    names, rows = run.manifest.class_names, run.read_rows(table)
    if len(rows) * len(names) > MAX_PROBABILITIES:
        raise RunError(f"'{run.path / table}' has too many images and classes for one page.")
    label = {name: index for index, name in enumerate(names)}
    probabilities = np.zeros((len(rows), len(names)), np.float32)
    columns = [f"p_{name}" for name in names]
    if columns[0] in rows[0]:
        probabilities[:] = [[float(row[column]) for column in columns] for row in rows]
    else:
        ranks = [("label", "confidence"), *((f"label_{k}", f"confidence_{k}") for k in range(2, 11))]
        for index, row in enumerate(rows):
            for name, confidence in ranks:
                if name in row:
                    probabilities[index, label[row[name]]] = float(row[confidence])
    if not (probabilities.min() >= 0 and probabilities.max() <= 1):  # false for NaN, too
        raise ValueError("a probability is not from 0 to 1")
    labels = np.array([label[row["class"]] for row in rows], np.int32)
    return Report(names, labels, probabilities), tuple(row["path"] for row in rows)


def _accuracy(metrics: Mapping[str, Any], kind: str) -> Accuracy | None:
    """Read the figures on images of one kind; None where the run has none."""
    figures = metrics if kind == "validation" else metrics[kind]
    if figures is None:
        return None
    total = figures["num_validation"] if kind == "validation" else figures["num_images"]
    low, high = map(_fraction, figures["accuracy_ci95"])
    value, baseline = _fraction(figures["accuracy"]), _fraction(figures["baseline_accuracy"])
    return Accuracy(kind, value, low, high, int(total), baseline, str(figures["baseline_class"]))


def _calibration(found: Mapping[str, Any]) -> Calibration:
    """Read what was measured of the confidence."""
    calibration = Calibration.from_json(found)
    ratios = [value for item in calibration.bins for value in (item.confidence, item.accuracy)]
    if calibration.judged:
        ratios += [calibration.ece, calibration.ece_before, *(calibration.ece_ci95 or [None])]  # type: ignore[list-item]
    for value in ratios:
        _fraction(value)
    counts = [calibration.num_images, *(item.count for item in calibration.bins)]
    if not all(isinstance(count, int) and count >= 0 for count in counts) or _number(calibration.temperature) <= 0:
        raise ValueError("its calibration is damaged")
    return calibration


def _unknown(found: Mapping[str, Any]) -> dict[str, Any]:
    """Read what the rule for "unknown" does to held-out images; "images" is None where it has no threshold."""
    counts = found["validation"]
    names = ("num_images", "num_answered", "num_correct")
    images = None if counts is None else {name: int(counts[name]) for name in names}
    auroc = None if found["auroc"] is None else _fraction(found["auroc"])
    return {
        "coverage": _fraction(found["coverage"]),
        "images": images,
        "auroc": auroc,
        "num_unknown": int(found["num_unknown"]),
    }


def _settings(run: Run, request: Mapping[str, Any]) -> tuple[Any, str]:
    """Make the settings of a run, and the command that repeats it."""
    try:
        settings = settings_from(dict(request))
        return settings, command_line(request["command"], settings, as_location(request["data"]))
    except (OptionError, TypeError) as error:
        found = str(error).rstrip(".")
        raise RunError(
            f"'{run.path}' was made by another version of tlkit ({found}); use that version or train again."
        ) from None


def _changed(settings: Any) -> dict[str, Any]:
    stored = [item for item in fields(settings) if item.metadata.get("is_stored", True)]
    return {item.name: value for item in stored if (value := getattr(settings, item.name)) != item.default}


def _rows(run: Run, name: str, read: Callable[[Any], Any]) -> list[Any]:
    """Read a table that a run may have; nothing where it has none."""
    return [read(row) for row in run.read_rows(name)] if name in run.manifest.sha256 else []


def _left_out(row: Mapping[str, str]) -> dict[str, str]:
    return {"path": row["path"], "reason": row["reason"]}


def _epoch(row: Mapping[str, str]) -> dict[str, Any]:
    numbers = ("loss", "accuracy", "val_loss", "val_accuracy")
    return {"phase": row["phase"], "epoch": int(row["epoch"]), **{name: float(row[name]) for name in numbers}}


def _point(row: Mapping[str, str]) -> tuple[str, str, float, float]:
    return row["path"], row["class"], _number(row["x"]), _number(row["y"])


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("a number in it is not finite")
    return number


def _fraction(value: Any) -> float:
    number = _number(value)
    if not 0 <= number <= 1:
        raise ValueError("a fraction in it is not from 0 to 1")
    return number
