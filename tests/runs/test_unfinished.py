"""Runs that were stopped: reopened, held to their split, rid of what was half written."""

import os
import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.making import appearance
from tests.runs.test_run import ENTRIES, refusal
from tlkit.data.folder import ImageFolder
from tlkit.data.split import Split
from tlkit.runs.run import COMPARISON, create_run, finish_run, mark_done
from tlkit.runs.unfinished import (
    RESUMED,
    VERSIONS,
    check_versions,
    delete_checkpoints,
    drop_temporaries,
    has_progress,
    refuse_links,
    reopen_run,
    save_or_check_split,
    save_versions,
    was_resumed,
)

posix = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there, and it has no FIFOs")


@pytest.fixture
def started(tmp_path):
    """A run that has its settings and nothing else."""
    run = create_run(tmp_path / "mine", "finetune")
    run.write_json("settings.json", {"command": "finetune"})
    return run


@pytest.fixture
def split(finetuned):
    return finetuned.split


def test_reopen_run_changes_nothing(started):
    before = {file: file.stat().st_mtime_ns for file in started.path.rglob("*")}
    assert reopen_run(started.path) == started
    assert {file: file.stat().st_mtime_ns for file in started.path.rglob("*")} == before


def test_reopen_run_that_is_finished_says_what_uses_it(started):
    finish_run(started, ENTRIES)
    words = refusal(reopen_run, started.path)
    assert f"'{started.path}' is finished" in words
    assert f"`tlkit predict {started.path}" in words


def test_reopen_run_that_is_a_finished_comparison_names_its_table(started):
    started.write_rows(COMPARISON, ["model"], [["colors"]])
    mark_done(started)
    assert str(started.path / COMPARISON) in refusal(reopen_run, started.path)


def test_reopen_run_that_is_none_is_refused(started, colors):
    (started.path / "settings.json").unlink()
    for path in (colors, started.path, started.path / "nowhere"):
        assert refusal(reopen_run, path).startswith(f"'{path}' is not an unfinished run")


@posix
def test_refuse_links_names_what_a_run_would_write_through(started, tmp_path):
    (tmp_path / "theirs").mkdir()
    for name in ("settings.json", "model.keras", "checkpoint-head.npz", "engine/head.tflite", "plots", "tensorboard"):
        path = started.path / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(tmp_path / "theirs")
        assert f"'{path}' is a symbolic link" in refusal(refuse_links, started.path)
        path.unlink()
    os.mkfifo(started.path / "history.csv")
    assert "history.csv' is not a regular file" in refusal(refuse_links, started.path)
    (started.path / "history.csv").unlink()
    (started.path / "engine").rmdir()
    (started.path / "engine").touch()
    assert "engine' is not a folder" in refusal(refuse_links, started.path)


@posix
def test_refuse_links_of_somebody_elses_are_no_matter(started, tmp_path):
    for name in ("notes.txt", "data", f".tlkit-{'0' * 16}.tmp"):
        (started.path / name).symlink_to(tmp_path)
    refuse_links(started.path)


def test_drop_temporaries_removes_what_was_half_written(started):
    (started.path / "engine").mkdir()
    temporaries = [started.path / name / f".tlkit-{'0' * 16}.tmp" for name in ("", "engine")]
    kept = [started.path / name for name in ("settings.json", ".hidden", ".tlkit-1.tmp")]
    for file in (*temporaries, *kept):
        file.touch()
    drop_temporaries(started)
    assert not any(file.exists() for file in temporaries)
    assert all(file.exists() for file in kept)


def test_delete_checkpoints_leaves_all_else(started):
    for name in ("checkpoint-head.npz", "checkpoint-strategy.json", "checkpoint-mine.txt", "history.csv"):
        (started.path / name).touch()
    assert has_progress(started)
    delete_checkpoints(started)
    left = {"checkpoint-mine.txt", "history.csv", "settings.json", "UNFINISHED"}
    assert {file.name for file in started.path.iterdir()} == left


def test_has_progress_where_a_checkpoint_or_a_history_is(started):
    assert not has_progress(started)
    for name in ("checkpoint-blocks.npz", "history.csv"):
        (started.path / name).touch()
        assert has_progress(started)
        (started.path / name).unlink()


def test_was_resumed_once_something_was_trained_before(started, split):
    for _ in range(2):  # stopped before anything was trained, and started again
        save_or_check_split(started, split)
        assert not was_resumed(started)
    (started.path / "checkpoint-head.npz").touch()
    assert not was_resumed(reopen_run(started.path))  # it may still be refused
    save_or_check_split(started, split)
    assert was_resumed(started)
    assert (started.path / RESUMED).read_text()


def changed(split, train):
    """The same split with other training images."""
    return Split(train, split.validation, split.test)


