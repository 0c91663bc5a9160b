"""Options of every training: finetune, train, and classic classifiers; and reading a settings.json."""

from dataclasses import dataclass, fields
from typing import Any, Literal

from tlkit.errors import OptionError
from tlkit.settings.base import setting, validate
from tlkit.settings.shared import (
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
)

BatchNorms = Literal["frozen", "shift", "trained"]
Activation = Literal["relu", "leaky_relu", "tanh", "sigmoid", "elu", "gelu", "selu", "silu", "softplus"]
ClassifierName = Literal[
    "svm", "linear-svm", "rbf-svm", "logistic", "perceptron", "knn", "random-forest", "naive-bayes"
]


@dataclass(frozen=True, kw_only=True)
class StartSettings:
    """Options of the pretrained network, and how much of it is trained."""

    backbone: str = setting("mobilenet_v2", "Main", "Pretrained network to start from; `tlkit models` lists them.")
    freeze: Literal["auto", "all", "lower", "none"] = setting(
        "auto", "Main", "Layers that keep their weights: all of the backbone's, the lower ones, none; auto measures."
    )
    weights: str = setting("imagenet", "Start", "Weights to start from: imagenet, none (random) or a weights file.")
    from_run: str = setting("", "Start", "Start from the classifier of a former run: its folder.")


@dataclass(frozen=True, kw_only=True)
class BlocksSettings:
    """Options of training the top blocks on cached features."""

    cut: str = setting(
        "auto", "Freeze lower", "Where layers begin to be trained: a cut point's name, a share of the layers, or auto."
    )
    views: int = setting(3, "Freeze lower", "Views of each image to learn from; the first is plain.", min=1, max=100)
    upper_epochs: int = setting(0, "Freeze lower", "Passes over the images; 0 to choose by their number.", min=0)
    upper_batch_size: int = setting(32, "Freeze lower", "Images per step.", min=1, max=65536)
    upper_learning_rate: float | None = setting(
        None, "Freeze lower", "Largest step size, for the head; not given, the optimizer's own.", above=0, max=100
    )
    layer_decay: float = setting(
        0.5, "Freeze lower", "Share of that step size just above the cut; it rises to 1 at the head.", above=0, max=1
    )
    batch_norms: BatchNorms = setting(
        "frozen", "Freeze lower", "What the backbone's batch norms learn: to shift, nothing, or all, from batches."
    )
    head_first: bool = setting(True, "Freeze lower", "Train the head before the blocks.")
    cache_limit: float = setting(
        0.0, "Freeze lower", "Disk space for kept activations, in GB; 0 for a quarter of what is free.", min=0
    )


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(
    RuntimeSettings,
    LoggingSettings,
    BlocksSettings,
    OptimizerSettings,
    LossSettings,
    HeadSettings,
    AugmentSettings,
    DataSettings,
    StartSettings,
):
    """Settings of `tlkit finetune`.

    The help page has the fields in their order here: of the last base first.
    """

    def __post_init__(self) -> None:
        validate(self)
        check_data(self)
        if self.hidden != "auto":
            hidden_units(self.hidden)


@dataclass(frozen=True, kw_only=True)
class ArchitectureSettings:
    """Options of a network that is trained from scratch."""

    model: str = setting("lenet5_relu", "Main", "Network to train from scratch; `tlkit models` lists them.")
    width: float = setting(1.0, "Network", "Factor of the number of filters and units.", above=0, max=8)
    gray: bool = setting(False, "Network", "Let it see brightness only.")
    hidden: str = setting("auto", "Network", "Units of mlp's hidden layers, such as 200,80.")
    activation: Activation | None = setting(
        None, "Network", "Of hidden layers; leaky_relu has a slope of 0.1; not given, the paper's."
    )
    batch_norm: bool | None = setting(
        None, "Network", "A batch norm after each hidden layer of those that have none; not given, the paper's."
    )
    dropout: float | None = setting(
        None, "Network", "Share of the units dropped; not given, the paper's.", min=0, below=1
    )
    batch_size: int = setting(0, "Optimizer", "Images per step; 0 to choose by their number.", min=0, max=65536)
    patience: int = setting(20, "Optimizer", "Epochs without a better one before it stops.", min=1)


@dataclass(frozen=True, kw_only=True)
class TrainSettings(
    ArchitectureSettings,
    RuntimeSettings,
    LoggingSettings,
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
        "Describe pictures by hand instead: colors, histogram, lbp, hog, haralick, bow, fisher; several with +; auto.",
    )
    pyramid: int = setting(1, "Classic", "Levels of the spatial pyramid over bow and fisher.", min=1, max=4)


@dataclass(frozen=True, kw_only=True)
class DeepFeatureSettings:
    """Options of a pretrained network's features."""

    features: str = setting(
        "", "Classic", "Describe them by a pretrained network's features instead: a backbone of `tlkit models`."
    )
    weights: str = setting("imagenet", "Classic", "That network's: imagenet, none (random) or a weights file.")


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings:
    """Options of the classic classifier."""

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
class ClassicOptions(ClassifierSettings, DeepFeatureSettings, DescriptorSettings):
    """All options that only a classic classifier has."""


@dataclass(frozen=True, kw_only=True)
class ClassicSettings(RuntimeSettings, ClassicOptions, SplitSettings):
    """Settings of `tlkit train` of a classic classifier, on handcrafted features or on a network's."""

    def __post_init__(self) -> None:
        validate(self)
        check_split(self)
        if bool(self.descriptor) == bool(self.features):
            raise OptionError("expected either --descriptor, such as hog, or --features, such as mobilenet_v2.")


NetworkSettings = FinetuneSettings | TrainSettings
TrainingSettings = NetworkSettings | ClassicSettings
SETTINGS_BY_COMMAND: dict[str, type[FinetuneSettings] | type[TrainSettings]] = {
    "finetune": FinetuneSettings,
    "train": TrainSettings,
}


def settings_from(content: dict[str, Any], command: str = "finetune") -> TrainingSettings:
    """Make settings of the content of a `settings.json`.

    command: the settings' command, where the content does not name it
    raises: OptionError for an unknown command, and for keys that are no setting of it
    """
    command = content.get("command", command)
    if command not in SETTINGS_BY_COMMAND:
        raise OptionError(f"'{command}' is no training; expected {' or '.join(SETTINGS_BY_COMMAND)}.")
    is_classic = command == "train" and (content.get("descriptor") or content.get("features"))
    settings_class = ClassicSettings if is_classic else SETTINGS_BY_COMMAND[command]
    names = {item.name for item in fields(settings_class)}
    if unknown := sorted(content.keys() - names - {"command", "data"}):
        raise OptionError(f"there is no setting '{unknown[0]}'; the settings are {', '.join(sorted(names))}.")
    return settings_class(**{name: value for name, value in content.items() if name in names})
