"""A run and images in, one prediction per input out: in order, streamed, without TensorFlow."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tlkit.data.image import DecodedImage
from tlkit.engines.base import Engine, EngineSpec, SequentialEngine, ThreadedRunner
from tlkit.engines.factory import open_engines
from tlkit.errors import OptionError, RunError
from tlkit.inference.foreign import try_stages
from tlkit.inference.inputs import ImageInput, NamedInput, each_input, expand_inputs, name_input
from tlkit.runs.manifest import ENDINGS, MODEL, InferenceStage
from tlkit.runs.run import Run, load_run
from tlkit.runs.trust import check_classes, require_trust
from tlkit.utils.child import is_limited
from tlkit.utils.parallel import CHUNK, count_workers, in_chunks, ordered_map, single_threaded_blas


@dataclass(frozen=True)
class Prediction:
    """The answer of a run to one input.

    Attributes:
        path: of the file; of what is not a file, what it is in angle brackets, such as "<array>"
        status: "ok" or "error"
        label: the most probable class, None where there is none
        confidence: its probability, 0 to 1
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
    sha256: str = field(default="", repr=False)
    digest: str = field(default="", repr=False)


class Predictor:
    """A run, ready to classify images.

    Attributes:
        manifest: what the run's model.json says: class names in label order, the square that is classified
        top_k: how many classes `Prediction.top` has
        steps: the engines of the run, each with its name, from pixels to probabilities
    """

    def __init__(self, run: Run | str | Path, engine: str = "auto", top_k: int = 1, trust_model: bool = False) -> None:
        """Open a run.

        Args:
            run: a finished run, or its folder
            engine: "auto" for the one the run was made with
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
        self._network = open_network(run, engine, trust_model)
        self.steps = self._network.steps

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
            return self._predict_chunk(chunk, identify)

        blas = single_threaded_blas() if self._network.single_threaded_blas else nullcontext()
        with blas, ThreadPoolExecutor(count_workers()) as pool:
            for predictions in ordered_map(pool, work, in_chunks(inputs, CHUNK)):
                yield from predictions

    def _predict_chunk(self, inputs: list[NamedInput], identify: bool) -> list[Prediction]:
        decoded = [item.decode(self.manifest.image, identify) for item in inputs]
        probabilities = iter(self._classify([image for image in decoded if isinstance(image, DecodedImage)]))
        return [
            self._prediction(item.name, image, next(probabilities))
            if isinstance(image, DecodedImage)
            else Prediction(item.name, "error", error=str(image))
            for item, image in zip(inputs, decoded, strict=True)
        ]

    def _classify(self, images: list[DecodedImage]) -> Iterable[np.ndarray]:
        """Compute the probabilities of each; RunError if they are not those of the run's classes."""
        if not images:
            return ()
        probabilities = self._network.classify(self._network.extract(np.stack([image.pixels for image in images])))
        names = self.manifest.class_names
        if probabilities.shape[1] != len(names):
            raise RunError(
                f"model.json of '{self._path}' has {len(names)} classes, but its model has {probabilities.shape[1]}; "
                "restore model.json or train again."
            )
        return probabilities

    def _prediction(self, name: str, image: DecodedImage, probabilities: np.ndarray) -> Prediction:
        top = top_classes(probabilities, self.manifest.class_names, self.top_k)
        label, confidence = top[0]
        return Prediction(name, "ok", label, confidence, None, top, probabilities, image.sha256, image.digest)


class RunNetwork:
    """The stages of a run, which threads may share: pixels to features, and features to probabilities."""

    def __init__(self, steps: Sequence[tuple[str, Engine]]) -> None:
        """Take engines in order.

        Args:
            steps: names and engines, at least two; the last is the head, which takes the features
        """
        self.steps, engines = steps, [engine for _, engine in steps]
        extractor = SequentialEngine(engines[:-1])
        self._extract, self._classify = ThreadedRunner(extractor), ThreadedRunner(engines[-1])
        self.single_threaded_blas = any(engine.single_threaded_blas for engine in engines)

    def extract(self, pixels: np.ndarray) -> np.ndarray:
        """Compute the features of images: uint8 (images, size, size, 3) to float32 (images, …)."""
        return self._extract(pixels)

    def classify(self, features: np.ndarray) -> np.ndarray:
        """Turn features into probabilities: float32 (images, classes)."""
        return self._classify(features)


