"""Resuming a stopped run: from its settings.json to its recipe to the session."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from tlkit.data.reader import DataOptions, read_data
from tlkit.errors import OptionError, RunError
from tlkit.runs.run import Run, command_of
from tlkit.runs.unfinished import check_versions, reopen_run
from tlkit.settings.base import to_json
from tlkit.settings.training import ClassicSettings, FinetuneSettings, TrainingSettings, TrainSettings, settings_from
from tlkit.training.classic import classic_recipe
from tlkit.training.finetune import finetune_recipe
from tlkit.training.from_scratch import scratch_recipe
from tlkit.training.recipe import Recipe, TrainingResult
from tlkit.training.session import complete_run
from tlkit.utils.progress import Progress, Silent, Stopwatch
from tlkit.utils.storage import Location, as_location

RECIPES: dict[type, Any] = {
    FinetuneSettings: finetune_recipe,
    TrainSettings: scratch_recipe,
    ClassicSettings: classic_recipe,
}


def resume(path: str | Path, progress: Progress | None = None, trust_model: bool = False) -> TrainingResult:
    """Continue a stopped run, to the very weights it would have ended with.

    Args:
        path: the folder of the stopped run
        progress: shows what is done; nothing is shown where it is None
        trust_model: whether Keras may open the network that it started from, even if this machine did not make it

    Returns:
        What the training would have given without the stop

    Raises:
        RunError: if there is no such run, or images or packages have changed, and what the training raises
    """
    stopwatch = Stopwatch()
    run = reopen_run(Path(path))
    data, settings = read_training_request(run)
    if trust_model:
        settings = _trusting(settings)
    check_versions(run, settings.engine, "classifier" in to_json(settings))
    folder = read_data(data, DataOptions(**settings.data_options)).surveyed()
    stopwatch.lap("scan")
    return complete_run(run, recipe_of(settings), folder, progress or Silent(), stopwatch)


def _trusting(settings: TrainingSettings) -> TrainingSettings:
    """Add the decision of the person who resumes, which settings.json does not have.

    Raises:
        OptionError: if the training starts from no run
    """
    if "trust_model" not in vars(settings):
        raise OptionError("--trust-model has no effect without --from; leave it out.")
    return replace(settings, trust_model=True)  # type: ignore[arg-type]


def read_training_request(run: Run) -> tuple[Location, TrainingSettings]:
    """Read the images' folder and the settings that a training started with.

    Raises:
        RunError: if its settings.json is a comparison's, or damaged
    """
    if command_of(run) == "compare":
        raise RunError(f"'{run.path}' is a comparison; `tlkit compare --resume {run.path}` continues it.")
    content = run.read_settings()
    try:
        settings = settings_from(content)
        if missing := sorted(to_json(settings).keys() - content.keys()):
            raise OptionError(f"'{missing[0]}' is missing")
    except OptionError as error:
        file, found = run.path / "settings.json", str(error).rstrip(".")
        raise RunError(f"'{file}' is damaged, or of another version of tlkit ({found}); start a new run.") from None
    return as_location(content["data"]), settings


def recipe_of(settings: TrainingSettings) -> Recipe[Any]:
    """Make the recipe of any training's settings.

    Raises:
        OptionError
        ModelError
        RunError
    """
    recipe: Recipe[Any] = RECIPES[type(settings)](settings)
    return recipe
