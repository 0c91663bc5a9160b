"""Trains an architecture, or any network of Keras Applications, from scratch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from tlkit.engines.base import choose_engine
from tlkit.errors import OptionError
from tlkit.models.architectures.registry import _ARCHITECTURES, Architecture, find_trainable
from tlkit.models.backbones import Backbone, check_size
from tlkit.settings.base import option_name
from tlkit.settings.training import TrainSettings
from tlkit.training.recipe import TrainingResult
from tlkit.training.session import run_training
from tlkit.utils.progress import Progress


def train(
    data: str | Path,
    output: str | Path | None = None,
    settings: TrainSettings | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train a network from random weights on a folder of images, and leave a run folder.

    data: a folder with one subfolder per class, or with train/, val/ and test/ above them
    output: the run folder to make; the next free `runs/train-NNN` where it is None
    raises: DataError, ModelError, RunError, OptionError; a run folder in which nothing was
        trained yet is then removed
    """
    return run_training(data, output, resolve_network(settings or TrainSettings()), progress)


def resolve_network(settings: TrainSettings) -> TrainSettings:
    """The same settings with every "choose for me" replaced by what it means here.

    raises: OptionError
    """
    row = find_trainable(settings.model)
    size = settings.image_size or row.image_size
    check_size(row, size)
    _refuse_ignored(settings, row)
    engine: Any = choose_engine(settings.engine, settings.precision)
    return replace(settings, model=row.name, image_size=size, engine=engine)


def _refuse_ignored(settings: TrainSettings, row: Architecture | Backbone) -> None:
    """What is asked for and would change nothing."""
    asked = [name for name, value in settings.changes.items() if value != TrainSettings.width or name != "width"]
    asked += ["grey"] * settings.grey
    takes = (*row.takes, "grey") if isinstance(row, Architecture) else ()
    for name in asked:
        if name not in takes:
            those = ", ".join(other.name for other in _ARCHITECTURES if name in (*other.takes, "grey"))
            raise OptionError(f"{row.name} cannot be varied by {option_name(name)}; these can: {those}.")
