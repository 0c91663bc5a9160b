"""A picture of augmented images, as training sees them."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from tlkit.data.augment import AugmentedViews, choose_augmentation
from tlkit.data.decode import read_file
from tlkit.data.folder import ImageFolder, read_folder
from tlkit.data.image import decode_image
from tlkit.errors import DataError, ImageError
from tlkit.settings.commands import ContactSheetSettings
from tlkit.utils.files import check_new_file, refuse_inside, write_new

GAP = 4  # white pixels between views


def draw_contact_sheet(data: str | Path, file: Path, settings: ContactSheetSettings) -> list[str]:
    """Write a PNG with one line of views per picture.

    returns: the paths of the pictures, relative to `data`, in the order of the lines
    raises: DataError where no picture can be read; OptionError where `file` is there, or would lie among the images
    """
    check_new_file(file)
    folder = read_folder(data)
    refuse_inside(folder.root, file)
    views = AugmentedViews(settings.views, settings.seed, choose_augmentation(settings))
    lines: dict[str, np.ndarray] = {}
    for row in _spread(folder):
        if len(lines) == settings.images:
            break
        try:
            photo = decode_image(read_file(folder.files[row]), settings.image_size, settings.resize, views)
        except ImageError:
            continue
        lines[folder.paths[row]] = photo.pixels
    if not lines:
        raise DataError(f"no image in '{data}' can be read; give a folder of images.")
    _write_sheet(np.stack(list(lines.values())), file)
    return list(lines)


def _spread(folder: ImageFolder) -> list[int]:
    """Positions of all images: the first of each class, then the second of each, and so on."""
    labels = folder.labels
    rank = np.zeros(len(labels), dtype=np.int64)
    for label in range(folder.num_classes):
        rank[labels == label] = np.arange(np.sum(labels == label))
    return [int(row) for row in np.lexsort((labels, rank))]


def _write_sheet(views: np.ndarray, file: Path) -> None:
    """views: uint8 (pictures, views, size, size, 3)"""
    pictures, count, size = views.shape[:3]
    step = size + GAP
    sheet = np.full((pictures * step + GAP, count * step + GAP, 3), 255, np.uint8)
    for row, column in np.ndindex(pictures, count):
        top, left = GAP + row * step, GAP + column * step
        sheet[top : top + size, left : left + size] = views[row, column]
    content = io.BytesIO()
    Image.fromarray(sheet).save(content, "PNG")
    write_new(file, content.getvalue())
