"""Near duplicates of a folder: the pairs that `tlkit check` finds, without its other checks."""

from dataclasses import dataclass, replace
from typing import Any

from tlkit.data.duplicates import equal_sets, find_near_duplicates
from tlkit.data.folder import ImageFolder
from tlkit.data.reader import DataOptions, read_data
from tlkit.data.survey import choose_pixels
from tlkit.features.copies import missing_backbone, near_pairs, read_with_backbone
from tlkit.settings.base import settings_or_options
from tlkit.settings.commands import CheckSettings
from tlkit.utils.progress import Progress, Silent
from tlkit.utils.storage import Location


@dataclass(frozen=True)
class NearPair:
    """Two images that are nearly the same.

    Attributes:
        first, second: paths relative to DATA
        labels: their classes
        score: correlation of their details, up to 1; for crops that of the part they share
    """

    first: str
    second: str
    labels: tuple[str, str]
    score: float


@dataclass(frozen=True)
class NearResult:
    """The near duplicates of a folder.

    Attributes:
        pairs: of different pixels, the most alike first
        equal: sets of files with equal pixels
        folder: the readable images
        notes: what a person should know
    """

    pairs: tuple[NearPair, ...]
    equal: tuple[tuple[str, ...], ...]
    folder: ImageFolder
    notes: tuple[str, ...]


def find_near_images(
    data: str | Location, settings: CheckSettings | None = None, progress: Progress | None = None, **options: Any
) -> NearResult:
    """Find the images of a folder that are equal or nearly the same, as `check` does.

    Args:
        data: a folder or a table of images
        settings: the options; the defaults where it is None
        progress: shows what is done; nothing is shown where it is None
        options: fields of `CheckSettings`, in place of `settings`

    Returns:
        Pairs and sets of images

    Raises:
        DataError
        ModelError
        OptionError
    """
    settings = settings_or_options(CheckSettings, settings, options, data=data)
    folder = read_data(data, DataOptions(**settings.data_options)).surveyed()
    settings = replace(settings, **choose_pixels(settings.resize, settings.gray_range, folder.survey))
    folder, features, backbone = read_with_backbone(
        folder, settings.backbone, settings.pixel_options, progress or Silent()
    )
    near = find_near_duplicates(folder.appearances["thumbnail"], folder.digests)  # type: ignore[index]
    paths, names = folder.paths, [folder.class_names[label] for label in folder.labels.tolist()]
    pairs = [
        NearPair(paths[pair.first], paths[pair.second], (names[pair.first], names[pair.second]), pair.score)
        for pair in near_pairs(folder, near, features)
    ]
    equal = [tuple(folder.paths[position] for position in positions) for positions in equal_sets(folder)]
    notes = [] if backbone else [missing_backbone("no crops are looked for")]
    if near.series:
        series = f"{len(near.series):,} images look nearly alike, as those of a fixed camera do"
        notes.append(f"{series}; they are in no pair.")
    return NearResult(tuple(pairs), tuple(equal), folder, tuple(notes))
