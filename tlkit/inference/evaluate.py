"""Measures a finished run: on its own validation images, or on a folder it has not learnt from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tlkit.data.folder import ImageFolder, read_folder
from tlkit.data.listing import FileEntry
from tlkit.data.split import SUBSETS, TEST, VALIDATION
from tlkit.errors import DataError
from tlkit.evaluation.report import Report
from tlkit.inference.predictor import Prediction, Predictor
from tlkit.runs.run import Run, load_run
from tlkit.settings.commands import EvaluateSettings
from tlkit.utils.progress import Progress, Silent

TRAINED_ON_IT = "the run was trained on it"


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    report    the figures
    what      the images in a word: "validation", "test", …
    paths     of the images counted, in the order of the report's rows
    left_out  files that were not counted, each with its reason
    """

    report: Report
    what: str
    paths: tuple[str, ...]
    left_out: tuple[FileEntry, ...]


@dataclass(frozen=True)
class _Case:
    """An image to be evaluated: where it lies, its label, and its bytes' hash where that is known."""

    path: str
    file: Path
    label: int
    sha256: str = ""


@dataclass
class _Tally:
    """What is counted while predictions come in."""

    paths: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    rows: list[np.ndarray] = field(default_factory=list)
    left_out: list[FileEntry] = field(default_factory=list)


def evaluate(
    run: Run | str | Path,
    data: str | Path | None = None,
    settings: EvaluateSettings | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """How well a run classifies.

    data: a folder of classes, matched by name; the run's own images where it is None
    raises: DataError, RunError, ModelError
    """
    run = run if isinstance(run, Run) else load_run(run)
    settings, progress = settings or EvaluateSettings(), progress or Silent()
    predictor = Predictor(run, settings.engine)
    names = predictor.facts.class_names
    if data is None:
        cases, what, left_out, learnt = *_own_cases(run, names, settings.split), set()
    else:
        cases, what, left_out = _cases_of(read_folder(data, names), settings.split)
        learnt = set() if settings.include_training else _trained_on(run)
    tally = _Tally(left_out=left_out)
    with progress.stage("evaluating", len(cases), "images") as advance:
        for case, prediction in _predictions(predictor, cases):
            _count(tally, case, prediction, learnt)
            advance(1)
    return _evaluation(tally, names, what)


def _predictions(predictor: Predictor, cases: list[_Case]) -> Iterator[tuple[_Case, Prediction]]:
    return zip(cases, predictor.predict((case.file for case in cases), identify=True), strict=True)


def _count(tally: _Tally, case: _Case, prediction: Prediction, learnt: set[str]) -> None:
    if problem := _problem(case, prediction, learnt):
        tally.left_out.append(FileEntry(case.path, problem))
        return
    assert prediction.probabilities is not None
    tally.paths.append(case.path)
    tally.labels.append(case.label)
    tally.rows.append(prediction.probabilities)


def _problem(case: _Case, prediction: Prediction, learnt: set[str]) -> str | None:
    """Why an image cannot be counted, or None."""
    if prediction.photo is None:
        return prediction.error
    if case.sha256 and case.sha256 != prediction.photo.sha256:
        return "changed since the run was made"
    if {prediction.photo.sha256, prediction.photo.group} & learnt:
        return TRAINED_ON_IT
    return None


def _evaluation(tally: _Tally, names: tuple[str, ...], what: str) -> Evaluation:
    if not tally.rows:
        reason = f", such as '{tally.left_out[0].path}': {tally.left_out[0].problem}" if tally.left_out else ""
        raise DataError(f"no image is left to evaluate ({len(tally.left_out)} were left out{reason}); give others.")
    report = Report(names, np.array(tally.labels, np.int32), np.stack(tally.rows))
    return Evaluation(report, what, tuple(tally.paths), tuple(tally.left_out))


def _own_cases(run: Run, names: tuple[str, ...], split: str) -> tuple[list[_Case], str, list[FileEntry]]:
    """The images of a run's own `split.csv`."""
    side = VALIDATION if split == "auto" else split
    root = Path(run.read_json("settings.json")["data"])
    if not root.is_dir():
        raise DataError(f"the images of '{run.path}' are no longer at '{root}'; give a folder as DATA.")
    rows = [row for row in run.read_rows("split.csv") if side in (row["split"], "all")]
    if not rows:
        raise DataError(f"'{run.path}' has no {side} images; give a folder as DATA or another --split.")
    label = {name: position for position, name in enumerate(names)}
    cases = [_Case(row["path"], root / row["path"], label[row["class"]], row["sha256"]) for row in rows]
    return cases, side, []


def _cases_of(folder: ImageFolder, split: str) -> tuple[list[_Case], str, list[FileEntry]]:
    """The images of a folder: its test side, else its validation side, else all."""
    present = [side for side in (TEST, VALIDATION) if side in folder.sides]
    side = (present or ["all"])[0] if split == "auto" else split
    if side in SUBSETS and side not in folder.sides:
        raise DataError(f"'{folder.root}' has no {side} folder; leave out --split or use --split all.")
    cases = [
        _Case(path, folder.root / path, label)
        for path, label, found in zip(folder.paths, folder.labels.tolist(), folder.sides, strict=True)
        if side in (found, "all")
    ]
    return cases, side if side != "all" else "new", list(folder.left_out)


def _trained_on(run: Run) -> set[str]:
    """Hashes of the files a run was trained on, and of their pixels."""
    rows: Iterable[dict[str, str]] = (row for row in run.read_rows("split.csv") if row["split"] == "train")
    return {value for row in rows for value in (row["sha256"], row["group"])}
