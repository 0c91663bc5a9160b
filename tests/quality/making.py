"""Small data sets with something wrong."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from tlkit.data.duplicates import find_near_duplicates, group_images
from tlkit.data.folder import ImageFolder
from tlkit.data.image import ImageSpec, decode_image
from tlkit.data.reader import read_data
from tlkit.quality.base import CheckedData


def photo(seed: int, side: int = 96) -> Image.Image:
    """Make an image with details of several sizes; no two seeds alike."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize(
        (side, side), Image.Resampling.BICUBIC
    )
    fine = Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).filter(ImageFilter.GaussianBlur(1.5))
    return Image.blend(coarse, fine, 0.3)


def save(image: Image.Image, file: Path, **options: object) -> Path:
    """Write an image, with the folders it needs."""
    file.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    image.save(content, {".jpg": "JPEG", ".png": "PNG"}[file.suffix], **options)
    file.write_bytes(content.getvalue())
    return file


def photos(root: Path, counts: dict[str, int], start: int = 0) -> Path:
    """Make a folder of classes with so many images each."""
    seed = start
    for name, count in counts.items():
        for index in range(count):
            save(photo(seed), root / name / f"{index}.png")
            seed += 1
    return root


def looked_at(root: Path, features: np.ndarray | None = None) -> CheckedData:
    """Read a folder as `check` does."""
    folder = read_data(root)
    decoded = [decode_image(file.read_bytes(), ImageSpec(32)) for file in folder.files]
    folder = folder.with_contents(
        *zip(*((image.sha256, image.digest, image.appearance) for image in decoded), strict=True)
    )
    near = find_near_duplicates(folder.appearances["thumbnail"], folder.digests)
    return CheckedData(group_images(folder), near, features)


def position(folder: ImageFolder, path: str) -> int:
    """Find an image by its path."""
    return folder.paths.index(path)
