"""Golden samples: a few images inside a run, with what every stage made of them when the run was made.

`verify_golden` replays them and names the first stage that gives something else: because the run was changed, or
because another processor or another version of a library computes other values.
"""

import base64
import hashlib
import io
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tlkit.data.decode import open_upright, to_rgb
from tlkit.data.folder import ImageFolder
from tlkit.data.image import DecodedImage, ImageSpec
from tlkit.data.sources.files import read_file
from tlkit.engines.base import ThreadedRunner, installed_version
from tlkit.errors import ImageError, RunError
from tlkit.inference.inputs import NamedInput
from tlkit.inference.predictor import Prediction, Predictor
from tlkit.runs.run import Run
from tlkit.utils.files import atomic_write, make_folder
from tlkit.utils.parallel import single_threaded_blas

GOLDEN = "golden.json"
MAX_SAMPLES = 8
MAX_PNG_BYTES = 50_000  # of each image, where its smallest form has no more
MAX_ASPECT = 2  # longer images are cut
TOLERANCES = {"float32": 1e-4, "bfloat16": 0.2}  # relative; docs/decisions/027 has what was measured
MAX_VALUES, MAX_PROBABILITIES = 16, 1000  # of a stage's output that are kept; of the answer
MAX_FEATURES = 8192  # of the input of the head, which is kept whole


@dataclass(frozen=True)
class Replay:
    """The outputs of a run for one golden image.

    Attributes:
        pixels_sha256: of the square that the network sees; "" if the image cannot be decoded
        outputs: an excerpt of every stage's output, by the stage's file
        features: the whole input of the head, float32 in base64; "" where it is large
        answer: an excerpt of the probabilities that `predict` gives
        distance: 1, as the scale of a difference, and the distance to the training images; [] if that is not measured
    """

    pixels_sha256: str
    outputs: dict[str, list[float]]
    features: str
    answer: list[float]
    distance: list[float]


def record_golden(run: Run, images: ImageFolder, trust_model: bool = False) -> None:
    """Write golden samples into a run whose `model.json` is written, as far as its images can still be read.

    Args:
        images: held out from training
        trust_model: whether Keras may open its network even if it starts from that of a stranger
    """
    predictor, names, classes = Predictor(run, trust_model=trust_model), list[str](), list[str]()
    for position in spread_over_classes(images):
        try:
            content = small_png(read_file(images.files[position]), run.manifest.image)
        except ImageError:  # the file has changed since it was read
            continue
        names.append(f"golden/{len(names)}.png")
        classes.append(images.class_names[images.labels[position]])
        make_folder(run.path / "golden")
        atomic_write(run.path / names[-1], content)
        if len(names) == MAX_SAMPLES:
            break
    if names:
        replays = Replayer(predictor).replay([run.path / name for name in names])
        rows = zip(names, classes, replays, strict=True)
        samples = [{"file": name, "class": label, **vars(replay)} for name, label, replay in rows]
        run.write_json(GOLDEN, {"tolerance": TOLERANCES[run.manifest.precision], "samples": samples})


def spread_over_classes(images: ImageFolder) -> Iterator[int]:
    """Give the positions of images, one of each class before the second of any, in an order that hashes decide.

    Of more classes than samples, those that are evenly spaced come first.
    """
    classes = defaultdict[int, list[int]](list)
    for position in sorted(range(len(images)), key=lambda position: images.sha256[position]):
        classes[int(images.labels[position])].append(position)
    for turn in range(max(map(len, classes.values()), default=0)):
        positions = [classes[label][turn] for label in sorted(classes) if turn < len(classes[label])]
        first = np.linspace(0, len(positions) - 1, min(len(positions), MAX_SAMPLES)).round().astype(int).tolist()
        yield from (positions[index] for index in [*first, *(set(range(len(positions))) - set(first))])


