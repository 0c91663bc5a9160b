"""Training of an architecture, or of any network of Keras Applications, from scratch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from tlkit.engines.base import choose_engine
from tlkit.models.architectures.registry import ARCHITECTURES, find_trainable
from tlkit.models.backbones import BACKBONES, check_size
from tlkit.models.keras_setup import require_keras
from tlkit.models.sources import NetworkSource, PretrainedBackbone, ScratchArchitecture
from tlkit.settings.base import settings_or_options
from tlkit.settings.training import TrainSettings
from tlkit.training.hyperparameters import plan_scratch, scratch_head
from tlkit.training.network import NetworkRecipe
from tlkit.training.option_effects import TRAIN, refuse_without_effect
from tlkit.training.recipe import TrainingResult
from tlkit.training.session import run_training
from tlkit.training.tracking import require_trackers
from tlkit.utils.progress import Progress
from tlkit.utils.storage import Location


def train(
    data: str | Location,
    output: str | Path | None = None,
    settings: TrainSettings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> TrainingResult:
    """Train a network from random weights on a folder of images, and leave a run folder.

    Args:
        data: a folder with one subfolder per class, or with train/, val/ and test/ above them
        output: the run folder to make; the next free `runs/train-NNN` where it is None
        settings: the options; the defaults where it is None
        progress: shows what is done; nothing is shown where it is None
        options: fields of `TrainSettings`, in place of `settings`

    Returns:
        The run, its metrics and the split of the images

    Raises:
        DataError
        ModelError
        RunError
        OptionError

    After an error, a run folder in which nothing was trained yet is removed.
    """
    return run_training(
        scratch_recipe(settings_or_options(TrainSettings, settings, options, data=data, output=output)),
        data,
        output,
        progress,
    )


def scratch_recipe(settings: TrainSettings) -> NetworkRecipe:
    """Turn options into values: a "choose for me" that does not depend on the images is replaced by what it means.

    Raises:
        OptionError
        ModelError
    """
    require_keras("`tlkit train --model`")
    require_trackers(settings.log_to)
    row = find_trainable(settings.model)
    size = settings.image_size or row.image_size
    check_size(row, size)
    refuse_without_effect(settings, TRAIN, {"model": row.name})
    engine: Any = choose_engine(settings.engine, settings.precision)
    given, settings = settings, replace(settings, model=row.name, image_size=size, engine=engine)
    source: NetworkSource
    if row.name in ARCHITECTURES:
        architecture = ARCHITECTURES[row.name]
        source = ScratchArchitecture(architecture, size, settings.changes, settings.gray, settings.seed)
    else:
        source = PretrainedBackbone(BACKBONES[row.name], "none", size, settings.seed)
    return NetworkRecipe(
        command="train",
        settings=settings,
        given=given,
        source=source,
        freeze="none",
        make_head=scratch_head,
        make_plan=plan_scratch,
        trains_batch_norms=True,
        flips_by_class=True,
    )
