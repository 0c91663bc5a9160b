"""A frozen network ready to run, and the key its features are cached under."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlkit.data.image import DECODE_VERSION, ImageSpec
from tlkit.engines.base import Engine, EngineSpec, IdentityEngine, engine_version
from tlkit.engines.cache import (
    CONVERSION_VERSION,
    Conversion,
    ConvertedModel,
    conversion_key,
    load_converted,
    save_converted,
    weights_digest,
)
from tlkit.engines.conversion import convert_in_child, convert_to_features
from tlkit.engines.factory import open_engine
from tlkit.engines.keras import KerasEngine, save_network, to_litert
from tlkit.features.store import FeatureKey
from tlkit.models.sources import NetworkSource
from tlkit.utils.files import atomic_write, sha256_text

PIXELS, FEATURES = "pixels", "features"  # cuts: before the first layer; where a head begins


@dataclass(frozen=True)
class ExtractorSpec:
    """Everything but the network that features depend on.

    Attributes:
        cut: where the network ends, in cache keys; "" for the features a head is trained on
    """

    image: ImageSpec
    engine: EngineSpec
    cut: str = ""


@dataclass(frozen=True)
class FrozenExtractor:
    """The frozen part of a network, ready to run.

    Attributes:
        key: its features are cached under it
        converted: the network as files, where there are any
        half: whether its features are cached in float16
    """

    engine: Engine
    key: FeatureKey
    converted: ConvertedModel | None = None
    half: bool = False

    @property
    def file(self) -> Path | None:
        """The converted network, where there is one."""
        return self.converted.file if self.converted else None

    def save(self, folder: Path) -> str:
        """Write the network for `predict` into a folder, and give the file's name."""
        if self.file:
            atomic_write(folder / "lower.tflite", self.file.read_bytes())
            return "lower.tflite"
        assert isinstance(self.engine, KerasEngine)
        save_network(self.engine.network, folder / "lower.keras")
        return "lower.keras"


def pixel_extractor(image: ImageSpec) -> FrozenExtractor:
    """Make the extractor of a training in which nothing is frozen: pixels depend on no engine and no weights."""
    return FrozenExtractor(IdentityEngine(), FeatureKey(DECODE_VERSION, image, "", "", "", "", PIXELS))


def build_extractor(
    background: ThreadPoolExecutor,
    build: Callable[[], Any],
    identity: Sequence[object] | None,
    spec: ExtractorSpec,
    source: NetworkSource | None = None,
) -> Future[FrozenExtractor]:
    """Prepare a frozen network; where it was converted before, Keras is not even imported.

    Args:
        build: gives the network as a Keras model, from pixels to vectors; called in the background, if at all
        identity: of the network, where it is known before it is built
        source: what the whole network is built from, where a child process may convert it

    Raises:
        ModelError
        Exception: through the future, every error of `build`
    """
    converted = load_converted(conversion_key(identity)) if identity and spec.engine.name != "keras" else None
    if converted:
        return completed(_open(converted, spec))

    def prepare() -> FrozenExtractor:
        """Convert the network, in a child process or here."""
        is_whole = spec.engine.name != "keras" and not spec.cut
        if source and identity and is_whole and (conversion := convert_in_child(source)):
            return _open(save_converted(conversion_key(identity), conversion), spec)
        return convert_extractor(build(), identity, spec)

    return background.submit(prepare)


def convert_extractor(network: Any, identity: Sequence[object] | None, spec: ExtractorSpec) -> FrozenExtractor:
    """Prepare a network that is built, converted where it was not before.

    Raises:
        ModelError
    """
    weights = weights_digest(network)
    if spec.engine.name == "keras":
        return FrozenExtractor(KerasEngine(network), feature_key(spec, weights))
    key = conversion_key(identity) if identity else sha256_text(weights, spec.cut)
    converted = load_converted(key)
    if not converted:
        conversion = Conversion(to_litert(network, pixels=True), weights) if spec.cut else None
        converted = save_converted(key, conversion or convert_to_features(network, weights))
    return _open(converted, spec)


def completed(extractor: FrozenExtractor) -> Future[FrozenExtractor]:
    """Wrap an extractor that is ready, for those who would wait for one."""
    future: Future[FrozenExtractor] = Future()
    future.set_result(extractor)
    return future


def _open(converted: ConvertedModel, spec: ExtractorSpec) -> FrozenExtractor:
    engine = open_engine(spec.engine, converted.file)
    return FrozenExtractor(engine, feature_key(spec, converted.weights_sha256), converted)


def feature_key(spec: ExtractorSpec, weights_sha256: str) -> FeatureKey:
    """Make the key of the features of a network with these weights."""
    return FeatureKey(
        decode_version=DECODE_VERSION,
        image=spec.image,
        engine=spec.engine.name,
        engine_version=f"{engine_version(spec.engine.name)} of conversion {CONVERSION_VERSION}",
        precision=spec.engine.precision,
        weights_sha256=weights_sha256,
        cut=spec.cut or FEATURES,
    )
