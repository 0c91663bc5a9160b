"""Settings of `tlkit robustness`."""

from dataclasses import dataclass
from typing import Literal

from tlkit.settings.base import documented, setting, validate
from tlkit.settings.shared import (
    MAX_SEED,
    CsvDialect,
    EngineName,
    LayoutSettings,
    csv_dialect_option,
    trust_model_option,
)


@documented
@dataclass(frozen=True, kw_only=True)
class RobustnessSettings(LayoutSettings):
    """Settings of `tlkit robustness`."""

    corruptions: str = setting(
        "", "Main", "Comma-separated corruptions, e.g. jpeg,motion-blur; docs/robustness.md lists them. Default: all."
    )
    severities: str = setting("1,2,3,4,5", "Main", "Comma-separated severities, from 1 (mild) to 5.")
    max_images: int = setting(
        1000, "Main", "Number of images to measure, drawn at random if there are more; 0 for all.", min=0
    )
    split: Literal["auto", "train", "validation", "test", "all"] = setting(
        "auto",
        "Main",
        "Subset to use; auto: the validation images of RUN, or of DATA its test/, else its val/, else all.",
    )
    seed: int = setting(
        0, "Main", "Random seed of the choice of images, and of noise, angles and positions.", min=0, max=MAX_SEED
    )
    engine: EngineName = setting("auto", "Speed", "Engine; auto is the one the run was trained with.")
    trust_model: bool = trust_model_option()
    csv_dialect: CsvDialect = csv_dialect_option()

    def __post_init__(self) -> None:
        validate(self)
