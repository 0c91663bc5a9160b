"""What `tlkit gradcheck` may vary."""

from dataclasses import dataclass

from tlkit.settings.base import check_settings, setting


@dataclass(frozen=True, kw_only=True)
class GradcheckSettings:
    """How the network is built, and how much of it is tried."""

    image_size: int = setting(0, "Main", "Height and width in pixels; 0 for the least there can be.", min=0, max=512)
    num_classes: int = setting(4, "Main", "Classes it tells apart.", min=2, max=1000)
    width: float = setting(0.1, "Main", "Factor of the number of filters and units.", above=0, max=8)
    per_layer: int = setting(4, "Main", "Entries of each weight that are tried.", min=1, max=1000)
    seed: int = setting(0, "Main", "Decides weights, pictures and which entries.", min=0, max=2**31 - 1)

    def __post_init__(self) -> None:
        check_settings(self)
