"""Trains a classifier that is no network: on descriptors made by hand, or on a frozen network's features."""

from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tlkit.data.folder import ImageFolder
from tlkit.data.split import Split, split_folder
from tlkit.engines.engine import choose_engine
from tlkit.errors import ModelError, OptionError
from tlkit.evaluation.report import Report
from tlkit.facts import Stage
from tlkit.files import write_atomically
from tlkit.models.backbones import check_size, find_backbone
from tlkit.progress import Clock, Progress
from tlkit.runs import Run, finish_run
from tlkit.settings import ClassicSettings
from tlkit.shallow.decider import Decider
from tlkit.shallow.descriptors import descriptor_sizes, find_descriptors, require_packages
from tlkit.shallow.pipeline import Pipeline, open_pipeline, to_bytes
from tlkit.training.by_network import FEATURES
from tlkit.training.candidates import AUTO, CANDIDATES, Best, as_chosen, describe_all, fit_best, known
from tlkit.training.described import Described, describe_folder
from tlkit.training.diagnosis import FEW_IMAGES, few_images
from tlkit.training.resume import keep_split
from tlkit.training.session import Outcome, begin
from tlkit.training.tables import measure, write_left_out, write_report

FILE = "classic.npz"


def train_classic(
    data: str | Path,
    output: str | Path | None = None,
    settings: ClassicSettings | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Describe a folder's images, by hand or by a network, fit a classifier, and leave a run folder.

    data: a folder with one subfolder per class, or with train/, val/ and test/ above them
    output: the run folder to make; the next free `runs/train-NNN` where it is None
    raises: DataError, ModelError, RunError, OptionError
    """
    return begin(data, output, resolve_classic(settings or ClassicSettings(descriptor="hog")), progress)


def resolve_classic(settings: ClassicSettings) -> ClassicSettings:
    """The same settings with image size and engine chosen.

    raises: OptionError, ModelError where scikit-learn or what describes pictures is not installed
    """
    if not find_spec("sklearn"):
        asked = "--descriptor" if settings.descriptor else "--features"
        raise ModelError(f"{asked} needs scikit-learn, which is not installed: pip install 'tlkit[shallow]'.")
    return _resolve_descriptors(settings) if settings.descriptor else _resolve_network(settings)


def train_pipeline(
    run: Run, folder: ImageFolder, settings: ClassicSettings, progress: Progress, clock: Clock
) -> Outcome:
    """Everything between a run folder that was begun and one that is finished.

    settings: resolved
    """
    fitted = _choose(run, folder, settings, progress, clock)
    described, decider, split = fitted.described, fitted.best.decider, fitted.split
    read = described.extracted
    write_atomically(run.path / FILE, to_bytes(Pipeline(described.describer(), decider)))
    stages = (*described.stages(run), Stage(FILE, "float32"))
    clock.lap("fit")
    decider = open_pipeline(run.path / FILE).decider  # what `predict` will read
    report = _report(decider, described, split.validation, progress)
    test = _report(decider, described, split.test, progress) if len(split.test) else None
    write_left_out(run, [*read.folder.left_out, *split.train.left_out])
    write_report(run, report, split.validation)
    metrics = measure(report, test, split, read) | _figures(fitted) | {"features_reused": fitted.reused}
    metrics["seconds"] = clock.laps | {"total": clock.total()}
    run.write_json("metrics.json", metrics)
    finish_run(run, _facts(split, fitted.settings, stages))
    return Outcome(run, split, report, test, metrics, [])


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
    described: Described
    split: Split
    best: Best
    reused: int


def _choose(run: Run, folder: ImageFolder, settings: ClassicSettings, progress: Progress, clock: Clock) -> Fitted:
    """The description asked for; of "auto" the best in folds of the training images, or the fullest without any."""
    candidates = CANDIDATES if settings.descriptor == AUTO else (settings.descriptor or FEATURES,)
    settings = describe_all(settings, candidates)
    described = describe_folder(folder, settings, progress)
    split = split_folder(described.extracted.folder, settings.validation_split, settings.test_split, settings.seed)
    keep_split(run, split)
    clock.lap("features")
    described = described.learn(split.train, settings.seed, progress)
    best = fit_best(described, split.train, settings, candidates, progress)
    clock.lap("fit")
    chosen = described.only(best.name.split("+"))
    return Fitted(as_chosen(settings, best.name), chosen, split, best, described.extracted.reused)


def _report(decider: Decider, described: Described, part: ImageFolder, progress: Progress) -> Report:
    return Report(part.class_names, part.labels, decider.probabilities(described.values(part, progress)))


def _figures(fitted: Fitted) -> dict[str, Any]:
    """What `metrics.json` says of these trainings only, and what it cannot say of them."""
    choice = fitted.best.choices[fitted.best.name]
    return {
        "selected_on_validation": False,
        "cross_validated_accuracy": known(choice.accuracy),
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
    chosen, tried = fitted.best.name, {name: known(choice.accuracy) for name, choice in fitted.best.choices.items()}
    if len(tried) == 1:
        return None
    if all(share is None for share in tried.values()):
        reason = f"too few images to compare descriptors in folds: {chosen}, the fullest, was taken"
    else:
        each = ", ".join(f"{name} {share:.3f}" for name, share in tried.items())
        reason = f"{chosen} was the best in folds of the training images ({each})"
    return {"reason": reason, "descriptor": chosen, "tried": tried}


def _facts(split: Split, settings: ClassicSettings, stages: tuple[Stage, ...]) -> dict[str, Any]:
    """What `model.json` says of this classifier."""
    names = ("descriptor", "pyramid", "features", "weights", "classifier", "pca", "image_size", "resize", "precision")
    chosen = {name: getattr(settings, name) for name in names}
    named = {"class_names": split.train.class_names, "engine": "classic" if settings.descriptor else settings.engine}
    return named | chosen | {"stages": [asdict(stage) for stage in stages]}
