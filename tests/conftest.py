import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

COLOURS = {"blue": (40, 60, 200), "green": (50, 180, 60), "red": (210, 50, 40)}


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real photos and weights, where the machine has it."""
    if "TLKIT_TEST_DATA" not in os.environ:
        pytest.skip("TLKIT_TEST_DATA does not name the folder of real photos and weights")
    folder = Path(os.environ["TLKIT_TEST_DATA"])
    if not folder.is_dir():
        pytest.skip(f"TLKIT_TEST_DATA names '{folder}', which is no folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """No test reads or fills the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("TLKIT_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def colours(tmp_path_factory):
    """Three classes that any network tells apart: 12 noisy 48x48 squares of one colour each."""
    root = tmp_path_factory.mktemp("colours")
    random = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (root / name).mkdir()
        for number in range(12):
            pixels = np.clip(random.normal(colour, 20, (48, 48, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root
