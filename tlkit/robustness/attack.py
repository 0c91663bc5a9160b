"""Attack a run: change images so little that nobody notices, until its answer is wrong."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from PIL import Image

from tlkit.data.decode import read_file
from tlkit.data.image import decode_square
from tlkit.data.reader import DataOptions, read_data
from tlkit.errors import DataError, ImageError, OptionError
from tlkit.inference.evaluate import evaluate
from tlkit.inference.inputs import NamedInput, expand_inputs
from tlkit.inference.predictor import Prediction, Predictor
from tlkit.models.keras_setup import require_keras
from tlkit.robustness.attack_result import AttackedImage, AttackResult
from tlkit.robustness.attacks import STEPS, AttackOptions, fgsm, pgd
from tlkit.robustness.gradient import BATCH, LossGradient
from tlkit.robustness.learned import LEARNED, LearnedAttacker
from tlkit.robustness.square import QUERIES, square_attack
from tlkit.runs.images import images_folder
from tlkit.runs.manifest import MODEL
from tlkit.runs.run import Run, load_run
from tlkit.runs.trust import load_run_network
from tlkit.settings.attack import AttackSettings
from tlkit.settings.base import settings_or_options
from tlkit.settings.commands import EvaluateSettings
from tlkit.utils.files import is_folder
from tlkit.utils.progress import Progress, Silent
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
            raise OptionError("--method square has the norm linf only; omit --norm, or use --method pgd.")
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


@dataclass(frozen=True)
class _Original:
    """An image to attack."""

    path: str
    file: Path
    label: int
    before: Prediction


def attack(
    run: Run | str | Path,
    data: str | Path | Sequence[str | Path] | None = None,
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
        data: a folder of classes; or image files, whose own answers are attacked; None for the run's validation images
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
    originals, counted, is_labeled = _find_images(run, predictor, data, settings, progress)
    if target is not None:
        originals = [image for image in originals if image.label != target]
        if not originals:
            raise DataError(f"every image is of the class '{settings.target}' already; choose another --target.")
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
        *(attacker.method, settings.norm, attacker.steps, settings.target, counted, is_labeled),
        by_epsilon,
    )
    if isinstance(attacker, LearnedAttacker):
        control = _count_correct(attacker, predictor, originals, result.epsilon)
        return replace(result, learned=attacker.pattern, num_learned=attacker.num_learned, num_control=control)
    if len(originals) == 1:
        return replace(result, first_change=find_first_change(attacker, predictor, originals[0], settings, target))
    return result


def _label_of(target: str, class_names: tuple[str, ...]) -> int | None:
    """Find the index of the target; None where there is none."""
    if target and target not in class_names:
        raise OptionError(f"the run has no class '{target}'; expected one of {quote_names(class_names, shown=20)}.")
    return class_names.index(target) if target else None


def _find_images(
    run: Run, predictor: Predictor, data: Any, settings: AttackSettings, progress: Progress
) -> tuple[list[_Original], str, bool]:
    """Find the images to attack, with their answers; also what they are for the run, and whether they have labels."""
    given = [data] if isinstance(data, str | Path) else list(data or ())
    names, labels, counted = run.manifest.class_names, list[int](), ""
    if len(given) <= 1 and (not given or is_folder(given[0])):
        layout: dict[str, Any] = settings.data_options
        folder = read_data(given[0], DataOptions(**layout), names) if given else None
        if folder is not None and not len(folder):
            raise DataError(
                f"'{given[0]}' has no images in folders of the run's classes; for single images, name them."
            )
        evaluation = evaluate(run, given[0] if given else None, EvaluateSettings(**layout), progress)
        root = folder.root if folder else images_folder(run, "give DATA")
        paths, counted = list(evaluation.paths), evaluation.counted
        labels, files = evaluation.report.labels.tolist(), [root / path for path in paths]
    else:
        files = [Path(str(name)) for name in expand_inputs(given)]
        paths = [file.name for file in files]
    chosen = _spread(len(files), settings.max_images)
    answers = list(predictor.predict([files[k] for k in chosen]))
    errors = [f"'{answer.path}' {answer.error}" for answer in answers if answer.error]
    if errors:
        raise DataError(f"{errors[0]}; give images that can be read.")
    if not answers:
        raise DataError("no image was found; give image files, or a folder of classes.")
    found = [
        _Original(paths[k], files[k], labels[k] if labels else _answer(answer), answer)
        for k, answer in zip(chosen, answers, strict=True)
    ]
    return found, counted, bool(labels)


def _answer(prediction: Prediction) -> int:
    assert prediction.probabilities is not None
    return int(np.argmax(prediction.probabilities))


def _spread(count: int, max_count: int) -> list[int]:
    """Choose positions, evenly over all.

    >>> _spread(10, 4), _spread(3, 0)
    ([0, 2, 5, 7], [0, 1, 2])
    """
    chosen = min(count, max_count or count)
    return [index * count // chosen for index in range(chosen)]


def _attack_all(
    tools: tuple[Attacker | LearnedAttacker, Predictor],
    originals: Sequence[_Original],
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
    attacker: LearnedAttacker, predictor: Predictor, originals: Sequence[_Original], epsilon: float
) -> int:
    """Count the correct answers with a pattern that says nothing."""
    correct = 0
    for first in range(0, len(originals), BATCH):
        batch = originals[first : first + BATCH]
        pixels = attacker.control(np.stack([_read_square(image.file, predictor) for image in batch]), epsilon)
        answers = predictor.classify(predictor.network.extract(pixels)).argmax(axis=1)
        correct += int((answers == [image.label for image in batch]).sum())
    return correct


def _read_square(file: Path, predictor: Predictor) -> np.ndarray:
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
    attacker: Attacker, predictor: Predictor, image: _Original, settings: AttackSettings, target: int | None
) -> float | None:
    """Find the smallest epsilon at which an image is taken for the target, or for another class than before.

    The bisection assumes that a larger epsilon never makes the attack worse.

    Returns:
        Gray levels; None if even 64 are not enough (25,600 with the norm "l2")
    """
    before = _answer(image.before)

    def is_fooled(epsilon: float) -> bool:
        """Attack with this epsilon."""
        (found,) = _attack_all((attacker, predictor), [image], (epsilon, target), None, lambda count: None)
        return _answer(found.after) != before if target is None else _answer(found.after) == target

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
