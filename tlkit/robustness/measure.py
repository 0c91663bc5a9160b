"""One pass over labeled images: each is decoded once, damaged in every way, and classified as predict does."""

import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.data.image import DecodedImage
from tlkit.data.listing import FileEntry
from tlkit.data.reader import DataOptions
from tlkit.data.split import VALIDATION
from tlkit.errors import DataError, ImageError, OptionError
from tlkit.inference.inputs import NamedInput
from tlkit.inference.labeled import CHANGED, NEW, NOT_COUNTED, TRAINING, LabeledFile, LabeledImages, labeled_images
from tlkit.inference.predictor import Prediction, Predictor
from tlkit.robustness.consistency import COPIES
from tlkit.robustness.corruptions import CORRUPTIONS, NUM_SEVERITIES, corrupt
from tlkit.robustness.results import CopyAnswers, Robustness, stack_answers
from tlkit.runs.run import Run, load_run
from tlkit.settings.base import settings_or_options
from tlkit.settings.robustness import RobustnessSettings
from tlkit.utils.parallel import count_workers, in_chunks, ordered_map, single_threaded_blas
from tlkit.utils.progress import Progress, Silent
from tlkit.utils.storage import Location

MAX_BATCH = 32  # copies of an image that a thread keeps in memory


def measure_robustness(
    run: Run | str | Path,
    data: str | Location | None = None,
    settings: RobustnessSettings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Robustness:
    """Measure how a run answers to damaged, mirrored, shifted and newly encoded copies of images.

    The square that the network gets is damaged, not the file. Of a folder the images count that are new to the run;
    where none is, its validation images.

    Args:
        run: a finished run, or its folder
        data: a folder of classes, matched by name; the run's own images where it is None
        settings: the options; the defaults where it is None
        progress: shows what is done; nothing is shown where it is None
        options: fields of `RobustnessSettings`, in place of `settings`

    Returns:
        The figures of every corruption and severity, and of the copies

    Raises:
        DataError
        RunError
        ModelError
        OptionError
    """
    settings = settings_or_options(RobustnessSettings, settings, options, data=data)
    severities = parse_severities(settings.severities)
    damages = [(name, severity) for name in parse_corruptions(settings.corruptions) for severity in severities]
    run = run if isinstance(run, Run) else load_run(run)
    images = labeled_images(run, data, DataOptions(**settings.data_options), settings.split)
    predictor = Predictor(run, settings.engine, trust_model=settings.trust_model)
    examiner = _Examiner(predictor, images, damages, settings.seed)
    examined, skipped = _examine_all(examiner, settings, progress or Silent())
    counted = NEW if examined[NEW] else VALIDATION
    if not examined[counted]:
        reason = f", e.g. '{skipped[0].path}': {skipped[0].reason}" if skipped else ""
        raise DataError(f"no image to measure: {len(skipped)} were left out{reason}; give other images.")
    if counted == NEW:
        skipped += [FileEntry(image.path, NOT_COUNTED[VALIDATION]) for image in examined[VALIDATION]]
    chosen = examined[counted]
    answers = iter(stack_answers([image.answers for image in chosen], predictor.answers_unknown))
    return Robustness(
        labels=np.array([image.label for image in chosen], np.int32),
        class_names=run.manifest.class_names,
        counted=images.subset if data is None else counted,
        num_available=len(images.files),
        undamaged=next(answers),
        corrupted={damage: next(answers) for damage in damages},
        copies={name: next(answers) for name in COPIES},
        skipped=tuple(skipped),
    )


def parse_corruptions(text: str) -> list[str]:
    """Read --corruptions; all of them where it is empty.

    Raises:
        OptionError: for an unknown name

    >>> parse_corruptions("jpeg, shift")
    ['jpeg', 'shift']
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip())) if text else list(CORRUPTIONS)
    unknown = [name for name in names if name not in CORRUPTIONS]
    if unknown or not names:
        found = f"'{unknown[0]}' in it is none" if unknown else "it names none"
        raise OptionError(f"--corruptions is '{text}', but {found}; expected some of {', '.join(CORRUPTIONS)}.")
    return names


def parse_severities(text: str) -> list[int]:
    """Read --severities, in ascending order.

    Raises:
        OptionError

    >>> parse_severities("3,1")
    [1, 3]
    """
    allowed = {str(severity) for severity in range(1, NUM_SEVERITIES + 1)}
    given = {part.strip() for part in text.split(",")}
    if not given <= allowed:
        raise OptionError(f"--severities is '{text}'; expected whole numbers from 1 to {NUM_SEVERITIES}, e.g. 1,3,5.")
    return sorted(map(int, given))


@dataclass(frozen=True)
class _ExaminedImage:
    """An image with the answers to its copies; each array is over the copies."""

    path: str
    label: int
    kind: str
    answers: CopyAnswers


@dataclass(frozen=True)
class _Examiner:
    """Examines one image after the other; threads share it."""

    predictor: Predictor
    images: LabeledImages
    damages: list[tuple[str, int]]
    seed: int

    def __call__(self, image: LabeledFile) -> _ExaminedImage | FileEntry:
        """Decode an image and classify its copies; give the reason why it does not count, if there is one."""
        decoded = NamedInput(image.path, image.file).decode(self.predictor.manifest.image, identify=True)
        if isinstance(decoded, ImageError):
            return FileEntry(image.path, str(decoded))
        if image.sha256 and image.sha256 != decoded.sha256:
            return FileEntry(image.path, CHANGED)
        kind = self.images.kind_of(decoded.sha256, decoded.digest)
        if kind == TRAINING:
            return FileEntry(image.path, NOT_COUNTED[kind])
        batches = in_chunks(self._copies(decoded), MAX_BATCH)
        predictions = [prediction for copies in batches for prediction in self._classify(copies)]
        return _ExaminedImage(image.path, image.label, kind, _answers(predictions))

    def _copies(self, image: DecodedImage) -> Iterator[np.ndarray]:
        """Make the copies of an image, the unchanged one first.

        What is drawn depends on the seed, the image and the kind of the copy. The severities of a corruption draw the
        same, so that they differ by their amounts only.
        """
        yield image.pixels
        for name, severity in self.damages:
            yield corrupt(image.pixels, name, severity, self._rng(image, name))
        for name, function in COPIES.items():
            yield function(image.pixels, self._rng(image, name))

    def _rng(self, image: DecodedImage, name: str) -> np.random.Generator:
        return np.random.default_rng((self.seed, zlib.crc32(name.encode()), int(image.sha256[:16], 16)))

    def _classify(self, copies: list[np.ndarray]) -> list[Prediction]:
        features = self.predictor.network.extract(np.stack(copies))
        return self.predictor.answer([("", DecodedImage(pixels)) for pixels in copies], features)


def _answers(predictions: list[Prediction]) -> CopyAnswers:
    """Turn the answers to the copies of an image into arrays."""
    probabilities = np.stack([np.asarray(prediction.probabilities) for prediction in predictions])
    predicted = probabilities.argmax(axis=1).astype(np.int32)
    is_unknown = np.array([prediction.status == "unknown" for prediction in predictions])
    return CopyAnswers(predicted, probabilities.max(axis=1), probabilities[:, predicted[0]].copy(), is_unknown)


def _examine_all(
    examiner: _Examiner, settings: RobustnessSettings, progress: Progress
) -> tuple[dict[str, list[_ExaminedImage]], list[FileEntry]]:
    """Examine images, in threads, until as many count as are asked for.

    Returns:
        The images by what they are for the run, and the files that do not count
    """
    files, limit = examiner.images.files, settings.max_images or len(examiner.images.files)
    drawn = np.random.default_rng(settings.seed).permutation(len(files)) if limit < len(files) else range(len(files))
    examined: dict[str, list[_ExaminedImage]] = {NEW: [], VALIDATION: []}
    skipped, total = examiner.images.skipped, min(limit, len(files))
    with (
        progress.stage("measuring", total, "images") as advance,
        single_threaded_blas(),
        ThreadPoolExecutor(count_workers()) as pool,
    ):
        for result in ordered_map(pool, examiner, (files[index] for index in drawn)):
            if isinstance(result, FileEntry):
                skipped.append(result)
            else:
                examined[result.kind].append(result)
            advance(int(limit == len(files) or not isinstance(result, FileEntry)))
            if limit in map(len, examined.values()):
                break
    return examined, skipped
