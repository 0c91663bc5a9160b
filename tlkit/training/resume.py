"""Continues a stopped run: from its settings.json to its recipe to the session."""

from pathlib import Path
from typing import TYPE_CHECKING

from tlkit.data.folder import read_folder
from tlkit.errors import RunError
from tlkit.runs.run import command_of
from tlkit.runs.unfinished import reopen_run
from tlkit.settings.training import settings_from
from tlkit.utils.progress import Progress, Silent, Stopwatch

if TYPE_CHECKING:
    pass
from tlkit.training.recipe import TrainingResult
from tlkit.training.session import _finished


def resume(path: str | Path, progress: Progress | None = None) -> TrainingResult:
    """Go on with a run that was stopped, to the very weights it would have ended with.

    raises: RunError where there is no such run or the images have changed, and what `finetune` raises
    """
    clock = Stopwatch()
    run = reopen_run(Path(path))
    if command_of(run) == "compare":
        raise RunError(f"'{path}' is a comparison; `tlkit compare --resume {path}` goes on with it.")
    request = run.read_json("settings.json")
    folder = read_folder(request["data"])
    clock.lap("scan")
    return _finished(run, folder, settings_from(request), progress or Silent(), clock)
