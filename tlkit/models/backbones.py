"""The registry of pretrained backbones: every network of `keras.applications`. Imports no Keras."""

import difflib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tlkit.errors import OptionError

LAST_MAP, FINER_MAP = "last map", "finer map"  # the two feature maps whose averages are the features
TF, TORCH, CAFFE, BUILT_IN = "tf", "torch", "caffe", "built-in"
_KERNELS = "_weights_tf_dim_ordering_tf_kernels_notop.h5"


@dataclass(frozen=True)
class Backbone:
    """A pretrained image network without its classifier.

    Attributes:
        name: what `--backbone` takes
        constructor: its name in `keras.applications`
        image_size: height and width it was pretrained on, in pixels
        min_size: the smallest it can be built for, in pixels
        preprocessing: what pixels 0 to 255 become: "tf" -1 to 1; "torch" ImageNet's mean and deviation; "caffe" BGR
            minus ImageNet's mean; "built-in" the network does it itself
        dropout: whether it drops units or whole branches while training, head aside
        weights_file: official ImageNet weights without classifier, in Keras's cache; `{size}` stands for the image size
            where there are several
        options: further arguments of the constructor, such as the width
        sizes: image sizes with weights of their own; others use those of `image_size`
        family: the family whose name alone means this network; "" for the other members
    """

    name: str
    constructor: str
    image_size: int
    min_size: int
    preprocessing: str
    dropout: bool
    weights_file: str
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    sizes: tuple[int, ...] = ()
    family: str = ""

    def weights_name(self, image_size: int) -> str:
        """Name the official weights file for an image size."""
        return self.weights_file.format(size=image_size if image_size in self.sizes else self.image_size)


def _mobilenet(name: str, alpha: float, text: str) -> Backbone:
    file = f"mobilenet_{text}_{{size}}_tf_no_top.h5"
    return Backbone(name, "MobileNet", 224, 32, TF, False, file, {"alpha": alpha}, (128, 160, 192, 224))


def _mobilenet_v2(name: str, alpha: float) -> Backbone:
    file = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_{{size}}_no_top.h5"
    return Backbone(name, "MobileNetV2", 224, 32, TF, False, file, {"alpha": alpha}, (96, 128, 160, 192, 224))


def _mobilenet_v3(name: str, size: str, alpha: float, family: str = "") -> Backbone:
    file = f"weights_mobilenet_v3_{size}_224_{alpha}_float_no_top_v2.h5"
    constructor = f"MobileNetV3{size.title()}"
    return Backbone(name, constructor, 224, 32, BUILT_IN, False, file, {"alpha": alpha}, family=family)


def _efficientnet(variant: str, image_size: int, family: str = "") -> Backbone:
    name, constructor = f"efficientnet_{variant.lower()}", f"EfficientNet{variant}"
    file = f"efficientnet{variant.lower()}_notop.h5"
    return Backbone(name, constructor, image_size, 32, BUILT_IN, True, file, family=family)


def _efficientnet_v2(variant: str, image_size: int, family: str = "") -> Backbone:
    name, constructor = f"efficientnet_v2_{variant.lower()}", f"EfficientNetV2{variant}"
    file = f"efficientnetv2-{variant.lower()}_notop.h5"
    return Backbone(name, constructor, image_size, 32, BUILT_IN, True, file, family=family)


def _convnext(size: str, family: str = "") -> Backbone:
    file = f"convnext_{size.lower()}_notop.h5"
    return Backbone(f"convnext_{size.lower()}", f"ConvNeXt{size}", 224, 32, BUILT_IN, False, file, family=family)


