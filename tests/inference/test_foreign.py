"""Native engines on files of strangers: tried in a child process first, with a verdict that is kept."""

import random
import time

import numpy as np
import pytest

from tests.cli.commands import posix, refused, tlkit
from tests.shared_runs import copy_run
from tests.test_hostile_runs import forge, rehash
from tlkit.engines.base import is_installed
from tlkit.errors import ModelError, RunError
from tlkit.inference import foreign
from tlkit.inference.foreign import VERDICT_FILES, run_trial, try_stages
from tlkit.runs.run import load_run

pytestmark = posix
CRASHING = slice(16072, 16076)  # of the scratch run's network: an offset that LiteRT follows without a check
REFUSED = slice(16, 20)  # of any `.tflite` file: an offset that it checks


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, in which no run is known."""
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tlkit.runs.ledger._made_here", set())
    return tmp_path / "cache"


@pytest.fixture
def image(colors):
    return colors / "red" / "0.png"


def stage_files(run):
    return [stage.file for stage in run.manifest.stages if stage.file.endswith(".tflite")]


def zero_offset(run, name, position):
    """Forge a file that the engine cannot open: an offset is zero."""
    content = bytearray((run.path / name).read_bytes())
    content[position] = bytes(4)
    (run.path / name).write_bytes(content)
    rehash(run, name)


def verdicts(cache):
    return sorted(file.name for file in (cache / VERDICT_FILES.name).glob("*"))


def test_a_run_of_another_machine_predicts_and_is_tried_once(cache, finetuned_run, image, monkeypatch):
    run = load_run(finetuned_run.path)
    assert not run.is_own
    first = tlkit("predict", run.path, image)
    assert first.exit_code == 0 and len(verdicts(cache)) == 1
    monkeypatch.setattr(foreign, "_try_in_child", None)  # would be an error if it were called
    assert tlkit("predict", run.path, image).stdout == first.stdout


def test_an_own_run_is_not_tried(finetuned_run, image, monkeypatch):
    monkeypatch.setattr(foreign, "_try_in_child", None)
    assert tlkit("predict", finetuned_run.path, image).exit_code == 0


def test_a_verdict_is_of_files_and_engine(cache, finetuned_run, blocks_run, classic_run, image):
    for number, run in enumerate((finetuned_run, blocks_run, classic_run), start=1):
        assert tlkit("predict", run.path, image).exit_code == 0
        assert len(verdicts(cache)) == number
    if is_installed("openvino"):
        assert tlkit("predict", finetuned_run.path, image, "--engine", "openvino").exit_code == 0
        assert len(verdicts(cache)) == 4
    assert tlkit("cache", "clear").exit_code == 0
    assert verdicts(cache) == []


@pytest.mark.parametrize("engine", ("litert", "openvino"))
def test_a_file_that_crashes_an_engine_ends_in_a_sentence(engine, scratch_run, image, tmp_path):
    if not is_installed(engine):
        pytest.skip(f"{engine} is not installed")
    for number, name in enumerate(stage_files(scratch_run)):
        (tmp_path / str(number)).mkdir()
        run = copy_run(scratch_run, tmp_path / str(number))
        crashes = engine == "litert" and number == 0
        zero_offset(run, name, CRASHING if crashes else REFUSED)
        for _ in range(2):  # no verdict is kept
            words = refused(4, "predict", run.path, image, "--engine", engine)
            assert "cannot" in words
            if crashes:
                assert "crashed (SIGSEGV)" in words and "do not use this run" in words


def mutate(content, seed):
    """Change a few bytes, or offsets and sizes of four bytes, or cut."""
    draw, mutated = random.Random(seed), bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8))):
        position = draw.randrange(len(content) - 4)
        if draw.random() < 0.5:
            mutated[position] = draw.randrange(256)
        else:
            value = draw.choice((0, 1, 65536, 2**31 - 1, 2**32 - 1))
            mutated[position & ~3 : (position & ~3) + 4] = value.to_bytes(4, "little")
    return bytes(mutated[: draw.randrange(len(content))] if draw.random() < 0.1 else mutated)


def test_mutated_networks_predict_or_end_in_a_sentence(scratch_run, image, tmp_path):
    run = copy_run(scratch_run, tmp_path)
    name = stage_files(run)[-1]
    content, codes = (run.path / name).read_bytes(), set()
    for seed in range(12):
        (run.path / name).write_bytes(mutate(content, seed))
        rehash(run, name)
        done = tlkit("predict", run.path, image)
        codes.add(done.exit_code)
        assert done.exit_code in (0, 4), seed
        assert done.exit_code == 0 or done.stderr.startswith("Error: "), seed
    assert 4 in codes


def test_stages_that_do_not_fit_together_are_found_before_the_first_image(finetuned_run, image, tmp_path):
    run = copy_run(finetuned_run, tmp_path)
    forge(run, image_size=48)
    assert "do not fit together" in refused(4, "predict", run.path, image)
    forge(run, image_size=32, class_names=["blue", "red"])
    assert "has 2 classes, but its model has 3;" in refused(4, "predict", run.path, image)
    lower, head = stage_files(run)
    (run.path / head).write_bytes((run.path / lower).read_bytes())
    rehash(run, head)
    assert "cannot" in refused(4, "predict", run.path, image)


def test_files_that_are_no_tflite_are_not_given_to_an_engine(scratch_run, tmp_path):
    run = copy_run(scratch_run, tmp_path)
    name = stage_files(run)[0]
    for content in (b"", b"TFL3", b'<?xml version="1.0"?><net name="x" version="11">', b"\x08\x07ONNX" * 20):
        (run.path / name).write_bytes(content)
        rehash(run, name)
        with pytest.raises(RunError, match="it is not a .tflite file"):
            run_trial(load_run(run.path), load_run(run.path).manifest.stages)


def test_a_trial_that_takes_too_long_is_ended(classic_run, tmp_path, monkeypatch):
    run = copy_run(classic_run, tmp_path)
    forge(run, max_megapixels=63.5)
    monkeypatch.setattr(foreign, "SECONDS", 0.05)
    started = time.monotonic()
    with pytest.raises(RunError, match="took more than 0.05 seconds"):
        try_stages(load_run(run.path), run.manifest.stages)
    assert time.monotonic() - started < 20


def test_run_trial_accepts_every_kind_of_run(finetuned_run, blocks_run, scratch_run, classic_run):
    for run in (finetuned_run, blocks_run, scratch_run, classic_run):
        run_trial(run, run.manifest.stages)


def test_run_trial_needs_probabilities_that_are_numbers(classic_run, tmp_path):
    run = copy_run(classic_run, tmp_path)
    with np.load(run.path / "classic.npz", allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    name = next(name for name in arrays if name.startswith("classifier/"))
    np.savez(run.path / "classic.npz", **(arrays | {name: np.full_like(arrays[name], np.inf)}))
    rehash(run, "classic.npz")
    with pytest.raises(ModelError):
        run_trial(load_run(run.path), run.manifest.stages)
