"""A source knows what the cache needs before Keras is imported, and builds what it says."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from tests.networks import build_backbone, keras, lazy_functions
from tlkit.errors import OptionError
from tlkit.models.architectures.registry import ARCHITECTURES
from tlkit.models.backbones import BACKBONES, imagenet_file
from tlkit.models.sources import NetworkSource, PretrainedBackbone, ScratchArchitecture
from tlkit.utils.files import sha256_file, sha256_text

(build_architecture,) = lazy_functions("tlkit.models.architectures.build", "build_architecture")
Head, attach_head = lazy_functions("tlkit.models.head", "Head", "attach_head")
MOBILENET, V2 = BACKBONES["mobilenet_025"], BACKBONES["mobilenet_v2_035"]
THIN = {"width": 0.05}


def scratch(name, image_size=32, **options):
    return ScratchArchitecture(ARCHITECTURES[name], image_size, **options)


def same_weights(first, second):
    pairs = zip(first.get_weights(), second.get_weights(), strict=True)
    return all(np.array_equal(*pair) for pair in pairs)


def attributes(source: NetworkSource):
    return source.name, source.image_size, source.is_pretrained


def test_attributes_are_those_of_registry_and_weights():
    assert attributes(PretrainedBackbone(MOBILENET, "imagenet", 96)) == ("mobilenet_025", 96, True)
    assert attributes(PretrainedBackbone(MOBILENET, "mine.h5", 96)) == ("mobilenet_025", 96, True)
    assert attributes(PretrainedBackbone(MOBILENET, "none", 96)) == ("mobilenet_025", 96, False)
    assert attributes(scratch("lenet5_relu")) == ("lenet5_relu", 32, False)


def test_subsets_and_notes_are_empty():
    for source in (PretrainedBackbone(MOBILENET, "none", 32), scratch("mlp")):
        assert source.subsets() == {}
        assert source.notes(["a", "b"]) == []


# identity


def test_identity_random_weights_depend_on_seed_and_size():
    identities = [
        PretrainedBackbone(spec, "none", size, seed).identity()
        for spec in (MOBILENET, V2)
        for size in (32, 64)
        for seed in (0, 1)
    ]
    assert identities[0] == ("mobilenet_025", 32, False, "random 0")
    assert len(set(identities)) == 8
    assert PretrainedBackbone(MOBILENET, "none", 32).identity() == identities[0]


def test_identity_of_weights_file_is_its_hash(tmp_path):
    first, copy, other = (tmp_path / name for name in ("first.h5", "copy.h5", "other.h5"))
    first.write_bytes(b"weights")
    copy.write_bytes(b"weights")
    other.write_bytes(b"others")
    identity = PretrainedBackbone(MOBILENET, str(first), 64).identity()
    assert identity == ("mobilenet_025", 64, False, hashlib.sha256(b"weights").hexdigest())
    assert PretrainedBackbone(MOBILENET, str(copy), 64).identity() == identity
    assert PretrainedBackbone(MOBILENET, str(other), 64).identity() != identity
    assert PretrainedBackbone(MOBILENET, str(tmp_path / "missing.h5"), 64).identity() is None


def test_identity_of_imagenet_is_none_until_downloaded(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    source = PretrainedBackbone(MOBILENET, "imagenet", 128)
    assert source.identity() is None
    file = imagenet_file(MOBILENET, 128)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"official")
    assert source.identity() == ("mobilenet_025", 128, True, sha256_file(file))
    as_file = PretrainedBackbone(MOBILENET, str(file), 128).identity()
    assert as_file == ("mobilenet_025", 128, False, sha256_file(file))


def test_identity_below_cut_names_it():
    source = PretrainedBackbone(MOBILENET, "none", 32)
    assert source.identity("conv_pw_6_relu") == (*source.identity(), "conv_pw_6_relu")
    assert source.identity("conv1_relu") != source.identity("conv_pw_6_relu")


def test_identity_gives_keys_of_earlier_versions(tmp_path):
    """So that what is cached stays valid: version 1, name, size, whether official, weights, cut."""
    file = tmp_path / "mine.h5"
    file.write_bytes(b"weights")
    cases = {
        ("none", ""): (1, "mobilenet_025", 32, False, "random 3"),
        ("none", "conv1"): (1, "mobilenet_025", 32, False, "random 3", "conv1"),
        (str(file), "conv1"): (1, "mobilenet_025", 32, False, sha256_file(file), "conv1"),
    }
    for (weights, cut), parts in cases.items():
        identity = PretrainedBackbone(MOBILENET, weights, 32, seed=3).identity(cut)
        assert sha256_text(1, *identity) == sha256_text(*parts)


def test_identity_of_architecture_is_none():
    assert scratch("lenet5_relu").identity() is None
    assert scratch("lenet5_relu").identity("conv1") is None


# build


def test_build_backbone_equals_that_of_build_backbone():
    built = PretrainedBackbone(MOBILENET, "none", 32, seed=5).build()
    assert built.input_shape == (None, 32, 32, 3)
    assert len(built.output_shape) == 2
    assert same_weights(built, build_backbone(MOBILENET, "none", 32, seed=5))


def test_build_backbone_from_file_has_its_weights(weights_file):
    built = PretrainedBackbone(MOBILENET, str(weights_file), 32).build()
    assert same_weights(built, build_backbone(MOBILENET, str(weights_file), 32))


def test_build_architecture_has_changes_gray_and_seed():
    source = scratch("lenet5_relu", changes={"width": 0.5, "dropout": 0.25}, gray=True, seed=7)
    built = source.build()
    expected = build_architecture(source.row, 32, {"width": 0.5, "dropout": 0.25}, True, 7)
    assert same_weights(built, expected)
    assert built.get_layer("conv1").kernel.shape == (5, 5, 1, 3)
    assert built.get_layer("dropout").rate == 0.25
    assert not same_weights(built, scratch("lenet5_relu", changes={"width": 0.5}, gray=True, seed=8).build())


def test_build_too_small_is_refused():
    for source in (PretrainedBackbone(MOBILENET, "none", 31), scratch("lenet5", 31)):
        with pytest.raises(OptionError, match="needs at least 32"):
            source.build()


# prepare_top


def test_prepare_top_of_googlenet_adds_auxiliary_classifiers():
    source = scratch("googlenet", changes=THIN)
    top = attach_head(source.build(), Head(0.0, False, ()), 3)
    prepared = source.prepare_top(top)
    assert len(prepared.outputs) == 3
    assert {id(variable) for variable in top.variables} < {id(variable) for variable in prepared.variables}
    names = {layer.name for layer in prepared.layers} - {layer.name for layer in top.layers}
    assert names
    assert all(name.startswith("auxiliary_") for name in names)


def test_prepare_top_of_others_is_top_itself():
    source = keras.Input((4,))
    top = keras.Model(source, keras.layers.Dense(3, "softmax")(source))
    for network in (PretrainedBackbone(MOBILENET, "imagenet", 224), scratch("resnet18"), scratch("mlp")):
        assert network.prepare_top(top) is top


def test_module_imports_no_keras():
    """Nor the registries and the catalog beside it."""
    modules = ("sources", "backbones", "catalog", "keras_setup", "architectures.registry")
    script = "; ".join(f"import tlkit.models.{module}" for module in modules)
    script += "; import json, sys; print(json.dumps([name for name in ('keras', 'tensorflow') if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
