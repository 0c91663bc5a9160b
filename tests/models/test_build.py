"""A backbone from pixels to features: shape, weights, and the files of weights that are refused."""

import json
import os
import re
import warnings

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.networks import (
    build_backbone,
    enliven,
    keras,
    no_network,
    random_pixels,
    relative_difference,
    run_network,
    use_keras_home,
)
from tlkit.data.image import ImageSpec, decode_square
from tlkit.errors import ModelError, OptionError
from tlkit.models.backbones import BACKBONES, find_backbone, imagenet_file

MOBILENET, SMALL_V2 = BACKBONES["mobilenet_025"], BACKBONES["mobilenet_v2_035"]


@pytest.fixture
def real_home(shared_data, monkeypatch):
    use_keras_home(monkeypatch, shared_data / "keras_home")
    return shared_data / "keras_home"


@pytest.fixture
def empty_home(monkeypatch, tmp_path):
    use_keras_home(monkeypatch, tmp_path)
    no_network(monkeypatch)
    return tmp_path


@pytest.fixture(scope="module")
def saved_weights(tmp_path_factory):
    """Weights of a lively mobilenet_025 as `save_weights` writes them."""
    network = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3), alpha=0.25)
    enliven(network)
    file = tmp_path_factory.mktemp("weights") / "mine.weights.h5"
    network.save_weights(file)
    return network, file


def refusal(spec, weights, image_size=32):
    """The sentence with which a weights file is refused; nothing else may be said."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises(ModelError) as caught:
            build_backbone(spec, str(weights), image_size)
    assert [str(warning.message) for warning in said if issubclass(warning.category, UserWarning)] == []
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def same_weights(first, second):
    pairs = list(zip(first.get_weights(), second.get_weights(), strict=True))
    return all(np.array_equal(left, right) for left, right in pairs)


# shape


def test_build_backbone_is_flat_from_pixels_to_averages_of_two_resolutions():
    for spec, depths in ((MOBILENET, (256, 128)), (SMALL_V2, (1280, 192))):
        body = build_backbone(spec, "none", 64)
        assert body.name == spec.name
        assert body.input_shape == (None, 64, 64, 3)
        assert body.output_shape == (None, sum(depths))
        assert not any(isinstance(layer, keras.Model) for layer in body.layers)
        assert all(type(layer).__module__.startswith("keras.") for layer in body.layers)
        poolings = [layer for layer in body.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D)]
        assert [layer.name for layer in poolings] == ["pooled", "pooled_finer"]
        assert tuple(layer.output.shape[-1] for layer in poolings) == depths


@pytest.mark.slow
def test_build_backbone_nasnet_pools_once():
    body = build_backbone(BACKBONES["nasnet_mobile"], "none", 64)
    assert body.output_shape == (None, 1056)


def test_build_backbone_below_min_size_is_refused():
    for size in (31, 1, 0):
        with pytest.raises(OptionError, match=f"--image-size is {size}; mobilenet_025 needs at least 32"):
            build_backbone(MOBILENET, "none", size)


# random weights


def test_build_backbone_random_weights_depend_on_seed():
    first, again, other = (build_backbone(MOBILENET, "none", 32, seed) for seed in (3, 3, 4))
    assert same_weights(first, again)
    assert not same_weights(first, other)


# ImageNet weights


@pytest.mark.parametrize(
    ("name", "width"), [("mobilenet_025", 256), pytest.param("mobilenet_v2", 1280, marks=pytest.mark.slow)]
)
def test_build_backbone_imagenet_features_begin_with_those_of_keras(name, width, real_home):
    spec = BACKBONES[name]
    constructor = getattr(keras.applications, spec.constructor)
    network = constructor(
        include_top=False, weights="imagenet", input_shape=(224, 224, 3), pooling="avg", **spec.options
    )
    pixels = random_pixels(3, 224, kind=np.float32)
    expected = run_network(network, pixels / 127.5 - 1)
    features = run_network(build_backbone(spec, "imagenet", 224), pixels)
    assert expected.shape == (3, width)
    assert relative_difference(features[:, :width], expected) < 1e-5


@pytest.mark.parametrize("name", ["mobilenet_025", pytest.param("mobilenet_v2_035", marks=pytest.mark.slow)])
def test_build_backbone_official_file_equals_imagenet(name, real_home):
    spec = BACKBONES[name]
    named = build_backbone(spec, "imagenet", 224)
    given = build_backbone(spec, str(imagenet_file(spec, 224)), 224)
    assert same_weights(named, given)
    pixels = random_pixels(2, 224, kind=np.float32)
    np.testing.assert_array_equal(run_network(named, pixels), run_network(given, pixels))


@pytest.mark.parametrize("name", ["mobilenet_025", pytest.param("mobilenet_v2_035", marks=pytest.mark.slow)])
def test_build_backbone_other_size_takes_native_weights_silently(name, real_home):
    spec = BACKBONES[name]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        body = build_backbone(spec, "imagenet", 64)
    assert [str(warning.message) for warning in said] == []
    assert same_weights(body, build_backbone(spec, str(imagenet_file(spec, 224)), 64))


@pytest.mark.slow
def test_build_backbone_classifies_real_photos(real_home, shared_data):
    """Our pixels and body below Keras's own classifier: what the note beside the photos expects."""
    photos = json.loads((shared_data / "photos/expected_top3.json").read_text())["photos"]
    expected = [found["MobileNet(alpha=0.25)"][0][0] for found in photos.values()]
    views = [decode_square((shared_data / "photos" / name).read_bytes(), ImageSpec(224, "squash")) for name in photos]
    pooled = build_backbone(MOBILENET, "imagenet", 224).predict(np.stack(views).astype(np.float32), verbose=0)[:, :256]
    network = keras.applications.MobileNet(alpha=0.25, weights="imagenet")
    first = [layer.name for layer in network.layers].index("conv_preds") - 1
    classifier = keras.Sequential(network.layers[first:])
    labels = classifier.predict(pooled.reshape(-1, 1, 1, 256), verbose=0).argmax(axis=1)
    index = json.loads((real_home / "models/imagenet_class_index.json").read_text())
    agreed = [index[str(label)][0] == name for label, name in zip(labels, expected, strict=True)]
    assert sum(agreed) >= len(photos) - 1