def small_png(data: bytes, spec: ImageSpec) -> bytes:
    """Reduce an image to a small PNG without metadata, a little larger than the square that the network sees.

    Raises:
        ImageError
    """
    side = spec.oversized.size
    image = to_rgb(open_upright(data, side, spec.max_megapixels), spec.gray_range)
    image = Image.fromarray(np.asarray(image))  # leaves metadata behind, such as the place a photo was taken at
    width, height = (min(length, MAX_ASPECT * min(image.size)) for length in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    image = image.crop((left, top, left + width, top + height))
    while True:
        image.thumbnail((side * width // min(width, height), side * height // min(width, height)))
        for colors in (0, 64, 16):
            file = io.BytesIO()
            (image.quantize(colors) if colors else image).save(file, "PNG")  # optimized: 5 times as long, 3 % smaller
            if file.tell() <= MAX_PNG_BYTES or (side < 32 and colors):
                return file.getvalue()
        side //= 2


class Replayer:
    """A predictor whose stages also run one by one, each in one session for all images."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._steps = [(name, ThreadedRunner(engine)) for name, engine in predictor.steps]

    def replay(self, files: Sequence[Path]) -> list[Replay]:
        """Take images through decoding, every stage by itself, and then as `predict` takes them."""
        spec = self._predictor.manifest.image
        inputs = [NamedInput(str(file), file) for file in files]
        decoded = [item.decode(spec, identify=False) for item in inputs]
        pixels = [image.pixels for image in decoded if isinstance(image, DecodedImage)]
        with single_threaded_blas():
            values = [np.stack(pixels)] if pixels else []
            for _, run in self._steps if pixels else ():
                values.append(run(values[-1]))
            answers = [self._predictor.predict_chunk([item])[0] for item in inputs]  # alone: sums do not change
        rows = zip(*values, strict=True)
        return [
            self._replay(next(rows), answer) if isinstance(image, DecodedImage) else Replay("", {}, "", [], [])
            for image, answer in zip(decoded, answers, strict=True)
        ]

    def _replay(self, values: tuple[np.ndarray, ...], prediction: Prediction) -> Replay:
        """Put together what was found for an image: its pixels and the output of every stage, and its prediction."""
        assert prediction.probabilities is not None, "it was decoded"
        pixels, features = values[0], values[-2]
        self._shape = (1, *features.shape)
        names = (name for name, _ in self._steps)
        return Replay(
            pixels_sha256=hashlib.sha256(pixels.tobytes()).hexdigest(),
            outputs={name: _excerpt(rows, MAX_VALUES) for name, rows in zip(names, values[1:], strict=True)},
            features=base64.b64encode(features.astype("<f4").tobytes()).decode()
            if features.size <= MAX_FEATURES
            else "",
            answer=_excerpt(prediction.probabilities, MAX_PROBABILITIES),
            distance=[] if prediction.distance is None else [1.0, prediction.distance],
        )

    def classify(self, features: str) -> list[float]:
        """Run the head on features that `replay` gave, of another image too, and give an excerpt of its output."""
        rows = np.frombuffer(base64.b64decode(features), "<f4").astype(np.float32)
        return _excerpt(self._steps[-1][1](rows.reshape(self._shape)), MAX_VALUES)


def _excerpt(output: np.ndarray, count: int) -> list[float]:
    """Give the root mean square of an output, and values of it that are evenly spaced."""
    values = output.astype(np.float64).ravel()
    positions = np.linspace(0, len(values) - 1, min(len(values), count)).round().astype(int)
    return [float(np.sqrt(np.mean(values**2))), *values[positions].tolist()]


# verification


def has_golden(run: Run) -> bool:
    """Tell whether a run has golden samples; `--no-golden` leaves them out."""
    return GOLDEN in run.manifest.sha256


def verify_golden(run: Run, predictor: Predictor | None = None) -> int:
    """Replay the golden samples of a run, over files that are checked against their hashes.

    Args:
        predictor: that is to answer as the run did; the run's own where it is None

    Returns:
        The number of samples

    Raises:
        RunError: if an answer differs, naming the first stage that does; if the run has no samples
        ModelError
    """
    if not has_golden(run):
        raise RunError(f"'{run.path}' has no golden samples; omit --verify, or train without --no-golden.")
    tolerance, samples = _read_samples(run)
    replayer = Replayer(predictor or Predictor(run))
    replays = replayer.replay([run.checked_file(name) for name in samples])
    for (name, expected), actual in zip(samples.items(), replays, strict=True):
        if not actual.pixels_sha256 or expected.pixels_sha256 != actual.pixels_sha256:
            reason = f"decoding gives other pixels for {name} (Pillow {installed_version('pillow')} is installed)"
            raise RunError(f"'{run.path}' does not answer as it did when it was trained: {reason}; train again.")
        for stage, difference, allowed in _differences(expected, actual, replayer, tolerance):
            if not difference <= allowed:
                reason = f"{stage} gives other values for {name} (by {difference:.2g}; at most {allowed:g} is allowed)"
                raise RunError(
                    f"'{run.path}' does not answer as it did when it was trained: {reason}; restore it or train again."
                )
    return len(samples)


def _differences(
    expected: Replay, actual: Replay, replayer: Replayer, tolerance: float
) -> Iterator[tuple[str, float, float]]:
    """Compare stage by stage; only the answer where another engine has other stages.

    The head computes in float32 in every run, so it is compared on the recorded features: those of frozen layers in
    bfloat16 differ more.

    Returns:
        Names, differences, and the largest that is allowed
    """
    is_same = expected.outputs.keys() == actual.outputs.keys()
    if is_same:
        *stages, head = expected.outputs
        yield from ((name, _difference(expected.outputs[name], actual.outputs[name]), tolerance) for name in stages)
        if not expected.features:
            yield head, _difference(expected.outputs[head], actual.outputs[head]), tolerance
        elif len(base64.b64decode(expected.features)) != len(base64.b64decode(actual.features)):
            yield head, math.inf, TOLERANCES["float32"]
        else:
            again = replayer.classify(expected.features)
            yield head, _difference(expected.outputs[head], again), TOLERANCES["float32"]
    yield "calibration" if is_same else "the network", _difference(expected.answer, actual.answer), tolerance
    yield "the distance to the training images", _difference(expected.distance, actual.distance), tolerance


def _difference(expected: list[float], actual: list[float]) -> float:
    """Give the root mean square of the differences, as a fraction of that of the expected values."""
    if len(expected) != len(actual):
        return math.inf
    return float(np.linalg.norm(np.subtract(expected, actual))) / (float(np.linalg.norm(expected)) or 1.0)


def _read_samples(run: Run) -> tuple[float, dict[str, Replay]]:
    """Read `golden.json`; RunError if it is damaged"""
    run.checked_file(GOLDEN)
    content = run.read_json(GOLDEN)
    try:
        samples = {str(sample["file"]): _parse_sample(sample) for sample in content["samples"]}
        tolerance = float(content["tolerance"])
        if not (0 < tolerance <= max(TOLERANCES.values()) and 0 < len(samples) <= MAX_SAMPLES):
            raise ValueError("impossible values")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RunError(f"'{run.path / GOLDEN}' is damaged ({error}); restore it or train again.") from None
    return tolerance, samples


def _parse_sample(sample: Any) -> Replay:
    outputs = {str(name): [float(value) for value in values] for name, values in sample["outputs"].items()}
    answer, distance = ([float(value) for value in sample[name]] for name in ("answer", "distance"))
    features = str(sample["features"])
    base64.b64decode(features, validate=True)
    return Replay(str(sample["pixels_sha256"]), outputs, features, answer, distance)
