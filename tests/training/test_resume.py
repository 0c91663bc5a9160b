"""A run that was stopped: what it needs to be resumed, kills, signals. That it ends the same is in test_recipe.py."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from tests.training.stops import StoppedError, StopsInEpoch, assert_same_training
from tlkit.errors import RunError
from tlkit.runs.run import Run, load_run
from tlkit.runs.unfinished import VERSIONS
from tlkit.settings.training import ClassicSettings, FinetuneSettings, TrainSettings
from tlkit.training.finetune import finetune
from tlkit.training.from_scratch import train
from tlkit.training.resume import RECIPES, recipe_of, resume

QUICK = TrainSettings(model="linear", image_size=8, epochs=4, batch_size=16)
BLOCKS = FinetuneSettings(
    backbone="mobilenet_025", weights="none", freeze="lower", cut="conv_pw_5_relu", image_size=32, hidden="8",
    batch_size=16, upper_batch_size=16, epochs=6, upper_epochs=4, patience=50, views=2,
)  # fmt: skip
OPTIONS = [
    *("--backbone", "mobilenet_025", "--weights", "none", "--freeze", "lower", "--cut", "conv_pw_5_relu"),
    *("--image-size", "32", "--hidden", "8", "--batch-size", "16", "--upper-batch-size", "16"),
    *("--epochs", "6", "--upper-epochs", "4", "--patience", "50", "--views", "2"),
]


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch):
    """A checkpoint after every epoch, however short."""
    monkeypatch.setattr("tlkit.training.loop.checkpoint.SECONDS_BETWEEN", 0.0)


def stopped(colors, path):
    """A run that was stopped in its third epoch."""
    with pytest.raises(StoppedError):
        train(colors, path, QUICK, StopsInEpoch(2))
    return Run(path)


def test_recipe_of_every_settings_class_gives_a_recipe_of_it():
    options = {ClassicSettings: {"descriptor": "hog"}}
    recipes = {kind: recipe_of(kind(**options.get(kind, {}))) for kind in RECIPES}
    assert [kind for kind, recipe in recipes.items() if type(recipe.settings) is not kind] == []
    assert [recipe.command for recipe in recipes.values()] == ["finetune", "train", "train"]


# what is refused


def test_resume_changed_images_are_refused_with_difference_and_nothing_is_lost(copied_colors, tmp_path):
    run = stopped(copied_colors, tmp_path / "run")
    min((copied_colors / "red").iterdir()).unlink()
    before = sorted(run.path.iterdir())
    with pytest.raises(RunError, match=r"1 missing \(e.g. red/"):
        resume(run.path)
    assert sorted(run.path.iterdir()) == before


def test_resume_with_another_version_of_a_package_is_refused_and_changes_nothing(colors, tmp_path):
    run = stopped(colors, tmp_path / "run")
    kept = run.read_json(VERSIONS)
    run.write_json(VERSIONS, kept | {"keras": "3.0.0"})
    before = {file: file.read_bytes() for file in run.path.iterdir() if file.is_file()}
    with pytest.raises(RunError, match=r"started with keras 3\.0\.0, but keras .* is installed; .*'keras==3\.0\.0'"):
        resume(run.path)
    assert {file: file.read_bytes() for file in run.path.iterdir() if file.is_file()} == before
    run.write_json(VERSIONS, kept)
    assert not (resume(run.path).run.path / VERSIONS).exists()


def test_resume_damaged_checkpoint_is_named(colors, tmp_path):
    run = stopped(colors, tmp_path / "run")
    (run.path / "checkpoint-whole.npz").write_bytes(b"PK rubbish")
    with pytest.raises(RunError, match=r"checkpoint-whole.npz' is damaged"):
        resume(run.path)


def test_resume_damaged_settings_are_named(colors, tmp_path):
    run = stopped(colors, tmp_path / "run")
    content = run.read_json("settings.json")
    without_data = {name: value for name, value in content.items() if name != "data"}
    changes = ({"no_such_option": 1}, {"epochs": "many"}, {"command": "dance"})
    for damaged in (without_data, [], *(content | change for change in changes)):
        run.write_json("settings.json", damaged)
        with pytest.raises(RunError, match=r"settings.json' is damaged"):
            resume(run.path)


def test_resume_finished_run_is_refused(finetuned_run):
    with pytest.raises(RunError, match="is finished"):
        resume(finetuned_run.path)


def test_resume_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="is not an unfinished run"):
        resume(tmp_path)


def test_resume_comparison_is_refused_with_its_command(tmp_path):
    (tmp_path / "UNFINISHED").touch()
    Run(tmp_path).write_json("settings.json", {"command": "compare"})
    with pytest.raises(RunError, match="is a comparison; `tlkit compare --resume"):
        resume(tmp_path)


# every option at once

EVERYTHING = replace(BLOCKS, optimizer="sgd", ema=0.9, mixup=0.3, cutmix=1.0, clip_norm=1.0, class_weight="sqrt")
WHOLE = replace(EVERYTHING, freeze="none", cut="auto", views=3, upper_epochs=0, upper_batch_size=32)
WAYS = {
    "one cycle": replace(EVERYTHING, schedule="one-cycle"),
    "plateau": replace(EVERYTHING, schedule="plateau"),
    "whole, augmented": replace(WHOLE, augment="strong", epochs=5),
}


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.parametrize("way", WAYS)
def test_resume_continues_averages_plateaus_mixing_and_augmentation(way, colors, tmp_path):
    expected = finetune(colors, tmp_path / "whole", WAYS[way]).run
    with pytest.raises(StoppedError):
        finetune(colors, tmp_path / "stopped", WAYS[way], StopsInEpoch(3))
    assert_same_training(resume(tmp_path / "stopped").run, expected)


# processes


def command(*arguments, cache):
    environment = os.environ | {"TLKIT_CACHE": str(cache)}
    return subprocess.Popen(
        [sys.executable, "-m", "tlkit", *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_command_says_so_with_code_130(name, colors, tmp_path):
    options = ("--model", "linear", "--image-size", "8", "--epochs", "100000", "--patience", "100000")
    process = command("train", colors, "-o", tmp_path / "run", *options, cache=tmp_path / "cache")
    deadline = time.monotonic() + 90
    while not (tmp_path / "run" / "checkpoint-whole.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(name)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    said = re.fullmatch(r"Stopped after (\d+) of 100,000 epochs\. Continue: (.+)", output.splitlines()[-1])
    assert said, output
    assert int(said[1]) > 0
    assert said[2] == f"tlkit train --resume {tmp_path / 'run'}"
    assert (tmp_path / "run" / "UNFINISHED").exists()


def test_resume_with_option_that_differs_is_refused(colors, tmp_path):
    from click.testing import CliRunner

    from tlkit.cli import main

    run = stopped(colors, tmp_path / "run")
    result = CliRunner().invoke(main, ["train", "--resume", str(run.path), "--epochs", "7"])
    assert result.exit_code == 2
    assert "--epochs is 7, but" in result.stderr
    assert "started with 4" in result.stderr
    assert (run.path / "checkpoint-whole.npz").exists()


@pytest.mark.slow
@pytest.mark.training
def test_twenty_kills_spread_over_a_run_change_nothing(colors, tmp_path):
    """Each in an empty cache of its own, at 5 to 95 % of the time the run takes."""
    start = ("finetune", colors, *OPTIONS)
    started = time.monotonic()
    assert command(*start, "-o", tmp_path / "whole", cache=tmp_path / "c").wait(timeout=600) == 0
    seconds = time.monotonic() - started
    expected = load_run(tmp_path / "whole")
    for number, fraction in enumerate(np.linspace(0.05, 0.95, 20)):
        path, cache = tmp_path / f"run-{number}", tmp_path / f"cache-{number}"
        process = command(*start, "-o", path, cache=cache)
        time.sleep(fraction * seconds)
        process.kill()
        process.wait()
        again = ("finetune", "--resume", path) if (path / "settings.json").exists() else (*start, "-o", path)
        if not (path / "DONE").exists():
            if path.exists() and not (path / "settings.json").exists():
                shutil.rmtree(path)
            finished = command(*again, cache=cache)
            output, _ = finished.communicate(timeout=600)
            assert finished.returncode == 0, output
        assert_same_training(load_run(path), expected)
