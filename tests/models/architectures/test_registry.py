"""Every network has as many parameters as its paper's, or as the reference implementation's."""

import math

import pytest

from tests.networks import keras, lazy_functions
from tlkit.errors import OptionError
from tlkit.models.architectures.registry import ARCHITECTURES, families, find_trainable
from tlkit.models.backbones import BACKBONES, find_backbone

(build_architecture,) = lazy_functions("tlkit.models.architectures.build", "build_architecture")
Head, attach_head = lazy_functions("tlkit.models.head", "Head", "attach_head")

TORCHVISION = "https://docs.pytorch.org/vision/stable/models.html"
CAFFE = "https://github.com/BVLC/caffe/tree/master/models"
SMALL_RESNETS = "https://github.com/akamaster/pytorch_resnet_cifar10, at ten classes; He 2015, table 6, rounds them"
COUNTS = {  # name: (trainable parameters, classes, gray, source)
    "linear": (7_850, 10, True, "784 × 10 weights and 10 biases"),
    "mlp": (173_890, 10, True, "784 × 200 + 200, 200 × 80 + 80, 80 × 10 + 10"),
    "neocognitron": (
        672 + 8_246 + 17_150 + 28_864 + 2_570,
        10,
        False,
        "our own form: [(3·3·d)+1]·K by stage, then 256 × 10 + 10",
    ),
    "lenet5": (60_000 + 850, 10, True, "LeCun 1998, section II.B: 60,000 up to F6; then 84 × 10 + 10"),
    "lenet5_relu": (61_706, 10, True, "LeCun 1998 with all maps connected: C3 has 16 × (6 × 25 + 1)"),
    "alexnet": (60_965_224, 1000, False, CAFFE + "/bvlc_alexnet"),
    "vgg11": (132_863_336, 1000, False, TORCHVISION),
    "vgg13": (133_047_848, 1000, False, TORCHVISION),
    "vgg16": (138_357_544, 1000, False, TORCHVISION),
    "vgg19": (143_667_240, 1000, False, TORCHVISION),
    "googlenet": (6_998_552, 1000, False, CAFFE + "/bvlc_googlenet, without its auxiliary classifiers"),
    "inception_small": (979_754, 10, False, "our own"),
    "resnet18": (11_689_512, 1000, False, TORCHVISION),
    "resnet34": (21_797_672, 1000, False, TORCHVISION),
    "resnet50": (25_557_032, 1000, False, TORCHVISION),
    "resnet101": (44_549_160, 1000, False, TORCHVISION),
    "resnet152": (60_192_808, 1000, False, TORCHVISION),
    "plain34": (21_797_672 - 172_032 - 1_792, 1000, False, "resnet34 without its three shortcut convolutions"),
    "resnet20": (269_722, 10, False, SMALL_RESNETS),
    "resnet32": (464_154, 10, False, SMALL_RESNETS),
    "resnet44": (658_586, 10, False, SMALL_RESNETS),
    "resnet56": (853_018, 10, False, SMALL_RESNETS),
    "resnet110": (1_727_962, 10, False, SMALL_RESNETS),
}


def classifier(name, num_classes, gray, image_size=0, **changes):
    spec = ARCHITECTURES[name]
    body = build_architecture(spec, image_size or spec.image_size, changes, gray)
    return attach_head(body, Head(dropout=0, batch_norm=False, hidden=()), num_classes)


def count_trainable(model):
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def test_registry_every_architecture_has_its_count_here():
    assert set(COUNTS) == set(ARCHITECTURES)
    assert [name for name, spec in ARCHITECTURES.items() if spec.name != name] == []
    assert len(ARCHITECTURES) == 23


SMALL = (
    "linear",
    "mlp",
    "neocognitron",
    "lenet5",
    "lenet5_relu",
    "googlenet",
    "inception_small",
    "resnet18",
    "resnet20",
)


@pytest.mark.parametrize(
    "name", [name if name in SMALL else pytest.param(name, marks=pytest.mark.slow) for name in ARCHITECTURES]
)
def test_architecture_has_parameters_of_its_source(name):
    count, num_classes, gray, _ = COUNTS[name]
    assert count_trainable(classifier(name, num_classes, gray)) == count
    keras.utils.clear_session(free_memory=name not in SMALL)


def test_find_trainable_unknown_names_neighbors():
    with pytest.raises(OptionError, match="unknown network 'resnet19'; did you mean resnet18"):
        find_trainable("resnet19")


def test_find_trainable_unknown_names_each_neighbor_once():
    with pytest.raises(OptionError) as caught:
        find_trainable("resnet51")
    suggested = str(caught.value).partition("did you mean ")[2].rstrip("?").split(" or ")
    assert len(suggested) == len(set(suggested)) > 1


FAMILIES = {  # what a family's name alone means, wherever a network is named
    "lenet": "lenet5_relu",
    "resnet": "resnet50",
    "resnet_v2": "resnet50_v2",
    "vgg": "vgg16",
    "inception": "inception_v3",
    "mobilenet_v3": "mobilenet_v3_small",
    "efficientnet": "efficientnet_b0",
    "efficientnet_v2": "efficientnet_v2_b0",
    "convnext": "convnext_tiny",
    "densenet": "densenet121",
    "nasnet": "nasnet_mobile",
}


def test_find_trainable_takes_a_family_for_one_of_its_members():
    assert families() == FAMILIES
    assert {name: find_trainable(name.upper().replace("_", " ")).name for name in FAMILIES} == FAMILIES
    pretrained = {name: spec for name, spec in FAMILIES.items() if spec in BACKBONES}
    assert {name: find_backbone(name).name for name in pretrained} == pretrained
    assert set(FAMILIES) - set(pretrained) == {"lenet"}


def test_a_network_by_its_own_name_is_never_taken_for_a_family():
    networks = {**BACKBONES, **ARCHITECTURES}
    assert {name: find_trainable(name).name for name in networks} == {name: name for name in networks}
    assert find_trainable("mobilenet").name == "mobilenet"


def test_find_trainable_takes_architectures_before_backbones():
    assert find_trainable("InceptionV3").constructor == "InceptionV3"
    assert find_trainable("ResNet50").file == "resnet"
