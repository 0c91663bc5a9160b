"""Options of every training: finetune, train, and classic classifiers; and reading a settings.json."""

from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, Literal

from tlkit.errors import OptionError
from tlkit.settings.base import documented, setting, validate
from tlkit.settings.shared import (
    MAX_EPOCHS,
    AugmentSettings,
    DataSettings,
    HeadSettings,
    LoggingSettings,
    LossSettings,
    OptimizerSettings,
    RuntimeSettings,
    SplitSettings,
    check_data,
    check_split,
    hidden_units,
    trust_model_option,
)

BatchNorms = Literal["frozen", "shift", "trained"]
Activation = Literal["relu", "leaky_relu", "tanh", "sigmoid", "elu", "gelu", "selu", "silu", "softplus"]
ClassifierName = Literal[
    "svm", "linear-svm", "rbf-svm", "logistic", "perceptron", "knn", "random-forest", "naive-bayes"
]


@dataclass(frozen=True, kw_only=True)
class TrustSettings:
    """Options of the answer "unknown", and of the images that a run keeps."""

    coverage: float = setting(
        0.95,
        "Evaluation",
        "Fraction of known images that predict answers; the others, and images of something else, become unknown. "
        "1 for no unknown.",
        above=0,
        max=1,
    )
    golden: bool = setting(
        True,
        "Run",
        "Golden samples: 8 small validation images and their answers in the run folder, for `predict --verify` and "
        "`doctor`.",
    )


@dataclass(frozen=True, kw_only=True)
class PageSettings:
    """Options of the page and the plots of a run."""

    report: bool = setting(
        True,
        "Run",
        "Page report.html in the run folder: mistakes with their images, figures, and what to do next.",
    )
    plots: bool = setting(True, "Run", "Plots in the run folder as PNG, and map.csv, the map of the images.")


@dataclass(frozen=True, kw_only=True)
class StartSettings:
    """Options of the pretrained network, and how much of it is trained."""

    backbone: str = setting(
        "mobilenet_v2",
        "Main",
        "Pretrained network to start from; `tlkit models` lists them. hub:PRESET takes one of KerasHub: a folder, or a "
        "preset in its cache.",
    )
    freeze: Literal["auto", "all", "lower", "none"] = setting(
        "auto",
        "Main",
        "Backbone layers to freeze: all, lower (fine-tune the upper blocks) or none; auto measures, then takes all or "
        "lower.",
    )
    weights: str = setting("imagenet", "Input", "Initial weights: imagenet, none (random) or a weights file.")
    from_run: str = setting("", "Input", "Run folder of an earlier classifier to start from.")
    trust_model: bool = trust_model_option()


@dataclass(frozen=True, kw_only=True)
class HardenSettings:
    """Options of training against damaged and attacked images."""

    harden: Literal["none", "noise", "adversarial", "both"] = setting(
        "none",
        "Augmentation",
        "Hardening: noise trains on degraded views, too (noise, blur, JPEG); adversarial (experimental) on "
        "attacked images, which doubles the time or more.",
    )
    harden_epsilon: int = setting(
        2, "Augmentation", "Maximum change of a pixel by these attacks, in gray levels (1/255).", min=1, max=255
    )


@dataclass(frozen=True, kw_only=True)
class BlocksSettings:
    """Options of training the top blocks on cached features."""

    cut: str = setting(
        "auto",
        "Upper blocks",
        "Cut point where the trained layers begin: its name, the fraction of the layers to freeze, or auto.",
    )
    views: int = setting(3, "Upper blocks", "Augmented copies per image; the first is unchanged.", min=1, max=100)
    upper_epochs: int = setting(
        0,
        "Upper blocks",
        "Maximum number of epochs of the upper blocks; 0 to choose by the number of images and views.",
        min=0,
        max=MAX_EPOCHS,
    )
    upper_batch_size: int = setting(32, "Upper blocks", "Batch size of the upper blocks, in images.", min=1, max=65536)
    upper_learning_rate: float | None = setting(
        None,
        "Upper blocks",
        "Peak learning rate of the head; layers further down get less (--layer-decay). "
        "Default: the optimizer's (adamw: 0.0008).",
        above=0,
        max=100,
    )
    upper_precision: Literal["auto", "float32", "bfloat16"] = setting(
        "auto",
        "Upper blocks",
        "Precision of matrix products of the trained blocks; auto: bfloat16 where the processor is fast at it.",
    )
    layer_decay: float = setting(
        0.5,
        "Upper blocks",
        "Learning-rate factor of the layer just above the cut; it rises to 1 at the head.",
        above=0,
        max=1,
    )
    batch_norms: BatchNorms = setting(
        "frozen",
        "Upper blocks",
        "Batch-norm layers of the backbone: frozen, shift (train offsets only) or trained (offsets, scales and "
        "statistics).",
    )
    head_first: bool = setting(True, "Upper blocks", "Training of the head before that of the upper blocks.")
    cache_limit: float = setting(
        0.0, "Upper blocks", "Disk space for cached activations in GB; 0 for a quarter of the free space.", min=0
    )


@documented
@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(
    RuntimeSettings,
    LoggingSettings,
    PageSettings,
    TrustSettings,
    BlocksSettings,
    OptimizerSettings,
    LossSettings,
    HeadSettings,
    HardenSettings,
    AugmentSettings,
    DataSettings,
    StartSettings,
):
    """Settings of `tlkit finetune`."""

    # The help page has the fields in this order: those of the last base first.

    def __post_init__(self) -> None:
        validate(self)
        check_data(self)
        if self.hidden != "auto":
            hidden_units(self.hidden)


