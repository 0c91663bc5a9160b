import json

import numpy as np
import pytest

from tests.networks import keras
from tlkit.engines.cache import Conversion, conversion_key, load_converted, save_converted, weights_digest
from tlkit.models.backbones import BACKBONES
from tlkit.models.sources import PretrainedBackbone

pytestmark = pytest.mark.usefixtures("cache")

SPEC, OTHER = BACKBONES["mobilenet_025"], BACKBONES["mobilenet_050"]


@pytest.fixture
def weights(tmp_path):
    file = tmp_path / "some.weights.h5"
    file.write_bytes(b"some weights")
    return file


def dense(value=0.0):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.set_weights([np.full((2, 3), value), np.zeros(3)])
    return model


# keys


def source(weights, spec=SPEC, size=64, seed=0):
    return PretrainedBackbone(spec, str(weights), size, seed)


def key(*args, **options):
    return conversion_key(source(*args, **options).identity())


def test_conversion_key_is_the_same_each_time(weights):
    assert key("none") == key("none")
    assert key(weights) == key(weights)


def test_conversion_key_changes_with_network_size_cut_and_the_seed_of_random_weights():
    sources = [source("none", spec, size, seed) for spec in (SPEC, OTHER) for size in (64, 96) for seed in (0, 1)]
    assert len({conversion_key(item.identity(cut)) for item in sources for cut in ("", "conv1_relu")}) == 16


def test_conversion_key_of_a_file_changes_with_its_content_not_its_name(weights, tmp_path):
    before = key(weights)
    moved = tmp_path / "moved.weights.h5"
    moved.write_bytes(weights.read_bytes())
    assert key(moved) == before
    weights.write_bytes(b"Some weights")
    assert key(weights) != before


def test_conversion_key_of_given_weights_does_not_depend_on_the_seed(weights):
    assert key(weights) == key(weights, seed=7)


def test_conversion_key_of_imagenet_is_not_that_of_its_file(monkeypatch, tmp_path):
    """EfficientNet is built differently for each, though the weights are the same."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    file = tmp_path / "models" / SPEC.weights_name(64)
    file.parent.mkdir()
    file.write_bytes(b"weights")
    assert key("imagenet") != key(file)


def test_conversion_key_of_weights_that_are_missing_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert source("imagenet").identity() is None
    assert source(tmp_path / "missing.h5").identity() is None


# saving


def test_a_saved_network_is_loaded_again():
    saved = save_converted("k", Conversion(b"network", "w"))
    assert load_converted("k") == saved
    assert (saved.file.read_bytes(), saved.weights_sha256) == (b"network", "w")


def test_another_key_finds_nothing():
    save_converted("k", Conversion(b"network", "w"))
    assert load_converted("l") is None


def test_saving_again_replaces():
    save_converted("k", Conversion(b"network", "w"))
    save_converted("k", Conversion(b"better", "v"))
    loaded = load_converted("k")
    assert (loaded.file.read_bytes(), loaded.weights_sha256) == (b"better", "v")


def test_a_damaged_network_is_a_miss():
    for content in [b"", b"networ", b"netw0rk", b"network "]:
        save_converted("k", Conversion(b"network", "w")).file.write_bytes(content)
        assert load_converted("k") is None, content


def test_a_network_without_its_note_is_a_miss():
    """The note is written last: without it the conversion was cut off."""
    save_converted("k", Conversion(b"network", "w")).file.with_suffix(".json").unlink()
    assert load_converted("k") is None


def test_a_damaged_note_is_a_miss():
    for note in ["", "{", "[]", "null", "{}", '{"sha256": "x"}', "\x00"]:
        save_converted("k", Conversion(b"network", "w")).file.with_suffix(".json").write_text(note)
        assert load_converted("k") is None, note


def test_a_note_without_its_network_is_a_miss():
    save_converted("k", Conversion(b"network", "w")).file.unlink()
    assert load_converted("k") is None


def test_the_note_tells_the_hash_of_the_file_and_of_the_weights(cache):
    save_converted("k", Conversion(b"network", "w"))
    assert json.loads((cache / "engines/k.json").read_text()).keys() == {
        *("key", "weights_sha256", "sha256", "grid", "body")
    }
    assert sorted(file.name for file in (cache / "engines").iterdir()) == ["k.json", "k.tflite"]


def test_a_network_is_kept_as_keras_saved_it_too_and_checked(cache):
    """What a head is put on without Keras: `models/keras_file.py`."""
    conversion = Conversion(b"network", "w", (15.5, 32.0), lambda file: file.write_bytes(b"body") and None)
    saved = save_converted("k", conversion)
    assert load_converted("k") == saved
    assert (saved.body.read_bytes(), saved.grid) == (b"body", (15.5, 32.0))
    for content in (b"bodi", b""):
        saved.body.write_bytes(content)
        assert load_converted("k") is None
    saved.body.unlink()
    assert load_converted("k") is None


# hashes of weights


def test_equal_weights_have_equal_hashes():
    assert weights_digest(dense(1)) == weights_digest(dense(1))


def test_one_value_changes_the_hash():
    model = dense()
    before = weights_digest(model)
    values = model.get_weights()
    values[0][1, 2] = np.nextafter(np.float32(0), np.float32(1))
    model.set_weights(values)
    assert weights_digest(model) != before


def test_the_shape_of_weights_changes_the_hash():
    tall, wide = (
        keras.Sequential(
            [keras.Input((size,)), keras.layers.Dense(6 // size, kernel_initializer="ones", use_bias=False)]
        )
        for size in (2, 3)
    )
    assert weights_digest(tall) != weights_digest(wide)


def test_files_of_another_key_are_a_miss(cache):
    saved = save_converted("k", Conversion(b"network", "w"))
    for file in (saved.file, saved.file.with_suffix(".json")):
        file.rename(file.with_stem("l"))
    assert (load_converted("l"), load_converted("k")) == (None, None)
