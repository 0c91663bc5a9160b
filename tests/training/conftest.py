"""Runs of the recipes that only tests of training read, each trained once for all workers."""

import shutil

import pytest

from tests.networks import lively_body
from tests.shared_runs import make_once


@pytest.fixture(scope="session")
def adapted_result(scratch_run, colors, tmp_path_factory):
    """The result of a previous run's network, all of which is trained further."""
    import tlkit

    settings = tlkit.FinetuneSettings(
        from_run=str(scratch_run.path), freeze="none", epochs=3, batch_size=16, learning_rate=2e-3
    )
    return make_once(tmp_path_factory, "adapted", lambda folder: tlkit.finetune(colors, folder / "run", settings))


@pytest.fixture(scope="session")
def deep_result(colors, weights_file, tmp_path_factory):
    """The result of a classic classifier on a frozen network's features."""
    import tlkit

    pytest.importorskip("sklearn")
    settings = tlkit.ClassicSettings(features="mobilenet_025", weights=str(weights_file), image_size=32)
    return make_once(tmp_path_factory, "deep", lambda folder: tlkit.train_classic(colors, folder / "run", settings))


@pytest.fixture(scope="module")
def network():
    """A network of 64 pixels, whose time and disk are estimated."""
    return lively_body()


@pytest.fixture
def inputs(network, colors):
    """What an estimate is made from: 300 images to train on, 60 to validate on, three classes."""
    from tlkit.data.image import ImageSpec
    from tlkit.engines.keras import KerasEngine
    from tlkit.training.estimate import EstimateInput

    files = sorted(colors.rglob("*.png"))
    return EstimateInput(network, KerasEngine(network), files, ImageSpec(64), (300, 60), 3)


@pytest.fixture
def copied_colors(colors, tmp_path):
    """The colors in a folder that may be changed."""
    return shutil.copytree(colors, tmp_path / "images")
