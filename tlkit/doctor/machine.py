"""Checks of the machine: processor, precision, threads, memory, and a measurement of its speed."""

import io
import math
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tlkit.cache.folder import cache_dir
from tlkit.data.image import ImageSpec, decode_square
from tlkit.doctor.base import Observation
from tlkit.engines.base import EngineSpec, choose_engine, is_installed
from tlkit.engines.cache import CONVERTED_FILES, load_converted
from tlkit.engines.factory import open_engine
from tlkit.errors import TlkitError
from tlkit.models.keras_setup import visible_gpus
from tlkit.utils.parallel import count_workers
from tlkit.utils.processor import read_gpu, read_processor
from tlkit.utils.text import format_rate, format_size

MEMINFO, CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
FEATURES = {  # by the flag in /proc/cpuinfo
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "asimd": "NEON",
    "sve": "SVE",
    "avx512_bf16": "AVX512-BF16",
    "amx_bf16": "AMX-BF16",
    "bf16": "BF16",
}
BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")  # flags of processors that compute in bfloat16 themselves
MIN_MEMORY = 1.5e9  # bytes that a training of a small network takes
SECONDS = 0.8  # for each of the two measurements
IMAGE_SIZE = (1600, 1200)  # pixels of the image that is decoded


def check_machine() -> list[Observation]:
    """Look at processor, GPU, precision, threads and memory."""
    name, flags = read_processor()
    processor = _check_processor(name, flags), *_check_gpu(read_gpu()), _check_precision(flags)
    return [*processor, _check_threads(), *_check_memory()]


def _check_processor(name: str, flags: frozenset[str]) -> Observation:
    if "sse2" in flags and "avx" not in flags:
        text = f"{name} has no AVX, which TensorFlow needs: this machine can predict, but not train networks"
        return Observation("processor", text, "problem", exit_code=4)
    features = [label for flag, label in FEATURES.items() if flag in flags]
    return Observation("processor", ", ".join([name, *features]))


def _check_gpu(name: str) -> list[Observation]:
    """Tell whether TensorFlow sees a GPU that the system has; without one nothing is imported."""
    if not name or not is_installed("keras"):
        return []
    if visible_gpus():
        text = f"{name}: TensorFlow uses it for layers that are trained; frozen layers run on the processor"
        return [Observation("gpu", text)]
    text = f"{name} is not used: TensorFlow does not see it"
    return [Observation("gpu", text, "remark", "pip install 'tensorflow[and-cuda]'")]


def _check_precision(flags: frozenset[str]) -> Observation:
    """Tell whether `--precision bfloat16` works here, and whether it is faster."""
    is_fast = bool(flags & set(BFLOAT16))
    if not is_installed("openvino"):
        words = "--precision bfloat16 needs OpenVINO" + ", and this processor is fast at it" * is_fast
        return Observation("precision", f"float32; {words}", remedy="pip install 'tlkit[openvino]'" * is_fast)
    try:
        import openvino

        supported = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except Exception as error:  # OpenVINO has errors of its own
        return Observation(
            "precision", f"float32; OpenVINO does not work here ({str(error).splitlines()[0]})", "remark"
        )
    if not supported:
        return Observation("precision", "float32; this processor does not support --precision bfloat16")
    fast = "works, and is faster for most networks" if is_fast else "works, but is not faster on this processor"
    return Observation("precision", f"float32; --precision bfloat16 {fast}")


def _check_threads() -> Observation:
    """Compare the threads that tlkit starts with the processors that a container allows."""
    workers, processors, limit = count_workers(), os.cpu_count() or 1, processor_limit()
    if limit < workers - 0.5:
        allowed = max(1, math.floor(limit))
        text = (
            f"{workers}, but this container may use {limit:g} of {processors} processors, so they wait for each "
            f"other; start tlkit with {allowed}"
        )
        numbers = ",".join(map(str, sorted(os.sched_getaffinity(0))[:allowed]))
        return Observation("threads", text, "remark", f"taskset -c {numbers} tlkit COMMAND")
    words = f"{workers}, one per processor"
    return Observation(
        "threads", words if workers == processors else f"{words} that this process may use (of {processors})"
    )