def open_network(run: Run, engine: str = "auto", trust_model: bool = False) -> RunNetwork:
    """Open what runs a finished run, over files checked against their hashes.

    Args:
        engine: "auto" for the one the run was made with
        trust_model: whether Keras may open its network even if this machine did not make it

    Raises:
        RunError
        ModelError
        OptionError: if the run has nothing that this engine can run
    """
    stages = _stages_for(run, engine)
    _check_origin(run, stages, trust_model)
    steps = list[tuple[str, Engine]]()
    for stage in stages:
        opened = open_engines(EngineSpec(stage.engine, stage.precision), run.checked_file(stage.file))
        names = [f"{part} {stage.file}" for part in ("the features of", "the head of")]
        steps += zip(names if len(opened) > 1 else [stage.file], opened, strict=True)
    if len(steps) < 2:
        raise RunError(f"'{run.path}' has no head after its features; restore model.json or train again.")
    return RunNetwork(steps)


def _check_origin(run: Run, stages: Sequence[InferenceStage], trust_model: bool) -> None:
    """Check that the files of a run may be opened, if this machine did not make it; RunError if not"""
    if run.is_own:
        return
    networks = [stage.file for stage in stages if stage.engine == "keras"]
    for name in networks:
        require_trust(run, trust_model)
        check_classes(run, name)
    if not networks and not is_limited():
        try_stages(run, stages)


def _stages_for(run: Run, engine: str) -> tuple[InferenceStage, ...]:
    """Find the stages that an engine runs.

    Raises:
        OptionError: if the run has nothing that this engine can run
    """
    if engine not in ("auto", *ENDINGS):
        raise OptionError(f"the engine is {engine!r}; expected auto or one of {', '.join(ENDINGS)}.")
    manifest = run.manifest
    stages = manifest.stages
    if engine == "keras" and MODEL in manifest.sha256:
        stages = (InferenceStage(MODEL, "keras"),)
    elif engine != "auto":
        stages = tuple(replace(stage, engine=engine) if stage.engine != "classic" else stage for stage in stages)
        readable = all(Path(stage.file).suffix == ENDINGS[stage.engine] for stage in stages)
        if not readable or engine not in [stage.engine for stage in stages]:
            raise OptionError(
                f"--engine {engine} cannot run '{run.path}', which was trained for {manifest.engine}; omit --engine."
            )
    return stages


def top_classes(probabilities: np.ndarray, class_names: tuple[str, ...], k: int) -> tuple[tuple[str, float], ...]:
    """Find the `k` most probable classes, the most probable first; of equals, the first in label order.

    >>> top_classes(np.array([0.1, 0.7, 0.2]), ("ant", "bee", "cow"), k=2)
    (('bee', 0.7), ('cow', 0.2))
    """
    best = np.argsort(-probabilities, kind="stable")[:k]
    return tuple((class_names[label], float(probabilities[label])) for label in best)


def predict(
    run: Run | str | Path,
    inputs: ImageInput | Iterable[ImageInput],
    top_k: int = 1,
    engine: str = "auto",
    trust_model: bool = False,
) -> Iterator[Prediction]:
    """Classify images with a finished run, one prediction per image, in order.

    Args:
        run: a finished run, or its folder
        inputs: files, folders and patterns such as "new/*.jpg"; bytes of image files, uint8 RGB arrays (height, width,
            3), Pillow images, binary file objects; one of them or several
        top_k: how many classes `Prediction.top` has
        engine: "auto" for the one the run was made with
        trust_model: whether Keras may open its network, in this process, even if this machine did not make it

    Raises:
        RunError
        ModelError
        OptionError
    """
    return Predictor(run, engine, top_k, trust_model).predict(expand_inputs(each_input(inputs)))
