import json
import os
import warnings

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.networks import enliven, keras, no_network, random_pixels, relative_difference, use_keras_home
from tlkit.data.image import decode_square
from tlkit.errors import ModelError, OptionError
from tlkit.models.backbones import BACKBONES, imagenet_file
from tlkit.models.build import IMAGENET_DEVIATION, build_backbone

MOBILENET, MOBILENET_V2 = BACKBONES["mobilenet_025"], BACKBONES["mobilenet_v2"]
SMALL_V2 = BACKBONES["mobilenet_v2_035"]


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


def refused(row, weights, image_size=32):
    """The sentence with which a weights file is refused; nothing else may be said."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises(ModelError) as caught:
            build_backbone(row, str(weights), image_size)
    assert [str(warning.message) for warning in said if issubclass(warning.category, UserWarning)] == []
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def same_weights(first, second):
    pairs = list(zip(first.get_weights(), second.get_weights(), strict=True))
    return all(np.array_equal(left, right) for left, right in pairs)


# shape and depth


def test_a_body_is_flat_and_goes_from_pixels_to_one_vector():
    body = build_backbone(MOBILENET, "none", 64)
    assert body.input_shape == (None, 64, 64, 3)
    assert body.output_shape == (None, 256 + 128)
    assert not any(isinstance(layer, keras.Model) for layer in body.layers)
    assert body.name == "mobilenet_025"


def test_mobilenet_v2_pools_two_depths():
    body = build_backbone(SMALL_V2, "none", 64)
    assert body.output_shape == (None, 1280 + 192)
    poolings = [layer for layer in body.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D)]
    assert [layer.name for layer in poolings] == ["pooled", "pooled_finer"]


@pytest.mark.slow
def test_nasnet_pools_once():
    body = build_backbone(BACKBONES["nasnet_mobile"], "none", 64)
    assert body.output_shape == (None, 1056)


def test_a_body_holds_only_layers_of_keras():
    body = build_backbone(SMALL_V2, "none", 32)
    assert all(type(layer).__module__.startswith("keras.") for layer in body.layers)


@pytest.mark.parametrize("size", [31, 1, 0])
def test_an_image_size_below_the_least_is_refused(size):
    with pytest.raises(OptionError, match=f"--image-size is {size}; mobilenet_025 needs at least 32"):
        build_backbone(MOBILENET, "none", size)


# random weights


def test_one_seed_gives_one_network_and_another_seed_another():
    first, again, other = (build_backbone(MOBILENET, "none", 32, seed) for seed in (3, 3, 4))
    assert same_weights(first, again)
    assert not same_weights(first, other)


# ImageNet weights


def test_features_begin_with_those_of_keras_own_network(real_home):
    network = keras.applications.MobileNetV2(
        include_top=False, weights="imagenet", input_shape=(224, 224, 3), pooling="avg"
    )
    pixels = random_pixels(3, 224, kind=np.float32)
    expected = network.predict_on_batch(keras.applications.mobilenet_v2.preprocess_input(pixels.copy()))
    features = build_backbone(MOBILENET_V2, "imagenet", 224).predict_on_batch(pixels)
    assert features.shape == (3, 1280 + 576)
    assert relative_difference(features[:, :1280], expected) < 1e-5


@pytest.mark.parametrize("row", [MOBILENET, pytest.param(SMALL_V2, marks=pytest.mark.slow)], ids=lambda row: row.name)
def test_an_official_file_given_by_path_is_the_same_network_as_imagenet(row, real_home):
    named = build_backbone(row, "imagenet", 224)
    given = build_backbone(row, str(imagenet_file(row, 224)), 224)
    assert same_weights(named, given)
    pixels = random_pixels(2, 224, kind=np.float32)
    np.testing.assert_array_equal(named.predict_on_batch(pixels), given.predict_on_batch(pixels))


@pytest.mark.parametrize("row", [MOBILENET, SMALL_V2], ids=lambda row: row.name)
def test_an_image_size_without_weights_of_its_own_takes_the_native_ones_silently(row, real_home):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        body = build_backbone(row, "imagenet", 64)
    assert [str(warning.message) for warning in said] == []
    assert same_weights(body, build_backbone(row, str(imagenet_file(row, 224)), 64))


@pytest.mark.slow
def test_real_photos_are_what_they_show(real_home, shared_data):
    """Our pixels and body below Keras's own classifier: what the note beside the photos expects."""
    photos = json.loads((shared_data / "photos/expected_top3.json").read_text())["photos"]
    expected = [found["MobileNet(alpha=0.25)"][0][0] for found in photos.values()]
    views = [decode_square((shared_data / "photos" / name).read_bytes(), 224, "squash") for name in photos]
    pooled = build_backbone(MOBILENET, "imagenet", 224).predict(np.stack(views).astype(np.float32), verbose=0)[:, :256]
    network = keras.applications.MobileNet(alpha=0.25, weights="imagenet")
    first = [layer.name for layer in network.layers].index("conv_preds") - 1
    classifier = keras.Sequential(network.layers[first:])
    labels = classifier.predict(pooled.reshape(-1, 1, 1, 256), verbose=0).argmax(axis=1)
    index = json.loads((real_home / "models/imagenet_class_index.json").read_text())
    agreed = [index[str(label)][0] == name for label, name in zip(labels, expected, strict=True)]
    assert sum(agreed) >= len(photos) - 1


