"""Adapts a pretrained network to a folder of images."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from tlkit.engines.base import choose_engine
from tlkit.models.backbones import check_size, find_backbone
from tlkit.runs.warm_start import inherit_settings
from tlkit.settings.training import FinetuneSettings, is_random
from tlkit.training.recipe import TrainingResult
from tlkit.training.session import run_training
from tlkit.utils.progress import Progress


def finetune(
    data: str | Path,
    output: str | Path | None = None,
    settings: FinetuneSettings | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Adapt a pretrained network to a folder of images, and leave a run folder.

    data: a folder with one subfolder per class, or with train/, val/ and test/ above them
    output: the run folder to make; the next free `runs/finetune-NNN` where it is None
    raises: DataError, ModelError, RunError, OptionError; a run folder in which nothing was
        trained yet is then removed
    """
    return run_training(data, output, resolve(settings or FinetuneSettings()), progress)


def resolve(settings: FinetuneSettings) -> FinetuneSettings:
    """The same settings with every "choose for me" replaced by what it means here.

    raises: OptionError, ModelError
    """
    settings = inherit_settings(settings)
    engine: Any = choose_engine(settings.engine, settings.precision)
    if settings.from_run:  # everything else is the former run's
        return replace(settings, engine=engine)
    row = find_backbone(settings.backbone)
    size = settings.image_size or row.image_size
    check_size(row, size)
    freeze: Any = "none" if settings.freeze == "auto" and is_random(settings) else settings.freeze
    return replace(settings, backbone=row.name, image_size=size, engine=engine, freeze=freeze)
