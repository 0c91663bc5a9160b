"""Checks of the cache, the disk and the weights."""

import os
import shutil
from collections import namedtuple

import pytest

from tests.making import needs_permissions
from tlkit.cache.folder import NO_CACHE, claim_cache
from tlkit.cli.cache import cache_parts
from tlkit.doctor.storage import UNHASHED, check_storage, known_hashes, weights_problem
from tlkit.models.backbones import BACKBONES, imagenet_file

Usage = namedtuple("Usage", "total used free")


def finding(topic):
    return next(found for found in check_storage(cache_parts()) if found.topic == topic)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "cache"


def test_cache_that_is_usable_is_measured_and_not_made(cache):
    assert finding("cache").text == f"{cache}, which is created when it is needed"
    assert not cache.exists()
    claim_cache()
    (cache / "engines").mkdir()
    (cache / "engines" / f"{'0' * 64}.tflite").write_bytes(b"0" * 2_000_000)
    before = sorted(cache.rglob("*")), cache.stat().st_mtime_ns
    assert (finding("cache").text, finding("cache").state) == (f"{cache}, 2.0 MB", "ok")
    assert (sorted(cache.rglob("*")), cache.stat().st_mtime_ns) == before


def test_cache_with_files_of_others_is_a_problem(cache):
    cache.mkdir()
    (cache / "thesis.txt").write_text("mine")
    found = finding("cache")
    assert (found.state, found.exit_code) == ("problem", 2)
    assert found.text.startswith(f"'{cache}' is not a tlkit cache")
    assert found.remedy.startswith("export TLKIT_CACHE=/")
    assert found.remedy.endswith("/tlkit-cache")


def test_cache_that_cannot_be_is_a_remark(cache, monkeypatch):
    (cache.parent / "file").write_text("")
    for path in (cache.parent / "file", cache.parent / "file" / "cache", "/proc/cache"):
        monkeypatch.setenv("TLKIT_CACHE", str(path))
        found = finding("cache")
        assert (found.state, found.exit_code) == ("remark", 0), path
        assert "nothing new is cached" in found.text
    monkeypatch.delenv("TLKIT_CACHE")
    monkeypatch.setattr("tlkit.doctor.storage.cache_dir", lambda: NO_CACHE)
    assert "no home folder" in finding("cache").text


def test_a_cache_on_object_storage_is_reached_or_a_problem(s3, monkeypatch, tmp_path):
    s3.empty_bucket("looked-at")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TLKIT_CACHE", "s3://looked-at/cache")
    found = finding("cache")
    assert found.state == "ok"
    assert found.text.startswith(f"s3://looked-at/cache, 0 kB; its copy is {tmp_path}")
    monkeypatch.setenv("TLKIT_CACHE", "s3://nowhere/cache")
    found = finding("cache")
    assert (found.state, found.exit_code) == ("problem", 3)
    assert "TLKIT_CACHE is 's3://nowhere/cache': there is no bucket 's3://nowhere'" in found.text


@needs_permissions
def test_cache_that_may_not_be_written_is_a_remark(cache):
    cache.mkdir()
    cache.chmod(0o555)
    assert finding("cache").state == "remark"
    cache.chmod(0o755)


def test_little_space_is_a_remark_with_what_frees_some(cache, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 10**12 - 2 * 10**8, 2 * 10**8))
    found = finding("disk")
    assert (found.state, found.remedy) == ("remark", "tlkit cache clear")
    assert found.text.startswith("200.0 MB free for the cache")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, 10**12))
    assert (finding("disk").state, finding("disk").remedy) == ("ok", "")


def small_weights(folder, name="mobilenet_025"):
    """A small HDF5 file under the name of official weights."""
    import h5py

    file = imagenet_file(BACKBONES[name], BACKBONES[name].image_size)
    assert file.is_relative_to(folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(file, "w") as content:
        content["weights"] = list(range(1000))
    return file


def test_weights_are_listed_and_damaged_ones_named(cache):
    assert "none in " in finding("weights").text
    file = small_weights(cache.parent)
    assert (finding("weights").state, finding("weights").text) == ("ok", f"mobilenet_025, in {file.parent}")
    whole = file.read_bytes()
    for damage, reason in (
        (whole[: len(whole) // 2], "it ends too early"),
        (b"<html>", "it is not an HDF5 file"),
        (b"", "it is not an HDF5 file"),
    ):
        file.write_bytes(damage)
        found = finding("weights")
        assert (found.state, found.exit_code) == ("problem", 4)
        assert found.text.startswith(f"the file of mobilenet_025 is damaged ({reason});")
        assert found.remedy == f"rm {file}"


def test_weights_of_another_size_are_listed_with_it(cache):
    file = small_weights(cache.parent)
    other = imagenet_file(BACKBONES["mobilenet_025"], 128)
    assert other != file
    shutil.copy(file, other)
    assert finding("weights").text.startswith("mobilenet_025 (128 pixels), mobilenet_025, in ")


def test_weights_with_another_hash_than_keras_expects_are_damaged(cache):
    file = small_weights(cache.parent, "resnet50")
    assert "its hash is not the one that Keras expects" in finding("weights").text
    assert weights_problem(file, has_hash=False) == ""


@pytest.mark.parametrize("name", ["MobileNetV3Small", "MobileNet", "MobileNetV2", "NASNetMobile"])
def test_hashes_are_those_that_keras_compares_with(name, monkeypatch):
    from tests.networks import keras

    asked = []

    class Stop(Exception):  # noqa: N818
        pass

    def get_file(*args, file_hash=None, **options):
        asked.append(file_hash)
        raise Stop

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    with pytest.raises(Stop):
        getattr(keras.applications, name)(weights="imagenet", include_top=False, input_shape=(224, 224, 3))
    assert (asked[0] is None) == (name in UNHASHED)
    assert asked[0] is None or asked[0] in known_hashes()


def test_official_weights_of_this_machine_are_whole(shared_data, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(shared_data / "keras_home"))
    found = finding("weights")
    assert found.state == "ok"
    assert "mobilenet_v2" in found.text
    assert os.path.isdir(found.text.rpartition(", in ")[2])  # noqa: PTH112
