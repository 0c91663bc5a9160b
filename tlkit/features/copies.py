"""Images that are nearly the same: by pixels, and where a backbone gives features also crops of each other."""

from typing import Any

import numpy as np

from tlkit.data.duplicates import NearDuplicates, Pair
from tlkit.data.folder import ImageFolder
from tlkit.data.image import ImageSpec
from tlkit.engines.base import EngineSpec, choose_engine, is_installed
from tlkit.features.crops import find_crops
from tlkit.features.extract import extract
from tlkit.features.extractor import completed, pixel_extractor
from tlkit.features.vectors import compute_deep
from tlkit.models.backbones import cached_backbones, find_backbone
from tlkit.models.sources import PretrainedBackbone
from tlkit.utils.progress import Progress

PREFERRED = "mobilenet_v2"
LOOK_SIZE = 32  # pixels of the square that is decoded where no backbone is used


def near_pairs(folder: ImageFolder, near: NearDuplicates, features: np.ndarray | None) -> list[Pair]:
    """List the pairs of images that are nearly the same, the most alike first; with features also crops.

    Args:
        folder: the images, with their contents
        near: their near duplicates by pixels
        features: of a backbone, float32 (images, values); None where none is used
    """
    assert folder.appearances is not None, "the files are read"
    digests, found = folder.digests, {(pair.first, pair.second): pair for pair in near.pairs}
    if features is not None:
        for pair in find_crops(features, folder.appearances["thumbnail"], folder.files, near):
            found.setdefault((pair.first, pair.second), pair)
    pairs = [pair for pair in found.values() if digests[pair.first] != digests[pair.second]]
    return sorted(pairs, key=lambda pair: (-pair.score, pair.first, pair.second))


def read_with_backbone(
    folder: ImageFolder, backbone: str, pixel_options: dict[str, Any], progress: Progress
) -> tuple[ImageFolder, np.ndarray | None, str]:
    """Read all images once: with the features of a backbone, or without any.

    Args:
        backbone: its name; "auto" takes one whose weights are cached, "none" does without
        pixel_options: of `ImageSpec`

    Returns:
        The readable images, their features float32 (images, values), the name of the backbone; None and "" without one

    Raises:
        ModelError, OptionError
    """
    name = backbone
    if name == "auto":
        cached = cached_backbones() if is_installed("keras") else []
        name = PREFERRED if PREFERRED in cached else cached[0] if cached else "none"
    if name == "none":
        image = ImageSpec(LOOK_SIZE, **pixel_options)
        return extract(folder, completed(pixel_extractor(image)), image, progress, name="reading").folder, None, ""
    row = find_backbone(name)
    source = PretrainedBackbone(row, "imagenet", row.image_size, 0)
    image = ImageSpec(row.image_size, **pixel_options)
    engine = EngineSpec(choose_engine("auto", "float32"), "float32")
    features = compute_deep(folder, source, image, engine, progress).features
    return features.folder, features.load(features.folder).astype(np.float32), row.name


def missing_backbone(effect: str) -> str:
    """Say what is left out without a backbone, and why there is none."""
    reason = "no pretrained weights are cached" if is_installed("keras") else "this needs pip install 'tlkit[train]'"
    return f"{effect}: {reason}."
