"""Attack a run: change images so little that nobody notices, until its answer is wrong."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from PIL import Image

from tlkit.data.image import decode_square
from tlkit.data.sources.files import read_file
from tlkit.errors import DataError, ImageError, OptionError
from tlkit.inference.inputs import NamedInput
from tlkit.inference.predictor import Predictor
from tlkit.models.keras_setup import require_keras
from tlkit.robustness.attack_result import AttackedImage, AttackResult
from tlkit.robustness.attacks import STEPS, AttackOptions, fgsm, pgd
from tlkit.robustness.gradient import BATCH, LossGradient
from tlkit.robustness.learned import LEARNED, LearnedAttacker
from tlkit.robustness.originals import Original, answer_of, find_originals
from tlkit.robustness.square import QUERIES, square_attack
from tlkit.runs.manifest import MODEL
from tlkit.runs.run import Run, load_run
from tlkit.runs.trust import load_run_network
from tlkit.settings.attack import AttackSettings
from tlkit.settings.base import settings_or_options
from tlkit.utils.progress import Progress, Silent
from tlkit.utils.storage import Location
from tlkit.utils.text import quote_names

MAX_SEARCHED = {"linf": 64.0, "l2": 25_600.0}  # gray levels up to which the first change of an answer is looked for
PRECISION = 0.02  # relative, of that epsilon with the norm "l2"

MAX_KEPT = 8  # images whose pixels are kept, for a sheet

Save = Callable[[str, bytes], Path | bytes]


class Attacker:
    """An attack on one run.

    Attributes:
        method: "fgsm", "pgd" or "square"
        steps: of the attack
    """

    def __init__(self, run: Run, predictor: Predictor, settings: AttackSettings) -> None:
        """Open what the attack needs.

        Raises:
            OptionError: if the run has no gradient, or the method has not the norm
            RunError: if Keras may not open the network
        """
        has_network = MODEL in run.manifest.sha256
        self.method = ("pgd" if has_network else "square") if settings.method == "auto" else settings.method
        if self.method == "square" and settings.norm != "linf":
            remedy = "omit --norm, or use --method pgd" if has_network else "omit --norm"
            raise OptionError(f"--method square has the norm linf only; {remedy}.")
        if self.method == "fgsm" and settings.steps > 1:
            raise OptionError(f"--steps is {settings.steps}, but --method fgsm takes one step; use --method pgd.")
        if self.method != "square" and not has_network:
            raise OptionError(
                f"--method {self.method} needs a gradient, and the classifier of '{run.path}' has none; "
                "use --method square."
            )
        self.steps = settings.steps or {"fgsm": 1, "pgd": STEPS, "square": QUERIES}[self.method]
        self._options = AttackOptions(settings.norm, bool(settings.target), seed=settings.seed)
        self._predictor = predictor
        if self.method != "square":
            require_keras(f"--method {self.method}")
            self._gradient = LossGradient(load_run_network(run, settings.trust_model))

    def attack(self, images: np.ndarray, labels: np.ndarray, epsilon: float) -> np.ndarray:
        """Change images: uint8 (images, size, size, 3).

        Args:
            labels: int (images,): the classes to leave; with a target, those to reach
        """
        if self.method == "square":
            options = (self._options.targeted, self._options.seed)
            return square_attack(self._probabilities, images, labels, int(epsilon), self.steps, options)
        if self.method == "fgsm":
            return fgsm(self._gradient, images, labels, epsilon, self._options)
        return pgd(self._gradient, images, labels, epsilon, self.steps, self._options)

    def _probabilities(self, images: np.ndarray) -> np.ndarray:
        return self._predictor.classify(self._predictor.network.extract(images))


def attack(
    run: Run | str | Path,
    data: str | Location | Sequence[str | Location] | None = None,
    settings: AttackSettings | None = None,
    progress: Progress | None = None,
    save: Save | None = None,
    **options: Any,
) -> AttackResult:
    """Attack a run, and ask predict what it says of the adversarial images.

    Of a folder of classes the images count that `evaluate` counts: those that are new to the run, or its validation
    images where none is. An adversarial image is the square that the network sees, as PNG, so that predict decodes it
    to the pixels that the attack made; this is checked for each.

    Args:
        run: a finished run, or its folder
        data: a folder of classes, or a table that lists images with their classes; or image files, whose own answers
            are attacked; None for the run's validation images
        settings: the options; the defaults where it is None
        progress: shows what is done; nothing is shown where it is None
        save: takes the path of an original, relative to the folder, and the bytes of its adversarial PNG, and gives
            what predict reads; by default it reads the bytes
        options: fields of `AttackSettings`, in place of `settings`

    Returns:
        The answers before and after at each epsilon

    Raises:
        DataError
        OptionError
        RunError
        ModelError
    """
    run, progress = run if isinstance(run, Run) else load_run(run), progress or Silent()
    settings = settings_or_options(AttackSettings, settings, options)
    target = _label_of(settings.target, run.manifest.class_names)
    predictor = Predictor(run, trust_model=settings.trust_model)
    attacker = (LearnedAttacker if settings.method in LEARNED else Attacker)(run, predictor, settings)
    found = find_originals(run, predictor, data, settings, progress)
    found = found if target is None else found.without(target, settings.target)
    originals = found.images
    if isinstance(attacker, LearnedAttacker):
        attacker.read_training([image.file for image in originals], target)
    by_epsilon, last = dict[float, tuple[AttackedImage, ...]](), settings.epsilons[-1]
    with progress.stage("attacking", len(originals) * len(settings.epsilons), "images") as advance:
        for epsilon in settings.epsilons:
            saved = save if epsilon == last else None
            by_epsilon[epsilon] = tuple(
                _attack_all((attacker, predictor), originals, (epsilon, target), saved, advance)
            )
    result = AttackResult(
        run.manifest.class_names,
        *(attacker.method, settings.norm, attacker.steps, settings.target, found.counted, found.is_labeled),
        *(by_epsilon, found.skipped),
    )
    if isinstance(attacker, LearnedAttacker):
        control = _count_correct(attacker, predictor, originals, result.epsilon)
        return replace(result, learned=attacker.pattern, num_learned=attacker.num_learned, num_control=control)
    if len(originals) == 1 and (settings.target or not result.was_wrong):
        return replace(result, first_change=find_first_change(attacker, predictor, originals[0], settings, target))
    return result


def _label_of(target: str, class_names: tuple[str, ...]) -> int | None:
    """Find the index of the target; None where there is none."""
    if target and target not in class_names:
        raise OptionError(f"the run has no class '{target}'; expected one of {quote_names(class_names, shown=20)}.")
    return class_names.index(target) if target else None


def _attack_all(
    tools: tuple[Attacker | LearnedAttacker, Predictor],
    originals: Sequence[Original],
    aim: tuple[float, int | None],
    save: Save | None,
    advance: Callable[[int], object],
) -> Iterator[AttackedImage]:
    """Attack images, a batch at a time.

    Args:
        aim: epsilon, and the index of the target
        save: as `attack` takes it
    """
    (attacker, predictor), (epsilon, target) = tools, aim
    kept = 0
    for first in range(0, len(originals), BATCH):
        batch = originals[first : first + BATCH]
        pixels = np.stack([_read_square(image.file, predictor) for image in batch])
        labels = np.array([image.label if target is None else target for image in batch])
        changed = attacker.attack(pixels, labels, epsilon)
        contents = [_saved(image.path, square, predictor, save) for image, square in zip(batch, changed, strict=True)]
        answers = predictor.predict_chunk([NamedInput(image.path, c) for image, c in zip(batch, contents, strict=True)])
        for index, (image, after) in enumerate(zip(batch, answers, strict=True)):
            squares = (pixels[index], changed[index]) if kept < MAX_KEPT else (None, None)
            kept += 1
            yield AttackedImage(image.path, image.label, image.before, after, *squares)
        advance(len(batch))


def _count_correct(
    attacker: LearnedAttacker, predictor: Predictor, originals: Sequence[Original], epsilon: float
) -> int:
    """Count the correct answers with a pattern that says nothing."""
    correct = 0
    for first in range(0, len(originals), BATCH):
        batch = originals[first : first + BATCH]
        pixels = attacker.control(np.stack([_read_square(image.file, predictor) for image in batch]), epsilon)
        answers = predictor.classify(predictor.network.extract(pixels)).argmax(axis=1)
        correct += int((answers == [image.label for image in batch]).sum())
    return correct


def _read_square(file: Location, predictor: Predictor) -> np.ndarray:
    """Decode a file as predict does; it was read before.

    Raises:
        DataError: if it has changed since
    """
    try:
        return decode_square(read_file(file), predictor.manifest.image)
    except ImageError as error:
        raise DataError(f"'{file}' {error}; it has changed since it was read first.") from None


def _saved(path: str, pixels: np.ndarray, predictor: Predictor, save: Save | None) -> Path | bytes:
    """Make the PNG of an adversarial image, and check that predict decodes it to these pixels."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    if not np.array_equal(decode_square(content.getvalue(), predictor.manifest.image), pixels):
        raise DataError(f"the adversarial image of '{path}' changes when it is decoded; nothing was written for it.")
    return save(path, content.getvalue()) if save else content.getvalue()