def processor_limit(root: Path = CGROUP) -> float:
    """Give the number of processors whose time a container may use; infinity without a limit."""
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        quota, period = _read(root / "cpu/cpu.cfs_quota_us"), _read(root / "cpu/cpu.cfs_period_us")
    is_limited = quota.isdigit() and period.isdigit() and int(period) > 0
    return int(quota) / int(period) if is_limited else math.inf


def read_memory(meminfo: Path = MEMINFO, root: Path = CGROUP) -> tuple[int, int] | None:
    """Give the bytes of memory, and those that are free, in this container; None where the system does not say."""
    sizes = {name: 1024 * int(kilobytes) for name, kilobytes in re.findall(r"^(\w+): +(\d+) kB", _read(meminfo), re.M)}
    if not {"MemTotal", "MemAvailable"} <= sizes.keys():
        return None
    total, free = sizes["MemTotal"], sizes["MemAvailable"]
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        if _read(root / limit).isdigit() and int(_read(root / limit)) < total:
            total = int(_read(root / limit))
            free = min(free, total - int(_read(root / used) or 0))
    return total, free


def _check_memory() -> list[Observation]:
    if (found := read_memory()) is None:
        return []
    total, free = found
    text = f"{format_size(total)}, {format_size(free)} free"
    if free < MIN_MEMORY:
        text += f": a training takes about {format_size(MIN_MEMORY)}, more for large networks; close other programs"
        return [Observation("memory", text, "remark")]
    return [Observation("memory", text)]


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


# speed


def check_speed() -> Observation:
    """Measure decoding, and the default engine on a network of the cache; or NumPy where none is cached."""
    data = _draw_image()
    spec = ImageSpec(224)
    decoded = _per_second([lambda: decode_square(data, spec)] * count_workers())
    text = f"{format_rate(decoded)} images/s decoded (JPEG, {IMAGE_SIZE[0]} × {IMAGE_SIZE[1]} pixels)"
    return Observation("speed", f"{text}, {_measure_engine() or _measure_numpy()}; {count_workers()} threads")


def _draw_image() -> bytes:
    """Draw an image that takes as long to decode as a photo: smooth, with some noise."""
    random = np.random.default_rng(0)
    smooth = Image.fromarray(random.integers(0, 256, (30, 40, 3), np.uint8)).resize(
        IMAGE_SIZE, Image.Resampling.BICUBIC
    )
    noisy = np.asarray(smooth, np.int16) + random.integers(-8, 9, (IMAGE_SIZE[1], IMAGE_SIZE[0], 3), np.int16)
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def _measure_engine() -> str:
    """Run the smallest converted network of the cache; "" where there is none."""
    files = sorted((cache_dir() / CONVERTED_FILES.name).glob("*.tflite"), key=lambda file: file.stat().st_size)
    for file in files:
        if (converted := load_converted(file.stem)) is None:
            continue
        try:
            engine: Any = open_engine(EngineSpec(choose_engine("litert", "float32")), converted.file)
        except TlkitError:
            return ""
        rows = np.zeros(engine.input_shape, engine.input_dtype)
        sessions = [engine.session() for _ in range(count_workers())]
        rate = _per_second([partial(run, rows) for run in sessions])
        size = f"{engine.input_shape[1]} × {engine.input_shape[2]} pixels, {format_size(file.stat().st_size)}"
        return f"{format_rate(rate)} images/s through litert (smallest network of the cache: {size})"
    return ""


def _measure_numpy() -> str:
    """Multiply matrices, which says what the processor can do without any network."""
    side = 512
    matrix = np.ones((side, side), np.float32)
    rate = _per_second([lambda: matrix @ matrix])
    return f"{2 * side**3 * rate / 1e9:,.0f} GFLOP/s in NumPy's matrix product (no converted network is cached yet)"


def _per_second(calls: list[Callable[[], Any]]) -> float:
    """Count the calls of all threads per second; the first call of each, which is slower, is not counted."""

    def repeat(call: Callable[[], Any]) -> float:
        """Measure one thread."""
        call()
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < SECONDS or not done:
            call()
            done += 1
        return done / (time.perf_counter() - started)

    with ThreadPoolExecutor(len(calls)) as pool:
        return sum(pool.map(repeat, calls))
