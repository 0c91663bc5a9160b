"""What `tlkit summary` may vary of a network it knows by name."""

from dataclasses import dataclass

from tlkit.settings.base import check_settings, setting


@dataclass(frozen=True, kw_only=True)
class SummarySettings:
    """How it is built."""

    image_size: int = setting(0, "Main", "Height and width in pixels; 0 for the network's own.", min=0, max=2048)
    num_classes: int = setting(1000, "Main", "Classes it tells apart.", min=1, max=100_000)
    width: float = setting(1.0, "Main", "Factor of the number of filters and units.", above=0, max=8)
    grey: bool = setting(False, "Main", "Let it see brightness only.")

    def __post_init__(self) -> None:
        check_settings(self)
