import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while they wait take the other worker's core
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # likewise

import numpy as np
import pytest
from PIL import Image

from tests.networks import enliven, keras
from tests.object_store import object_store, s3  # noqa: F401  fixtures
from tests.shared_runs import (  # noqa: F401  fixtures
    blocks_result,
    blocks_run,
    classic_result,
    classic_run,
    comparison,
    copy_run,
    finetuned,
    finetuned_run,
    group_of_test,
    make_once,
    scratch_result,
    scratch_run,
)

TENSORFLOW_COLLECTED = pytest.StashKey[bool]()
COLORS = {"blue": (40, 60, 200), "green": (50, 180, 60), "red": (210, 50, 40)}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With `--dist loadgroup`, let one worker run all tests of a file that share a training of its own.

    pytest-xdist 3.8 finds no group of a test under pytest 9.2 (its issue 1386), so files are looked up here.
    """
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class LoadTrainings(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return group_of_test(config.rootpath, nodeid)

    return LoadTrainings(config, log)


def pytest_collection_finish(session):
    """Write down whether a test file imported TensorFlow, which every worker would wait for."""
    session.config.stash[TENSORFLOW_COLLECTED] = "tensorflow" in sys.modules


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real photos and weights, where the machine has it."""
    if "TLKIT_TEST_DATA" not in os.environ:
        pytest.skip("TLKIT_TEST_DATA does not name the folder of real photos and weights")
    folder = Path(os.environ["TLKIT_TEST_DATA"])
    if not folder.is_dir():
        pytest.skip(f"TLKIT_TEST_DATA is '{folder}', which is not a folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """No test reads or fills the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("TLKIT_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def brief_measurements():
    """Speeds are measured for a moment: no test needs the seconds that make a figure steady."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tlkit.comparison.results.MAX_TIMED_SECONDS", 0.05)
        patch.setattr("tlkit.doctor.machine.SECONDS", 0.05)
        patch.setattr("tlkit.export.verification.MEASURED_SECONDS", 0.05)
        yield


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of this test's own."""
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def colors(tmp_path_factory):
    """Three classes that any network tells apart: 12 noisy 48x48 squares of one color each."""
    return make_once(tmp_path_factory, "colors", draw_colors)


def draw_colors(folder):
    random = np.random.default_rng(0)
    for name, color in COLORS.items():
        (folder / name).mkdir()
        for number in range(12):
            pixels = np.clip(random.normal(color, 20, (48, 48, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory):
    """Weights of a small backbone whose features differ from color to color, enough for a head to tell them apart.

    Random weights alone give every image nearly the same features, which vanish in the batch norms.
    """

    def save_weights(folder):
        keras.utils.set_random_seed(0)
        network = keras.applications.MobileNet(alpha=0.25, include_top=False, weights=None, input_shape=(32, 32, 3))
        enliven(network)
        network.save_weights(folder / "small.weights.h5")
        return folder / "small.weights.h5"

    return make_once(tmp_path_factory, "weights", save_weights)


@pytest.fixture(scope="session")
def run(finetuned_run):
    """A finished run, to be read only; another name of `finetuned_run`."""
    return finetuned_run


@pytest.fixture
def own_run(finetuned_run, tmp_path):
    """A copy of the finished run that a test may damage."""
    return copy_run(finetuned_run, tmp_path)


@pytest.fixture(scope="session")
def signs(tmp_path_factory):
    """Three classes named as digits are, of eight shades of gray each."""
    root = tmp_path_factory.mktemp("signs")
    random = np.random.default_rng(0)
    for name in range(3):
        (root / str(name)).mkdir()
        for number in range(8):
            pixels = random.integers(0, 85, (16, 16, 3), np.uint8) + np.uint8(85 * name)
            Image.fromarray(pixels).save(root / str(name) / f"{number}.png")
    return root
