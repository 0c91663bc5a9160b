import re
from pathlib import Path

import pytest

from tlkit.errors import OptionError
from tlkit.models.backbones import _BACKBONES, BACKBONES, BUILT_IN, CAFFE, TF, TORCH, find_backbone, imagenet_file

CONSTRUCTORS = [
    "ConvNeXtBase",
    "ConvNeXtLarge",
    "ConvNeXtSmall",
    "ConvNeXtTiny",
    "ConvNeXtXLarge",
    "DenseNet121",
    "DenseNet169",
    "DenseNet201",
    "EfficientNetB0",
    "EfficientNetB1",
    "EfficientNetB2",
    "EfficientNetB3",
    "EfficientNetB4",
    "EfficientNetB5",
    "EfficientNetB6",
    "EfficientNetB7",
    "EfficientNetV2B0",
    "EfficientNetV2B1",
    "EfficientNetV2B2",
    "EfficientNetV2B3",
    "EfficientNetV2L",
    "EfficientNetV2M",
    "EfficientNetV2S",
    "InceptionResNetV2",
    "InceptionV3",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Large",
    "MobileNetV3Small",
    "NASNetLarge",
    "NASNetMobile",
    "ResNet101",
    "ResNet101V2",
    "ResNet152",
    "ResNet152V2",
    "ResNet50",
    "ResNet50V2",
    "VGG16",
    "VGG19",
    "Xception",
]

every_row = pytest.mark.parametrize("row", _BACKBONES, ids=lambda row: row.name)


def test_the_forty_constructors_of_keras_are_there():
    assert len(CONSTRUCTORS) == 40
    assert {row.constructor for row in _BACKBONES} == set(CONSTRUCTORS)


def test_no_name_stands_twice():
    assert len(BACKBONES) == len(_BACKBONES)


def test_no_two_rows_are_the_same_network():
    assert len({(row.constructor, row.options.get("alpha")) for row in _BACKBONES}) == len(_BACKBONES)


def test_no_two_rows_have_the_same_weights():
    assert len({row.weights_name(row.image_size) for row in _BACKBONES}) == len(_BACKBONES)


@every_row
def test_a_name_is_lower_case_words_that_begin_with_its_constructor(row):
    assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", row.name)
    assert row.name.replace("_", "").startswith(row.constructor.lower())


@every_row
def test_sizes_make_sense(row):
    assert 32 <= row.least_size <= row.image_size <= 600
    assert not row.sizes or row.image_size in row.sizes


@every_row
def test_preprocessing_is_one_of_four(row):
    assert row.preprocessing in {TF, TORCH, CAFFE, BUILT_IN}


@every_row
def test_only_the_efficientnets_drop_branches_in_their_body(row):
    assert row.dropout == row.constructor.startswith("EfficientNet")


@every_row
def test_a_weights_file_has_no_top_and_no_blank(row):
    for size in (*row.sizes, row.image_size, row.least_size):
        assert re.fullmatch(r"[\w.-]+(_notop|_no_top|_no_top_v2)\.h5", row.weights_name(size))


@every_row
def test_a_row_is_found_by_its_name(row):
    assert find_backbone(row.name) is row
    assert find_backbone(row.name.upper().replace("_", "-")) is row


@pytest.mark.parametrize("constructor", CONSTRUCTORS)
def test_a_constructor_is_found_at_full_width(constructor):
    row = find_backbone(constructor)
    assert row.constructor == constructor
    assert row.options.get("alpha", 1.0) == 1.0


@pytest.mark.parametrize(
    ("constructor", "mode", "image_size", "least_size"),
    [
        ("VGG16", CAFFE, 224, 32),
        ("ResNet50", CAFFE, 224, 32),
        ("ResNet50V2", TF, 224, 32),
        ("DenseNet121", TORCH, 224, 32),
        ("MobileNet", TF, 224, 32),
        ("MobileNetV2", TF, 224, 32),
        ("MobileNetV3Small", BUILT_IN, 224, 32),
        ("EfficientNetB0", BUILT_IN, 224, 32),
        ("EfficientNetB7", BUILT_IN, 600, 32),
        ("EfficientNetV2S", BUILT_IN, 384, 32),
        ("ConvNeXtTiny", BUILT_IN, 224, 32),
        ("InceptionV3", TF, 299, 75),
        ("InceptionResNetV2", TF, 299, 75),
        ("Xception", TF, 299, 71),
        ("NASNetMobile", TF, 224, 32),
        ("NASNetLarge", TF, 331, 32),
    ],
)
def test_the_facts_of_a_network_are_those_of_keras(constructor, mode, image_size, least_size):
    row = find_backbone(constructor)
    assert (row.preprocessing, row.image_size, row.least_size) == (mode, image_size, least_size)


