"""A run and images in, one prediction per input out: in order, streamed, without TensorFlow."""

import glob
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tlkit.data.decode import read_file
from tlkit.data.image import DecodedImage, decode_image, decode_square
from tlkit.data.listing import FileEntry, is_hidden, list_files
from tlkit.engines.base import Engine, SequentialEngine, ThreadedRunner
from tlkit.engines.factory import open_engine
from tlkit.errors import ImageError, OptionError, RunError
from tlkit.runs.run import MODEL, InferenceStage, Manifest, Run, load_run, read_manifest
from tlkit.utils.parallel import CHUNK, count_workers, in_chunks, ordered_map, single_threaded_blas

CLASSIC = "classic"
READS = {"litert": (".tflite",), "openvino": (".tflite",), "keras": (".keras",), CLASSIC: (".npz",)}  # by engine


@dataclass(frozen=True)
class Prediction:
    """What a run says of one input.

    status         "ok" or "error"
    label          the likeliest class, None where there is none
    confidence     its probability, 0 to 1
    top            (class, probability), the likeliest first
    probabilities  float32 (classes,), in label order; None where there are none
    error          why the input is no image
    photo          what identifies the file, where it was asked for
    """

    path: str
    status: str
    label: str | None = None
    confidence: float | None = None
    top: tuple[tuple[str, float], ...] = ()
    probabilities: np.ndarray | None = None
    error: str | None = None
    photo: DecodedImage | None = None


class Predictor:
    """A run, ready to predict.

    engine: "auto" for the one the run was made with
    raises: RunError, ModelError
    """

    def __init__(self, run: Run, engine: str = "auto", top_k: int = 1) -> None:
        self.facts = read_manifest(run)
        self.top_k = min(top_k, len(self.facts.class_names))
        self._path = run.path
        self._run = ThreadedRunner(open_run_engine(run, self.facts, engine))

    def predict(self, paths: Iterable[str | Path], identify: bool = False) -> Iterator[Prediction]:
        """One prediction per path, in their order, a few at a time; memory does not grow.

        identify: also hash each file and its pixels, into `Prediction.photo`
        """

        def work(chunk: list[str | Path]) -> list[Prediction]:
            return self._predict_chunk(chunk, identify)

        is_classic = any(stage.file.endswith(".npz") for stage in self.facts.stages)
        with single_threaded_blas() if is_classic else nullcontext(), ThreadPoolExecutor(count_workers()) as pool:
            for predictions in ordered_map(pool, work, in_chunks(paths, CHUNK)):
                yield from predictions

    def _predict_chunk(self, paths: list[str | Path], identify: bool) -> list[Prediction]:
        decoded = [self._decode(Path(path), identify) for path in paths]
        photos = [item for item in decoded if isinstance(item, DecodedImage)]
        rows = iter(self._classified(photos))
        return [
            self._prediction(path, item, next(rows))
            if isinstance(item, DecodedImage)
            else Prediction(str(path), "error", error=str(item))
            for path, item in zip(paths, decoded, strict=True)
        ]

    def _classified(self, photos: list[DecodedImage]) -> Iterable[np.ndarray]:
        """Probabilities of each; RunError where they are not those of the run's classes."""
        if not photos:
            return ()
        rows, names = self._run(np.stack([photo.pixels for photo in photos])), self.facts.class_names
        if rows.shape[1] != len(names):
            raise RunError(
                f"'{self._path}' names {len(names)} classes in model.json, but what it predicts with knows "
                f"{rows.shape[1]}; restore model.json or train again."
            )
        return rows

    def _decode(self, path: Path, identify: bool) -> DecodedImage | ImageError:
        size = (self.facts.image_size, self.facts.resize)
        try:
            data = read_file(path)
            return decode_image(data, *size) if identify else DecodedImage(decode_square(data, *size), "", "")
        except ImageError as error:
            return error

    def _prediction(self, path: str | Path, photo: DecodedImage, probabilities: np.ndarray) -> Prediction:
        top = top_classes(probabilities, self.facts.class_names, self.top_k)
        label, confidence = top[0]
        return Prediction(str(path), "ok", label, confidence, top, probabilities, None, photo)


def open_run_engine(run: Run, facts: Manifest, engine: str = "auto") -> Engine:
    """The engine that runs a finished run, over files checked against their hashes.

    raises: RunError, ModelError, OptionError where the run has nothing that this engine can run
    """
    asked = facts.engine if engine == "auto" else engine
    has_model = MODEL in facts.sha256
    stages = (InferenceStage(MODEL, "float32"),) if asked == "keras" and has_model else facts.stages
    files = [run.checked_file(stage.file) for stage in stages]
    names = [CLASSIC if stage.file.endswith(".npz") else asked for stage in stages]
    unread = [stage for stage, name in zip(stages, names, strict=True) if Path(stage.file).suffix not in READS[name]]
    if unread or asked not in names:
        raise OptionError(f"'{run.path}' was made for {facts.engine}, --engine {engine} cannot run it; leave it out.")
    opened = zip(names, files, stages, strict=True)
    return SequentialEngine([open_engine(name, file, stage.precision) for name, file, stage in opened])


def top_classes(probabilities: np.ndarray, class_names: tuple[str, ...], k: int) -> tuple[tuple[str, float], ...]:
    """The `k` likeliest classes, the likeliest first; of equals, the first in label order.

    >>> top_classes(np.array([0.1, 0.7, 0.2]), ("ant", "bee", "cow"), k=2)
    (('bee', 0.7), ('cow', 0.2))
    """
    best = np.argsort(-probabilities, kind="stable")[:k]
    return tuple((class_names[label], float(probabilities[label])) for label in best)


def expand_inputs(inputs: Iterable[str]) -> Iterator[str]:
    """Files, one by one: a folder gives every file in it that is not hidden, a pattern what it matches.

    Whatever is not there is given as it is, so that it becomes an error row.
    """
    for text in inputs:
        if os.path.isdir(text):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
            yield from (str(Path(text) / found.path) for found in list_files(Path(text), is_hidden) if _is_row(found))
        elif glob.has_magic(text) and not os.path.lexists(text):
            matches = sorted(glob.glob(text, recursive=True))
            yield from expand_inputs(matches) if matches else [text]
        else:
            yield text


def _is_row(found: FileEntry) -> bool:
    """Whether something in a predicted folder gets a row: regular files, and folders that may not be read."""
    return found.problem is None or found.problem.startswith("folder that")


def predict(run: Run | str | Path, inputs: str | Path | Iterable[str | Path], top_k: int = 1) -> Iterator[Prediction]:
    """Classify files, folders and patterns with a finished run, one prediction per file, in order.

    raises: RunError, ModelError
    """
    run = run if isinstance(run, Run) else load_run(run)
    given = [inputs] if isinstance(inputs, str | Path) else inputs
    return Predictor(run, top_k=top_k).predict(expand_inputs(str(item) for item in given))
