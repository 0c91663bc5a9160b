"""The network or descriptor that turns images into features, for an index and later for its queries."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from tlkit.classic.descriptors import DESCRIPTORS, descriptor_sizes, find_descriptors, require_packages
from tlkit.data.folder import ImageFolder
from tlkit.data.image import ImageSpec
from tlkit.data.survey import choose_pixels
from tlkit.engines.base import EngineSpec
from tlkit.errors import OptionError, RunError
from tlkit.features.export import resolve_layer
from tlkit.features.extract import Features, extract
from tlkit.features.extractor import ExtractorSpec, FrozenExtractor, build_extractor, completed
from tlkit.features.store import FeatureKey
from tlkit.features.vectors import descriptor_extractor
from tlkit.runs.run import load_run
from tlkit.settings.search import IndexSettings
from tlkit.utils.parallel import single_threaded_blas
from tlkit.utils.progress import Progress
from tlkit.utils.storage import is_folder

STORED = (  # settings that features depend on, as the index keeps them
    *("backbone", "run", "layer", "weights", "descriptor", "image_size", "resize", "gray_range", "max_megapixels"),
    *("engine", "precision", "seed"),
)


@dataclass(frozen=True)
class ImageSource:
    """A frozen network, or a descriptor.

    Attributes:
        settings: with every "choose for me" replaced
        prepare: gives the extractor, perhaps still being made in the background
    """

    settings: IndexSettings
    prepare: Callable[[ThreadPoolExecutor], Future[FrozenExtractor]]

    @property
    def image(self) -> ImageSpec:
        """The square that is decoded."""
        return ImageSpec(self.settings.image_size, **self.settings.pixel_options)

    @property
    def stored(self) -> dict[str, Any]:
        """The settings that the index keeps."""
        return {name: getattr(self.settings, name) for name in STORED}

    def read(self, folder: ImageFolder, progress: Progress) -> tuple[Features, str]:
        """Compute the features of images that are not cached yet.

        Returns:
            The features, and the key of what makes them

        Raises:
            ModelError, RunError, OptionError
        """
        quietly = single_threaded_blas() if self.settings.descriptor else nullcontext()
        with quietly, ThreadPoolExecutor(1) as background:
            extractor = self.prepare(background)
            features = extract(folder, extractor, self.image, progress)
            return features, _key_of(extractor.result().key)


def find_source(settings: IndexSettings, folder: ImageFolder | None = None) -> ImageSource:
    """Find the network or the descriptor of some settings.

    Args:
        folder: surveyed images, by which resize and gray range are chosen where they are still to be chosen

    Raises:
        OptionError, ModelError, RunError
    """
    if settings.run:
        settings = replace(settings, run=str(load_run(settings.run).path.absolute()))
    if folder is not None:
        settings = replace(settings, **choose_pixels(settings.resize, settings.gray_range, folder.survey))
    if settings.descriptor:
        return _descriptor_source(settings)
    settings, layer = resolve_layer(settings)
    image = ImageSpec(settings.image_size, **settings.pixel_options)
    spec = ExtractorSpec(image, EngineSpec(settings.engine, settings.precision), layer.cut)

    def prepare(background: ThreadPoolExecutor) -> Future[FrozenExtractor]:
        """Prepare the network."""
        return build_extractor(background, layer.build, layer.identity, spec, layer.source)

    return ImageSource(settings, prepare)


def stored_source(stored: Mapping[str, Any], run: str, trust_model: bool) -> ImageSource:
    """Find the network or the descriptor of an index again.

    Args:
        stored: as `ImageSource.stored` gives it
        run: its run folder, if that moved; else ""

    Raises:
        OptionError, ModelError, RunError
    """
    moved = {"run": folder} if (folder := run_of(stored, run)) else {}
    return find_source(IndexSettings(**{**stored, **moved, "trust_model": trust_model}))


def run_of(stored: Mapping[str, Any], run: str) -> str:
    """Name the run folder whose features an index has; "" if they are of no run.

    Args:
        run: where it is now, if it moved; else ""

    Raises:
        RunError: if it is gone, or there is none
    """
    if run and not stored["run"]:
        raise RunError("the features of this index are of no run; leave out --run.")
    folder = run or stored["run"]
    if isinstance(folder, str) and folder and not run and not is_folder(folder):
        raise RunError(f"the run '{folder}', whose features this index has, is gone; name it with --run if it moved.")
    return folder


def _descriptor_source(settings: IndexSettings) -> ImageSource:
    rows = find_descriptors(settings.descriptor)
    if len(rows) > 1 or rows[0].is_local:
        known = ", ".join(name for name, row in DESCRIPTORS.items() if not row.is_local)
        raise OptionError(f"--descriptor is '{settings.descriptor}'; an index has one of {known}.")
    require_packages(rows)
    size = descriptor_sizes(rows, settings.image_size)[0]
    settings = replace(settings, image_size=size, engine="auto")
    image = ImageSpec(size, **settings.pixel_options)
    return ImageSource(settings, lambda _: completed(descriptor_extractor(rows[0], size, image)))


def _key_of(key: FeatureKey) -> str:
    """Name what makes features; another version of the engine rounds differently, no more."""
    return replace(key, engine_version="").digest
