"""The temperature of a run and its rule for "unknown", both fitted on held-out images."""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.data.image import DecodedImage, ImageSpec
from tlkit.data.layout import UNKNOWN
from tlkit.data.listing import FileEntry
from tlkit.data.sources.files import read_file
from tlkit.errors import ImageError
from tlkit.evaluation.calibration import MIN_IMAGES, Calibration, calibrate
from tlkit.evaluation.rejection import KnownImages, UnknownDetector, choose_references, fit_detector, order_by_hash
from tlkit.evaluation.report import Report
from tlkit.inference.inputs import NamedInput
from tlkit.inference.network import RunNetwork, open_stages
from tlkit.runs.manifest import REFERENCES, UNKNOWN_IMAGES, InferenceStage
from tlkit.runs.run import Run
from tlkit.training.recipe import CrossValidation, Dataset, FittedModel
from tlkit.utils.files import atomic_open, make_folder
from tlkit.utils.parallel import CHUNK, count_workers, in_chunks, ordered_map, single_threaded_blas


@dataclass(frozen=True)
class Answers:
    """The output of a saved model for some images, before it is calibrated.

    Attributes:
        features: float32 (images, …), the input of the head
        probabilities: float32 (images, classes)
    """

    images: ImageFolder
    features: np.ndarray
    probabilities: np.ndarray

    @staticmethod
    def of(model: FittedModel, images: ImageFolder) -> "Answers":
        """Classify images of the dataset by the saved files."""
        features = model.extract(images)
        return Answers(images, features, model.classify(features))


@dataclass(frozen=True)
class Confidence:
    """The temperature of a run, its rule for "unknown", and what both showed.

    Attributes:
        unknown: the entry of metrics.json
        skipped: images of no class that could not be read
    """

    calibration: Calibration
    detector: UnknownDetector
    unknown: Mapping[str, Any]
    skipped: tuple[FileEntry, ...] = ()

    @property
    def notes(self) -> list[str]:
        """Notes for a person."""
        if self.skipped and not self.unknown["num_unknown"]:
            return [f'no file in {UNKNOWN}/ is an image; the answer "unknown" is not fitted to images of no class.']
        return []

    @property
    def manifest(self) -> dict[str, Any]:
        """The entries of model.json."""
        return {"temperature": self.calibration.temperature, "unknown": self.detector.as_json()}

    def report(self, answers: Answers) -> Report:
        """Report on images, with calibrated probabilities."""
        images = answers.images
        return Report(images.class_names, images.labels, self.calibration.apply(answers.probabilities))

    def calibrated_folds(self, folds: CrossValidation | None) -> CrossValidation | None:
        """Calibrate what folds gave, where there are any."""
        if folds is None:
            return None
        report = folds.report
        return replace(folds, report=replace(report, probabilities=self.calibration.apply(report.probabilities)))


@dataclass(frozen=True)
class HeldOut:
    """Features and answers that confidence is fitted on.

    Attributes:
        references: features of training images, float32 (images, …)
        validation, test: answers for these images; None without test images
        folds: of cross-validation, not calibrated; None without
    """

    references: np.ndarray
    validation: Answers
    test: Answers | None
    folds: CrossValidation | None = None


def reference_images(dataset: Dataset, features: np.ndarray) -> ImageFolder:
    """Choose the training images that distances are measured to.

    Args:
        features: of any image, to know their number: float32 (images, …)
    """
    train = dataset.split.train
    order = order_by_hash(train.sha256)
    return train.subset(choose_references(train.labels, order, int(np.prod(features.shape[1:]))))


