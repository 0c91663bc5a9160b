"""From a folder of images to a finished run: cut, features, train above the cut, join."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlkit.data.folder import ImageFolder, read_folder
from tlkit.data.split import Split, split_folder
from tlkit.engines.engine import choose_engine
from tlkit.errors import OptionError, TlkitError
from tlkit.evaluation.report import Report
from tlkit.extraction import Extracted, extract
from tlkit.models.backbones import find_backbone
from tlkit.progress import Clock, Progress, Silent
from tlkit.reading import Lower
from tlkit.runs import Run, Stage, create_run, discard_run, finish_run
from tlkit.settings import FinetuneSettings, as_json, is_random, settings_from
from tlkit.training.former import former_notes, former_sides, inherit
from tlkit.training.lower import build_in_background, prepare_lower
from tlkit.training.resume import drop_checkpoints, has_progress, keep_split, reopen_run

if TYPE_CHECKING:
    from tlkit.training.forecast import Ready
    from tlkit.training.upper import Trained


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
    settings = inherit(settings)
    row = find_backbone(settings.backbone)
    size = settings.image_size or row.image_size
    if size < row.least_size:
        raise OptionError(f"--image-size is {size}; {row.name} needs at least {row.least_size}.")
    engine: Any = choose_engine(settings.engine, settings.precision)
    freeze: Any = "none" if settings.freeze == "auto" and is_random(settings) else settings.freeze
    return replace(settings, backbone=row.name, image_size=size, engine=engine, freeze=freeze)


def _request(folder: ImageFolder, settings: FinetuneSettings) -> dict[str, Any]:
    """What `settings.json` holds: enough to run again."""
    return {"command": "finetune", "data": str(folder.root.resolve()), **as_json(settings)}


def _refuse_inside(root: Path, output: str | Path | None) -> None:
    """A run among the images would be read as images the next time."""
    target = Path(output or "runs")
    if target.resolve().is_relative_to(root.resolve()):
        raise OptionError(f"the run folder '{target}' would lie inside the images of '{root}'; choose another -o.")


@dataclass(frozen=True)
class _Read:
    """What one pass over the images leaves."""

    network: Any
    lower: Lower
    extracted: Extracted
    split: Split


def _finetuned(
    run: Run, folder: ImageFolder, settings: FinetuneSettings, progress: Progress, clock: Clock
) -> Finetuned:
    read = _read(run, folder, settings, progress)
    clock.lap("features")
    from tlkit.training.record import measure, record_run
    from tlkit.training.strategy import choose_strategy

    settings, decision = choose_strategy(run, _ready(read), (read.extracted, read.split), settings, clock, progress)
    clock.lap("choose")
    trained = _train(run, read, settings, progress)
    clock.lap("fit")
    report, test, stages = record_run(run, trained, read.extracted, read.split, settings)
    metrics = measure(report, test, trained, read.split, read.extracted)
    metrics |= {name: decision[name] for name in ("advice", "forecast")}
    former = former_notes(read.split.train.class_names, settings)
    metrics["notes"] = [*_weights_notes(settings), *former, *decision["notes"], *read.split.notes, *trained.notes]
    metrics["seconds"] = clock.laps | {"total": clock.total()}
    run.write_json("metrics.json", metrics)
    drop_checkpoints(run)
    finish_run(run, _facts(read.split, settings, stages) | {"cut": trained.cut})
    return Finetuned(run, read.split, report, test, metrics)


def _read(run: Run, folder: ImageFolder, settings: FinetuneSettings, progress: Progress) -> _Read:
    """Every image's features, while the network is still being built, and the split."""
    sides = former_sides(settings)
    with ThreadPoolExecutor(1) as background:
        body = build_in_background(background, settings)
        lower = prepare_lower(background, body, settings)
        extracted = extract(folder, lower, (settings.image_size, settings.resize), progress)
        split = split_folder(extracted.folder, settings.validation_split, settings.test_split, settings.seed, sides)
        keep_split(run, split)
        return _Read(body.result(), lower.result(), extracted, split)


def _ready(read: _Read) -> "Ready":
    from tlkit.training.forecast import Ready

    part, held_out = read.split.train, len(read.split.validation) + len(read.split.test)
    return Ready(read.network, read.lower.engine, part.files, (len(part), held_out), part.num_classes)


def _train(run: Run, read: _Read, settings: FinetuneSettings, progress: Progress) -> "Trained":
    from tlkit.training.blocks import train_blocks
    from tlkit.training.upper import Below, train_upper
    from tlkit.training.whole import augmented_pictures

    seen = augmented_pictures(read.lower, read.split.train, settings, progress)
    below = Below(read.extracted, read.lower.file, seen)
    trained = train_upper(read.network, below, read.split, settings, progress, run.path)
    if settings.freeze == "lower":
        return train_blocks(read.network, trained, read.split, settings, progress, run.path)
    return trained


def _weights_notes(settings: FinetuneSettings) -> list[str]:
    if not is_random(settings) or settings.freeze == "none":
        return []
    return ["a frozen backbone with random weights is worth little; add --freeze none, or give it --weights."]


def _facts(split: Split, settings: FinetuneSettings, stages: tuple[Stage, ...]) -> dict[str, Any]:
    """What `model.json` says of this classifier."""
    from tlkit.training.upper import choose_head

    names = ("backbone", "weights", "freeze", "image_size", "resize", "precision", "engine")
    chosen = {name: getattr(settings, name) for name in names}
    more = {"head": asdict(choose_head(settings, len(split.train))), "stages": [asdict(stage) for stage in stages]}
    return {"class_names": list(split.train.class_names), **chosen, **more}
