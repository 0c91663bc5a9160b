"""Converts a network to its features; a pretrained backbone in a child process, where that saves TensorFlow's import.

Keras builds a network and loads its weights on any backend. Its NumPy backend needs nothing but NumPy for that; it
imports JAX for what it would compute with, and nothing is computed here, so a stand-in takes JAX's place. A process
cannot change its backend, and the parent may need TensorFlow later: hence the child. docs/decisions/052.
"""

import io
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import astuple
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tlkit.engines.cache import Conversion, weights_digest
from tlkit.engines.keras import save_network, to_litert
from tlkit.models.graph import averaged_map
from tlkit.models.map_grid import find_grid
from tlkit.models.sources import NetworkSource, PretrainedBackbone
from tlkit.utils.child import machine_limits, start_child
from tlkit.utils.files import atomic_write
from tlkit.utils.silence import silenced_stderr

PROCESSOR_SECONDS, SECONDS = 120, 300  # limits of the child
STAND_INS, HIDDEN = ("jax",), ("tensorflow", "torch")  # packages that the child imports a stand-in for, or none of


def convert_to_features(network: Any, weights_sha256: str) -> Conversion:
    """Convert a network that ends with features; it is also kept as Keras saves it, for a head to be put on it."""
    maps = averaged_map(network)
    grid = () if maps is None else astuple(find_grid(network, maps))
    return Conversion(to_litert(network, pixels=True), weights_sha256, grid, partial(save_network, network))


def convert_in_child(source: NetworkSource) -> Conversion | None:
    """Convert a backbone to its features, where that can save the import of TensorFlow.

    Returns:
        None where it cannot: the weights are random or still to be downloaded, Keras is imported already, a layer
        cannot be written, or anything failed; then this process converts it, and says what is wrong
    """
    if "keras" in sys.modules or not isinstance(source, PretrainedBackbone) or not source.is_pretrained:
        return None
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    try:
        with start_child("tlkit.engines.conversion", (), machine_limits(PROCESSOR_SECONDS), **pipes) as child:
            try:
                output, _ = child.communicate(pickle.dumps(source), timeout=SECONDS)
            finally:
                child.kill()
        with np.load(io.BytesIO(output), allow_pickle=False) as arrays:
            body = arrays["body"].tobytes()
            return Conversion(
                content=arrays["content"].tobytes(),
                weights_sha256=str(arrays["weights_sha256"]),
                grid=tuple(arrays["grid"].tolist()),
                save_body=lambda file: atomic_write(file, body),
            )
    except (OSError, ValueError, KeyError, EOFError, subprocess.SubprocessError):
        return None


# in the child


class _Stub:
    """Anything of a package that is not there: it can be called, and has every attribute."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take anything."""

    def __call__(self, *arguments: Any, **options: Any) -> "_Stub":
        return self

    def __getattr__(self, name: str) -> "_Stub":
        if name.startswith("__"):
            raise AttributeError(name)
        return _Stub()


class _StubModule(ModuleType):
    """A module with every attribute; each is a class."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (_Stub,), {})


class _StandIns(MetaPathFinder, Loader):
    """Finds stand-ins, and refuses what is hidden."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Find a module by its name."""
        known = name.split(".", maxsplit=1)[0] in (*STAND_INS, *HIDDEN)
        return ModuleSpec(name, self, is_package=True) if known else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make a stand-in."""
        return _StubModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing for a stand-in; ImportError for what is hidden"""
        if module.__name__.split(".", maxsplit=1)[0] in HIDDEN:
            raise ImportError(module.__name__)


def convert_for_parent() -> None:
    """Read a source from standard input, and write its conversion to standard output."""
    source = pickle.load(sys.stdin.buffer)  # of the parent
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as output:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what Keras prints
        os.environ["KERAS_BACKEND"] = "numpy"
        sys.meta_path.insert(0, _StandIns())
        network = source.build()
        with silenced_stderr(), tempfile.TemporaryDirectory() as folder:
            converted = convert_to_features(network, weights_digest(network)).write(Path(folder) / "network.tflite")
            assert converted.body, "it ends with features"
            np.savez(
                output,
                allow_pickle=False,
                content=np.frombuffer(converted.file.read_bytes(), np.uint8),
                body=np.frombuffer(converted.body.read_bytes(), np.uint8),
                grid=np.array(converted.grid, np.float64),
                weights_sha256=np.array(converted.weights_sha256),
            )


if __name__ == "__main__":
    convert_for_parent()
