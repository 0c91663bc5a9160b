"""A backbone converted in a child process is the network that this process would convert, byte for byte."""

import json
import subprocess
import sys

import pytest

from tests.networks import lazy_functions
from tlkit.engines.cache import weights_digest
from tlkit.engines.conversion import convert_in_child
from tlkit.models.backbones import BACKBONES
from tlkit.models.graph import averaged_map
from tlkit.models.sources import PretrainedBackbone

(load_network, to_litert) = lazy_functions("tlkit.engines.keras", "load_network", "to_litert")
SCRIPT = """
import json, sys
from pathlib import Path
from tlkit.engines.conversion import convert_in_child
from tlkit.models.backbones import BACKBONES
from tlkit.models.sources import PretrainedBackbone
name, weights, folder = sys.argv[1:]
conversion = convert_in_child(PretrainedBackbone(BACKBONES[name], weights, 64))
facts = {"imported": [name for name in ("keras", "tensorflow", "jax") if name in sys.modules]}
if conversion:
    written = conversion.write(Path(folder) / "network.tflite")
    facts |= {"weights": written.weights_sha256, "grid": written.grid}
print(json.dumps(facts))
"""


def convert_elsewhere(name, weights, folder):
    """What a fresh process gets from its child."""
    command = [sys.executable, "-c", SCRIPT, name, str(weights), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout)


def test_convert_in_child_gives_the_same_files_without_tensorflow(weights_file, tmp_path):
    found = convert_elsewhere("mobilenet_025", weights_file, tmp_path)
    network = PretrainedBackbone(BACKBONES["mobilenet_025"], str(weights_file), 64).build()
    assert found == {"imported": [], "weights": weights_digest(network), "grid": [31.0, 32.0]}
    assert averaged_map(network) is not None
    assert (tmp_path / "network.tflite").read_bytes() == to_litert(network, pixels=True)
    body = load_network(tmp_path / "network.keras")
    assert weights_digest(body) == weights_digest(network)
    configs = [[layer.get_config() for layer in model.layers] for model in (body, network)]
    assert without_names(configs[0]) == without_names(configs[1])


def without_names(configs):
    """Options of layers; a process numbers the names that Keras makes."""
    return [{key: value for key, value in config.items() if key != "name"} for config in configs]


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x89HDF damaged"])
def test_convert_in_child_gives_nothing_where_it_fails(content, tmp_path):
    file = tmp_path / "damaged.weights.h5"
    file.write_bytes(content)
    assert convert_elsewhere("mobilenet_025", file, tmp_path) == {"imported": []}
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_convert_in_child_leaves_to_this_process_what_it_can_do_as_well(weights_file):
    assert "keras" in sys.modules or __import__("keras")
    assert convert_in_child(PretrainedBackbone(BACKBONES["mobilenet_025"], str(weights_file), 64)) is None


def test_convert_in_child_leaves_random_weights_to_this_process(tmp_path):
    """They are drawn by Keras, and another backend draws others."""
    assert convert_elsewhere("mobilenet_025", "none", tmp_path) == {"imported": []}
