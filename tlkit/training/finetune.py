"""From a folder of images to a finished run: cut, features, train above the cut, join."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tlkit.data.folder import ImageFolder, read_folder
from tlkit.data.split import Split, split_folder
from tlkit.engines.engine import choose_engine
from tlkit.errors import OptionError, TlkitError
from tlkit.evaluation.report import Report
from tlkit.extraction import extract
from tlkit.models.backbones import find_backbone
from tlkit.progress import Progress, Silent
from tlkit.runs import Run, Stage, create_run, discard_run, finish_run
from tlkit.settings import FinetuneSettings, as_json, settings_from
from tlkit.training.lower import build_in_background, prepare_lower
from tlkit.training.resume import drop_checkpoints, has_progress, keep_split, reopen_run


@dataclass(frozen=True)
class Finetuned:
    """A finished run and what it showed.

    report   on the validation images, on which the best epoch was chosen
    test     on the test images, which nothing was chosen on; None without a test side
    metrics  what `metrics.json` holds
    """

    run: Run
    split: Split
    report: Report
    test: Report | None
    metrics: dict[str, Any]


def finetune(
    data: str | Path,
    output: str | Path | None = None,
    settings: FinetuneSettings | None = None,
    progress: Progress | None = None,
) -> Finetuned:
    """Adapt a pretrained network to a folder of images, and leave a run folder.

    data: a folder with one subfolder per class, or with train/, val/ and test/ above them
    output: the run folder to make; the next free `runs/finetune-NNN` where it is None
    raises: DataError, ModelError, RunError, OptionError; a run folder in which nothing was
        trained yet is then removed
    """
    clock = Clock()
    settings = resolve(settings or FinetuneSettings())
    folder = read_folder(data)
    _refuse_inside(folder.root, output)
    clock.lap("scan")
    run = create_run(Path(output) if output else None, "finetune")
    run.write_json("settings.json", _request(folder, settings))
    try:
        return _finetuned(run, folder, settings, progress or Silent(), clock)
    except (TlkitError, KeyboardInterrupt):
        if not has_progress(run):
            discard_run(run)
        raise


def resume(path: str | Path, progress: Progress | None = None) -> Finetuned:
    """Go on with a run that was stopped, to the very weights it would have ended with.

    raises: RunError where there is no such run or the images have changed, and what `finetune` raises
    """
    clock = Clock()
    run = reopen_run(Path(path))
    request = run.read_json("settings.json")
    folder = read_folder(request["data"])
    clock.lap("scan")
    return _finetuned(run, folder, settings_from(request), progress or Silent(), clock)


def resolve(settings: FinetuneSettings) -> FinetuneSettings:
    """The same settings with every "choose for me" replaced by what it means here.

    raises: OptionError, ModelError
    """
    row = find_backbone(settings.backbone)
    size = settings.image_size or row.image_size
    if size < row.least_size:
        raise OptionError(f"--image-size is {size}; {row.name} needs at least {row.least_size}.")
    engine: Any = choose_engine(settings.engine, settings.precision)
    return replace(settings, backbone=row.name, image_size=size, engine=engine)


def _request(folder: ImageFolder, settings: FinetuneSettings) -> dict[str, Any]:
    """What `settings.json` holds: enough to run again."""
    return {"command": "finetune", "data": str(folder.root.resolve()), **as_json(settings)}


def _refuse_inside(root: Path, output: str | Path | None) -> None:
    """A run among the images would be read as images the next time."""
    target = Path(output or "runs")
    if target.resolve().is_relative_to(root.resolve()):
        raise OptionError(f"the run folder '{target}' would lie inside the images of '{root}'; choose another -o.")


def _finetuned(
    run: Run, folder: ImageFolder, settings: FinetuneSettings, progress: Progress, clock: "Clock"
) -> Finetuned:
    with ThreadPoolExecutor(1) as background:
        body = build_in_background(background, settings)
        lower = prepare_lower(background, body, settings)
        extracted = extract(folder, lower, (settings.image_size, settings.resize), progress)
        split = split_folder(extracted.folder, settings.validation_split, settings.test_split, settings.seed)
        keep_split(run, split)
        clock.lap("features")
        network = body.result()
    from tlkit.training.blocks import train_blocks
    from tlkit.training.record import measure, record_run
    from tlkit.training.upper import train_upper

    trained = train_upper(network, (extracted, lower.result().file), split, settings, progress, run.path)
    if settings.freeze == "lower":
        trained = train_blocks(network, trained, split, settings, progress, run.path)
    clock.lap("fit")
    report, test, stages = record_run(run, trained, extracted, split, settings)
    metrics = measure(report, test, trained, split, extracted)
    metrics["notes"] = [*_weights_notes(settings), *split.notes, *trained.notes]
    metrics["seconds"] = clock.laps | {"total": clock.total()}
    run.write_json("metrics.json", metrics)
    drop_checkpoints(run)
    finish_run(run, _facts(split, settings, stages) | {"cut": trained.cut})
    return Finetuned(run, split, report, test, metrics)


def _weights_notes(settings: FinetuneSettings) -> list[str]:
    if settings.weights != "none" or settings.freeze == "none":
        return []
    return ["a frozen backbone with random weights is worth little; add --freeze none, or give it --weights."]


def _facts(split: Split, settings: FinetuneSettings, stages: tuple[Stage, ...]) -> dict[str, Any]:
    """What `model.json` says of this classifier."""
    names = ("backbone", "weights", "freeze", "image_size", "resize", "precision", "engine")
    chosen = {name: getattr(settings, name) for name in names}
    return {"class_names": list(split.train.class_names), **chosen, "stages": [asdict(stage) for stage in stages]}


class Clock:
    """Seconds since the start, stage by stage."""

    def __init__(self) -> None:
        self._started = self._last = time.perf_counter()
        self.laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.laps[name], self._last = round(now - self._last, 3), now

    def total(self) -> float:
        """Seconds since the start."""
        return round(time.perf_counter() - self._started, 3)
