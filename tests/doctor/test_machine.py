"""Checks of the machine."""

import math
import os

import numpy as np
import pytest

from tlkit.doctor import machine
from tlkit.doctor.machine import check_machine, check_speed, processor_limit, read_memory
from tlkit.engines.cache import Conversion, save_converted
from tlkit.engines.keras import to_litert
from tlkit.models.keras_setup import visible_gpus
from tlkit.utils.parallel import count_workers
from tlkit.utils.processor import read_processor

INTEL = "model name\t: Intel(R) Xeon(R) 8480\nflags\t\t: fpu sse2 avx avx2 avx512f amx_bf16\n\nprocessor : 1\n"
ARM = "processor : 0\nFeatures\t: fp asimd bf16 sve\nCPU implementer : 0x41\n"


def finding(topic):
    return next(found for found in check_machine() if found.topic == topic)


def test_features_that_matter_are_named(tmp_path, monkeypatch):
    for text, features in ((INTEL, "AVX2, AVX-512, AMX-BF16"), (ARM, "NEON, SVE, BF16")):
        (tmp_path / "cpuinfo").write_text(text)
        monkeypatch.setattr(machine, "read_processor", lambda: read_processor(tmp_path / "cpuinfo"))
        assert finding("processor").text.endswith(features)
        assert finding("processor").state == "ok"


def test_processor_without_avx_is_a_problem(tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text("model name : Atom\nflags : fpu sse2 ssse3\n")
    monkeypatch.setattr(machine, "read_processor", lambda: read_processor(tmp_path / "cpuinfo"))
    assert (finding("processor").state, finding("processor").exit_code) == ("problem", 4)
    assert "bfloat16" in finding("precision").text


def test_gpu_is_named_and_whether_tensorflow_sees_it(monkeypatch):
    monkeypatch.setattr(machine, "read_gpu", lambda: "NVIDIA H100")
    assert not visible_gpus(), "the test is for a machine without a GPU"
    assert (finding("gpu").state, finding("gpu").remedy) == ("remark", "pip install 'tensorflow[and-cuda]'")
    assert finding("gpu").text == "NVIDIA H100 is not used: TensorFlow does not see it"
    monkeypatch.setattr(machine, "read_gpu", str)
    assert "gpu" not in {found.topic for found in check_machine()}


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
        ({"cpu.max": "nonsense"}, math.inf),
        ({}, math.inf),
    ],
)
def test_limit_of_a_container_on_processors(tmp_path, files, limit):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert processor_limit(tmp_path) == limit


def test_threads_beyond_the_limit_of_a_container_are_a_remark_with_a_command(monkeypatch):
    monkeypatch.setattr(machine, "count_workers", lambda: 4)
    monkeypatch.setattr(machine, "processor_limit", lambda: 1.5)
    found = finding("threads")
    assert found.state == "remark"
    assert "may use 1.5 of" in found.text
    assert found.remedy == f"taskset -c {min(os.sched_getaffinity(0))} tlkit COMMAND"
    monkeypatch.setattr(machine, "processor_limit", lambda: math.inf)
    assert finding("threads").state == "ok"


def test_memory_is_that_of_the_container(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       16000000 kB\nMemFree:  100 kB\nMemAvailable:    8000000 kB\n")
    assert read_memory(meminfo, tmp_path) == (16_384_000_000, 8_192_000_000)
    (tmp_path / "memory.max").write_text("2000000000\n")
    (tmp_path / "memory.current").write_text("1500000000\n")
    assert read_memory(meminfo, tmp_path) == (2_000_000_000, 500_000_000)
    (tmp_path / "memory.max").write_text("max\n")
    assert read_memory(meminfo, tmp_path) == (16_384_000_000, 8_192_000_000)
    assert read_memory(tmp_path / "missing", tmp_path) is None


def test_little_free_memory_is_a_remark(monkeypatch):
    for free, state in ((400_000_000, "remark"), (4_000_000_000, "ok")):
        monkeypatch.setattr(machine, "read_memory", lambda free=free: (8_000_000_000, free))
        assert finding("memory").state == state


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    """A cache of its own."""
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))


def test_speed_without_a_cached_network_is_that_of_numpy(empty_cache):
    found = check_speed()
    assert "images/s decoded (JPEG, 1600 × 1200 pixels)" in found.text
    assert "GFLOP/s in NumPy's matrix product" in found.text
    assert found.text.endswith(f"; {count_workers()} threads")


def test_speed_is_that_of_the_smallest_network_in_the_cache(empty_cache):
    from tests.networks import keras

    for side, units in ((8, 2), (24, 50)):
        pixels = keras.Input((side, side, 3))
        network = keras.Model(pixels, keras.layers.Dense(units)(keras.layers.Flatten()(pixels)))
        save_converted(f"{side:064x}", Conversion(to_litert(network, pixels=True), "0" * 64))
    assert "images/s through litert (smallest network of the cache: 8 × 8 pixels, " in check_speed().text


def test_photo_that_is_decoded_is_one_that_does_not_compress_to_nothing():
    from tlkit.data.image import ImageSpec, decode_square

    data = machine._draw_image()
    assert 100_000 < len(data) < 2_000_000
    assert np.std(decode_square(data, ImageSpec(224))) > 20