BACKBONES: dict[str, Backbone] = {
    spec.name: spec
    for spec in (
        _convnext("Tiny", family="convnext"),
        *(_convnext(size) for size in ("Small", "Base", "Large", "XLarge")),
        Backbone("densenet121", "DenseNet121", 224, 32, TORCH, False, "densenet121" + _KERNELS, family="densenet"),
        Backbone("densenet169", "DenseNet169", 224, 32, TORCH, False, "densenet169" + _KERNELS),
        Backbone("densenet201", "DenseNet201", 224, 32, TORCH, False, "densenet201" + _KERNELS),
        _efficientnet("B0", 224, family="efficientnet"),
        _efficientnet("B1", 240),
        _efficientnet("B2", 260),
        _efficientnet("B3", 300),
        _efficientnet("B4", 380),
        _efficientnet("B5", 456),
        _efficientnet("B6", 528),
        _efficientnet("B7", 600),
        _efficientnet_v2("B0", 224, family="efficientnet_v2"),
        _efficientnet_v2("B1", 240),
        _efficientnet_v2("B2", 260),
        _efficientnet_v2("B3", 300),
        _efficientnet_v2("S", 384),
        _efficientnet_v2("M", 480),
        _efficientnet_v2("L", 480),
        Backbone("inception_resnet_v2", "InceptionResNetV2", 299, 75, TF, False, "inception_resnet_v2" + _KERNELS),
        Backbone("inception_v3", "InceptionV3", 299, 75, TF, False, "inception_v3" + _KERNELS, family="inception"),
        _mobilenet("mobilenet", 1.0, "1_0"),
        _mobilenet("mobilenet_075", 0.75, "7_5"),
        _mobilenet("mobilenet_050", 0.5, "5_0"),
        _mobilenet("mobilenet_025", 0.25, "2_5"),
        _mobilenet_v2("mobilenet_v2", 1.0),
        _mobilenet_v2("mobilenet_v2_140", 1.4),
        _mobilenet_v2("mobilenet_v2_130", 1.3),
        _mobilenet_v2("mobilenet_v2_075", 0.75),
        _mobilenet_v2("mobilenet_v2_050", 0.5),
        _mobilenet_v2("mobilenet_v2_035", 0.35),
        _mobilenet_v3("mobilenet_v3_small", "small", 1.0, family="mobilenet_v3"),
        _mobilenet_v3("mobilenet_v3_small_075", "small", 0.75),
        _mobilenet_v3("mobilenet_v3_large", "large", 1.0),
        _mobilenet_v3("mobilenet_v3_large_075", "large", 0.75),
        Backbone("nasnet_mobile", "NASNetMobile", 224, 32, TF, False, "nasnet_mobile_no_top.h5", family="nasnet"),
        Backbone("nasnet_large", "NASNetLarge", 331, 32, TF, False, "nasnet_large_no_top.h5"),
        Backbone("resnet50", "ResNet50", 224, 32, CAFFE, False, "resnet50" + _KERNELS, family="resnet"),
        Backbone("resnet101", "ResNet101", 224, 32, CAFFE, False, "resnet101" + _KERNELS),
        Backbone("resnet152", "ResNet152", 224, 32, CAFFE, False, "resnet152" + _KERNELS),
        Backbone("resnet50_v2", "ResNet50V2", 224, 32, TF, False, "resnet50v2" + _KERNELS, family="resnet_v2"),
        Backbone("resnet101_v2", "ResNet101V2", 224, 32, TF, False, "resnet101v2" + _KERNELS),
        Backbone("resnet152_v2", "ResNet152V2", 224, 32, TF, False, "resnet152v2" + _KERNELS),
        Backbone("vgg16", "VGG16", 224, 32, CAFFE, False, "vgg16" + _KERNELS, family="vgg"),
        Backbone("vgg19", "VGG19", 224, 32, CAFFE, False, "vgg19" + _KERNELS),
        Backbone("xception", "Xception", 299, 71, TF, False, "xception" + _KERNELS),
    )
}


def find_backbone(name: str) -> Backbone:
    """Find a backbone by its name, by that of its Keras constructor or by its family's, in any case.

    Raises:
        OptionError: with the nearest names

    >>> find_backbone("MobileNetV2").name, find_backbone("ResNet").name
    ('mobilenet_v2', 'resnet50')
    """
    full_width = [spec for spec in BACKBONES.values() if spec.options.get("alpha", 1.0) == 1.0]
    spellings = {normalize_name(spec.family): spec for spec in BACKBONES.values() if spec.family}
    spellings |= {normalize_name(spec.constructor): spec for spec in full_width}
    spellings |= {normalize_name(spec.name): spec for spec in BACKBONES.values()}
    if spec := spellings.get(normalize_name(name)):
        return spec
    raise unknown_name_error("backbone", name, BACKBONES)


class HasMinSize(Protocol):
    """A spec of a network that needs images of some size: `Backbone` or `Architecture`."""

    @property
    def name(self) -> str:
        """Its name in the registry."""

    @property
    def min_size(self) -> int:
        """Height and width of the smallest input, in pixels."""


def check_size(spec: HasMinSize, image_size: int) -> None:
    """Refuse an image size that is too small for a network.

    Raises:
        OptionError
    """
    if image_size < spec.min_size:
        raise OptionError(f"--image-size is {image_size}; {spec.name} needs at least {spec.min_size}.")


def unknown_name_error(kind: str, name: str, known: Iterable[str]) -> OptionError:
    """Make the error for a name that is in no registry; its message has the nearest known names."""
    nearest = difflib.get_close_matches(name.lower(), list(dict.fromkeys(known)), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else "`tlkit models` lists all."
    return OptionError(f"unknown {kind} '{name}'; {hint}")


def imagenet_file(spec: Backbone, image_size: int) -> Path:
    """Locate the official weights in Keras's cache, whether they are there or not."""
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(home) / "models" / spec.weights_name(image_size)


def cached_backbones() -> list[str]:
    """List the backbones whose official weights need no download, the smallest file first."""
    files = {spec.name: imagenet_file(spec, spec.image_size) for spec in BACKBONES.values()}
    sizes = {name: file.stat().st_size for name, file in files.items() if file.is_file()}
    return sorted(sizes, key=lambda name: sizes[name])


def normalize_name(name: str) -> str:
    """Drop what does not matter when names are compared: case, blanks, underscores and hyphens."""
    return re.sub(r"[\s_-]", "", name.lower())