def test_a_download_that_fails_names_the_file_the_folder_and_the_ways_out(empty_home):
    sentence = refused(MOBILENET_V2, "imagenet", 224)
    assert MOBILENET_V2.weights_name(224) in sentence
    assert f"'{empty_home / 'models'}'" in sentence
    assert "could not be downloaded" in sentence
    for way in ("copy the file there", "KERAS_HOME", "--weights FILE", "--weights none"):
        assert way in sentence


def test_a_broken_file_in_the_cache_of_keras_is_named(monkeypatch, tmp_path):
    use_keras_home(monkeypatch, tmp_path)
    file = imagenet_file(MOBILENET, 224)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    sentence = refused(MOBILENET, "imagenet", 224)
    assert f"'{file}' cannot be loaded" in sentence
    assert "delete it to fetch it anew" in sentence


def test_official_weights_in_a_folder_that_cannot_be_written_are_found(saved_weights, empty_home, monkeypatch):
    """Keras would look for them in /tmp. `os.access` stands in for permissions, which do not hold root back."""
    network, _ = saved_weights
    file = imagenet_file(MOBILENET, 32)
    file.parent.mkdir(parents=True)
    with h5py.File(file, "w") as group:  # official files have the older layout
        keras.src.legacy.saving.legacy_h5_format.save_weights_to_hdf5_group(group, network)
    monkeypatch.setattr(os, "access", lambda *given: False)
    assert same_weights(network, build_backbone(MOBILENET, "imagenet", 32))


# weights from a file


def test_weights_from_a_file_are_those_that_were_saved(saved_weights):
    network, file = saved_weights
    body = build_backbone(MOBILENET, str(file), 32)
    assert same_weights(network, body)
    pixels = random_pixels(2, 32, kind=np.float32)
    last = network.predict_on_batch(pixels / 127.5 - 1).mean(axis=(1, 2))
    assert relative_difference(body.predict_on_batch(pixels)[:, :256], last) < 1e-5


@pytest.mark.slow
def test_efficientnet_from_a_file_has_the_rescaling_that_keras_adds_for_imagenet_only(tmp_path):
    network = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(32, 32, 3))
    enliven(network)
    file = tmp_path / "b0.weights.h5"
    network.save_weights(file)
    body = build_backbone(BACKBONES["efficientnet_b0"], str(file), 32)
    assert same_weights(network, body)

    def with_rescaling(layer, *args, **kwargs):
        output = layer(*args, **kwargs)
        if isinstance(layer, keras.layers.Normalization):
            return output / np.sqrt(np.array(IMAGENET_DEVIATION, dtype=np.float32))
        return output

    manual = keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=with_rescaling)
    pixels = random_pixels(2, 32, kind=np.float32)
    features = body.predict_on_batch(pixels)[:, :1280]
    assert relative_difference(features, manual.predict_on_batch(pixels).mean(axis=(1, 2))) < 1e-5
    assert relative_difference(features, network.predict_on_batch(pixels).mean(axis=(1, 2))) > 1e-2


