"""Small files and images that several tests make."""

import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tlkit.data.appearance import APPEARANCE

RUN_FILES = {
    *("golden.json", *(f"golden/{number}.png" for number in range(6))),  # of six validation images
    "DONE",
    "confusion_matrix.csv",
    "engine/head.npz",
    "engine/references.npy",
    "history.csv",
    "map.csv",
    "metrics.json",
    "model.json",
    "model.keras",
    "per_class.csv",
    "plots/confusion.png",
    "plots/curves.png",
    "predictions_val.csv",
    "report.html",
    "MODEL_CARD.md",
    "wrong.csv",
    "settings.json",
    "split.csv",
}
CHAIN_FILES = {"engine/lower.tflite", "engine/head.tflite"}  # of a run with frozen layers


def permissions_bind() -> bool:
    """Tell whether this process is refused what a folder's mode forbids; root, as a rule, is not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0)
        bound = not os.access(folder, os.R_OK) and not os.access(folder, os.W_OK)
        folder.chmod(0o700)
    return bound


needs_permissions = pytest.mark.skipif(not permissions_bind(), reason="this process may read and write any folder")


def touch(root: Path, *paths: str) -> Path:
    """Empty files below `root`, with the folders they need."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def encoded(image: Image.Image | np.ndarray, kind: str = "PNG", **options) -> bytes:
    """Encode an image as a file of this format."""
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, kind, **options)
    return file.getvalue()


def appearance(seed: int = 0) -> np.void:
    """What an image looks like that nobody drew; no two seeds alike."""
    described = np.zeros((), APPEARANCE)
    described["thumbnail"] = np.random.default_rng(seed).integers(0, 256, (32, 32))
    return described[()]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 (height, width, 3), no two seeds alike."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
