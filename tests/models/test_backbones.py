"""The table against Keras itself: these tests build networks."""

import inspect

import numpy as np
import pytest

from tests.networks import keras, random_pixels
from tlkit.errors import OptionError
from tlkit.models.backbones import _BACKBONES, BACKBONES, check_size
from tlkit.models.build import build_backbone, preprocess

SMALL = ("mobilenet_025", "mobilenet_v2_035", "mobilenet_v3_small_075")
every_row = pytest.mark.parametrize("row", _BACKBONES, ids=lambda row: row.name)
every_built_row = pytest.mark.parametrize(
    "row", [pytest.param(row, id=row.name, marks=() if row.name in SMALL else pytest.mark.slow) for row in _BACKBONES]
)


class AskedErrorError(Exception):
    """Raised in place of a download."""


@pytest.fixture
def asked(monkeypatch):
    """The names Keras asks its cache for; nothing is downloaded."""
    names = []

    def get_file(fname=None, *args, **options):
        names.append(fname)
        raise AskedErrorError

    monkeypatch.setattr(keras.src.utils.file_utils, "get_file", get_file)
    return names


def module_of(constructor):
    return inspect.getmodule(getattr(keras.applications, constructor))


def construct(row, weights, image_size):
    shape = (image_size, image_size, 3)
    return getattr(keras.applications, row.constructor)(
        include_top=False, weights=weights, input_shape=shape, **row.options
    )


@every_row
def test_a_constructor_is_one_of_keras_applications(row):
    assert callable(getattr(keras.applications, row.constructor))


def test_no_constructor_of_keras_applications_is_missing():
    functions = {name for name, value in vars(keras.applications).items() if inspect.isfunction(value)}
    assert {row.constructor for row in _BACKBONES} == functions


@every_row
def test_the_least_size_is_accepted_and_one_pixel_less_refused(row):
    check_size(row, row.least_size)
    with pytest.raises(OptionError) as caught:
        check_size(row, row.least_size - 1)
    assert str(caught.value) == f"--image-size is {row.least_size - 1}; {row.name} needs at least {row.least_size}."


@every_row
def test_preprocessing_equals_that_of_keras(row):
    pixels = random_pixels(2, 8, kind=np.float32)
    expected = module_of(row.constructor).preprocess_input(pixels.copy())
    source = keras.Input((8, 8, 3))
    ready = keras.Model(source, preprocess(row.preprocessing, source)).predict_on_batch(pixels)
    np.testing.assert_allclose(ready, expected, atol=1e-4)


@every_row
def test_the_native_size_is_the_default_of_keras(row):
    native = inspect.signature(getattr(keras.applications, row.constructor)).parameters
    if "input_shape" in native and native["input_shape"].default:
        assert native["input_shape"].default == (row.image_size, row.image_size, 3)


@every_built_row
def test_keras_builds_the_least_size_and_refuses_one_pixel_less(row):
    body = build_backbone(row, "none", row.least_size)
    assert body.input_shape == (None, row.least_size, row.least_size, 3)
    assert len(body.output_shape) == 2
    with pytest.raises(ValueError, match=r"[Ii]nput size|at least"):
        construct(row, None, row.least_size - 1)


@every_built_row
def test_the_dropout_flag_tells_of_the_layers_in_the_body(row):
    layers = construct(row, None, row.least_size).layers
    assert row.dropout == any(isinstance(layer, keras.layers.Dropout) and layer.rate for layer in layers)


@every_built_row
def test_the_weights_file_is_the_one_keras_asks_for(row, asked):
    with pytest.raises(AskedErrorError):
        construct(row, "imagenet", row.image_size)
    assert asked == [row.weights_name(row.image_size)]


@pytest.mark.parametrize("name", ["mobilenet_025", "mobilenet_v2_035"])
def test_sizes_with_weights_of_their_own_are_those_of_keras(name, asked):
    row = BACKBONES[name]
    for size in row.sizes:
        with pytest.raises(AskedErrorError):
            construct(row, "imagenet", size)
    assert asked == [row.weights_name(size) for size in row.sizes]


@pytest.mark.parametrize("name", ["mobilenet_025", "mobilenet_v2_035"])
@pytest.mark.parametrize("size", [64, 100])
def test_other_sizes_take_the_weights_of_the_native_size(name, size, asked):
    with pytest.raises(AskedErrorError), pytest.warns(UserWarning, match="will be loaded as the default"):
        construct(BACKBONES[name], "imagenet", size)
    assert asked == [BACKBONES[name].weights_name(size)]
