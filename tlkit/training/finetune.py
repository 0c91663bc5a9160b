"""Training that adapts a pretrained network to a folder of images."""

from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

from tlkit.engines.base import choose_engine
from tlkit.errors import OptionError
from tlkit.models.backbones import check_size, find_backbone
from tlkit.models.hub import hub_backbone
from tlkit.models.keras_setup import require_keras
from tlkit.models.sources import NetworkSource, PretrainedBackbone, absolute_weights
from tlkit.runs.warm_start import INHERITED, PreviousRun, previous_run
from tlkit.settings.base import option_name, settings_or_options
from tlkit.settings.training import FinetuneSettings
from tlkit.training.hyperparameters import choose_precision, finetune_head, plan_head
from tlkit.training.network import NetworkRecipe
from tlkit.training.option_effects import FINETUNE, refuse_without_effect
from tlkit.training.recipe import TrainingResult
from tlkit.training.session import run_training
from tlkit.training.tracking import require_trackers
from tlkit.utils.progress import Progress
from tlkit.utils.storage import Location


def finetune(
    data: str | Location,
    output: str | Path | None = None,
    settings: FinetuneSettings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> TrainingResult:
    """Adapt a pretrained network to a folder of images, and leave a run folder.

    Args:
        data: a folder with one subfolder per class, or with train/, val/ and test/ above them
        output: the run folder to make; the next free `runs/finetune-NNN` where it is None
        settings: the options; the defaults where it is None
        progress: shows what is done; nothing is shown where it is None
        options: fields of `FinetuneSettings`, in place of `settings`

    Returns:
        The run, its metrics and the split of the images

    Raises:
        DataError
        ModelError
        RunError
        OptionError

    After an error, a run folder in which nothing was trained yet is removed.
    """
    recipe = finetune_recipe(settings_or_options(FinetuneSettings, settings, options, data=data, output=output))
    return run_training(recipe, data, output, progress)


def finetune_recipe(settings: FinetuneSettings) -> NetworkRecipe:
    """Turn options into values: a "choose for me" that does not depend on the images is replaced by what it means.

    Raises:
        OptionError
        ModelError
        RunError
    """
    require_keras("`tlkit finetune`")
    require_trackers(settings.log_to)
    given = settings
    settings = replace(settings, weights=absolute_weights(settings.weights), freeze=_hardened_freeze(settings))
    if settings.from_run:
        source = previous_run(settings.from_run, settings.trust_model)
        settings = replace(settings, trust_model=settings.trust_model and not source.run.is_own)
        settings = _with_options_of(source, settings)
        engine: Any = choose_engine(settings.engine, settings.precision)
        refuse_without_effect(given, FINETUNE, vars(settings) | {"is_pretrained": True}, source.inherited())
        return _recipe(replace(settings, engine=engine), given, source, is_random=False)
    engine = choose_engine(settings.engine, settings.precision)
    if hub := hub_backbone(settings.backbone, settings.image_size, settings.freeze):
        settings = replace(settings, backbone=hub.name, image_size=hub.image_size, engine=engine, freeze="all")
        refuse_without_effect(given, FINETUNE, vars(settings) | {"is_pretrained": True})
        return _recipe(settings, given, hub, is_random=False)
    row = find_backbone(settings.backbone)
    size = settings.image_size or row.image_size
    check_size(row, size)
    backbone = PretrainedBackbone(row, settings.weights, size, settings.seed)
    is_random = not backbone.is_pretrained
    freeze: Any = "none" if given.freeze == "auto" and is_random else settings.freeze
    settings = replace(settings, backbone=row.name, image_size=size, engine=engine, freeze=freeze)
    refuse_without_effect(given, FINETUNE, vars(settings) | {"is_pretrained": not is_random})
    return _recipe(settings, given, backbone, is_random)


def _hardened_freeze(settings: FinetuneSettings) -> Any:
    """Decide an open strategy where attacks are to be resisted, which the head alone cannot learn."""
    return "lower" if settings.freeze == "auto" and settings.harden in ("adversarial", "both") else settings.freeze


def _recipe(
    settings: FinetuneSettings, given: FinetuneSettings, source: NetworkSource, is_random: bool
) -> NetworkRecipe:
    if settings.freeze == "lower":  # with "auto", the decision keeps it
        precision: Any = choose_precision(settings.upper_precision)
        settings = replace(settings, upper_precision=precision)
    return NetworkRecipe(
        command="finetune",
        settings=settings,
        given=given,
        source=source,
        freeze=settings.freeze,
        make_head=finetune_head,
        make_plan=plan_head,
        trains_batch_norms=settings.batch_norms == "trained" or (settings.freeze == "none" and is_random),
        keep_initial_weights=bool(settings.from_run),
    )


def _with_options_of(source: PreviousRun, settings: FinetuneSettings) -> FinetuneSettings:
    """Take the options that must be the previous run's from it.

    Raises:
        OptionError: if another value was asked for
        RunError
    """
    theirs = source.inherited()
    defaults = {item.name: item.default for item in fields(FinetuneSettings) if item.default is not MISSING}
    for name in INHERITED:
        if getattr(settings, name) not in (defaults[name], theirs[name]):
            raise OptionError(
                f"{option_name(name)} is {getattr(settings, name)}, but '{settings.from_run}' has {theirs[name]}; "
                "omit it or start without --from."
            )
    if settings.hflip is not None:
        theirs.pop("hflip")  # else what was never seen mirrored is not mirrored now
    return replace(settings, from_run=str(source.run.path.resolve()), **theirs)
