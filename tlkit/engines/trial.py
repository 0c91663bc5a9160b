"""A trial of the engines: which one runs a network fastest on this machine, measured once and kept in the cache."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tlkit.cache.folder import cache_dir, claim_cache
from tlkit.engines.base import Engine, EngineSpec, engine_version, is_installed
from tlkit.engines.cache import CONVERTED_FILES, MAX_NOTE, ConvertedModel
from tlkit.engines.factory import open_engine, rows_per_second
from tlkit.errors import TlkitError
from tlkit.utils.files import sha256_text, write_json
from tlkit.utils.parallel import count_workers
from tlkit.utils.processor import read_processor
from tlkit.utils.reading import read_regular

TRIAL_VERSION = 1
ENGINE_NAMES = {
    "litert": "LiteRT",
    "openvino": "OpenVINO",
}  # of the engines that read converted networks; the first is usual
ROUNDS, ROUND_SECONDS = 3, 0.15  # engines take turns, so that other work on the machine slows all of them
MIN_GAIN = 1.1  # times the usual engine's speed, from which on another one is taken


@dataclass(frozen=True)
class Trial:
    """Images per second of a network, by engine."""

    speeds: Mapping[str, float]

    @property
    def fastest(self) -> str:
        """The engine to take: the usual one, unless another is clearly faster."""
        usual = next(iter(ENGINE_NAMES))
        best = max(self.speeds, key=lambda name: self.speeds[name])
        return best if self.speeds[best] >= MIN_GAIN * self.speeds.get(usual, 0.0) else usual

    def __str__(self) -> str:
        """Write the sentence for the run."""
        speeds = ", ".join(f"{ENGINE_NAMES[name]} {speed:,.0f}" for name, speed in self.speeds.items())
        return f"engine: {speeds} images/s on this machine; {ENGINE_NAMES[self.fastest]} is used."


def recall_trial(network: ConvertedModel) -> Trial | None:
    """Read the trial of a converted network, as far as it was made on such a processor with these versions."""
    key = _trial_key(network)
    try:
        facts = json.loads(read_regular(_trial_file(key), MAX_NOTE))
        speeds = {name: float(facts["speeds"][name]) for name in ENGINE_NAMES}
        return Trial(speeds) if facts["trial"] == key and min(speeds.values()) > 0 else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def try_engines(network: ConvertedModel) -> Trial | None:
    """Run a converted network of pixels on every engine in turns, and keep the result; None where one cannot run it."""
    try:
        opened = {name: open_engine(EngineSpec(name), network.file) for name in ENGINE_NAMES}
    except TlkitError:
        return None
    shape = getattr(opened["litert"], "input_shape")  # noqa: B009 - only a LiteRT engine knows it
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    trial = Trial(_take_turns(opened, pixels))
    key = _trial_key(network)
    with suppress(OSError):  # where the cache cannot be written, it is measured again
        claim_cache(CONVERTED_FILES)
        write_json(_trial_file(key), {"trial": key, "speeds": trial.speeds})
    return trial


def can_try() -> bool:
    """Tell whether there is more than one engine to choose from."""
    return all(map(is_installed, ENGINE_NAMES))


def _take_turns(engines: Mapping[str, Engine], pixels: np.ndarray) -> dict[str, float]:
    """Measure all engines in rounds: the best round of each counts."""
    workers = count_workers()
    sessions = {name: [engine.session() for _ in range(workers)] for name, engine in engines.items()}
    with ThreadPoolExecutor(workers) as pool:
        rounds = [
            {name: rows_per_second(pool, own, pixels, ROUND_SECONDS) for name, own in sessions.items()}
            for _ in range(ROUNDS)
        ]
    return {name: round(max(speeds[name] for speeds in rounds), 1) for name in engines}


def _trial_key(network: ConvertedModel) -> str:
    versions = [engine_version(name) for name in ENGINE_NAMES]
    return sha256_text(TRIAL_VERSION, read_processor()[0], count_workers(), network.file.stem, *versions)


def _trial_file(key: str) -> Path:
    return cache_dir() / CONVERTED_FILES.name / f"{key}.json"
