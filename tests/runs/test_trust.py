"""Networks for Keras: of this machine, or trusted and made of the classes that tlkit's networks have."""

import io
import json
import pickle
import zipfile

import pytest

import tlkit as library
from tests.networks import keras
from tests.shared_runs import copy_foreign_run
from tests.test_hostile_runs import Payload, rehash
from tlkit.errors import RunError
from tlkit.features.layer import run_layer
from tlkit.inference.predictor import Predictor
from tlkit.runs.trust import load_run_network, refuse_foreign_classes
from tlkit.runs.warm_start import previous_run


@pytest.fixture
def foreign_run(finetuned_run, tmp_path):
    """A copy of a run whose model.json no machine of ours wrote."""
    return copy_foreign_run(finetuned_run, tmp_path)


def test_every_way_to_the_network_of_a_stranger_is_closed_unless_it_is_trusted(foreign_run, colors, tmp_path):
    image = colors / "red" / "0.png"
    ways = {
        "predictor": lambda trust: Predictor(foreign_run, "keras", trust_model=trust),
        "predict": lambda trust: list(library.predict(foreign_run, image, engine="keras", trust_model=trust)),
        "evaluate": lambda trust: library.evaluate(foreign_run, colors, engine="keras", trust_model=trust),
        "layer": lambda trust: run_layer(foreign_run, "", trust).build(),
        "inherited": lambda trust: previous_run(foreign_run.path, trust).inherited(),
        "build": lambda trust: previous_run(foreign_run.path, trust).build(),
        "network": lambda trust: load_run_network(foreign_run, trust),
    }
    for name, way in ways.items():
        with pytest.raises(RunError, match="was not made on this machine.*--trust-model"):
            way(False)
        assert way(True) is not None, name
    assert Predictor(foreign_run).manifest.class_names == ("blue", "green", "red")  # LiteRT needs no trust


def test_evaluate_opens_no_folder_that_a_stranger_names(foreign_run, colors):
    with pytest.raises(RunError, match="opens no folder that it names; give the folder of its images as DATA"):
        library.evaluate(foreign_run)
    assert library.evaluate(foreign_run, colors).counted == "validation"


def test_networks_of_own_runs_have_known_classes_only(finetuned_run, blocks_run, scratch_run):
    for run in (finetuned_run, blocks_run, scratch_run):
        refuse_foreign_classes(run.path / "model.keras")


def test_networks_of_every_kind_have_known_classes_only(tmp_path):
    kinds = keras.applications
    for build in (kinds.MobileNetV2, kinds.MobileNetV3Small, kinds.EfficientNetV2B0, kinds.ConvNeXtTiny, kinds.VGG16):
        network = build(weights=None, include_top=False, input_shape=(32, 32, 3), pooling="avg")
        config = json.loads(network.to_json())
        write_network(tmp_path / "model.keras", {"config.json": json.dumps(config)})
        refuse_foreign_classes(tmp_path / "model.keras")


def write_network(file, members):
    content = {"metadata.json": "{}", "config.json": "{}", "model.weights.h5": b""} | members
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in content.items():
            if text is not None:
                archive.writestr(name, text)


def layer(module, name, **extra):
    return {"config.json": json.dumps({"config": {"layers": [{"module": module, "class_name": name, **extra}]}})}


HOSTILE = {
    "Lambda": layer("keras.layers", "Lambda"),
    "marshaled code": layer("builtins", "__lambda__", value="4wEAAAA"),
    "a lambda without a module": {"config.json": json.dumps({"config": {"class_name": "__lambda__"}})},
    "TFSMLayer": layer("keras.layers", "TFSMLayer"),
    "StringLookup": layer("keras.layers", "StringLookup"),
    "a function of Keras": layer("keras.utils", "get_file"),
    "a function": layer("builtins", "function", config="eval"),
    "another module": layer("os", "system"),
    "a module that is a list": layer(["os"], "system"),
    "a class that is a list": layer("keras.layers", ["Dense"]),
    "a registered name": layer("keras.layers", "Dense", registered_name="package>Evil"),
    "a module without a class": {"config.json": json.dumps({"module": "os"})},
    "no description": {"config.json": None},
    "assets": {"assets/vocabulary.txt": "x"},
    "a path that leads out": {"../outside": "x"},
    "a bomb": {"config.json": "[" + " " * (70 << 20) + "]"},
    "brackets": {"config.json": "[" * 100_000},
    "no JSON": {"config.json": b"\xff"},
}


def test_refuse_foreign_classes_finds_what_no_network_of_tlkit_has(tmp_path):
    file = tmp_path / "model.keras"
    for members in HOSTILE.values():
        write_network(file, members)
        with pytest.raises(ValueError):
            refuse_foreign_classes(file)
    for kind, content in {"empty": b"", "text": b"<html>", "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(500)}.items():
        file.write_bytes(content)
        with pytest.raises(ValueError):
            refuse_foreign_classes(file), kind


def test_a_trusted_network_that_is_damaged_or_hostile_ends_in_a_sentence(foreign_run, tmp_path):
    marker, file = tmp_path / "code_was_run", foreign_run.path / "model.keras"
    original = file.read_bytes()
    with zipfile.ZipFile(io.BytesIO(original)) as archive:
        config = archive.read("config.json").decode()
    contents = {
        "pickle": pickle.dumps(Payload(marker)),
        "pickle for weights": {"config.json": config, "model.weights.h5": pickle.dumps(Payload(marker))},
        "no weights": {"config.json": config},
        "cut": original[: len(original) // 2],
        "another network": {"config.json": "{}", "metadata.json": "{}"},
        "Lambda": HOSTILE["Lambda"],
    }
    for kind, content in contents.items():
        write_network(file, content) if isinstance(content, dict) else file.write_bytes(content)
        rehash(foreign_run, "model.keras")
        with pytest.raises(RunError, match="cannot be opened") as caught:
            load_run_network(foreign_run, trust_model=True)
        assert "\n" not in str(caught.value), kind
        assert not marker.exists(), kind
