"""The registry of backbones by itself, and against Keras, whose networks the slow tests build."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from tests.networks import build_backbone, keras, lazy_functions, random_pixels, run_network
from tlkit.errors import OptionError
from tlkit.models.backbones import BACKBONES, BUILT_IN, CAFFE, TF, TORCH, check_size, find_backbone, imagenet_file

(preprocess,) = lazy_functions("tlkit.models.build", "preprocess")
SPECS = tuple(BACKBONES.values())
SMALL = ("mobilenet_025", "mobilenet_v2_035")
CONSTRUCTORS = {
    *("ConvNeXtTiny", "ConvNeXtSmall", "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtXLarge"),
    *("DenseNet121", "DenseNet169", "DenseNet201"),
    *(f"EfficientNetB{number}" for number in range(8)),
    *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
    *("InceptionResNetV2", "InceptionV3", "Xception"),
    *("MobileNet", "MobileNetV2", "MobileNetV3Large", "MobileNetV3Small", "NASNetLarge", "NASNetMobile"),
    *("ResNet50", "ResNet50V2", "ResNet101", "ResNet101V2", "ResNet152", "ResNet152V2", "VGG16", "VGG19"),
}
FACTS = {  # constructor: preprocessing, image size, smallest size
    "VGG16": (CAFFE, 224, 32),
    "ResNet50": (CAFFE, 224, 32),
    "ResNet50V2": (TF, 224, 32),
    "DenseNet121": (TORCH, 224, 32),
    "MobileNet": (TF, 224, 32),
    "MobileNetV2": (TF, 224, 32),
    "MobileNetV3Small": (BUILT_IN, 224, 32),
    "EfficientNetB0": (BUILT_IN, 224, 32),
    "EfficientNetB7": (BUILT_IN, 600, 32),
    "EfficientNetV2S": (BUILT_IN, 384, 32),
    "ConvNeXtTiny": (BUILT_IN, 224, 32),
    "InceptionV3": (TF, 299, 75),
    "InceptionResNetV2": (TF, 299, 75),
    "Xception": (TF, 299, 71),
    "NASNetMobile": (TF, 224, 32),
    "NASNetLarge": (TF, 331, 32),
}
WEIGHTS_FILES = {  # (name, image size): official file
    ("mobilenet_v2", 224): "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
    ("mobilenet_v2", 96): "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_96_no_top.h5",
    ("mobilenet_v2", 100): "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
    ("mobilenet_v2_035", 160): "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_160_no_top.h5",
    ("mobilenet", 224): "mobilenet_1_0_224_tf_no_top.h5",
    ("mobilenet_025", 128): "mobilenet_2_5_128_tf_no_top.h5",
    ("mobilenet_075", 500): "mobilenet_7_5_224_tf_no_top.h5",
    ("mobilenet_v3_small", 224): "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
    ("mobilenet_v3_large_075", 96): "weights_mobilenet_v3_large_224_0.75_float_no_top_v2.h5",
    ("efficientnet_b0", 224): "efficientnetb0_notop.h5",
    ("efficientnet_v2_b3", 300): "efficientnetv2-b3_notop.h5",
    ("efficientnet_v2_s", 384): "efficientnetv2-s_notop.h5",
    ("convnext_xlarge", 224): "convnext_xlarge_notop.h5",
    ("densenet121", 224): "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ("resnet50", 224): "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ("resnet50_v2", 224): "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ("inception_resnet_v2", 299): "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ("nasnet_mobile", 224): "nasnet_mobile_no_top.h5",
    ("nasnet_large", 331): "nasnet_large_no_top.h5",
    ("vgg16", 224): "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ("xception", 299): "xception_weights_tf_dim_ordering_tf_kernels_notop.h5",
}
SPELLINGS = {
    "MobileNetV2": "mobilenet_v2",
    "mobilenet-v2": "mobilenet_v2",
    "MOBILENET_V2": "mobilenet_v2",
    "mobilenetv2": "mobilenet_v2",
    "ResNet50V2": "resnet50_v2",
    "resnet-50": "resnet50",
    "EfficientNetV2-S": "efficientnet_v2_s",
    "mobilenet_v3_large_075": "mobilenet_v3_large_075",
}

# the registry by itself


def test_registry_has_every_constructor_once_per_width():
    assert len(CONSTRUCTORS) == 40
    assert {spec.constructor for spec in SPECS} == CONSTRUCTORS
    assert len(SPECS) == 50
    assert len({(spec.constructor, spec.options.get("alpha")) for spec in SPECS}) == 50
    assert len({spec.weights_name(spec.image_size) for spec in SPECS}) == 50


def test_registry_names_are_lower_case_words_that_begin_with_constructor():
    assert list(BACKBONES) == [spec.name for spec in SPECS]
    assert [name for name in BACKBONES if not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", name)] == []
    starts = {spec.name: spec.name.replace("_", "").startswith(spec.constructor.lower()) for spec in SPECS}
    assert [name for name, is_right in starts.items() if not is_right] == []


def test_registry_values_make_sense():
    def is_right(spec):
        return (
            32 <= spec.min_size <= spec.image_size <= 600
            and (not spec.sizes or spec.image_size in spec.sizes)
            and spec.preprocessing in {TF, TORCH, CAFFE, BUILT_IN}
            and spec.dropout == spec.constructor.startswith("EfficientNet")
        )

    assert [spec.name for spec in SPECS if not is_right(spec)] == []


def test_weights_name_has_no_top_and_no_blank():
    names = [spec.weights_name(size) for spec in SPECS for size in (*spec.sizes, spec.image_size, spec.min_size)]
    assert [name for name in names if not re.fullmatch(r"[\w.-]+(_notop|_no_top|_no_top_v2)\.h5", name)] == []


def test_weights_name_is_official():
    assert {key: BACKBONES[key[0]].weights_name(key[1]) for key in WEIGHTS_FILES} == WEIGHTS_FILES


def test_weights_name_is_that_of_official_files(shared_data):
    names = ("mobilenet_v2", "mobilenet_v2_035", "mobilenet_025")
    files = [shared_data / "keras_home/models" / BACKBONES[name].weights_name(224) for name in names]
    assert [file for file in files if not file.is_file()] == []


def test_facts_are_those_of_keras():
    specs = {constructor: find_backbone(constructor) for constructor in FACTS}
    assert {key: (spec.preprocessing, spec.image_size, spec.min_size) for key, spec in specs.items()} == FACTS


def test_check_size_accepts_min_size_and_refuses_one_pixel_less():
    for spec in SPECS:
        check_size(spec, spec.min_size)
        with pytest.raises(OptionError) as caught:
            check_size(spec, spec.min_size - 1)
        assert str(caught.value) == f"--image-size is {spec.min_size - 1}; {spec.name} needs at least {spec.min_size}."


def test_find_backbone_takes_names_and_constructors_at_full_width():
    for spec in SPECS:
        assert find_backbone(spec.name) is spec
        assert find_backbone(spec.name.upper().replace("_", "-")) is spec
    for constructor in CONSTRUCTORS:
        spec = find_backbone(constructor)
        assert (spec.constructor, spec.options.get("alpha", 1.0)) == (constructor, 1.0)


def test_find_backbone_ignores_case_and_separators():
    assert {typed: find_backbone(typed).name for typed in SPELLINGS} == SPELLINGS


@pytest.mark.parametrize(
    ("typed", "suggestion"),
    [("resnt50", "resnet50"), ("mobilnet_v2", "mobilenet_v2"), ("efficientnetb9", "efficientnet_b"), ("vg", "vgg16")],
)
def test_find_backbone_mistyped_suggests_nearest(typed, suggestion):
    with pytest.raises(OptionError) as caught:
        find_backbone(typed)
    assert f"unknown backbone '{typed}'; did you mean " in str(caught.value)
    assert suggestion in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("typed", ["", "zzzzzzzz", "花"])
def test_find_backbone_unlike_any_names_command_that_lists_them(typed):
    with pytest.raises(OptionError, match="`tlkit models` lists all"):
        find_backbone(typed)


def test_imagenet_file_is_in_keras_home(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert imagenet_file(BACKBONES["vgg16"], 224) == tmp_path / "models" / BACKBONES["vgg16"].weights_name(224)
    monkeypatch.delenv("KERAS_HOME")
    assert imagenet_file(BACKBONES["vgg16"], 224).parent == Path.home() / ".keras" / "models"


# against Keras

each_spec = pytest.mark.parametrize(
    "spec",
    [pytest.param(spec, id=spec.name, marks=() if spec.name in SMALL else pytest.mark.slow) for spec in SPECS],
)


class RequestedError(Exception):
    """Raised in place of a download."""


@pytest.fixture
def requested(monkeypatch):
    """The names Keras requests from its cache; nothing is downloaded."""
    names = []

    def get_file(fname=None, *args, **options):
        names.append(fname)
        raise RequestedError

    monkeypatch.setattr(keras.src.utils.file_utils, "get_file", get_file)
    return names


def construct(spec, weights, image_size):
    shape = (image_size, image_size, 3)
    return getattr(keras.applications, spec.constructor)(
        include_top=False, weights=weights, input_shape=shape, **spec.options
    )


def test_constructors_are_all_of_keras_applications():
    functions = {name for name, value in vars(keras.applications).items() if inspect.isfunction(value)}
    assert functions == CONSTRUCTORS


def test_image_size_is_default_of_keras():
    signatures = {spec: inspect.signature(getattr(keras.applications, spec.constructor)) for spec in SPECS}
    defaults = {spec: signature.parameters.get("input_shape") for spec, signature in signatures.items()}
    shapes = {spec: shape.default for spec, shape in defaults.items() if shape and shape.default}
    assert [spec.name for spec, shape in shapes.items() if shape != (spec.image_size, spec.image_size, 3)] == []


def test_preprocess_equals_that_of_keras():
    pixels = random_pixels(2, 8, kind=np.float32)
    source = keras.Input((8, 8, 3))
    ours = {
        mode: run_network(keras.Model(source, preprocess(mode, source)), pixels)
        for mode in (TF, TORCH, CAFFE, BUILT_IN)
    }
    for spec in SPECS:
        module = inspect.getmodule(getattr(keras.applications, spec.constructor))
        expected = module.preprocess_input(pixels.copy())
        np.testing.assert_allclose(ours[spec.preprocessing], expected, atol=1e-4, err_msg=spec.name)


@each_spec
def test_min_size_is_smallest_that_keras_builds(spec):
    """And the registry knows whether there is dropout in the body."""
    body = build_backbone(spec, "none", spec.min_size)
    assert body.input_shape == (None, spec.min_size, spec.min_size, 3)
    assert len(body.output_shape) == 2
    assert spec.dropout == any(isinstance(layer, keras.layers.Dropout) and layer.rate for layer in body.layers)
    with pytest.raises(ValueError, match=r"[Ii]nput size|at least"):
        construct(spec, None, spec.min_size - 1)


@each_spec
def test_weights_name_is_what_keras_requests(spec, requested):
    with pytest.raises(RequestedError):
        construct(spec, "imagenet", spec.image_size)
    assert requested == [spec.weights_name(spec.image_size)]


@pytest.mark.parametrize("name", ["mobilenet_025", pytest.param("mobilenet_v2_035", marks=pytest.mark.slow)])
def test_sizes_are_those_with_weights_of_their_own(name, requested):
    spec = BACKBONES[name]
    for size in spec.sizes:
        with pytest.raises(RequestedError):
            construct(spec, "imagenet", size)
    for size in (64, 100):
        with pytest.raises(RequestedError), pytest.warns(UserWarning, match="will be loaded as the default"):
            construct(spec, "imagenet", size)
    assert requested == [spec.weights_name(size) for size in (*spec.sizes, 224, 224)]
    assert spec.weights_name(64) == spec.weights_name(100) == spec.weights_name(224)