def test_build_backbone_failed_download_names_file_and_ways_out(empty_home):
    sentence = refusal(MOBILENET, "imagenet", 224)
    assert MOBILENET.weights_name(224) in sentence
    assert f"'{empty_home / 'models'}'" in sentence
    assert "could not be downloaded" in sentence
    for way in ("copy the file there", "KERAS_HOME", "--weights FILE", "--weights none"):
        assert way in sentence
    url = rf"download https://\S+/{re.escape(MOBILENET.weights_name(224))} and copy"
    assert re.search(url, sentence)
    assert "are here" not in sentence
    for name in ("mobilenet_v2", "mobilenet_v2_035"):
        imagenet_file(find_backbone(name), 224).parent.mkdir(exist_ok=True)
        imagenet_file(find_backbone(name), 224).write_bytes(bytes(len(name)))
    sentence = refusal(MOBILENET, "imagenet", 224)
    assert sentence.endswith("or use a backbone whose weights are here: mobilenet_v2, mobilenet_v2_035.")


def test_build_backbone_broken_file_in_keras_cache_is_named(monkeypatch, tmp_path):
    use_keras_home(monkeypatch, tmp_path)
    file = imagenet_file(MOBILENET, 224)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    sentence = refusal(MOBILENET, "imagenet", 224)
    assert f"'{file}' cannot be loaded" in sentence
    assert "delete it to download it again" in sentence


def test_build_backbone_finds_official_weights_in_read_only_folder(saved_weights, empty_home, monkeypatch):
    """Keras would look for them in /tmp. `os.access` stands in for permissions, which do not hold root back."""
    network, _ = saved_weights
    file = imagenet_file(MOBILENET, 32)
    file.parent.mkdir(parents=True)
    with h5py.File(file, "w") as group:  # official files have the older layout
        keras.src.legacy.saving.legacy_h5_format.save_weights_to_hdf5_group(group, network)
    monkeypatch.setattr(os, "access", lambda *given: False)
    assert same_weights(network, build_backbone(MOBILENET, "imagenet", 32))


# weights from a file


def test_build_backbone_file_gives_saved_weights(saved_weights):
    network, file = saved_weights
    body = build_backbone(MOBILENET, str(file), 32)
    assert same_weights(network, body)
    pixels = random_pixels(2, 32, kind=np.float32)
    last = run_network(network, pixels / 127.5 - 1).mean(axis=(1, 2))
    assert relative_difference(run_network(body, pixels)[:, :256], last) < 1e-5


@pytest.mark.slow
def test_build_backbone_efficientnet_file_is_rescaled_like_imagenet(tmp_path):
    network = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(32, 32, 3))
    enliven(network)
    file = tmp_path / "b0.weights.h5"
    network.save_weights(file)
    body = build_backbone(BACKBONES["efficientnet_b0"], str(file), 32)
    assert same_weights(network, body)

    from tlkit.models.build import IMAGENET_DEVIATION

    def with_rescaling(layer, *args, **kwargs):
        output = layer(*args, **kwargs)
        if isinstance(layer, keras.layers.Normalization):
            return output / np.sqrt(np.array(IMAGENET_DEVIATION, dtype=np.float32))
        return output

    manual = keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=with_rescaling)
    pixels = random_pixels(2, 32, kind=np.float32)
    features = run_network(body, pixels)[:, :1280]
    assert relative_difference(features, run_network(manual, pixels).mean(axis=(1, 2))) < 1e-5
    assert relative_difference(features, run_network(network, pixels).mean(axis=(1, 2))) > 1e-2


