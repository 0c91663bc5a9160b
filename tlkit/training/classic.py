"""Trains the classic pipeline: descriptors made by hand, and a classifier that is not a network."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.data.pixels import DECODE_VERSION
from tlkit.data.split import Split, split_folder
from tlkit.engines.classic import DescriptorEngine
from tlkit.engines.engine import choose_engine, engine_version
from tlkit.errors import ModelError, OptionError
from tlkit.evaluation.report import Report
from tlkit.extraction import Extracted, extract
from tlkit.features import FeatureKey
from tlkit.files import write_atomically
from tlkit.progress import Clock, Progress
from tlkit.reading import Lower
from tlkit.runs import Run, Stage, finish_run
from tlkit.settings import ClassicSettings
from tlkit.shallow.descriptors import DESCRIPTOR_VERSION, DESCRIPTORS, find_descriptors
from tlkit.shallow.fitting import Choice, fit_classifier, sample_patches, unfitted, with_vocabulary
from tlkit.shallow.pipeline import Pipeline, join, open_pipeline, to_bytes
from tlkit.training.lower import there
from tlkit.training.resume import keep_split
from tlkit.training.session import Outcome, begin
from tlkit.training.tables import measure, write_left_out, write_report
from tlkit.workers import count_workers, ordered_map

FILE = "classic.npz"


def train_classic(
    data: str | Path,
    output: str | Path | None = None,
    settings: ClassicSettings | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Describe a folder's images by hand, fit a classifier, and leave a run folder.

    data: a folder with one subfolder per class, or with train/, val/ and test/ above them
    output: the run folder to make; the next free `runs/train-NNN` where it is None
    raises: DataError, ModelError, RunError, OptionError
    """
    return begin(data, output, resolve_classic(settings or ClassicSettings(descriptor="hog")), progress)


def resolve_classic(settings: ClassicSettings) -> ClassicSettings:
    """The same settings with the image size chosen.

    raises: OptionError, ModelError where scikit-learn or scikit-image are not installed
    """
    rows = find_descriptors(settings.descriptor)
    if not find_spec("sklearn"):
        raise ModelError("--descriptor needs scikit-learn, which is not installed: pip install 'tlkit[shallow]'.")
    choose_engine("classic", "float32")
    if settings.pyramid > 1 and not any(row.local for row in rows):
        raise OptionError(f"--pyramid is {settings.pyramid}; it needs a local descriptor, bow or fisher.")
    return replace(settings, image_size=settings.image_size or max(row.image_size for row in rows))


def train_pipeline(
    run: Run, folder: ImageFolder, settings: ClassicSettings, progress: Progress, clock: Clock
) -> Outcome:
    """Everything between a run folder that was begun and one that is finished.

    settings: resolved
    """
    blank = _blank(settings)
    read = [_describe(folder, *each, settings, progress) for each in zip(blank.descriptors, blank.sizes, strict=True)]
    split = split_folder(read[0].folder, settings.validation_split, settings.test_split, settings.seed)
    keep_split(run, split)
    clock.lap("features")
    fitted, choice = _fit(blank, read, split, settings.seed, progress)
    write_atomically(run.path / FILE, to_bytes(fitted))
    clock.lap("fit")
    pipeline = open_pipeline(run.path / FILE)  # what `predict` will read
    report = _report(pipeline, read, split.validation, progress)
    test = _report(pipeline, read, split.test, progress) if len(split.test) else None
    write_left_out(run, [*read[0].folder.left_out, *split.train.left_out])
    write_report(run, report, split.validation)
    metrics = measure(report, test, split, read[0]) | _figures(choice, split)
    metrics["seconds"] = clock.laps | {"total": clock.total()}
    run.write_json("metrics.json", metrics)
    finish_run(run, _facts(split, settings))
    return Outcome(run, split, report, test, metrics, [])


