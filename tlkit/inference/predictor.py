"""A run and images in, one prediction per input out: in order, streamed, without TensorFlow."""

import glob
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tlkit.data.decode import read_file
from tlkit.data.image import DecodedImage, decode_image, decode_square
from tlkit.data.listing import FileEntry, is_ignored, list_files
from tlkit.engines.base import Engine, EngineSpec, SequentialEngine, ThreadedRunner
from tlkit.engines.factory import open_engine
from tlkit.errors import ImageError, OptionError, RunError
from tlkit.runs.run import MODEL, InferenceStage, Run, load_run
from tlkit.utils.parallel import CHUNK, count_workers, in_chunks, ordered_map, single_threaded_blas

READABLE = {"litert": ".tflite", "openvino": ".tflite", "keras": ".keras", "classic": ".npz"}  # file endings, by engine


@dataclass(frozen=True)
class Prediction:
    """The answer of a run to one input.

    status         "ok" or "error"
    label          the likeliest class, None where there is none
    confidence     its probability, 0 to 1
    top            (class, probability), the likeliest first
    probabilities  float32 (classes,), in label order; None where there are none
    error          why the input is no image
    image          what identifies the file, where it was asked for
    """

    path: str
    status: str
    label: str | None = None
    confidence: float | None = None
    top: tuple[tuple[str, float], ...] = ()
    probabilities: np.ndarray | None = None
    error: str | None = None
    image: DecodedImage | None = None


class Predictor:
    """A run, ready to predict.

    engine: "auto" for the one the run was made with
    raises: RunError, ModelError
    """

    def __init__(self, run: Run, engine: str = "auto", top_k: int = 1) -> None:
        self.manifest = run.manifest
        self.top_k = min(top_k, len(self.manifest.class_names))
        self._path = run.path
        self._engine = open_run_engine(run, engine)
        self._run = ThreadedRunner(self._engine)

    def predict(self, paths: Iterable[str | Path], identify: bool = False) -> Iterator[Prediction]:
        """Classify one file after the other, in their order, a few at a time; memory does not grow.

        identify: also hash each file and its pixels, into `Prediction.image`
        """

        def work(chunk: list[str | Path]) -> list[Prediction]:
            return self._predict_chunk(chunk, identify)

        blas = single_threaded_blas() if self._engine.single_threaded_blas else nullcontext()
        with blas, ThreadPoolExecutor(count_workers()) as pool:
            for predictions in ordered_map(pool, work, in_chunks(paths, CHUNK)):
                yield from predictions

    def _predict_chunk(self, paths: list[str | Path], identify: bool) -> list[Prediction]:
        decoded = [self._decode(Path(path), identify) for path in paths]
        probabilities = iter(self._classify([item for item in decoded if isinstance(item, DecodedImage)]))
        return [
            self._prediction(path, item, next(probabilities))
            if isinstance(item, DecodedImage)
            else Prediction(str(path), "error", error=str(item))
            for path, item in zip(paths, decoded, strict=True)
        ]

    def _classify(self, images: list[DecodedImage]) -> Iterable[np.ndarray]:
        """Probabilities of each; RunError where they are not those of the run's classes."""
        if not images:
            return ()
        probabilities = self._run(np.stack([image.pixels for image in images]))
        names = self.manifest.class_names
        if probabilities.shape[1] != len(names):
            raise RunError(
                f"'{self._path}' names {len(names)} classes in model.json, but what it predicts with knows "
                f"{probabilities.shape[1]}; restore model.json or train again."
            )
        return probabilities

    def _decode(self, path: Path, identify: bool) -> DecodedImage | ImageError:
        spec = self.manifest.image
        try:
            data = read_file(path)
            return decode_image(data, spec) if identify else DecodedImage(decode_square(data, spec), "", "")
        except ImageError as error:
            return error

    def _prediction(self, path: str | Path, image: DecodedImage, probabilities: np.ndarray) -> Prediction:
        top = top_classes(probabilities, self.manifest.class_names, self.top_k)
        label, confidence = top[0]
        return Prediction(str(path), "ok", label, confidence, top, probabilities, None, image)


def open_run_engine(run: Run, engine: str = "auto") -> Engine:
    """Open what runs a finished run, over files checked against their hashes.

    engine: "auto" for the one the run was made with
    raises: RunError, ModelError, OptionError where the run has nothing that this engine can run
    """
    manifest = run.manifest
    stages = manifest.stages
    if engine == "keras" and MODEL in manifest.sha256:
        stages = (InferenceStage(MODEL, "keras"),)
    elif engine != "auto":
        stages = tuple(replace(stage, engine=engine) if stage.engine != "classic" else stage for stage in stages)
        readable = all(Path(stage.file).suffix == READABLE[stage.engine] for stage in stages)
        if not readable or engine not in [stage.engine for stage in stages]:
            raise OptionError(
                f"'{run.path}' was made for {manifest.engine}, --engine {engine} cannot run it; leave it out."
            )
    engines = [open_engine(EngineSpec(stage.engine, stage.precision), run.checked_file(stage.file)) for stage in stages]
    return SequentialEngine(engines)


def top_classes(probabilities: np.ndarray, class_names: tuple[str, ...], k: int) -> tuple[tuple[str, float], ...]:
    """Find the `k` likeliest classes, the likeliest first; of equals, the first in label order.

    >>> top_classes(np.array([0.1, 0.7, 0.2]), ("ant", "bee", "cow"), k=2)
    (('bee', 0.7), ('cow', 0.2))
    """
    best = np.argsort(-probabilities, kind="stable")[:k]
    return tuple((class_names[label], float(probabilities[label])) for label in best)


def expand_inputs(inputs: Iterable[str]) -> Iterator[str]:
    """Give files one by one: of a folder every file in it, of a pattern what it matches; hidden and system names never.

    Whatever is not there is given as it is, so that it becomes an error row.
    """
    for text in inputs:
        if os.path.isdir(text):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
            yield from (str(Path(text) / entry.path) for entry in list_files(Path(text)) if _is_row(entry))
        elif glob.has_magic(text) and not os.path.lexists(text):
            given = Path(text).parts
            found = sorted(glob.glob(text, recursive=True))
            matches = [path for path in found if not any(map(is_ignored, set(Path(path).parts) - set(given) - {".."}))]
            yield from expand_inputs(matches) if matches else [text]
        else:
            yield text


def _is_row(entry: FileEntry) -> bool:
    """Tell whether an entry of a predicted folder gets a row: regular files, and folders that may not be read."""
    return entry.reason is None or entry.reason.startswith("folder that")


def predict(run: Run | str | Path, inputs: str | Path | Iterable[str | Path], top_k: int = 1) -> Iterator[Prediction]:
    """Classify files, folders and patterns with a finished run, one prediction per file, in order.

    raises: RunError, ModelError
    """
    run = run if isinstance(run, Run) else load_run(run)
    given = [inputs] if isinstance(inputs, str | Path) else inputs
    return Predictor(run, top_k=top_k).predict(expand_inputs(str(item) for item in given))