@pytest.mark.parametrize(
    ("name", "image_size", "file"),
    [
        ("mobilenet_v2", 224, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"),
        ("mobilenet_v2", 96, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_96_no_top.h5"),
        ("mobilenet_v2", 100, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"),
        ("mobilenet_v2_035", 160, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_160_no_top.h5"),
        ("mobilenet", 224, "mobilenet_1_0_224_tf_no_top.h5"),
        ("mobilenet_025", 128, "mobilenet_2_5_128_tf_no_top.h5"),
        ("mobilenet_075", 500, "mobilenet_7_5_224_tf_no_top.h5"),
        ("mobilenet_v3_small", 224, "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5"),
        ("mobilenet_v3_large_075", 96, "weights_mobilenet_v3_large_224_0.75_float_no_top_v2.h5"),
        ("efficientnet_b0", 224, "efficientnetb0_notop.h5"),
        ("efficientnet_v2_b3", 300, "efficientnetv2-b3_notop.h5"),
        ("efficientnet_v2_s", 384, "efficientnetv2-s_notop.h5"),
        ("convnext_xlarge", 224, "convnext_xlarge_notop.h5"),
        ("densenet121", 224, "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5"),
        ("resnet50", 224, "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"),
        ("resnet50_v2", 224, "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5"),
        ("inception_resnet_v2", 299, "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5"),
        ("nasnet_mobile", 224, "nasnet_mobile_no_top.h5"),
        ("nasnet_large", 331, "nasnet_large_no_top.h5"),
        ("vgg16", 224, "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"),
        ("xception", 299, "xception_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    ],
)
def test_a_weights_file_has_its_official_name(name, image_size, file):
    assert BACKBONES[name].weights_name(image_size) == file


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v2_035", "mobilenet_025"])
def test_the_official_weights_at_hand_have_the_names_in_the_table(shared_data, name):
    assert (shared_data / "keras_home/models" / BACKBONES[name].weights_name(224)).is_file()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("MobileNetV2", "mobilenet_v2"),
        ("mobilenet-v2", "mobilenet_v2"),
        ("MOBILENET_V2", "mobilenet_v2"),
        ("mobilenetv2", "mobilenet_v2"),
        ("ResNet50V2", "resnet50_v2"),
        ("resnet-50", "resnet50"),
        ("EfficientNetV2-S", "efficientnet_v2_s"),
        ("mobilenet_v3_large_075", "mobilenet_v3_large_075"),
    ],
)
def test_a_name_is_found_however_it_is_spelt(typed, meant):
    assert find_backbone(typed).name == meant


@pytest.mark.parametrize(
    ("typed", "suggestion"),
    [("resnt50", "resnet50"), ("mobilnet_v2", "mobilenet_v2"), ("efficientnetb9", "efficientnet_b"), ("vgg", "vgg16")],
)
def test_a_mistyped_name_gets_a_suggestion(typed, suggestion):
    with pytest.raises(OptionError) as caught:
        find_backbone(typed)
    assert f"there is no backbone '{typed}'; did you mean " in str(caught.value)
    assert suggestion in str(caught.value)


@pytest.mark.parametrize("typed", ["", "zzzzzzzz", "花"])
def test_a_name_like_no_other_gets_the_command_that_lists_them(typed):
    with pytest.raises(OptionError, match="`tlkit models` lists them"):
        find_backbone(typed)


def test_an_unknown_backbone_is_a_usage_error():
    with pytest.raises(OptionError) as caught:
        find_backbone("nothing")
    assert caught.value.exit_code == 2


def test_weights_lie_in_the_cache_of_keras(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert imagenet_file(BACKBONES["vgg16"], 224) == tmp_path / "models" / BACKBONES["vgg16"].weights_name(224)


def test_weights_lie_in_the_home_folder_by_default(monkeypatch):
    monkeypatch.delenv("KERAS_HOME", raising=False)
    assert imagenet_file(BACKBONES["vgg16"], 224).parent == Path.home() / ".keras" / "models"
