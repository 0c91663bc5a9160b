"""What `tlkit evaluate` may vary."""

from dataclasses import dataclass
from typing import Literal

from tlkit.settings.base import check_settings, setting
from tlkit.settings.learning import EngineName


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """What `tlkit evaluate` may vary."""

    split: Literal["auto", "train", "validation", "test", "all"] = setting(
        "auto", "Main", "Images to use; auto is validation, or for DATA its test/, else val/, else all."
    )
    include_training: bool = setting(False, "Main", "Count images of DATA that the run was trained on, too.")
    min_accuracy: float = setting(0.0, "Main", "Fail with exit code 5 below this accuracy.", min=0, max=1)
    top_k: int = setting(3, "Main", "Also tell how often the class is among this many likeliest.", min=1)
    engine: EngineName = setting("auto", "Speed", "What computes; auto is the engine the run was made with.")

    def __post_init__(self) -> None:
        check_settings(self)
