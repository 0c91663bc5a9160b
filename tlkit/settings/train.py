"""What `tlkit train` may vary."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from tlkit.settings.base import check_settings, setting
from tlkit.settings.data import DataSettings, check_data
from tlkit.settings.learning import (
    AugmentSettings,
    LossSettings,
    OptimizerSettings,
    SpeedSettings,
    WatchSettings,
    hidden_units,
)

Activation = Literal["relu", "leaky_relu", "tanh", "sigmoid", "elu", "gelu", "selu", "silu", "softplus"]


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """What is trained."""

    model: str = setting("lenet5_relu", "Main", "Network to train from scratch; `tlkit models` lists them.")
    width: float = setting(1.0, "Network", "Factor of the number of filters and units.", above=0, max=8)
    grey: bool = setting(False, "Network", "Let it see brightness only.")
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
    NetworkSettings,
    SpeedSettings,
    WatchSettings,
    OptimizerSettings,
    LossSettings,
    AugmentSettings,
    DataSettings,
):
    """A training from scratch is a finetuning in which nothing is frozen and nothing was learnt before."""

    freeze: ClassVar[str] = "none"
    weights: ClassVar[str] = "none"
    from_run: ClassVar[str] = ""
    batch_norms: ClassVar[str] = "trained"
    head_first: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_settings(self)
        check_data(self)
        if self.hidden != "auto":
            hidden_units(self.hidden)

    @property
    def changes(self) -> dict[str, Any]:
        """What differs from the paper's network."""
        given = {name: getattr(self, name) for name in ("width", "activation", "batch_norm", "dropout")}
        units = {} if self.hidden == "auto" else {"hidden": hidden_units(self.hidden)}
        return units | {name: value for name, value in given.items() if value is not None}

    @property
    def backbone(self) -> str:
        """The network, by the name its features go by."""
        return self.model
