"""A frozen network ready to run, and the key its features are cached under."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tlkit.data.image import DECODE_VERSION
from tlkit.engines.base import Engine, IdentityEngine, engine_version
from tlkit.engines.cache import ConvertedModel, conversion_key, load_converted, save_converted, weights_digest
from tlkit.engines.factory import open_engine
from tlkit.features.store import FeatureKey
from tlkit.models.architectures.registry import ARCHITECTURES
from tlkit.models.backbones import find_backbone
from tlkit.runs.warm_start import previous_backbone
from tlkit.settings.commands import FeaturesSettings
from tlkit.settings.training import AnySettings, ClassicSettings, FinetuneSettings, TrainingSettings, TrainSettings
from tlkit.utils.files import sha256_text


@dataclass(frozen=True)
class FeatureExtractor:
    """The frozen part of a network, ready to run.

    key   what its features are kept under
    file  the converted network, where there is one
    half  whether its features are kept in float16
    """

    engine: Engine
    key: FeatureKey
    file: Path | None = None
    half: bool = False


PIXELS, FEATURES = "pixels", "features"
FrozenSettings = AnySettings | FeaturesSettings


def build_in_background(background: ThreadPoolExecutor, settings: TrainingSettings) -> Future[Any]:
    """Start to build the backbone; importing Keras alone takes seconds."""
    return background.submit(_build, settings)


def prepare_extractor(
    background: ThreadPoolExecutor, body: Future[Any], settings: TrainingSettings
) -> Future[FeatureExtractor]:
    """The frozen part: at once where it was converted before, else as soon as the body is built.

    raises: ModelError
    """
    if settings.freeze == "none":
        return completed(FeatureExtractor(IdentityEngine(), _pixels_key(settings), None))
    kept = load_converted(_source_key(settings)) if settings.engine != "keras" else None
    return completed(_opened(kept, settings)) if kept else background.submit(_convert_when_built, body, settings)


def backbone_extractor(background: ThreadPoolExecutor, settings: ClassicSettings) -> Future[FeatureExtractor]:
    """The frozen part where Keras trains nothing above it.

    raises: ModelError
    """
    return build_extractor(background, settings, partial(_build, settings), _source_key(settings))


def build_extractor(
    background: ThreadPoolExecutor,
    settings: FrozenSettings,
    build: Callable[[], Any],
    source: str | None,
    cut: str = "",
) -> Future[FeatureExtractor]:
    """A frozen network; where it was converted before, Keras is not even imported.

    source: what it is made from, as a hash, where that is known before it is built
    raises: ModelError
    """
    kept = load_converted(source) if settings.engine != "keras" else None
    if kept:
        return completed(_opened(kept, settings, cut))
    return background.submit(lambda: _frozen(build(), settings, cut, source))


def extractor_at_cut(body: Any, cut: Any, settings: TrainingSettings) -> FeatureExtractor:
    """The frozen part below a cut inside the backbone, converted where it was not before.

    body: with the weights it was built with below the cut
    raises: ModelError
    """
    import keras

    place = f"cut {cut.index}"
    return _frozen(keras.Model(body.input, cut.tensor, name="lower"), settings, place, _source_key(settings, place))


def _build(settings: AnySettings) -> Any:
    from tlkit.models.keras_setup import start_keras

    start_keras()
    from tlkit.models.build import build_backbone

    if isinstance(settings, FinetuneSettings) and settings.from_run:
        return previous_backbone(settings)
    if isinstance(settings, TrainSettings) and settings.model in ARCHITECTURES:
        from tlkit.models.architectures.build import build_architecture

        row, seed = ARCHITECTURES[settings.model], settings.seed
        return build_architecture(row, settings.image_size, settings.changes, settings.grey, seed)
    return build_backbone(find_backbone(settings.backbone), settings.weights, settings.image_size, settings.seed)


def completed(lower: FeatureExtractor) -> Future[FeatureExtractor]:
    """A lower network that is ready, for those who would wait for one."""
    future: Future[FeatureExtractor] = Future()
    future.set_result(lower)
    return future


def _convert_when_built(body: Future[Any], settings: TrainingSettings) -> FeatureExtractor:
    network = body.result()
    return _frozen(network, settings, source=_source_key(settings))


def _frozen(network: Any, settings: FrozenSettings, cut: str = "", source: str | None = None) -> FeatureExtractor:
    """A network as the engine runs it, converted where it was not before."""
    weights = weights_digest(network)
    if settings.engine == "keras":
        from tlkit.engines.keras import KerasEngine

        return FeatureExtractor(KerasEngine(network), _features_key(settings, weights, cut))
    source = source or sha256_text(weights, cut)
    return _opened(load_converted(source) or _converted(network, source, weights), settings, cut)


def _converted(network: Any, source: str, weights: str) -> ConvertedModel:
    from tlkit.engines.keras import to_litert

    return save_converted(source, to_litert(network, pixels=True), weights)


def _opened(converted: ConvertedModel, settings: FrozenSettings, cut: str = "") -> FeatureExtractor:
    engine = open_engine(settings.engine, converted.file, settings.precision)
    return FeatureExtractor(engine, _features_key(settings, converted.weights_sha256, cut), converted.file)


def _source_key(settings: AnySettings, cut: str = "") -> str | None:
    if settings.from_run:
        return None  # its weights are known when it is built
    return conversion_key(find_backbone(settings.backbone), settings.weights, settings.image_size, settings.seed, cut)


def _features_key(settings: FrozenSettings, weights_sha256: str, cut: str) -> FeatureKey:
    return FeatureKey(
        decode_version=DECODE_VERSION,
        resize=settings.resize,
        image_size=settings.image_size,
        engine=settings.engine,
        engine_version=engine_version(settings.engine),
        precision=settings.precision,
        weights_sha256=weights_sha256,
        cut=cut or FEATURES,
    )


def _pixels_key(settings: TrainingSettings) -> FeatureKey:
    """Below the first layer nothing depends on an engine or on weights."""
    return FeatureKey(DECODE_VERSION, settings.resize, settings.image_size, "", "", "", "", PIXELS)
