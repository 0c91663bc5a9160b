"""`--descriptor auto`: descriptions that are tried side by side, on training images alone."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.classic.descriptors import DESCRIPTORS, descriptor_sizes, find_descriptors, require_packages
from tlkit.classic.fit import FitOptions, refit, select_columns, select_model
from tlkit.classic.model_selection import GroupedLabels, SearchResult
from tlkit.classic.pipeline import ClassicPipeline, ScaledClassifier, open_pipeline, to_bytes
from tlkit.data.folder import ImageFolder
from tlkit.data.split import Split, split_folder
from tlkit.engines.base import choose_engine
from tlkit.errors import ModelError, OptionError
from tlkit.evaluation.report import Report
from tlkit.features.vectors import FEATURE_GROUP, FeatureVectors, compute_vectors
from tlkit.models.backbones import check_size, find_backbone
from tlkit.runs.run import InferenceStage, Run, finish_run
from tlkit.runs.unfinished import save_or_check_split
from tlkit.settings.training import ClassicSettings
from tlkit.training.artifacts import base_metrics, write_left_out, write_report
from tlkit.training.diagnosis import FEW_IMAGES, few_images
from tlkit.training.recipe import TrainingResult
from tlkit.training.session import run_training
from tlkit.utils.files import atomic_write
from tlkit.utils.progress import Progress, Stopwatch

AUTO = "auto"
CANDIDATES = ("hog", "fisher+hog", "fisher+histogram", "fisher+histogram+lbp+haralick")  # the fullest last


@dataclass(frozen=True)
class Best:
    """The candidate that was taken.

    name     its descriptors
    choices  what folds found for each candidate
    """

    name: str
    decider: ScaledClassifier
    choices: Mapping[str, SearchResult]


CLASSIC_FILE = "classic.npz"


def train_classic(
    data: str | Path,
    output: str | Path | None = None,
    settings: ClassicSettings | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Describe a folder's images, by hand or by a network, fit a classifier, and leave a run folder.

    data: a folder with one subfolder per class, or with train/, val/ and test/ above them
    output: the run folder to make; the next free `runs/train-NNN` where it is None
    raises: DataError, ModelError, RunError, OptionError
    """
    return run_training(data, output, resolve_classic(settings or ClassicSettings(descriptor="hog")), progress)


def resolve_classic(settings: ClassicSettings) -> ClassicSettings:
    """The same settings with image size and engine chosen.

    raises: OptionError, ModelError where scikit-learn or what describes pictures is not installed
    """
    if not find_spec("sklearn"):
        asked = "--descriptor" if settings.descriptor else "--features"
        raise ModelError(f"{asked} needs scikit-learn, which is not installed: pip install 'tlkit[shallow]'.")
    return _resolve_descriptors(settings) if settings.descriptor else _resolve_network(settings)


def fit_and_finish(
    run: Run, folder: ImageFolder, settings: ClassicSettings, progress: Progress, clock: Stopwatch
) -> TrainingResult:
    """Everything between a run folder that was begun and one that is finished.

    settings: resolved
    """
    fitted = _fit_vectors(run, folder, settings, progress, clock)
    described, decider, split = fitted.described, fitted.best.decider, fitted.split
    read = described.extracted
    atomic_write(run.path / CLASSIC_FILE, to_bytes(ClassicPipeline(described.describer(), decider)))
    stages = (*described.stages(run), InferenceStage(CLASSIC_FILE, "float32"))
    clock.lap("fit")
    decider = open_pipeline(run.path / CLASSIC_FILE).decider  # what `predict` will read
    report = _report(decider, described, split.validation, progress)
    test = _report(decider, described, split.test, progress) if len(split.test) else None
    write_left_out(run, [*read.folder.left_out, *split.train.left_out])
    write_report(run, report, split.validation)
    metrics = base_metrics(report, test, split, read) | _figures(fitted) | {"features_reused": fitted.reused}
    metrics["seconds"] = clock.laps | {"total": clock.total()}
    run.write_json("metrics.json", metrics)
    finish_run(run, _facts(split, fitted.settings, stages))
    return TrainingResult(run, split, report, test, metrics, [])


def _resolve_descriptors(settings: ClassicSettings) -> ClassicSettings:
    if settings.descriptor == AUTO:
        if settings.image_size:
            raise OptionError(f"--image-size is {settings.image_size}; --descriptor auto has its own, so leave it out.")
        return settings  # each candidate by itself
    rows = find_descriptors(settings.descriptor)
    require_packages(rows)
    choose_engine("classic", settings.precision)
    if settings.pyramid > 1 and not any(row.local for row in rows):
        raise OptionError(f"--pyramid is {settings.pyramid}; it needs a local descriptor, bow or fisher.")
    return replace(settings, image_size=max(descriptor_sizes(rows, settings.image_size)))


def _resolve_network(settings: ClassicSettings) -> ClassicSettings:
    row = find_backbone(settings.features)
    size = settings.image_size or row.image_size
    check_size(row, size)
    if settings.pyramid > 1:
        raise OptionError(f"--pyramid is {settings.pyramid}; it needs --descriptor bow or fisher.")
    engine: Any = choose_engine(settings.engine, settings.precision)
    return replace(settings, features=row.name, image_size=size, engine=engine)


@dataclass(frozen=True)
class Fitted:
    """One description with the classifier fitted on it.

    settings  with the descriptor that this is
    best      the classifier, and what it was chosen from
    reused    images of which something had been kept before this run
    """

    settings: ClassicSettings
    described: FeatureVectors
    split: Split
    best: Best
    reused: int


