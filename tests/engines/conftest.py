import importlib.util

import numpy as np
import pytest

from tests.networks import random_pixels, shared_body
from tests.shared_runs import make_once
from tlkit.engines.base import MODULES, EngineSpec
from tlkit.engines.factory import open_engine
from tlkit.engines.keras import to_litert


@pytest.fixture(scope="session")
def network():
    """A Keras model of pixels, not to be changed."""
    return shared_body()


@pytest.fixture(scope="session")
def network_files(network, tmp_path_factory):
    """The network as each engine reads it, by the engine's name."""

    def convert(folder):
        (folder / "lower.tflite").write_bytes(to_litert(network, pixels=True))
        network.save(folder / "model.keras")
        return {
            "litert": folder / "lower.tflite",
            "openvino": folder / "lower.tflite",
            "keras": folder / "model.keras",
        }

    return make_once(tmp_path_factory, "converted", convert)


@pytest.fixture(scope="session")
def engines(network_files):
    """A function from an engine's name to the network opened in it, which skips where it is not installed."""
    opened = {}

    def engine(name):
        if not importlib.util.find_spec(MODULES[name]):
            pytest.skip(f"{name} is not installed")
        if name not in opened:
            opened[name] = open_engine(EngineSpec(name), network_files[name])
        return opened[name]

    return engine


@pytest.fixture(scope="session")
def pixels():
    return random_pixels(20, 64)


@pytest.fixture(scope="session")
def expected(network, pixels):
    """What Keras gives for the pixels."""
    return network.predict(pixels.astype(np.float32), verbose=0)


@pytest.fixture
def without_engines(monkeypatch):
    """A function that lets the packages of these engines be missing."""
    installed = importlib.util.find_spec

    def without(*names):
        missing = {MODULES[name] for name in names}
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else installed(name))

    return without
