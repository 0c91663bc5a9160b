"""The engine that `--engine auto` takes: the usual one, or for many images the fastest on this machine, by a trial."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tlkit.engines.base import EngineSpec
from tlkit.engines.cache import ConvertedModel, conversion_key, load_converted
from tlkit.engines.trial import can_try, recall_trial, try_engines
from tlkit.features.extractor import ExtractorSpec, build_extractor, feature_key
from tlkit.features.store import cached_fraction
from tlkit.models.sources import NetworkSource
from tlkit.utils.storage import Location

USUAL = EngineSpec("litert")
MIN_IMAGES = 3000  # of fewer, no engine saves as much as a trial takes


def choose_by_trial(source: NetworkSource, spec: ExtractorSpec, files: Sequence[Location]) -> tuple[str, str]:
    """Choose the engine of a frozen network, and give the sentence for the run; "" where there is nothing to say.

    A trial is made once for a network, a size and a processor. Where the usual engine has computed the features of
    these files already, it stays.

    Args:
        spec: with the engine that is usual

    Raises:
        ModelError
    """
    identity = source.identity()
    if spec.engine != USUAL or identity is None or not can_try():
        return spec.engine.name, ""
    network = load_converted(conversion_key(identity))
    trial, is_new = recall_trial(network) if network else None, False
    if trial is None and len(files) >= MIN_IMAGES:
        if network is None:
            with ThreadPoolExecutor(1) as background:
                build_extractor(background, source.build, identity, spec, source).result()
            network = load_converted(conversion_key(identity))
        if network and not _are_cached(files, network, spec):
            trial, is_new = try_engines(network), True
    if trial is None or network is None:
        return USUAL.name, ""
    if trial.fastest == USUAL.name or _are_cached(files, network, spec):
        return USUAL.name, str(trial) if is_new else ""
    return trial.fastest, str(trial)


def _are_cached(files: Sequence[Location], network: ConvertedModel, spec: ExtractorSpec) -> bool:
    return cached_fraction(files, feature_key(spec, network.weights_sha256)) > 1 / 2