def _fit_vectors(
    run: Run, folder: ImageFolder, settings: ClassicSettings, progress: Progress, clock: Stopwatch
) -> Fitted:
    """The description asked for; of "auto" the best in folds of the training images, or the fullest without any."""
    candidates = CANDIDATES if settings.descriptor == AUTO else (settings.descriptor or FEATURE_GROUP,)
    settings = with_all_descriptors(settings, candidates)
    described = compute_vectors(folder, settings, progress)
    split = split_folder(described.extracted.folder, settings.validation_split, settings.test_split, settings.seed)
    save_or_check_split(run, split)
    clock.lap("features")
    described = described.learn(split.train, settings.seed, progress)
    best = fit_best(described, split.train, settings, candidates, progress)
    clock.lap("fit")
    chosen = described.only(best.name.split("+"))
    return Fitted(with_chosen_descriptor(settings, best.name), chosen, split, best, described.extracted.reused)


def _report(decider: ScaledClassifier, described: FeatureVectors, part: ImageFolder, progress: Progress) -> Report:
    return Report(part.class_names, part.labels, decider.probabilities(described.values(part, progress)))


def _figures(fitted: Fitted) -> dict[str, Any]:
    """What `metrics.json` says of these trainings only, and what it cannot say of them."""
    choice = fitted.best.choices[fitted.best.name]
    return {
        "selected_on_validation": False,
        "cross_validated_accuracy": accuracy_or_none(choice.accuracy),
        "classifier": choice.row.name,
        "classifier_options": choice.options,
        "notes": list(fitted.split.notes),
        **dict.fromkeys(("forecast", "folds", "seeds")),
        "advice": _advice(fitted),
        "diagnosis": _diagnosis(len(fitted.split.validation)),
    }


def _diagnosis(num_validation: int) -> list[dict[str, str]]:
    """There is no history; too few images to judge by are too few for every classifier."""
    if num_validation >= FEW_IMAGES:
        return []
    return [{"words": f"{few_images(num_validation)}.", "next": "more photos, or --validation-split 0.5"}]


def _advice(fitted: Fitted) -> dict[str, Any] | None:
    """What `--descriptor auto` has chosen, and from what."""
    chosen, tried = (
        fitted.best.name,
        {name: accuracy_or_none(choice.accuracy) for name, choice in fitted.best.choices.items()},
    )
    if len(tried) == 1:
        return None
    if all(share is None for share in tried.values()):
        reason = f"too few images to compare descriptors in folds: {chosen}, the fullest, was taken"
    else:
        each = ", ".join(f"{name} {share:.3f}" for name, share in tried.items())
        reason = f"{chosen} was the best in folds of the training images ({each})"
    return {"reason": reason, "descriptor": chosen, "tried": tried}


def _facts(split: Split, settings: ClassicSettings, stages: tuple[InferenceStage, ...]) -> dict[str, Any]:
    """What `model.json` says of this classifier."""
    names = ("descriptor", "pyramid", "features", "weights", "classifier", "pca", "image_size", "resize", "precision")
    chosen = {name: getattr(settings, name) for name in names}
    named = {"class_names": split.train.class_names, "engine": "classic" if settings.descriptor else settings.engine}
    return named | chosen | {"stages": [asdict(stage) for stage in stages]}


def with_all_descriptors(settings: ClassicSettings, candidates: Sequence[str]) -> ClassicSettings:
    """With every descriptor of all candidates, so that each is described, and its vocabulary learnt, once."""
    if settings.descriptor != AUTO:
        return settings
    names = dict.fromkeys(name for candidate in candidates for name in candidate.split("+"))
    sizes = descriptor_sizes([DESCRIPTORS[name] for name in names], 0)
    return replace(settings, descriptor="+".join(names), image_size=max(sizes))


def fit_best(
    described: FeatureVectors,
    train: ImageFolder,
    settings: ClassicSettings,
    candidates: Sequence[str],
    progress: Progress,
) -> Best:
    """Try all candidates in folds of the training images, which are described once, and fit the best on all of them."""
    values, parts = described.values(train, progress), described.parts(train)
    sides = GroupedLabels(train.labels, train.groups)
    fitting = FitOptions(settings.classifier, settings.pca, settings.seed, progress)
    picked = {name: partial(select_columns, values, parts, name.split("+")) for name in candidates}
    chosen = {name: select_model(*pick(), sides, fitting) for name, pick in picked.items()}
    choices = {name: choice for name, (_, choice) in chosen.items()}
    best = _best_of(choices)
    return Best(best, refit(picked[best]()[0], sides, chosen[best], fitting), choices)


def _best_of(choices: Mapping[str, SearchResult]) -> str:
    """The most accurate in folds; without any the last, which is the fullest."""
    shares = {
        name: share for name, choice in choices.items() if (share := accuracy_or_none(choice.accuracy)) is not None
    }
    return max(shares, key=lambda name: shares[name]) if shares else list(choices)[-1]


def with_chosen_descriptor(settings: ClassicSettings, chosen: str) -> ClassicSettings:
    """With the description taken, which has no pyramid where there is nothing local in it."""
    if settings.features:
        return settings
    local = any(row.local for row in find_descriptors(chosen))
    return replace(settings, descriptor=chosen, pyramid=settings.pyramid if local else 1)


def accuracy_or_none(accuracy: float) -> float | None:
    """In folds; None where there were too few images for any."""
    return None if np.isnan(accuracy) else accuracy
