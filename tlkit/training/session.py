"""A training, from a folder of images to a finished run: cut, features, train above the cut, join."""

from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlkit.data.folder import ImageFolder, read_folder
from tlkit.data.mirrors import sided_class
from tlkit.data.split import Split
from tlkit.errors import OptionError, RunError, TlkitError
from tlkit.evaluation.report import Report
from tlkit.facts import Stage
from tlkit.files import claim_cache, refuse_inside
from tlkit.progress import Clock, Progress, Silent
from tlkit.runs import Run, begun_by, create_run, discard_run, finish_run
from tlkit.settings import (
    AnySettings,
    ClassicSettings,
    FinetuneSettings,
    TrainingSettings,
    TrainSettings,
    as_json,
    settings_from,
)
from tlkit.training.images import read_images, train_strategy
from tlkit.training.resume import drop_checkpoints, has_progress, keep_split, reopen_run

if TYPE_CHECKING:
    from tlkit.training.upper import Trained


@dataclass(frozen=True)
class Outcome:
    """A finished run and what it showed.

    report   on the validation images, on which the best epoch was chosen
    test     on the test images, which nothing was chosen on; None without a test side
    metrics  what `metrics.json` holds
    history  one row per epoch, phase after phase
    """

    run: Run
    split: Split
    report: Report
    test: Report | None
    metrics: dict[str, Any]
    history: list[dict[str, Any]]


def begin(data: str | Path, output: str | Path | None, settings: AnySettings, progress: Progress | None) -> Outcome:
    """Train from the start, and leave a run folder.

    settings: resolved
    output: the run folder to make; the next free one under `runs/` where it is None
    raises: DataError, ModelError, RunError, OptionError; a run folder in which nothing was
        trained yet is then removed
    """
    clock = Clock()
    if not isinstance(settings, ClassicSettings) and settings.tensorboard and not find_spec("tensorboard"):
        raise OptionError("--tensorboard needs TensorBoard, which is not installed: pip install 'tlkit[tensorboard]'.")
    folder = read_folder(data)
    settings = _unmirrored(settings, folder)
    refuse_inside(folder.root, output or "runs")
    with suppress(OSError):  # where the cache cannot be written, nothing is kept
        claim_cache()
    clock.lap("scan")
    run = create_run(Path(output) if output else None, _command(settings))
    run.write_json("settings.json", _request(folder, settings))
    try:
        return _finished(run, folder, settings, progress or Silent(), clock)
    except (TlkitError, KeyboardInterrupt):
        if not has_progress(run):
            discard_run(run)
        raise


def resume(path: str | Path, progress: Progress | None = None) -> Outcome:
    """Go on with a run that was stopped, to the very weights it would have ended with.

    raises: RunError where there is no such run or the images have changed, and what `finetune` raises
    """
    clock = Clock()
    run = reopen_run(Path(path))
    if begun_by(run) == "compare":
        raise RunError(f"'{path}' is a comparison; `tlkit compare --resume {path}` goes on with it.")
    request = run.read_json("settings.json")
    folder = read_folder(request["data"])
    clock.lap("scan")
    return _finished(run, folder, settings_from(request), progress or Silent(), clock)


def _finished(run: Run, folder: ImageFolder, settings: AnySettings, progress: Progress, clock: Clock) -> Outcome:
    if isinstance(settings, ClassicSettings):
        from tlkit.training.classic import train_pipeline

        return train_pipeline(run, folder, settings, progress, clock)
    return _trained(run, folder, settings, progress, clock)


def _unmirrored(settings: AnySettings, folder: ImageFolder) -> AnySettings:
    """From scratch, digits and the like are not mirrored unless that is asked for: lenet5 has 0.99 instead of 0.97."""
    if isinstance(settings, TrainSettings) and settings.hflip is None and sided_class(folder.class_names):
        return replace(settings, hflip=False)
    return settings


def _command(settings: AnySettings) -> str:
    return "finetune" if isinstance(settings, FinetuneSettings) else "train"


def _request(folder: ImageFolder, settings: AnySettings) -> dict[str, Any]:
    """What `settings.json` holds: enough to run again."""
    return {"command": _command(settings), "data": str(folder.root.resolve()), **as_json(settings)}


def _trained(run: Run, folder: ImageFolder, settings: TrainingSettings, progress: Progress, clock: Clock) -> Outcome:
    read = read_images(folder, settings, progress)
    keep_split(run, read.split)
    clock.lap("features")
    from tlkit.training.figures import collect_figures
    from tlkit.training.record import record_run
    from tlkit.training.repeats import Trainer, measure_repeats
    from tlkit.training.strategy import choose_strategy
    from tlkit.training.tensorboard import FOLDER, TensorBoard

    settings, decision = choose_strategy(run, read.ready, (read.extracted, read.split), settings, clock, progress)
    clock.lap("choose")
    watch: Progress = TensorBoard(progress, run.path / FOLDER) if settings.tensorboard else progress
    first = read.network.get_weights()
    trained = train_strategy(read, settings, watch, run.path)
    clock.lap("fit")
    report, test, stages = record_run(run, trained, read.extracted, read.split, settings)
    metrics = collect_figures(read, trained, (report, test), settings, decision)

    def train_again(split: Split, other: TrainingSettings) -> "Trained":
        return train_strategy(replace(read, split=split), other, progress)

    trainer = Trainer(read.network, first, train_again)
    metrics |= measure_repeats(trainer, read.extracted, read.split, settings, progress)
    metrics["seconds"] = clock.laps | {"total": clock.total()}
    run.write_json("metrics.json", metrics)
    drop_checkpoints(run)
    finish_run(run, _facts(read.split, settings, stages) | {"cut": trained.cut})
    return Outcome(run, read.split, report, test, metrics, trained.history)


FACTS = ("backbone", "weights", "freeze", "image_size", "resize", "precision", "engine")


def _facts(split: Split, settings: TrainingSettings, stages: tuple[Stage, ...]) -> dict[str, Any]:
    """What `model.json` says of this classifier."""
    from tlkit.training.upper import choose_head

    chosen = {name: getattr(settings, name) for name in FACTS}
    more = {"head": asdict(choose_head(settings, len(split.train))), "stages": [asdict(stage) for stage in stages]}
    return {"class_names": list(split.train.class_names), **chosen, **more}
