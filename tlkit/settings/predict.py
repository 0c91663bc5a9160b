"""What `tlkit predict` may vary."""

from dataclasses import dataclass
from typing import Literal

from tlkit.settings.base import check_settings, setting
from tlkit.settings.learning import EngineName

TableFormat = Literal["auto", "table", "csv", "json", "jsonl"]


@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """What `tlkit predict` may vary."""

    format: TableFormat = setting(
        "auto", "Output", "Of the rows; auto is a table on a terminal, the ending of -o, else csv."
    )
    top_k: int = setting(1, "Output", "Likeliest classes shown per image.", min=1)
    probs: bool = setting(False, "Output", "Add the probability of every class.")
    skip_unreadable: bool = setting(False, "Output", "Leave out inputs that are no readable image, and do not fail.")
    engine: EngineName = setting("auto", "Speed", "What computes; auto is the engine the run was made with.")

    def __post_init__(self) -> None:
        check_settings(self)
