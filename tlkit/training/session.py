"""A training, from a folder of images to a finished run: cut, features, train above the cut, join."""

from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlkit.data.folder import ImageFolder, read_folder
from tlkit.errors import OptionError, TlkitError
from tlkit.runs.run import Run, create_run, delete_run
from tlkit.runs.unfinished import has_progress
from tlkit.settings.base import to_json
from tlkit.settings.training import (
    AnySettings,
    ClassicSettings,
    FinetuneSettings,
)
from tlkit.utils.files import claim_cache, refuse_inside
from tlkit.utils.progress import Progress, Silent, Stopwatch

if TYPE_CHECKING:
    pass
from tlkit.training.network import _trained, _unmirrored
from tlkit.training.recipe import TrainingResult


def run_training(
    data: str | Path, output: str | Path | None, settings: AnySettings, progress: Progress | None
) -> TrainingResult:
    """Train from the start, and leave a run folder.

    settings: resolved
    output: the run folder to make; the next free one under `runs/` where it is None
    raises: DataError, ModelError, RunError, OptionError; a run folder in which nothing was
        trained yet is then removed
    """
    clock = Stopwatch()
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
            delete_run(run)
        raise


def _finished(
    run: Run, folder: ImageFolder, settings: AnySettings, progress: Progress, clock: Stopwatch
) -> TrainingResult:
    if isinstance(settings, ClassicSettings):
        from tlkit.training.classic import fit_and_finish

        return fit_and_finish(run, folder, settings, progress, clock)
    return _trained(run, folder, settings, progress, clock)


def _command(settings: AnySettings) -> str:
    return "finetune" if isinstance(settings, FinetuneSettings) else "train"


def _request(folder: ImageFolder, settings: AnySettings) -> dict[str, Any]:
    """What `settings.json` holds: enough to run again."""
    return {"command": _command(settings), "data": str(folder.root.resolve()), **to_json(settings)}
