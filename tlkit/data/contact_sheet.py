"""A contact sheet of augmented images, as training sees them."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from tlkit.data.augment import AugmentedViews
from tlkit.data.folder import ImageFolder
from tlkit.data.image import ImageSpec, decode_image
from tlkit.data.listing import FileEntry, summarize_reasons
from tlkit.data.sources.files import read_file
from tlkit.data.survey import fitted_to
from tlkit.errors import DataError, ImageError
from tlkit.utils.files import check_new_file, write_new

GAP = 4  # white pixels between views


def draw_contact_sheet(
    folder: ImageFolder, file: Path, spec: ImageSpec, views: AugmentedViews, num_images: int
) -> list[str]:
    """Write a PNG with one line of views per image.

    Args:
        spec: with the resize "auto" it is chosen as in a training
        num_images: lines at most; files that cannot be read are passed over

    Returns:
        The paths of the images, relative to the folder's root, in the order of the lines

    Raises:
        DataError: if no image can be read
        OptionError: if `file` exists
    """
    check_new_file(file)
    folder = folder.surveyed()
    spec = fitted_to(folder.survey, spec) if folder.survey else spec
    lines, skipped = dict[str, np.ndarray](), list[FileEntry]()
    for index in _alternate_classes(folder):
        if len(lines) == num_images:
            break
        try:
            image = decode_image(read_file(folder.files[index]), spec, views)
        except ImageError as error:
            skipped.append(FileEntry(folder.paths[index], str(error)))
            continue
        lines[folder.paths[index]] = image.pixels
    if not lines:
        raise DataError(
            f"no image in '{folder.root}' can be read: {summarize_reasons(skipped)}; expected a folder of images."
        )
    content = io.BytesIO()
    Image.fromarray(_arrange(np.stack(list(lines.values())))).save(content, "PNG")
    write_new(file, content.getvalue())
    return list(lines)


def _alternate_classes(folder: ImageFolder) -> list[int]:
    """List the positions of all images: the first of each class, then the second of each, and so on."""
    labels = folder.labels
    rank = np.zeros(len(labels), dtype=np.int64)
    for label in range(folder.num_classes):
        rank[labels == label] = np.arange(np.sum(labels == label))
    return [int(index) for index in np.lexsort((labels, rank))]


def _arrange(views: np.ndarray) -> np.ndarray:
    """Put uint8 (images, views, size, size, 3) on a white sheet: uint8 (height, width, 3)."""
    num_images, num_views, size = views.shape[:3]
    step = size + GAP
    sheet = np.full((num_images * step + GAP, num_views * step + GAP, 3), 255, np.uint8)
    for line, column in np.ndindex(num_images, num_views):
        top, left = GAP + line * step, GAP + column * step
        sheet[top : top + size, left : left + size] = views[line, column]
    return sheet
