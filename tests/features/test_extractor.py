"""The frozen network ready to run: its key, its conversion, its file."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import numpy as np
import pytest

from tests.networks import keras, random_pixels, run_network
from tlkit.data.image import ImageSpec
from tlkit.engines.base import EngineSpec, IdentityEngine, run_in_batches
from tlkit.engines.cache import conversion_key, load_converted, weights_digest
from tlkit.engines.factory import open_engine
from tlkit.errors import ModelError
from tlkit.features.extractor import (
    FEATURES,
    ExtractorSpec,
    FrozenExtractor,
    build_extractor,
    completed,
    convert_extractor,
    pixel_extractor,
)

pytestmark = pytest.mark.usefixtures("cache")

SPEC = ExtractorSpec(ImageSpec(8), EngineSpec("litert"))
KERAS_SPEC = replace(SPEC, engine=EngineSpec("keras"))
IDENTITY = ("toy", 8)


@pytest.fixture(scope="module")
def network():
    """A small network from pixels to five values."""
    inputs = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(5, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(maps))


def fail():
    raise AssertionError("was built")


def values_of(extractor, pixels):
    return run_in_batches(extractor.engine, extractor.engine.session(), pixels)


def test_convert_extractor_gives_what_the_network_gives(network):
    pixels = random_pixels(11, 8)
    expected = run_network(network, pixels.astype(np.float32))
    for spec in (SPEC, KERAS_SPEC):
        extractor = convert_extractor(network, IDENTITY, spec)
        np.testing.assert_allclose(values_of(extractor, pixels), expected, rtol=1e-4, atol=1e-6)
        assert not extractor.half


def test_convert_extractor_converts_each_network_once(network, cache):
    first = convert_extractor(network, IDENTITY, SPEC)
    assert load_converted(conversion_key(IDENTITY)).file == first.file
    before = first.file.stat().st_mtime_ns
    assert convert_extractor(network, IDENTITY, SPEC).key == first.key
    assert first.file.stat().st_mtime_ns == before
    assert len(list((cache / "engines").glob("*.tflite"))) == 1


def test_convert_extractor_of_unknown_identity_is_found_by_its_weights(network):
    first, second = (convert_extractor(network, None, SPEC) for _ in range(2))
    assert first.file == second.file
    assert convert_extractor(network, None, replace(SPEC, cut="conv")).file != first.file


def test_feature_key_has_everything_that_features_depend_on(network):
    key = convert_extractor(network, IDENTITY, SPEC).key
    assert (key.image, key.engine, key.precision) == (ImageSpec(8), "litert", "float32")
    assert (key.weights_sha256, key.cut, key.view) == (weights_digest(network), FEATURES, "plain")
    assert all(getattr(key, item.name) not in ("", None) for item in fields(key))
    specs = (
        SPEC,
        KERAS_SPEC,
        replace(SPEC, cut="conv"),
        replace(SPEC, image=ImageSpec(8, "pad")),
        replace(SPEC, image=ImageSpec(9)),
        replace(SPEC, image=ImageSpec(8, gray_range=(0.0, 4095.0))),
        replace(SPEC, image=ImageSpec(8, max_megapixels=9)),
    )
    assert len({convert_extractor(network, None, spec).key.digest for spec in specs}) == len(specs)


def test_build_extractor_builds_in_the_background_only_what_was_not_converted(network):
    with ThreadPoolExecutor(1) as background:
        first = build_extractor(background, lambda: network, IDENTITY, SPEC).result()
        again = build_extractor(background, fail, IDENTITY, SPEC)
        assert again.done()
        assert again.result().key == first.key
        for identity, spec in ((None, SPEC), (("another", 8), SPEC), (IDENTITY, KERAS_SPEC)):
            with pytest.raises(AssertionError, match="was built"):
                build_extractor(background, fail, identity, spec).result()


def test_build_extractor_raises_an_error_of_building_through_the_future():
    def without_weights():
        raise ModelError("no weights.")

    with ThreadPoolExecutor(1) as background:
        future = build_extractor(background, without_weights, None, SPEC)
        with pytest.raises(ModelError, match="no weights"):
            future.result()


def test_save_writes_what_predict_opens(network, tmp_path):
    pixels = random_pixels(4, 8)
    for spec, name in ((SPEC, "lower.tflite"), (KERAS_SPEC, "lower.keras")):
        extractor = convert_extractor(network, IDENTITY, spec)
        assert extractor.save(tmp_path) == name
        opened = FrozenExtractor(open_engine(spec.engine, tmp_path / name), extractor.key)
        np.testing.assert_array_equal(values_of(opened, pixels), values_of(extractor, pixels))


def test_pixel_extractor_depends_on_the_image_alone():
    extractor = pixel_extractor(ImageSpec(8, "pad"))
    pixels = random_pixels(3, 8)
    np.testing.assert_array_equal(values_of(extractor, pixels), pixels)
    assert (extractor.key.engine, extractor.key.weights_sha256) == ("", "")
    assert pixel_extractor(ImageSpec(8)).key.digest != extractor.key.digest


def test_completed_is_a_future_that_is_done():
    extractor = FrozenExtractor(IdentityEngine(), pixel_extractor(ImageSpec(8)).key)
    assert completed(extractor).done()
    assert completed(extractor).result() is extractor
