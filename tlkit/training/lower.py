"""Prepares the part of a network that keeps its weights, while the photos are already being read."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from tlkit.data.pixels import DECODE_VERSION
from tlkit.engines.engine import engine_version
from tlkit.engines.open import open_engine
from tlkit.engines.pixels import PixelEngine
from tlkit.engines.store import Converted, find_converted, keep_converted, source_key, weights_digest
from tlkit.features import FeatureKey
from tlkit.files import sha256_text
from tlkit.models.backbones import find_backbone
from tlkit.models.networks import NETWORKS
from tlkit.reading import Lower
from tlkit.settings import (
    AnySettings,
    ClassicSettings,
    FeaturesSettings,
    FinetuneSettings,
    TrainingSettings,
    TrainSettings,
)
from tlkit.training.former import former_body

PIXELS, FEATURES = "pixels", "features"
FrozenSettings = AnySettings | FeaturesSettings


def build_in_background(background: ThreadPoolExecutor, settings: TrainingSettings) -> Future[Any]:
    """Start to build the backbone; importing Keras alone takes seconds."""
    return background.submit(_build, settings)


def prepare_lower(background: ThreadPoolExecutor, body: Future[Any], settings: TrainingSettings) -> Future[Lower]:
    """The frozen part: at once where it was converted before, else as soon as the body is built.

    raises: ModelError
    """
    if settings.freeze == "none":
        return there(Lower(PixelEngine(), _pixels_key(settings), None))
    kept = find_converted(_source_key(settings)) if settings.engine != "keras" else None
    return there(_opened(kept, settings)) if kept else background.submit(_convert, body, settings)


def lower_alone(background: ThreadPoolExecutor, settings: ClassicSettings) -> Future[Lower]:
    """The frozen part where Keras trains nothing above it.

    raises: ModelError
    """
    return lower_from(background, settings, partial(_build, settings), _source_key(settings))


def lower_from(
    background: ThreadPoolExecutor,
    settings: FrozenSettings,
    build: Callable[[], Any],
    source: str | None,
    cut: str = "",
) -> Future[Lower]:
    """A frozen network; where it was converted before, Keras is not even imported.

    source: what it is made from, as a hash, where that is known before it is built
    raises: ModelError
    """
    kept = find_converted(source) if settings.engine != "keras" else None
    if kept:
        return there(_opened(kept, settings, cut))
    return background.submit(lambda: _frozen(build(), settings, cut, source))


def lower_at(body: Any, cut: Any, settings: TrainingSettings) -> Lower:
    """The frozen part below a cut inside the backbone, converted where it was not before.

    body: with the weights it was built with below the cut
    raises: ModelError
    """
    import keras

    place = f"cut {cut.index}"
    return _frozen(keras.Model(body.input, cut.tensor, name="lower"), settings, place, _source_key(settings, place))


def _build(settings: AnySettings) -> Any:
    from tlkit.models.backend import start_keras

    start_keras()
    from tlkit.models.body import build_body

    if isinstance(settings, FinetuneSettings) and settings.from_run:
        return former_body(settings)
    if isinstance(settings, TrainSettings) and settings.model in NETWORKS:
        from tlkit.models.scratch.build import build_network

        row, seed = NETWORKS[settings.model], settings.seed
        return build_network(row, settings.image_size, settings.changes, settings.grey, seed)
    return build_body(find_backbone(settings.backbone), settings.weights, settings.image_size, settings.seed)


def there(lower: Lower) -> Future[Lower]:
    """A lower network that is ready, for those who would wait for one."""
    future: Future[Lower] = Future()
    future.set_result(lower)
    return future


def _convert(body: Future[Any], settings: TrainingSettings) -> Lower:
    network = body.result()
    return _frozen(network, settings, source=_source_key(settings))


def _frozen(network: Any, settings: FrozenSettings, cut: str = "", source: str | None = None) -> Lower:
    """A network as the engine runs it, converted where it was not before."""
    weights = weights_digest(network)
    if settings.engine == "keras":
        from tlkit.engines.keras import KerasEngine

        return Lower(KerasEngine(network), _features_key(settings, weights, cut))
    source = source or sha256_text(weights, cut)
    return _opened(find_converted(source) or _converted(network, source, weights), settings, cut)


def _converted(network: Any, source: str, weights: str) -> Converted:
    from tlkit.engines.convert import to_litert

    return keep_converted(source, to_litert(network, pixels=True), weights)


def _opened(converted: Converted, settings: FrozenSettings, cut: str = "") -> Lower:
    engine = open_engine(settings.engine, converted.file, settings.precision)
    return Lower(engine, _features_key(settings, converted.weights_sha256, cut), converted.file)


def _source_key(settings: AnySettings, cut: str = "") -> str | None:
    if settings.from_run:
        return None  # its weights are known when it is built
    return source_key(find_backbone(settings.backbone), settings.weights, settings.image_size, settings.seed, cut)


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
