"""A run that was stopped goes on, and ends with the very weights of one that was not."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from tests.networks import keras
from tlkit.errors import RunError
from tlkit.settings.training import FinetuneSettings
from tlkit.training.finetune import finetune
from tlkit.training.loop import checkpoint
from tlkit.training.resume import resume
from tlkit.utils.progress import Silent

SETTINGS = FinetuneSettings(
    backbone="mobilenet_025",
    weights="none",
    freeze="lower",
    cut="conv_pw_5_relu",
    image_size=32,
    hidden="8",
    batch_size=16,
    upper_batch_size=16,
    epochs=6,
    upper_epochs=4,
    patience=50,
    views=2,
)
OPTIONS = [
    *("--backbone", "mobilenet_025", "--weights", "none", "--freeze", "lower", "--cut", "conv_pw_5_relu"),
    *("--image-size", "32", "--hidden", "8", "--batch-size", "16", "--upper-batch-size", "16"),
    *("--epochs", "6", "--upper-epochs", "4", "--patience", "50", "--views", "2"),
]


class StoppedError(Exception):
    """Stands for a crash: nothing of tlkit catches it."""


class StopsAfter(Silent):
    """A progress that ends the process's work after some epochs."""

    def __init__(self, epochs):
        super().__init__()
        self.left = epochs

    def stage(self, name, total, unit):
        if unit != "epochs":
            return super().stage(name, total, unit)
        return self

    def __enter__(self):
        return self.advance

    def __exit__(self, *error):
        return None

    def advance(self, done):
        if self.left < 0:
            raise StoppedError
        self.left -= done


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    root = tmp_path_factory.mktemp("resume")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TLKIT_CACHE", str(root / "cache"))
        yield root


@pytest.fixture(scope="module")
def expected(cache, colours):
    return weights_of(finetune(colours, cache / "whole", SETTINGS).run.path)


def weights_of(path):
    return keras.models.load_model(path / "model.keras", compile=False).get_weights()


def assert_same(path, expected):
    for found, wanted in zip(weights_of(path), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


SLOWLY = pytest.mark.slow
STOPS = [pytest.param(0, marks=SLOWLY), 5, 6, pytest.param(8, marks=SLOWLY)]  # two more in the test below


@pytest.mark.parametrize("epochs", STOPS)
def test_a_run_stopped_after_any_epoch_ends_with_identical_weights(epochs, cache, colours, expected):
    path = cache / f"stopped-{epochs}"
    with pytest.raises(StoppedError):
        finetune(colours, path, SETTINGS, StopsAfter(epochs))
    resume(path)
    assert_same(path, expected)
    assert len((path / "history.csv").read_text().splitlines()) == 1 + 6 + 1 + 4
    assert not list(path.glob("checkpoint*"))
    assert (path / "DONE").exists()


def test_a_run_stopped_twice_ends_the_same(cache, colours, expected):
    path = cache / "twice"
    with pytest.raises(StoppedError):
        finetune(colours, path, SETTINGS, StopsAfter(3))
    with pytest.raises(StoppedError):
        resume(path, StopsAfter(7))
    resume(path)
    assert_same(path, expected)


EVERYTHING = replace(SETTINGS, optimizer="sgd", ema=0.9, mixup=0.3, cutmix=1.0, clip=1.0, class_weight="sqrt")
WAYS = {
    "one cycle": replace(EVERYTHING, decay="one-cycle"),
    "plateau": replace(EVERYTHING, decay="plateau"),
    "whole, augmented": replace(EVERYTHING, freeze="none", augment="strong", epochs=5),
}


@pytest.mark.parametrize("way", [pytest.param(way, marks=[SLOWLY] * (way != "plateau")) for way in WAYS])
def test_averages_plateaus_mixing_and_augmentation_go_on_as_they_would_have(way, cache, colours):
    place = cache / way
    finetune(colours, place / "whole", WAYS[way])
    with pytest.raises(StoppedError):
        finetune(colours, place / "stopped", WAYS[way], StopsAfter(3))
    resume(place / "stopped")
    assert_same(place / "stopped", weights_of(place / "whole"))


def stopped(colours, path):
    with pytest.raises(StoppedError):
        finetune(colours, path, SETTINGS, StopsAfter(2))


def test_changed_images_are_refused_with_the_difference_and_nothing_is_lost(cache, colours, tmp_path):
    images = shutil.copytree(colours, tmp_path / "images")
    stopped(images, tmp_path / "run")
    next(iter(sorted((images / "red").iterdir()))).unlink()
    before = sorted((tmp_path / "run").iterdir())
    with pytest.raises(RunError, match=r"1 gone \(such as red/"):
        resume(tmp_path / "run")
    assert sorted((tmp_path / "run").iterdir()) == before


def test_a_damaged_checkpoint_is_named(cache, colours, tmp_path):
    stopped(colours, tmp_path / "run")
    (tmp_path / "run" / "checkpoint-head.npz").write_bytes(b"PK rubbish")
    with pytest.raises(RunError, match=r"checkpoint-head.npz' is damaged"):
        resume(tmp_path / "run")


def test_a_finished_run_has_nothing_to_resume(cache, expected):
    with pytest.raises(RunError, match="is finished"):
        resume(cache / "whole")


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="is no unfinished run"):
        resume(tmp_path)


