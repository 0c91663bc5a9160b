"""From a folder of images to a finished run: cut, features, train above the cut, join."""

from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlkit.data.folder import ImageFolder, read_folder
from tlkit.data.split import Split
from tlkit.engines.engine import choose_engine
from tlkit.errors import OptionError, TlkitError
from tlkit.evaluation.report import Report
from tlkit.models.backbones import find_backbone
from tlkit.progress import Clock, Progress, Silent
from tlkit.runs import Run, Stage, create_run, discard_run, finish_run
from tlkit.settings import FinetuneSettings, as_json, is_random, settings_from
from tlkit.training.former import inherit
from tlkit.training.images import read_images, train_strategy
from tlkit.training.resume import drop_checkpoints, has_progress, keep_split, reopen_run

if TYPE_CHECKING:
    from tlkit.training.upper import Trained


@dataclass(frozen=True)
class Finetuned:
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
    if settings.tensorboard and not find_spec("tensorboard"):
        raise OptionError("--tensorboard needs TensorBoard, which is not installed: pip install 'tlkit[tensorboard]'.")
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


def _finetuned(
    run: Run, folder: ImageFolder, settings: FinetuneSettings, progress: Progress, clock: Clock
) -> Finetuned:
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

    def train_again(split: Split, other: FinetuneSettings) -> "Trained":
        return train_strategy(replace(read, split=split), other, progress)

    trainer = Trainer(read.network, first, train_again)
    metrics |= measure_repeats(trainer, read.extracted, read.split, settings, progress)
    metrics["seconds"] = clock.laps | {"total": clock.total()}
    run.write_json("metrics.json", metrics)
    drop_checkpoints(run)
    finish_run(run, _facts(read.split, settings, stages) | {"cut": trained.cut})
    return Finetuned(run, read.split, report, test, metrics, trained.history)


def _facts(split: Split, settings: FinetuneSettings, stages: tuple[Stage, ...]) -> dict[str, Any]:
    """What `model.json` says of this classifier."""
    from tlkit.training.upper import choose_head

    names = ("backbone", "weights", "freeze", "image_size", "resize", "precision", "engine")
    chosen = {name: getattr(settings, name) for name in names}
    more = {"head": asdict(choose_head(settings, len(split.train))), "stages": [asdict(stage) for stage in stages]}
    return {"class_names": list(split.train.class_names), **chosen, **more}