@dataclass(frozen=True, kw_only=True)
class VariantSettings:
    """Options that vary a published architecture and that no pretrained network has."""

    width: float = setting(
        1.0, "Network", "Width multiplier: factor on the number of filters and units.", above=0, max=8
    )
    gray: bool = setting(False, "Network", "Grayscale input.")
    activation: Activation | None = setting(
        None, "Network", "Activation of hidden layers; leaky_relu has a slope of 0.1. Default: as in the paper."
    )


@dataclass(frozen=True, kw_only=True)
class ArchitectureSettings(VariantSettings):
    """Options of a network that is trained from scratch."""

    model: str = setting("lenet5_relu", "Main", "Architecture to train; `tlkit models` lists all.")
    hidden: str = setting("auto", "Network", "Hidden layer sizes of mlp, e.g. 200,80.")
    batch_norm: bool | None = setting(
        None, "Network", "Batch normalization after hidden layers that have none. Default: as in the paper."
    )
    dropout: float | None = setting(None, "Network", "Dropout rate. Default: as in the paper.", min=0, below=1)
    batch_size: int = setting(
        0, "Optimizer", "Batch size in images; 0 to choose by the number of images.", min=0, max=65536
    )
    patience: int = setting(
        20, "Optimizer", "Early stopping: epochs without improvement before training stops.", min=1, max=MAX_EPOCHS
    )


@documented
@dataclass(frozen=True, kw_only=True)
class TrainSettings(
    ArchitectureSettings,
    RuntimeSettings,
    LoggingSettings,
    PageSettings,
    TrustSettings,
    OptimizerSettings,
    LossSettings,
    AugmentSettings,
    DataSettings,
):
    """Settings of `tlkit train` of a network, from scratch."""

    def __post_init__(self) -> None:
        validate(self)
        check_data(self)
        if self.hidden != "auto":
            hidden_units(self.hidden)

    @property
    def changes(self) -> dict[str, Any]:
        """Options that differ from the paper's network, by the names of `ArchitectureOptions`."""
        options = {name: getattr(self, name) for name in ("width", "activation", "batch_norm", "dropout")}
        units = {} if self.hidden == "auto" else {"hidden": hidden_units(self.hidden)}
        return units | {name: option for name, option in options.items() if option is not None}


@dataclass(frozen=True, kw_only=True)
class DescriptorSettings:
    """Options of handcrafted features."""

    descriptor: str = setting(
        "",
        "Classic",
        "Handcrafted features to use instead of a network: pixels, colors, histogram, lbp, hog, haralick, bow, fisher, "
        "several joined by +, or auto.",
    )
    pyramid: int = setting(1, "Classic", "Spatial pyramid levels of bow and fisher.", min=1, max=4)


@dataclass(frozen=True, kw_only=True)
class DeepFeatureSettings:
    """Options of a pretrained network's features."""

    features: str = setting(
        "", "Classic", "Pretrained network whose features to use instead of training one; `tlkit models` lists all."
    )
    weights: str = setting("imagenet", "Classic", "Weights of that network: imagenet, none (random) or a weights file.")


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings:
    """Options of the classic classifier."""

    classifier: ClassifierName = setting(
        "svm",
        "Classic",
        "Classifier for these features; svm picks linear-svm or rbf-svm by cross-validation.",
    )
    pca: int = setting(0, "Classic", "Number of principal components to keep; 0 for no PCA.", min=0)


@dataclass(frozen=True, kw_only=True)
class ClassicOptions(ClassifierSettings, DeepFeatureSettings, DescriptorSettings):
    """All options that only a classic classifier has."""


@documented
@dataclass(frozen=True, kw_only=True)
class ClassicSettings(RuntimeSettings, PageSettings, TrustSettings, ClassicOptions, SplitSettings):
    """Settings of `tlkit train` of a classic classifier, on handcrafted features or on a network's."""

    def __post_init__(self) -> None:
        validate(self)
        check_split(self)
        if bool(self.descriptor) == bool(self.features):
            raise OptionError(
                "expected either --descriptor, e.g. hog, or --features, e.g. mobilenet_v2; give one of them."
            )


NetworkSettings = FinetuneSettings | TrainSettings
TrainingSettings = NetworkSettings | ClassicSettings
SETTINGS_BY_COMMAND: dict[str, type[FinetuneSettings] | type[TrainSettings]] = {
    "finetune": FinetuneSettings,
    "train": TrainSettings,
}


def settings_from(content: dict[str, Any], command: str = "finetune") -> TrainingSettings:
    """Make settings of the content of a `settings.json`.

    Args:
        command: the settings' command, where the content does not name it

    Raises:
        OptionError: for an unknown command, and for keys that are not its settings
    """
    command = content.get("command", command)
    if command not in SETTINGS_BY_COMMAND:
        raise OptionError(f"the command is '{command}'; expected {' or '.join(SETTINGS_BY_COMMAND)}.")
    is_classic = command == "train" and (content.get("descriptor") or content.get("features"))
    settings_class = ClassicSettings if is_classic else SETTINGS_BY_COMMAND[command]
    names = {item.name for item in fields(settings_class) if item.metadata.get("is_stored", True)}
    if unknown := sorted(content.keys() - names - {"command", "data"}):
        similar = "".join(f", similar to '{name}'" for name in get_close_matches(unknown[0], names, 1))
        raise OptionError(f"unknown setting '{unknown[0]}'{similar}.")
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
    }
    return settings_class(**{name: value for name, value in values.items() if name in names})
