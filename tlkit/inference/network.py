"""The network of a finished run in stages, and its rule for "unknown"."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import local

import numpy as np

from tlkit.engines.base import (
    Engine,
    EngineSpec,
    MapEngine,
    MapFunction,
    SequentialEngine,
    ThreadedRunner,
    padded_batches,
)
from tlkit.engines.factory import open_engines
from tlkit.errors import OptionError, RunError
from tlkit.evaluation.rejection import MAX_REFERENCES, UnknownDetector
from tlkit.inference.foreign import try_stages
from tlkit.runs.manifest import ENDINGS, MODEL, REFERENCES, InferenceStage
from tlkit.runs.run import Run
from tlkit.runs.trust import check_classes, require_trust
from tlkit.utils.child import is_limited

MAX_FILE_BYTES = 512 << 20  # of references; those of a network have at most 16 MB


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
        *self._before, last = engines[:-1]
        self._map_engine = last if isinstance(last, MapEngine) and last.has_maps else None

    @property
    def has_maps(self) -> bool:
        """True if the features begin with the averages of a feature map."""
        return self._map_engine is not None

    def extract(self, pixels: np.ndarray) -> np.ndarray:
        """Compute the features of images: uint8 (images, size, size, 3) to float32 (images, …)."""
        return self._extract(pixels)

    def maps_session(self) -> MapFunction:
        """Open the way from pixels, uint8 (images, size, size, 3), to features and their feature map.

        Returns:
            A function that threads may share; its maps are float32 (images, height, width, channels)
        """
        engine, before, thread = self._map_engine, [ThreadedRunner(engine) for engine in self._before], local()
        assert engine is not None

        def run(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            """Run images through the network."""
            count = len(rows)
            if not hasattr(thread, "session"):
                thread.session = engine.session_with_maps()
            for runner in before:
                rows = runner(rows)
            outputs = [thread.session(batch) for batch in padded_batches(rows, engine.batch_size)]
            features, maps = (np.concatenate(parts)[:count] for parts in zip(*outputs, strict=True))
            return features, maps

        return run

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
    for stage in stages:
        run.checked_file(stage.file)
    return open_stages(run.path, stages)


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


def open_stages(path: Path, stages: Sequence[InferenceStage]) -> RunNetwork:
    """Open the stages of a run folder, whose files are trusted to be what the run wrote.

    Raises:
        RunError
        ModelError
        OptionError
    """
    steps = list[tuple[str, Engine]]()
    for stage in stages:
        opened = open_engines(EngineSpec(stage.engine, stage.precision), path / stage.file)
        names = [f"{part} {stage.file}" for part in ("the features of", "the head of")]
        steps += zip(names if len(opened) > 1 else [stage.file], opened, strict=True)
    if len(steps) < 2:
        raise RunError(f"'{path}' has no head after its features; restore model.json or train again.")
    return RunNetwork(steps)


def open_detector(run: Run) -> UnknownDetector:
    """Read a run's rule for "unknown"; the size of its references is checked before they are read.

    Raises:
        RunError
    """
    file = run.checked_file(REFERENCES)
    try:
        with file.open("rb") as opened:
            version = np.lib.format.read_magic(opened)
            shape, _, dtype = np.lib.format.read_array_header_1_0(opened) if version == (1, 0) else ((), False, None)
            if dtype != np.float16 or len(shape) != 2 or not 0 < shape[0] <= MAX_REFERENCES:
                raise ValueError(f"it has {dtype} {shape}")
            expected = 2 * shape[0] * shape[1]
            if not 0 < expected <= MAX_FILE_BYTES or file.stat().st_size - opened.tell() != expected:
                raise ValueError(f"it has {file.stat().st_size:,} bytes for {dtype} {shape}")
            references = np.frombuffer(opened.read(expected), np.float16).reshape(shape)
        if not np.isfinite(references).all():
            raise ValueError("it has values that are not finite")
        return UnknownDetector.from_json(run.manifest.unknown, references)
    except (OSError, ValueError, TypeError, SyntaxError) as error:
        raise RunError(f"'{file}' is damaged ({error}); restore it or train again.") from None
