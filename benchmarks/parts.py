"""tlkit's own steps up to the features, as `tlkit finetune` takes them, for the scripts that look at one of them."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tlkit.features.extractor import FeatureExtractor, build_in_background, prepare_extractor
from tlkit.settings.training import FinetuneSettings


class BodyWhenNeeded:
    """Stands for the backbone and builds it only when it is asked for: a converted network needs no Keras."""

    def __init__(self, settings: FinetuneSettings) -> None:
        self._settings = settings

    def result(self) -> Any:
        """The backbone, as the future that `build_in_background` returns gives it."""
        with ThreadPoolExecutor(1) as background:
            return build_in_background(background, self._settings).result()


def ready_lower(settings: FinetuneSettings) -> FeatureExtractor:
    """The frozen part of the network, converted and opened.

    settings: resolved
    """
    with ThreadPoolExecutor(1) as background:
        body: Any = BodyWhenNeeded(settings)
        return prepare_extractor(background, body, settings).result()
