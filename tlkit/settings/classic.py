"""What `tlkit train --descriptor` and `tlkit train --features` may vary."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from tlkit.errors import OptionError
from tlkit.settings.base import check_settings, setting
from tlkit.settings.data import SplitSettings, check_split
from tlkit.settings.learning import SpeedSettings

ClassifierName = Literal[
    "svm", "linear-svm", "rbf-svm", "logistic", "perceptron", "knn", "random-forest", "naive-bayes"
]


@dataclass(frozen=True, kw_only=True)
class DescriptorSettings:
    """How pictures are described by hand."""

    descriptor: str = setting(
        "",
        "Classic",
        "Describe pictures by hand instead: colours, histogram, lbp, hog, haralick, bow, fisher; several with +; auto.",
    )
    pyramid: int = setting(1, "Classic", "Levels of the spatial pyramid over bow and fisher.", min=1, max=4)


@dataclass(frozen=True, kw_only=True)
class DeepSettings:
    """How pictures are described by a pretrained network."""

    features: str = setting(
        "", "Classic", "Describe them by a pretrained network's features instead: a backbone of `tlkit models`."
    )
    weights: str = setting("imagenet", "Classic", "That network's: imagenet, none (random) or a weights file.")


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings:
    """What tells described pictures apart."""

    classifier: ClassifierName = setting(
        "svm",
        "Classic",
        "What tells described pictures apart: linear-svm, rbf-svm, svm (the better of both in folds), logistic, "
        "perceptron, knn, random-forest, naive-bayes.",
    )
    pca: int = setting(
        0, "Classic", "Principal components to reduce a description to, of the training images; 0 for none.", min=0
    )


@dataclass(frozen=True, kw_only=True)
class ChosenSettings(ClassifierSettings, DeepSettings, DescriptorSettings):
    """Everything that only these trainings have."""


@dataclass(frozen=True, kw_only=True)
class ClassicSettings(SpeedSettings, ChosenSettings, SplitSettings):
    """A training of a classifier on descriptors made by hand, or on a network's features."""

    freeze: ClassVar[str] = "all"
    from_run: ClassVar[str] = ""

    def __post_init__(self) -> None:
        check_settings(self)
        check_split(self)
        if bool(self.descriptor) == bool(self.features):
            raise OptionError("expected either --descriptor, such as hog, or --features, such as mobilenet_v2.")

    @property
    def backbone(self) -> str:
        """The network, by the name its features go by."""
        return self.features