def _blank(settings: ClassicSettings) -> Pipeline:
    rows = find_descriptors(settings.descriptor)
    own = settings.image_size == max(row.image_size for row in rows)  # else one was asked for, for all
    sizes = tuple(row.image_size if own else settings.image_size for row in rows)
    return unfitted(tuple(row.name for row in rows), sizes, settings.pyramid, settings.classifier)


def _describe(folder: ImageFolder, name: str, size: int, settings: ClassicSettings, progress: Progress) -> Extracted:
    """What one descriptor says of every image, kept like features."""
    version = engine_version("classic")
    row = DESCRIPTORS[name]
    cut = f"{row.describe.__name__} of {size} pixels, version {DESCRIPTOR_VERSION}"  # bow and fisher share theirs
    key = FeatureKey(DECODE_VERSION, settings.resize, settings.image_size, "classic", version, "float32", "", cut)
    lower = Lower(DescriptorEngine(row, size), key)
    return extract(folder, there(lower), (settings.image_size, settings.resize), progress)


def _fit(
    pipeline: Pipeline, read: Sequence[Extracted], split: Split, seed: int, progress: Progress
) -> tuple[Pipeline, Choice]:
    train = split.train
    for name, extracted in zip(pipeline.descriptors, read, strict=True):
        if DESCRIPTORS[name].local:
            rows = extracted.rows(train)
            patches = sample_patches([rows[place : place + 1][0] for place in range(len(train))], seed)
            pipeline = with_vocabulary(pipeline, name, patches, seed)
    values = _joined(pipeline, read, train, progress)
    return fit_classifier(pipeline, values, _parts(pipeline, read, train), (train.labels, train.groups), seed)


def _joined(pipeline: Pipeline, read: Sequence[Extracted], part: ImageFolder, progress: Progress) -> np.ndarray:
    """What all descriptors say of some images: float32 (images, values)."""
    rows = [extracted.rows(part) for extracted in read]

    def one(place: int) -> np.ndarray:
        return join(pipeline, [each[place : place + 1][0] for each in rows])

    with progress.stage("encoding", len(part), "images") as advance, ThreadPoolExecutor(count_workers()) as pool:
        found = []
        for values in ordered_map(pool, one, range(len(part))):
            found.append(values)
            advance(1)
    return np.stack(found).astype(np.float32)


def _parts(pipeline: Pipeline, read: Sequence[Extracted], part: ImageFolder) -> list[slice]:
    """The columns of each descriptor."""
    first = [extracted.values(part.pick([0]))[0] for extracted in read]
    lengths = [
        len(join(replace(pipeline, descriptors=(name,)), [values]))
        for name, values in zip(pipeline.descriptors, first, strict=True)
    ]
    ends = np.cumsum(lengths).tolist()
    return [slice(end - length, end) for end, length in zip(ends, lengths, strict=True)]


def _report(pipeline: Pipeline, read: Sequence[Extracted], part: ImageFolder, progress: Progress) -> Report:
    return Report(part.class_names, part.labels, pipeline.probabilities(_joined(pipeline, read, part, progress)))


def _figures(choice: Choice, split: Split) -> dict[str, Any]:
    """What `metrics.json` says of the classic pipeline only, and what it cannot say of it."""
    return {
        "selected_on_validation": False,
        "cross_validated_accuracy": None if np.isnan(choice.accuracy) else choice.accuracy,
        "classifier_options": choice.options,
        "notes": list(split.notes),
        **dict.fromkeys(("advice", "forecast", "folds", "seeds")),
        "diagnosis": [],
    }


def _facts(split: Split, settings: ClassicSettings) -> dict[str, Any]:
    """What `model.json` says of this classifier."""
    names = ("descriptor", "classifier", "pyramid", "image_size", "resize", "precision", "engine")
    chosen = {name: getattr(settings, name) for name in names}
    return {"class_names": list(split.train.class_names), **chosen, "stages": [asdict(Stage(FILE, "float32"))]}