def find_first_change(
    attacker: Attacker, predictor: Predictor, image: Original, settings: AttackSettings, target: int | None
) -> float | None:
    """Find the smallest epsilon at which an image is taken for the target, or for another class than before.

    The bisection assumes that a larger epsilon never makes the attack worse.

    Returns:
        Gray levels; None if even 64 are not enough (25,600 with the norm "l2")
    """
    before = answer_of(image.before)

    def is_fooled(epsilon: float) -> bool:
        """Attack with this epsilon."""
        (found,) = _attack_all((attacker, predictor), [image], (epsilon, target), None, lambda count: None)
        return answer_of(found.after) != before if target is None else answer_of(found.after) == target

    low, high, limit = 0.0, settings.epsilons[-1] or 1.0, MAX_SEARCHED[settings.norm]
    while not is_fooled(high):
        low, high = high, 2 * high
        if high > limit:
            return None
    while high - low > (1 if settings.norm == "linf" else PRECISION * high):
        middle = (low + high) / 2 if settings.norm == "l2" else (low + high) // 2
        low, high = (low, middle) if is_fooled(middle) else (middle, high)
    return high


def adversarial_name(path: str) -> PurePath:
    """Name the adversarial image of an original, below the output folder.

    >>> str(adversarial_name("cat/one.jpg"))
    'cat/one.png'
    """
    return PurePath(path).with_suffix(".png")
