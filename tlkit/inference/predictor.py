"""A run and images in, one prediction per input out: in order, streamed, without TensorFlow."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from markupsafe import Markup

from tlkit.data.image import DecodedImage
from tlkit.data.thumbnail import data_uri, read_thumbnail
from tlkit.distributed.workers import block_size, current_workers
from tlkit.errors import OptionError, RunError
from tlkit.evaluation.calibration import apply_temperature
from tlkit.evaluation.rejection import min_images
from tlkit.inference.inputs import ImageInput, NamedInput, each_input, expand_inputs, fetched, name_input
from tlkit.inference.network import open_detector, open_network
from tlkit.runs.manifest import REFERENCES
from tlkit.runs.run import Run, load_run
from tlkit.utils.html import html_bar, html_card, html_faint, html_table
from tlkit.utils.parallel import CHUNK, count_workers, in_chunks, ordered_map, single_threaded_blas
from tlkit.utils.storage import as_location
from tlkit.utils.text import whole_percent

THUMBNAIL = 160  # pixels of the longer side, in a notebook
UNSURE_RATIO = 0.5  # an answer is unsure where the second class is at least this likely, as a fraction of the first


@dataclass(frozen=True)
class Prediction:
    """The answer of a run to one input.

    Attributes:
        path: of the file; of what is not a file, what it is in angle brackets, such as "<array>"
        status: "ok", "unknown" or "error"
        label: the most probable class, None where there is none; also where the answer is "unknown"
        confidence: its calibrated probability, 0 to 1
        reason: why the answer is "unknown": "unlike training images" or "not sure"; "" where it is not
        distance: mean cosine distance to the nearest training images, 0 to 2; None where it is not measured
        unknown_score: what the threshold is compared with; None where it is not measured
        error: why the input is not an image
        top: (class, probability), the most probable first
        probabilities: float32 (classes,), in label order; None where there are none
        sha256: of the file's bytes, hexadecimal; "" unless it was asked for
        digest: hash of the pixels, equal for files with equal pixels; "" unless it was asked for
    """

    path: str
    status: str
    label: str | None = None
    confidence: float | None = None
    error: str | None = None
    top: tuple[tuple[str, float], ...] = field(default=(), repr=False)
    probabilities: np.ndarray | None = field(default=None, repr=False, compare=False)
    reason: str = ""
    distance: float | None = field(default=None, repr=False)
    unknown_score: float | None = field(default=None, repr=False)
    sha256: str = field(default="", repr=False)
    digest: str = field(default="", repr=False)

    def _repr_html_(self) -> str:
        thumbnail = None if self.error is not None else read_thumbnail(as_location(self.path), THUMBNAIL)
        image = (
            Markup('<img src="{}" alt="" style="display:block;margin:.3em 0">').format(data_uri(thumbnail))
            if thumbnail
            else ""
        )
        answer = self.error or (f"unknown: {self.reason}" if self.status == "unknown" else "")
        top = self.top or ((self.label, self.confidence),) * (self.label is not None)
        rows = [(name, html_bar(value or 0.0, whole_percent(value or 0.0))) for name, value in top]
        return html_card(self.path, html_faint(answer) if answer else "", image, html_table((), rows, "classes"))


class Predictor:
    """A run, ready to classify images.

    Attributes:
        manifest: what the run's model.json says: class names in label order, the square that is classified
        top_k: how many classes `Prediction.top` has
        network: the stages of the run
        detector: its rule for "unknown"
        steps: the engines of the run, each with its name, from pixels to probabilities
        answers_unknown: whether the answer may be "unknown"
    """

    def __init__(
        self,
        run: Run | str | Path,
        engine: str = "auto",
        top_k: int = 1,
        unknown: bool | None = None,
        trust_model: bool = False,
    ) -> None:
        """Open a run.

        Args:
            run: a finished run, or its folder
            engine: "auto" for the one the run was made with
            top_k: how many classes `Prediction.top` has, at most all
            unknown: whether the answer may be "unknown"; None where the run has a threshold
            trust_model: whether Keras may open its network, in this process, even if this machine did not make it

        Raises:
            RunError
            ModelError
            OptionError
        """
        if top_k < 1:
            raise OptionError(f"top_k is {top_k}; expected at least 1.")
        run = run if isinstance(run, Run) else load_run(run)
        self.manifest = run.manifest
        self.top_k = min(top_k, len(self.manifest.class_names))
        self._path = run.path
        self._arguments = run.path.absolute(), engine, top_k, unknown, trust_model
        self.detector = open_detector(run)
        if unknown and self.detector.threshold is None:
            coverage, advice = self.detector.coverage, "omit --unknown, or train again"
            reason, change = f"it was trained with --coverage {coverage:g}", "with a lower --coverage"
            if coverage < 1:
                reason = f"a coverage of {coverage:g} needs {min_images(coverage):,} validation images"
                change = "with more images or a lower --coverage"
            raise OptionError(f"'{run.path}' has no threshold for unknown: {reason}; {advice} {change}.")
        self.answers_unknown = unknown is not False and self.detector.threshold is not None
        self.network = open_network(run, engine, trust_model)
        self.steps = self.network.steps

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """Travel to another process as the folder of the run, which is opened again there."""
        return Predictor, self._arguments

    def __repr__(self) -> str:
        return f"Predictor('{self._path}', {len(self.manifest.class_names)} classes)"

    def predict(self, inputs: ImageInput | Iterable[ImageInput], identify: bool = False) -> Iterator[Prediction]:
        """Classify one image after the other, in their order, a few at a time; memory does not grow.

        Args:
            inputs: paths of files, bytes of image files, uint8 RGB arrays (height, width, 3), Pillow images, binary
                file objects; or one of them. `tlkit.predict` also takes folders and patterns.
            identify: also hash each file and its pixels, into `sha256` and `digest`

        Raises:
            OptionError: at once or when its turn comes, if an input is nothing that can be an image
        """
        named = (name_input(given, self.manifest.image) for given in each_input(inputs))
        return self._predict_all(named, identify)

    def _predict_all(self, inputs: Iterator[NamedInput], identify: bool) -> Iterator[Prediction]:
        def work(chunk: list[NamedInput]) -> list[Prediction]:
            """Classify a chunk."""
            return self.predict_chunk(chunk, identify)

        if workers := current_workers():
            named = [item.anywhere() for item in inputs]
            blocks = in_chunks(named, block_size(len(named), workers.count))
            for predictions in workers.map(ClassifyBlock, (self, identify), blocks):
                yield from predictions
            return
        with single_threaded_blas(), ThreadPoolExecutor(count_workers()) as pool:
            for predictions in ordered_map(pool, work, in_chunks(inputs, CHUNK)):
                yield from predictions

    def predict_chunk(self, inputs: list[NamedInput], identify: bool = False) -> list[Prediction]:
        """Classify a few images in the calling thread, which keeps a session of each engine.

        Args:
            inputs: as `name_input` gives them
            identify: also hash each file and its pixels
        """
        decoded = [item.decode(self.manifest.image, identify) for item in fetched(inputs)]
        named = [(item.name, image) for item, image in zip(inputs, decoded, strict=True)]
        images = [(name, image) for name, image in named if isinstance(image, DecodedImage)]
        features = self.network.extract(np.stack([image.pixels for _, image in images])) if images else None
        answers = iter(self.answer(images, features) if features is not None else ())
        return [
            next(answers) if isinstance(image, DecodedImage) else Prediction(name, "error", error=str(image))
            for name, image in named
        ]

    def answer(self, images: list[tuple[str, DecodedImage]], features: np.ndarray) -> list[Prediction]:
        """Classify images by their features.

        Args:
            images: with their names, at least one
            features: what `network.extract` gives for their pixels

        Raises:
            RunError: if the files of the run do not fit together
        """
        self._check_width(features)
        probabilities = self.classify(features)
        distances, confidence = self.detector.distances(features), probabilities.max(axis=1)
        scores = self.detector.scores(distances, confidence)
        reasons = self.detector.reasons(distances, confidence) if self.answers_unknown else [""] * len(images)
        tops = [top_classes(row, self.manifest.class_names, self.top_k) for row in probabilities]
        return [
            Prediction(
                path=name,
                status="unknown" if reasons[row] else "ok",
                label=tops[row][0][0],
                confidence=tops[row][0][1],
                top=tops[row],
                probabilities=probabilities[row],
                reason=reasons[row],
                distance=float(distances[row]),
                unknown_score=float(scores[row]),
                sha256=image.sha256,
                digest=image.digest,
            )
            for row, (name, image) in enumerate(images)
        ]

    def _check_width(self, features: np.ndarray) -> None:
        """Check that distances can be measured; RunError if the references are features of another network"""
        width, expected = features[0].size, self.detector.references.shape[1]
        if width != expected:
            raise RunError(
                f"'{self._path / REFERENCES}' has rows of {expected:,} values, but the features have {width:,}; "
                "restore it or train again."
            )

    def classify(self, features: np.ndarray) -> np.ndarray:
        """Compute calibrated probabilities; RunError if they are not those of the run's classes

        Args:
            features: what `network.extract` gives

        Returns:
            float32 (images, classes), in label order
        """
        probabilities, names = self.network.classify(features), self.manifest.class_names
        if probabilities.shape[1] != len(names):
            raise RunError(
                f"model.json of '{self._path}' has {len(names)} classes, but its model has {probabilities.shape[1]}; "
                "restore model.json or train again."
            )
        return apply_temperature(probabilities, self.manifest.temperature)


class ClassifyBlock:
    """One worker that classifies blocks of inputs."""

    def __init__(self, spec: tuple[Predictor, bool]) -> None:
        """Open the run.

        Args:
            spec: the predictor, and whether to identify, see `Predictor.predict`
        """
        self._predictor, self._identify = spec

    def __call__(self, inputs: list[NamedInput]) -> list[Prediction]:
        """Classify some inputs, a few at a time."""
        chunks = (self._predictor.predict_chunk(chunk, self._identify) for chunk in in_chunks(inputs, CHUNK))
        return [prediction for predictions in chunks for prediction in predictions]


def top_classes(probabilities: np.ndarray, class_names: tuple[str, ...], k: int) -> tuple[tuple[str, float], ...]:
    """Find the `k` most probable classes, the most probable first; of equals, the first in label order.

    >>> top_classes(np.array([0.1, 0.7, 0.2]), ("ant", "bee", "cow"), k=2)
    (('bee', 0.7), ('cow', 0.2))
    """
    best = np.argsort(-probabilities, kind="stable")[:k]
    return tuple((class_names[label], float(probabilities[label])) for label in best)


def is_unsure(prediction: Prediction) -> bool:
    """Tell whether the second class is at least half as likely as the first."""
    assert prediction.probabilities is not None
    second, first = sorted(prediction.probabilities.tolist())[-2:]
    return bool(second >= UNSURE_RATIO * first)


def predict(
    run: Run | str | Path,
    inputs: ImageInput | Iterable[ImageInput],
    top_k: int = 1,
    engine: str = "auto",
    unknown: bool | None = None,
    trust_model: bool = False,
) -> Iterator[Prediction]:
    """Classify images with a finished run, one prediction per image, in order.

    Args:
        run: a finished run, or its folder
        inputs: files, folders and patterns such as "new/*.jpg"; bytes of image files, uint8 RGB arrays (height, width,
            3), Pillow images, binary file objects; one of them or several
        top_k: how many classes `Prediction.top` has
        engine: "auto" for the one the run was made with
        unknown: whether the answer may be "unknown"; None where the run has a threshold
        trust_model: whether Keras may open its network, in this process, even if this machine did not make it

    Returns:
        Predictions, streamed: memory does not grow with the number of images

    Raises:
        RunError
        ModelError
        OptionError
    """
    return Predictor(run, engine, top_k, unknown, trust_model).predict(expand_inputs(each_input(inputs)))
