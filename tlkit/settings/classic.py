"""What `tlkit train --descriptor` may vary."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from tlkit.settings.base import check_settings, setting
from tlkit.settings.data import SplitSettings, check_split

ClassifierName = Literal["perceptron", "logistic", "svm", "rbf-svm", "knn", "random-forest", "naive-bayes"]


@dataclass(frozen=True, kw_only=True)
class DescriptorSettings:
    """How pictures are described by hand, and what tells them apart."""

    descriptor: str = setting(
        "",
        "Classic",
        "Describe pictures by hand instead: colours, histogram, lbp, hog, haralick, bow, fisher; several with +.",
    )
    classifier: ClassifierName = setting("svm", "Classic", "What tells described pictures apart.")
    pyramid: int = setting(1, "Classic", "Levels of the spatial pyramid over bow and fisher.", min=1, max=4)


@dataclass(frozen=True, kw_only=True)
class ClassicSettings(DescriptorSettings, SplitSettings):
    """A training of the classic pipeline."""

    engine: ClassVar[str] = "classic"
    precision: ClassVar[str] = "float32"

    def __post_init__(self) -> None:
        check_settings(self)
        check_split(self)