@pytest.mark.slow
def test_efficientnet_from_a_file_is_the_network_that_imagenet_builds(tmp_path, monkeypatch):
    """The official weights are not at hand: a file of random ones stands in for them in the cache of Keras."""
    network = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(32, 32, 3))
    enliven(network)
    file = tmp_path / "b0.weights.h5"
    network.save_weights(file)
    monkeypatch.setattr(keras.src.utils.file_utils, "get_file", lambda *args, **options: str(file))
    row, pixels = BACKBONES["efficientnet_b0"], random_pixels(2, 32, kind=np.float32)
    named, given = build_backbone(row, "imagenet", 32), build_backbone(row, str(file), 32)
    assert len(named.layers) == len(given.layers)
    assert relative_difference(given.predict_on_batch(pixels), named.predict_on_batch(pixels)) < 1e-6


def test_a_missing_weights_file_is_named(tmp_path):
    sentence = refused(MOBILENET, tmp_path / "none.h5")
    assert f"the weights file '{tmp_path / 'none.h5'}' cannot be read (No such file or directory)" in sentence


def test_a_folder_is_no_weights_file(tmp_path):
    assert "cannot be read (Is a directory)" in refused(MOBILENET, tmp_path)


def test_an_empty_weights_file_is_said_to_be_empty(tmp_path):
    (tmp_path / "empty.h5").touch()
    assert "is empty" in refused(MOBILENET, tmp_path / "empty.h5")


def test_a_text_is_no_weights_file_and_its_first_line_is_shown(tmp_path):
    (tmp_path / "page.h5").write_text("<!DOCTYPE html>\n<html>404</html>\n")
    assert "is no weights file: it starts with '<!DOCTYPE html>'" in refused(MOBILENET, tmp_path / "page.h5")


def test_a_file_of_zeros_is_no_weights_file(tmp_path):
    (tmp_path / "zeros.h5").write_bytes(bytes(4096))
    assert "is no weights file" in refused(MOBILENET, tmp_path / "zeros.h5")


def test_weights_of_another_width_are_refused(saved_weights):
    sentence = refused(BACKBONES["mobilenet_050"], saved_weights[1])
    assert "does not fit mobilenet_050" in sentence
    assert "expected weights of MobileNet without classifier" in sentence


def test_weights_of_another_network_are_refused(saved_weights):
    assert "does not fit mobilenet_v2_035" in refused(SMALL_V2, saved_weights[1])


def test_weights_with_a_classifier_are_refused(real_home):
    sentence = refused(MOBILENET, real_home / "models" / "mobilenet_2_5_224_tf.h5", 224)
    assert "does not fit mobilenet_025" in sentence


def test_a_truncated_weights_file_is_refused(saved_weights, tmp_path):
    content = saved_weights[1].read_bytes()
    short = tmp_path / "short.weights.h5"
    short.write_bytes(content[: len(content) // 2])
    assert "does not fit mobilenet_025" in refused(MOBILENET, short)


def test_weights_that_are_no_numbers_are_refused(saved_weights, tmp_path):
    network = keras.models.clone_model(saved_weights[0])
    values = network.get_weights()
    values[5].flat[0] = np.nan
    network.set_weights(values)
    network.save_weights(tmp_path / "nan.weights.h5")
    assert "holds values that are not numbers" in refused(MOBILENET, tmp_path / "nan.weights.h5")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "backbone", "reason"),
    [
        ("resnet50_S3_ERROR_XML.h5", "resnet50", "is no weights file: it starts with '<?xml"),
        ("resnet50_notop_TRUNCATED_1MiB.h5", "resnet50", "truncated file"),
        ("vgg16_notop_TEXT_NOTE.h5", "vgg16", "is no weights file: it starts with '"),
        ("teachable_machine_keras2_model.h5", "mobilenet_v2_035", "does not fit mobilenet_v2_035"),
    ],
)
def test_a_bad_weights_file_gets_a_telling_sentence(file, backbone, reason, shared_data):
    sentence = refused(BACKBONES[backbone], shared_data / "awkward/bad_weights" / file)
    assert file in sentence
    assert reason in sentence


def test_pixels_of_a_picture_reach_the_network_unchanged(tmp_path):
    """The body takes what `plain_view` gives: no resizing, no other layer before its preprocessing."""
    Image.fromarray(random_pixels(1, 32)[0]).save(tmp_path / "a.png")
    pixels = decode_square((tmp_path / "a.png").read_bytes(), 32)
    body = build_backbone(MOBILENET, "none", 32)
    first = keras.Model(body.input, body.get_layer("preprocessing").output)
    ready = first.predict_on_batch(pixels[None].astype(np.float32))[0]
    np.testing.assert_allclose(ready, pixels / 127.5 - 1, atol=1e-6)
