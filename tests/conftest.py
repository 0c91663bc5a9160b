import os
import shutil
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


@pytest.fixture(scope="session")
def weights_file(colours, tmp_path_factory):
    """Weights of a small backbone at 32 pixels whose random features differ from colour to colour.

    Random weights alone give every image the same features; here each batch norm has the
    statistics of the coloured squares.
    """
    from tlkit.models.keras_setup import start_keras

    keras = start_keras()
    keras.utils.set_random_seed(0)
    network = keras.applications.MobileNet(alpha=0.25, include_top=False, weights=None, input_shape=(32, 32, 3))
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    squares = [np.asarray(Image.open(path).resize((32, 32)), np.float32) for path in sorted(colours.glob("*/*.png"))]
    network(np.stack(squares) / 127.5 - 1, training=True)
    file = tmp_path_factory.mktemp("weights") / "small.weights.h5"
    network.save_weights(file)
    return file


@pytest.fixture(scope="session")
def finetuned(colours, weights_file, tmp_path_factory):
    """What `finetune` returns for the coloured squares: a real run made in seconds."""
    from tlkit import FinetuneSettings, finetune

    settings = FinetuneSettings(
        backbone="mobilenet_025",
        weights=str(weights_file),
        freeze="all",
        image_size=32,
        hidden="0",
        epochs=12,
        batch_size=16,
        learning_rate=0.02,
    )
    return finetune(colours, tmp_path_factory.mktemp("runs") / "colours", settings)


@pytest.fixture(scope="session")
def run(finetuned):
    """A finished run, to be read only."""
    return finetuned.run


@pytest.fixture
def own_run(run, tmp_path):
    """A copy of the finished run that a test may damage."""
    from tlkit.runs.run import Run

    return Run(shutil.copytree(run.path, tmp_path / "own_run"))
