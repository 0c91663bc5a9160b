"""Thumbnails for a page: every image once, and never more bytes than a page may have."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from PIL import Image

from tlkit.data.decode import open_upright, to_rgb
from tlkit.data.image import ImageSpec
from tlkit.data.sources.files import read_file
from tlkit.data.thumbnail import data_uri
from tlkit.errors import ImageError
from tlkit.utils.parallel import CHUNK, count_workers, in_chunks, ordered_map
from tlkit.utils.storage import Location

MAX_THUMBNAILS = 560  # of one page: 500 validation images, and copies of them
MAX_CHARACTERS = 2_200_000  # of all thumbnails as data URIs
LARGE, SMALL = 320, 144  # pixels of the longer side, of images that are looked at and of the others
QUALITY = 76  # of their JPEGs
CHANGED = "changed since the training"


@dataclass(frozen=True)
class Thumbnails:
    """Thumbnails of some images.

    Attributes:
        uris: data URIs by path
        problems: why an image has none, by path
    """

    uris: Mapping[str, str] = field(default_factory=dict, repr=False)
    problems: Mapping[str, str] = field(default_factory=dict)


def make_thumbnails(
    root: Location, large: Sequence[str], small: Sequence[str], sha256: Mapping[str, str], spec: ImageSpec
) -> Thumbnails:
    """Make thumbnails of the first `MAX_THUMBNAILS` images, those that are looked at first.

    Only files with the recorded content are shown: another file at the same path is not the image that was classified.

    Args:
        root: folder that the paths are relative to
        large, small: paths, by the size of the thumbnail
        sha256: of the files, by path
        spec: which says how gray values become bytes
    """
    sides = dict.fromkeys(small, SMALL) | dict.fromkeys(large, LARGE)
    chosen = list(dict.fromkeys([*large, *small]))[:MAX_THUMBNAILS]

    def work(paths: list[str]) -> list[str | ImageError]:
        """Make a few thumbnails, or find the reason why not."""
        return [_thumbnail(root / path, sides[path], sha256.get(path, ""), spec) for path in paths]

    uris, problems, num_characters = dict[str, str](), dict[str, str](), 0
    with ThreadPoolExecutor(count_workers()) as pool:
        results = (found for chunk in ordered_map(pool, work, in_chunks(chosen, CHUNK)) for found in chunk)
        for path, found in zip(chosen, results, strict=True):
            if isinstance(found, ImageError):
                problems[path] = str(found)
            elif num_characters + len(found) <= MAX_CHARACTERS:
                uris[path] = found
                num_characters += len(found)
    return Thumbnails(uris, problems)


def _thumbnail(file: Location, side: int, sha256: str, spec: ImageSpec) -> str | ImageError:
    try:
        content = read_file(file)
        if hashlib.sha256(content).hexdigest() != sha256:
            return ImageError(CHANGED)
        return shrink(to_rgb(open_upright(content, side, spec.max_megapixels), spec.gray_range), side)
    except ImageError as error:
        return error


def shrink(image: Image.Image, side: int) -> str:
    """Write a small copy of an RGB image as a data URI.

    Args:
        side: pixels of the longer side
    """
    small = image.convert("RGB")
    small.thumbnail((side, side))
    return data_uri(small, QUALITY)


def interleave(groups: Iterable[Sequence[str]]) -> list[str]:
    """Take one path of each group in turn, so that the first ones are of all groups.

    >>> interleave([["a", "b", "c"], ["d"], ["e", "f"]])
    ['a', 'd', 'e', 'b', 'f', 'c']
    """
    remaining, taken = [list(group) for group in groups], list[str]()
    while remaining := [group for group in remaining if group]:
        taken += [group.pop(0) for group in remaining]
    return taken
