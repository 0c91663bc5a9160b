"""The images that an attack starts from: those of a folder or a table, those of the run, or single ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tlkit.data.listing import FileEntry
from tlkit.data.reader import DataOptions, read_data
from tlkit.data.table import is_table
from tlkit.errors import DataError
from tlkit.inference.evaluate import evaluate
from tlkit.inference.inputs import expand_inputs
from tlkit.inference.predictor import Prediction, Predictor
from tlkit.runs.images import images_folder
from tlkit.runs.run import Run
from tlkit.settings.attack import AttackSettings
from tlkit.settings.commands import EvaluateSettings
from tlkit.utils.progress import Progress
from tlkit.utils.storage import Location, as_location, is_folder


@dataclass(frozen=True)
class Original:
    """An image to attack."""

    path: str
    file: Location
    label: int
    before: Prediction


@dataclass(frozen=True)
class Originals:
    """The images to attack.

    Attributes:
        images: with their answers
        counted: what they are for the run, as `AttackResult` has it
        is_labeled: whether their classes are known
        skipped: files that are not attacked, each with its reason
    """

    images: list[Original]
    counted: str
    is_labeled: bool
    skipped: tuple[FileEntry, ...]

    def without(self, label: int, name: str) -> "Originals":
        """Leave out the images that are of a class already.

        Raises:
            DataError: if none remains
        """
        chosen = [image for image in self.images if image.label != label]
        if not chosen:
            what = "of the class" if self.is_labeled else "taken for"
            raise DataError(f"every image is {what} '{name}' already; choose another --target.")
        reason = f"it is {'of the class' if self.is_labeled else 'taken for'} '{name}' already"
        left_out = [FileEntry(image.path, reason) for image in self.images if image.label == label]
        return replace(self, images=chosen, skipped=(*self.skipped, *left_out))


def are_labeled(data: Sequence[str | Location]) -> bool:
    """Tell whether DATA says the classes of images: a folder, a table, or nothing, for those of the run."""
    return len(data) <= 1 and all(is_folder(path) or is_table(as_location(path)) for path in data)


def find_originals(
    run: Run, predictor: Predictor, data: Any, settings: AttackSettings, progress: Progress
) -> Originals:
    """Find the images to attack, with their answers."""
    given = [data] if isinstance(data, str | Location) else list(data or ())
    names, labels, counted = run.manifest.class_names, list[int](), ""
    skipped: tuple[FileEntry, ...] = ()
    if are_labeled(given):
        layout: dict[str, Any] = settings.data_options
        folder = read_data(given[0], DataOptions(**layout), names) if given else None
        if folder is not None and not len(folder):
            raise DataError(
                f"'{given[0]}' has no images in folders of the run's classes; for single images, name them."
            )
        evaluation = evaluate(run, given[0] if given else None, EvaluateSettings(**layout), progress)
        root = folder.root if folder else images_folder(run, "give DATA")
        paths, counted, skipped = list(evaluation.paths), evaluation.counted, evaluation.skipped
        labels, files = evaluation.report.labels.tolist(), [root / path for path in paths]
    else:
        files = [as_location(str(name)) for name in expand_inputs(given)]
        paths = [file.name for file in files]
    chosen = _spread(len(files), settings.max_images)
    answers = list(predictor.predict([files[k] for k in chosen]))
    errors = [f"'{answer.path}' {answer.error}" for answer in answers if answer.error]
    if errors:
        raise DataError(f"{errors[0]}; give images that can be read.")
    if not answers:
        raise DataError("no image was found; give image files, or a folder of classes.")
    found = [
        Original(paths[k], files[k], labels[k] if labels else answer_of(answer), answer)
        for k, answer in zip(chosen, answers, strict=True)
    ]
    return Originals(found, counted, bool(labels), skipped)


def answer_of(prediction: Prediction) -> int:
    """Give the index of the most probable class."""
    assert prediction.probabilities is not None
    return int(np.argmax(prediction.probabilities))


def _spread(count: int, max_count: int) -> list[int]:
    """Choose positions, evenly over all.

    >>> _spread(10, 4), _spread(3, 0)
    ([0, 2, 5, 7], [0, 1, 2])
    """
    chosen = min(count, max_count or count)
    return [index * count // chosen for index in range(chosen)]
