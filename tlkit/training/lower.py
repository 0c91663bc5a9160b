"""Prepares the part of a network that keeps its weights, while the photos are already being read."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from tlkit.data.pixels import DECODE_VERSION
from tlkit.engines.engine import engine_version
from tlkit.engines.open import open_engine
from tlkit.engines.pixels import PixelEngine
from tlkit.engines.store import Converted, find_converted, keep_converted, source_key, weights_digest
from tlkit.features import FeatureKey
from tlkit.models.backbones import find_backbone
from tlkit.reading import Lower
from tlkit.settings import FinetuneSettings

PIXELS, FEATURES = "pixels", "features"


def build_in_background(background: ThreadPoolExecutor, settings: FinetuneSettings) -> Future[Any]:
    """Start to build the backbone; importing Keras alone takes seconds."""
    return background.submit(_build, settings)


def prepare_lower(background: ThreadPoolExecutor, body: Future[Any], settings: FinetuneSettings) -> Future[Lower]:
    """The frozen part: at once where it was converted before, else as soon as the body is built.

    raises: ModelError
    """
    if settings.freeze == "none":
        return there(Lower(PixelEngine(), _pixels_key(settings), None))
    kept = find_converted(_source_key(settings)) if settings.engine != "keras" else None
    return there(_opened(kept, settings)) if kept else background.submit(_convert, body, settings)


def lower_at(body: Any, cut: Any, settings: FinetuneSettings) -> Lower:
    """The frozen part below a cut inside the backbone, converted where it was not before.

    body: with the weights it was built with below the cut
    raises: ModelError
    """
    import keras

    network = keras.Model(body.input, cut.tensor, name="lower")
    place = f"cut {cut.index}"
    weights = weights_digest(network)
    key = replace(_features_key(settings, weights), cut=place)
    if settings.engine == "keras":
        from tlkit.engines.keras import KerasEngine

        return Lower(KerasEngine(network), key)
    source = _source_key(settings, place) or weights
    kept = find_converted(source) or keep_converted(source, _litert(network), weights)
    return Lower(open_engine(settings.engine, kept.file, settings.precision), key, kept.file)


def _litert(network: Any) -> bytes:
    from tlkit.engines.convert import to_litert

    return to_litert(network, pixels=True)


def _build(settings: FinetuneSettings) -> Any:
    from tlkit.models.backend import start_keras

    start_keras()
    from tlkit.models.body import build_body

    return build_body(find_backbone(settings.backbone), settings.weights, settings.image_size, settings.seed)


def there(lower: Lower) -> Future[Lower]:
    """A lower network that is ready, for those who would wait for one."""
    future: Future[Lower] = Future()
    future.set_result(lower)
    return future


def _convert(body: Future[Any], settings: FinetuneSettings) -> Lower:
    network = body.result()
    weights = weights_digest(network)
    if settings.engine == "keras":
        from tlkit.engines.keras import KerasEngine

        return Lower(KerasEngine(network), _features_key(settings, weights), None)
    return _opened(keep_converted(_source_key(settings) or weights, _litert(network), weights), settings)


def _opened(converted: Converted, settings: FinetuneSettings) -> Lower:
    engine = open_engine(settings.engine, converted.file, settings.precision)
    return Lower(engine, _features_key(settings, converted.weights_sha256), converted.file)


def _source_key(settings: FinetuneSettings, cut: str = "") -> str | None:
    return source_key(find_backbone(settings.backbone), settings.weights, settings.image_size, settings.seed, cut)


def _features_key(settings: FinetuneSettings, weights_sha256: str) -> FeatureKey:
    return FeatureKey(
        decode_version=DECODE_VERSION,
        resize=settings.resize,
        image_size=settings.image_size,
        engine=settings.engine,
        engine_version=engine_version(settings.engine),
        precision=settings.precision,
        weights_sha256=weights_sha256,
        cut=FEATURES,
    )


def _pixels_key(settings: FinetuneSettings) -> FeatureKey:
    """Below the first layer nothing depends on an engine or on weights."""
    return FeatureKey(DECODE_VERSION, settings.resize, settings.image_size, "", "", "", "", PIXELS)
