"""Small real image folders that need no download, to try things on."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tlkit.errors import OptionError, require
from tlkit.utils.files import rename_new_folder, temporary_beside

if TYPE_CHECKING:
    import numpy as np

DIGIT_SIZE = 32  # pixels; the digits themselves have 8
MAX_INK = 16  # scikit-learn's digits are 0, paper, to 16, ink


def write_digits(folder: Path) -> int:
    """Write the handwritten digits that come with scikit-learn as `folder`/<digit>/digit_<number>.png.

    The 1,797 images are gray, 32x32, black on white, and numbered from 1 in scikit-learn's order;
    source: UCI's "Optical Recognition of Handwritten Digits", E. Alpaydin and C. Kaynak, 1998.
    The folder gets its name when all are written: an interrupted run leaves nothing there.

    Returns:
        The number of files

    Raises:
        OptionError: if `folder` exists or cannot be written
        ModelError: if scikit-learn is not installed
    """
    taken = OptionError(f"'{folder}' already exists; choose a new folder.")
    if os.path.lexists(folder):
        raise taken
    unfinished = temporary_beside(folder)
    try:
        images, labels = _load_digits()
        _write_classes(unfinished, images, labels)
        rename_new_folder(unfinished, folder)
    except FileExistsError:
        raise taken from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise OptionError(f"'{folder}' cannot be written ({reason}); choose another folder.") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return len(labels)


def _load_digits() -> "tuple[np.ndarray, np.ndarray]":
    """Load images (1797, 8, 8), 0 to 16, and labels (1797,), 0 to 9."""
    require("scikit-learn", "samples", "`tlkit sample digits`")
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images, digits.target


def _write_classes(root: Path, images: "np.ndarray", labels: "np.ndarray") -> None:
    from PIL import Image

    for name in sorted(set(labels.tolist())):
        (root / str(name)).mkdir(parents=True)
    for number, (image, label) in enumerate(zip(images, labels, strict=True), start=1):
        gray = Image.fromarray((255 - image * (255 / MAX_INK)).round().astype("uint8"))
        enlarged = gray.resize((DIGIT_SIZE, DIGIT_SIZE), Image.Resampling.BICUBIC)
        enlarged.save(root / str(label) / f"digit_{number:04}.png")