@pytest.mark.slow
def test_build_backbone_efficientnet_file_equals_imagenet(tmp_path, monkeypatch):
    """The official weights are not at hand: a file of random ones stands in for them in the cache of Keras."""
    network = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(32, 32, 3))
    enliven(network)
    file = tmp_path / "b0.weights.h5"
    network.save_weights(file)
    monkeypatch.setattr(keras.src.utils.file_utils, "get_file", lambda *args, **options: str(file))
    spec, pixels = BACKBONES["efficientnet_b0"], random_pixels(2, 32, kind=np.float32)
    named, given = build_backbone(spec, "imagenet", 32), build_backbone(spec, str(file), 32)
    assert len(named.layers) == len(given.layers)
    assert relative_difference(run_network(given, pixels), run_network(named, pixels)) < 1e-6


def test_build_backbone_what_is_no_weights_file_is_described(tmp_path):
    missing, empty, page, zeros = (tmp_path / f"{name}.h5" for name in ("missing", "empty", "page", "zeros"))
    empty.touch()
    page.write_text("<!DOCTYPE html>\n<html>404</html>\n")
    zeros.write_bytes(bytes(4096))
    assert f"the weights file '{missing}' cannot be read (No such file or directory)" in refusal(MOBILENET, missing)
    assert "cannot be read (Is a directory)" in refusal(MOBILENET, tmp_path)
    assert "is empty" in refusal(MOBILENET, empty)
    assert "is not a weights file: it starts with '<!DOCTYPE html>'" in refusal(MOBILENET, page)
    assert "is not a weights file" in refusal(MOBILENET, zeros)


def test_build_backbone_weights_of_another_network_are_refused(saved_weights):
    other_width = refusal(BACKBONES["mobilenet_050"], saved_weights[1])
    assert "does not fit mobilenet_050" in other_width
    assert "expected weights of MobileNet without its classifier" in other_width
    assert "does not fit mobilenet_v2_035" in refusal(SMALL_V2, saved_weights[1])


def test_build_backbone_damaged_weights_are_refused(saved_weights, tmp_path):
    network, file = saved_weights
    truncated, nan = tmp_path / "truncated.weights.h5", tmp_path / "nan.weights.h5"
    content = file.read_bytes()
    truncated.write_bytes(content[: len(content) // 2])
    assert "does not fit mobilenet_025" in refusal(MOBILENET, truncated)
    copy = keras.models.clone_model(network)
    values = network.get_weights()
    values[5].flat[0] = np.nan
    copy.set_weights(values)
    copy.save_weights(nan)
    assert "contains NaN or infinite values" in refusal(MOBILENET, nan)


def test_build_backbone_weights_with_classifier_are_refused(real_home):
    sentence = refusal(MOBILENET, real_home / "models" / "mobilenet_2_5_224_tf.h5", 224)
    assert "does not fit mobilenet_025" in sentence


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "backbone", "reason"),
    [
        ("resnet50_S3_ERROR_XML.h5", "resnet50", "is not a weights file: it starts with '<?xml"),
        ("resnet50_notop_TRUNCATED_1MiB.h5", "resnet50", "truncated file"),
        ("vgg16_notop_TEXT_NOTE.h5", "vgg16", "is not a weights file: it starts with '"),
        ("teachable_machine_keras2_model.h5", "mobilenet_v2_035", "does not fit mobilenet_v2_035"),
    ],
)
def test_build_backbone_bad_file_is_described(file, backbone, reason, shared_data):
    sentence = refusal(BACKBONES[backbone], shared_data / "awkward/bad_weights" / file)
    assert file in sentence
    assert reason in sentence


def test_build_backbone_pixels_reach_network_unchanged(tmp_path):
    """The body takes what `decode_square` gives: no resizing, no other layer before its preprocessing."""
    Image.fromarray(random_pixels(1, 32)[0]).save(tmp_path / "a.png")
    pixels = decode_square((tmp_path / "a.png").read_bytes(), ImageSpec(32))
    body = build_backbone(MOBILENET, "none", 32)
    first = keras.Model(body.input, body.get_layer("preprocessing").output)
    ready = run_network(first, pixels[None].astype(np.float32))[0]
    np.testing.assert_allclose(ready, pixels / 127.5 - 1, atol=1e-6)