def fit_confidence(
    run: Run, held_out: HeldOut, stages: Sequence[InferenceStage], image: ImageSpec, coverage: float
) -> Confidence:
    """Fit temperature and rule on held-out images, and write what `predict` needs into the run.

    Images of no class, in `_unknown/`, move the balance of the rule and measure it.

    Args:
        stages: of the run, to classify images of no class as `predict` does
        coverage: fraction of known images that get an answer
    """
    validation = held_out.validation
    calibration = _calibrate(validation, held_out.folds)
    unknown, skipped = None, list[FileEntry]()
    if validation.images.unknown:
        unknown, skipped = _unknown_images(validation.images, open_stages(run.path, stages), image, calibration)
        readable = set(validation.images.unknown) - {entry.path for entry in skipped}
        rows = [
            (path, hashlib.sha256(read_file(validation.images.root / path)).hexdigest()) for path in sorted(readable)
        ]
        run.write_rows(UNKNOWN_IMAGES, ("path", "sha256"), rows)
    detector, auroc = fit_detector(held_out.references, _known(validation, calibration), coverage, unknown)
    _write_references(detector.references, run.path / REFERENCES)
    entry: dict[str, Any] = {
        "coverage": coverage,
        "threshold": detector.threshold,
        "num_images": len(validation.images),
        "auroc": auroc,
        "num_unknown": 0 if unknown is None else len(unknown.confidence),
        "validation": _answered(detector, calibration, validation),
        "test": _answered(detector, calibration, held_out.test) if held_out.test else None,
    }
    return Confidence(calibration, detector, entry, tuple(skipped))


def _calibrate(validation: Answers, folds: CrossValidation | None) -> Calibration:
    """Fit the temperature on validation images; where they are too few, on all images that folds held out."""
    labels = validation.images.labels
    if len(labels) < MIN_IMAGES and folds is not None and len(folds.report.labels) >= MIN_IMAGES:
        return calibrate(folds.report.probabilities, folds.report.labels, "folds")
    return calibrate(validation.probabilities, labels)


def _known(answers: Answers, calibration: Calibration) -> KnownImages:
    return KnownImages(answers.features, calibration.apply(answers.probabilities).max(axis=1))


def _answered(detector: UnknownDetector, calibration: Calibration, answers: Answers) -> dict[str, Any] | None:
    """Count the images that get an answer, and how many answers are correct; None without a threshold."""
    if detector.threshold is None:
        return None
    known = _known(answers, calibration)
    scores = detector.scores(detector.distances(known.features), known.confidence)
    answered = scores <= detector.threshold
    correct = answers.probabilities.argmax(axis=1) == answers.images.labels
    return {
        "num_images": len(answered),
        "num_answered": int(answered.sum()),
        "num_correct": int((answered & correct).sum()),
    }


def _unknown_images(
    images: ImageFolder, network: RunNetwork, image: ImageSpec, calibration: Calibration
) -> tuple[KnownImages, list[FileEntry]]:
    """Classify the images of no class, as `predict` does; also give those that cannot be read."""

    def work(paths: list[str]) -> list[np.ndarray | ImageError]:
        """Decode a few images and compute their features."""
        decoded = [NamedInput(path, images.root / path).decode(image, identify=False) for path in paths]
        pixels = [item.pixels for item in decoded if isinstance(item, DecodedImage)]
        features = iter(network.extract(np.stack(pixels)) if pixels else ())
        return [next(features) if isinstance(item, DecodedImage) else item for item in decoded]

    with single_threaded_blas(), ThreadPoolExecutor(count_workers()) as pool:
        results = [row for rows in ordered_map(pool, work, in_chunks(images.unknown, CHUNK)) for row in rows]
    pairs = list(zip(images.unknown, results, strict=True))
    skipped = [FileEntry(path, str(result)) for path, result in pairs if isinstance(result, ImageError)]
    readable = [result for _, result in pairs if isinstance(result, np.ndarray)]
    if not readable:
        return KnownImages(np.empty((0, 1), np.float32), np.empty(0, np.float32)), skipped
    features = np.stack(readable)
    return KnownImages(features, calibration.apply(network.classify(features)).max(axis=1)), skipped


def _write_references(references: np.ndarray, file: Path) -> None:
    """Write the references as float16, each row of length 1."""
    make_folder(file.parent)
    with atomic_open(file, "wb") as opened:
        np.save(opened, references.astype(np.float16), allow_pickle=False)