def test_save_or_check_split_of_other_images_says_what_went_came_and_changed(started, split):
    save_or_check_split(started, split)
    before = (started.path / "split.csv").read_bytes()
    train = split.train
    fewer = train.subset(range(1, len(train)))
    other = replace(train, sha256=("f" * 64, *train.sha256[1:]))
    for images, kind in ((fewer, "missing"), (other, "changed")):
        words = refusal(save_or_check_split, started, changed(split, images))
        assert f"1 {kind} (e.g. {train.paths[0]})" in words
        assert f"'{started.path}'" in words
    (started.path / "split.csv").unlink()
    save_or_check_split(started, changed(split, fewer))
    assert f"1 new (e.g. {train.paths[0]})" in refusal(save_or_check_split, started, split)
    (started.path / "split.csv").write_bytes(before)
    save_or_check_split(started, split)


def test_save_or_check_split_of_the_same_images_split_otherwise_blames_the_version(started, split):
    save_or_check_split(started, split)
    train, validation = split.train, split.validation
    words = refusal(save_or_check_split, started, Split(validation, train, split.test))
    assert words == f"'{started.path}' cannot be resumed: another version of tlkit split its images differently; " + (
        "start a new run."
    )


def with_contents(images):
    numbers = range(len(images))
    hashes = [[f"{number:0{digits}x}" for number in numbers] for digits in (64, 32)]
    return images.with_contents(*hashes, [appearance(number) for number in numbers])


def test_save_or_check_split_does_not_call_an_image_changed_that_another_one_moved(started):
    names, paths = ("a", "b"), ("a/1.png", "a/2.png", "b/1.png", "b/2.png", "b/3.png")
    images = ImageFolder(started.path, names, paths, np.array([0, 0, 1, 1, 1], np.int32), ("",) * 5)
    images = with_contents(images)
    save_or_check_split(started, Split(images.subset([0, 2]), images.subset([1, 3]), images.subset([])))
    words = refusal(
        save_or_check_split, started, Split(images.subset([0, 3]), images.subset([1, 2, 4]), images.subset([]))
    )
    assert "the images have changed: 1 new (e.g. b/3.png); start a new run." in words


def test_save_or_check_split_that_is_refused_leaves_temporaries(started, split):
    save_or_check_split(started, split)
    temporary = started.path / f".tlkit-{'0' * 16}.tmp"
    temporary.touch()
    (started.path / "checkpoint-head.npz").touch()
    train = split.train
    refusal(save_or_check_split, started, changed(split, train.subset(range(1, len(train)))))
    assert temporary.exists()
    assert not was_resumed(started)
    save_or_check_split(started, split)
    assert not temporary.exists()


@posix
def test_save_or_check_split_knows_names_that_are_not_utf8_again(started):
    names = ("a", 'b,\n\r"', os.fsdecode(b"caf\xe9"))
    paths = tuple(f"{name}/{number}.png" for name in names for number in range(2))
    images = ImageFolder(started.path, names, paths, np.repeat(np.arange(3, dtype=np.int32), 2), ("",) * 6)
    images = with_contents(images)
    split = Split(images.subset([0, 2, 4]), images.subset([1, 3, 5]), images.subset([]))
    for _ in range(2):
        save_or_check_split(started, split)
    words = refusal(save_or_check_split, started, Split(images.subset([0, 2]), split.validation, split.test))
    assert f"1 missing (e.g. {images.paths[4]})" in words


# versions


def test_check_versions_names_the_package_that_has_changed(started):
    save_versions(started, "litert", False)
    check_versions(started, "litert", False)
    kept = started.read_json(VERSIONS)
    assert {"tlkit", "keras", "tensorflow", "numpy", "pillow", "litert"} == kept.keys()
    for changed, package in {"keras": "keras", "litert": "ai-edge-litert"}.items():
        started.write_json(VERSIONS, kept | {changed: "0.1"})
        words = refusal(check_versions, started, "litert", False)
        assert f"was started with {package} 0.1, but {package} {kept[changed]} is installed" in words
        assert f"pip install '{package}==0.1'" in words
    started.write_json(VERSIONS, kept | {"gone": "1.0"})
    assert "was started with gone 1.0, but none is installed" in refusal(check_versions, started, "litert", False)


def test_versions_of_a_classic_run_have_what_fits_it(started):
    pytest.importorskip("sklearn")
    save_versions(started, "auto", True)
    assert started.read_json(VERSIONS).keys() >= {"scikit-learn", "scikit-image", "classic"}
    check_versions(started, "auto", True)


def test_versions_are_kept_until_a_run_is_finished(started):
    save_versions(started, "keras", False)
    assert (started.path / VERSIONS).exists()
    delete_checkpoints(started)
    assert not (started.path / VERSIONS).exists()
    check_versions(started, "keras", False)