def test_random_draws_depend_on_seed_epoch_and_layer():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dropout(0.5)])

    def states(seed, epoch):
        checkpoint.seed_draws(model, seed, epoch)
        return [tuple(np.asarray(layer.seed_generator.state).tolist()) for layer in model.layers]

    assert states(0, 1) == states(0, 1)
    assert len({*states(0, 1), *states(0, 2), *states(1, 1)}) == 6


def test_short_epochs_share_a_checkpoint_and_the_last_is_always_written(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 1000.0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    standing = checkpoint.TrainingState(model.get_weights(), 8)

    def prepare(found):
        assert found.batch_size == 8
        model.compile(keras.optimizers.AdamW())

    prepare(standing)
    kept = checkpoint.Checkpoint(tmp_path / "checkpoint-head.npz")
    kept.save(model, standing)
    assert not kept.file.exists()
    standing.history, standing.ended, standing.rate = [{"epoch": 1}], True, 0.3
    kept.save(model, standing)
    found = kept.load(model, prepare)
    assert (found.history, found.ended, found.rate) == ([{"epoch": 1}], True, 0.3)


def command(*arguments, cache):
    environment = os.environ | {"TLKIT_CACHE": str(cache)}
    return subprocess.Popen(
        [sys.executable, "-m", "tlkit", "finetune", *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_an_interrupted_run_says_so_with_code_130(name, cache, colours, tmp_path):
    process = command(colours, "-o", tmp_path / "run", *OPTIONS, "--epochs", "100000", cache=cache / "cache")
    deadline = time.monotonic() + 90
    while not (tmp_path / "run" / "checkpoint-head.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(name)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Interrupted." in output
    assert (tmp_path / "run" / "UNFINISHED").exists()


@pytest.mark.slow
def test_twenty_kills_spread_over_a_run_change_nothing(colours, tmp_path):
    """Each in an empty cache of its own, at 5 to 95 % of the time the run takes."""
    started = time.monotonic()
    whole = command(colours, "-o", tmp_path / "whole", *OPTIONS, cache=tmp_path / "c")
    assert whole.wait(timeout=200) == 0
    seconds = time.monotonic() - started
    expected = weights_of(tmp_path / "whole")
    for number, share in enumerate(np.linspace(0.05, 0.95, 20)):
        path, cache = tmp_path / f"run-{number}", tmp_path / f"cache-{number}"
        process = command(colours, "-o", path, *OPTIONS, cache=cache)
        time.sleep(share * seconds)
        process.kill()
        process.wait()
        again = ("--resume", path) if (path / "settings.json").exists() else (colours, "-o", path, *OPTIONS)
        if not (path / "DONE").exists():
            if path.exists() and not (path / "settings.json").exists():
                shutil.rmtree(path)
            finished = command(*again, cache=cache)
            output, _ = finished.communicate(timeout=200)
            assert finished.returncode == 0, output
        assert_same(path, expected)


def test_an_option_that_differs_is_refused(cache, colours, tmp_path):
    stopped(colours, tmp_path / "run")
    process = command("--resume", tmp_path / "run", "--epochs", "7", cache=cache / "cache")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--epochs is 7, but" in output
    assert "begun with 6" in output
    assert (tmp_path / "run" / "checkpoint-head.npz").exists()
