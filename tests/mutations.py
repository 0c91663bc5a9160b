"""Damaged files by the hundred thousand: the second part of `make fuzz`, and for a minute `make fuzz-ci`.

A seed is a good file: an image in each format, a DICOM file, a table of images, a file of a run. Input number n is a
seed that is changed at some random places; n alone decides which and how. An input passes where it is read, or refused
with a `TlkitError`, in 2 s of processor time and in the memory of the process. Processes try the inputs; one that dies
or hangs is started again behind the input, which is named. Each finding leaves a file to repeat it.
"""

import functools
import hashlib
import io
import json
import mmap
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
SECONDS = 2.0  # of processor time, for an input
SECONDS_HUNG = 30.0  # without a new input, after which a process is ended
MEMORY = 4 << 30  # bytes a process may map
WORKERS = 2
MARKERS: dict[str, tuple[bytes, ...]] = {  # what means something in a kind of file
    "image": (
        *(b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"\xff\xc0", b"\xff\xc2", b"\xff\xc4", b"\xff\xdb", b"\xff\xe1"),
        *(b"IHDR", b"IDAT", b"IEND", b"PLTE", b"tRNS", b"acTL", b"fdAT", b"zTXt", b"iCCP", b"GIF89a", b"\x21\xf9\x04"),
        *(b"RIFF", b"WEBP", b"VP8 ", b"VP8L", b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"II*\0", b"MM\0*", b"Exif\0\0"),
        *(b"ftypavif", b"meta", b"iloc", b"ipco", b"ispe", b"av1C", b"mdat"),
    ),
    "dicom": (b"DICM", b"OW", b"SQ", b"UN", b"US", b"\xfe\xff\x00\xe0", b"\xe0\x7f\x10\x00", b"\xff\xff\xff\xff"),
    "table": (
        b",",
        b'"',
        b"\n",
        b"\r",
        b"\t",
        b"\0",
        b"../",
        b"/",
        b"{",
        b"}",
        b"[",
        b"null",
        b"\xef\xbb\xbf",
        b"\xff",
    ),
    "run": (
        *(b"null", b"true", b"[]", b"{}", b'""', b"-1", b"0", b"1e999", b"NaN", b"1e-9", b"9" * 30, b"../", b"/etc/"),
        *(b'"', b",", b":", b"{", b"[", b"\\u0000", b"\\ud800", b"\xff", b"\n", b"PK\x03\x04", b"<f4", b"|O", b"<U9"),
    ),
}
LENGTHS = (0, 1, 2, 127, 128, 255, 256, 32767, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)


@dataclass(frozen=True)
class Target:
    """Something that reads files of strangers.

    Attributes:
        seeds: good files, by name
        read: takes the name of a seed and the bytes that stand in its place
    """

    seeds: dict[str, bytes]
    read: Callable[[str, bytes], object]


def mutate(data: bytes, other: bytes, markers: tuple[bytes, ...], draw: random.Random) -> bytes:
    """Change a file at one to four places.

    Args:
        other: a file of the same kind; a part of it may be put in
    """
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 4))):
        size = len(changed)
        start = draw.randrange(size + 1) if draw.random() < 0.5 else draw.randrange(min(size, 64) + 1)
        end = min(size, start + draw.choice((1, 2, 4, 16, 64, 1024)))
        kind = draw.randrange(7)
        if kind == 0 and start < size:
            changed[start] ^= 1 << draw.randrange(8)
        elif kind == 1:
            changed[start:end] = draw.randbytes(end - start)
        elif kind == 2:
            del changed[start : draw.choice((end, size))]
        elif kind == 3:
            changed[start:start] = changed[start:end] * draw.choice((1, 2, 50))
        elif kind == 4:
            from_there = draw.randrange(len(other) + 1)
            changed[start:end] = other[from_there : from_there + draw.choice((4, 64, 4096))]
        elif kind == 5:
            changed[start:end] = draw.choice(markers)
        else:
            length = draw.choice(LENGTHS)
            packed = struct.pack(draw.choice("<>") + ("I" if length > 65535 else "H"), length)
            changed[start : start + len(packed)] = packed
    return bytes(changed)


# seeds and readers


def image_seeds() -> dict[str, bytes]:
    """Draw small images in every format that is read."""
    draw = np.random.default_rng(0)
    shades = draw.integers(0, 256, (20, 24, 4), np.uint8)
    gray, rgb, rgba = (Image.fromarray(shades[..., channels]) for channels in (0, slice(3), slice(4)))
    deep = Image.fromarray(draw.integers(0, 65536, (20, 24), np.uint16))
    real = Image.fromarray(draw.normal(size=(20, 24)).astype(np.float32))
    exif = Image.Exif()
    exif[0x0112] = 6
    series: dict[str, Any] = {"save_all": True, "append_images": [rgb.rotate(90), rgb.rotate(180)]}
    kinds: list[tuple[str, Image.Image, dict[str, Any]]] = [
        *[("JPEG", image, {}) for image in (gray, rgb, rgb.convert("CMYK"))],
        *[("JPEG", rgb, options) for options in ({"progressive": True}, {"exif": exif}, {"restart_marker_rows": 1})],
        *[("PNG", image, {}) for image in (gray, rgb, rgba, deep, rgb.convert("P"), gray.convert("1"))],
        ("PNG", rgb, series),
        *[("GIF", image, {}) for image in (gray, rgb)],
        ("GIF", rgb, series),
        *[("WEBP", rgba, options) for options in ({}, {"lossless": True}, series)],
        *[("BMP", image, {}) for image in (gray, rgb, rgba, rgb.convert("P"), gray.convert("1"))],
        *[("TIFF", image, {}) for image in (gray, rgb, deep, real, gray.convert("1"))],
        *[("TIFF", rgb, {"compression": name}) for name in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits")],
        *[("TIFF", gray.convert("1"), {"compression": name}) for name in ("group3", "group4")],
        ("TIFF", rgb, series),
        ("AVIF", rgb, {}),
        ("MPO", rgb, series),  # last: a JPEG encoder leaves its settings in an image
    ]
    seeds = {}
    for number, (kind, image, options) in enumerate(kinds):
        content = io.BytesIO()
        image.copy().save(content, kind, **options)
        seeds[f"{number}.{kind.lower()}"] = content.getvalue()
    return seeds


def image_target(folder: Path) -> Target:
    """Decode an image, and read the header of its file."""
    return Target(image_seeds(), functools.partial(_read_image, folder / "image"))


def dicom_target(folder: Path) -> Target:
    """Decode a DICOM file."""
    from tests.data.test_dicom import RAMP, dicom

    color = np.stack([RAMP % 256] * 3, -1).astype(np.uint8)
    seeds = {"window": dicom(RAMP, WindowCenter=40, WindowWidth=400, RescaleSlope=2), "color": dicom(color)}
    return Target(seeds | {"plain": dicom(RAMP.astype(np.uint16))}, functools.partial(_read_image, folder / "dicom"))


def _read_image(file: Path, name: str, data: bytes) -> None:
    from tlkit.data.decode import read_header, stored_size
    from tlkit.data.image import ImageSpec, decode_image
    from tlkit.errors import ImageError

    file.write_bytes(data)
    read_header(file)
    with suppress(ImageError):
        stored_size(data)
    decoded = decode_image(data, ImageSpec(16, max_megapixels=4))
    assert (decoded.pixels.shape, decoded.pixels.dtype) == ((16, 16, 3), np.uint8)


def table_target(folder: Path) -> Target:
    """Read tables that list images."""
    photos = folder / "photos"
    rows = [(path.relative_to(photos).as_posix(), path.parent.name) for path in sorted(photos.rglob("*.png"))]
    lines = [f"{path},{label},{number % 4}" for number, (path, label) in enumerate(rows)]
    content = "\n".join(["path,label,patient", *lines]).encode() + b"\n"
    objects = [json.dumps({"path": path, "label": label, "split": "train"}) for path, label in rows]
    seeds = {"mutated.csv": content, "mutated.tsv": content.replace(b",", b"\t")}

    def read(name: str, data: bytes) -> None:
        from tlkit.data.reader import DataOptions, read_data

        (photos / name).write_bytes(data)
        read_data(photos / name, DataOptions())

    return Target(seeds | {"mutated.jsonl": "\n".join(objects).encode()}, read)


def run_target(folder: Path) -> Target:
    """Read the files of finished runs, with hashes that fit them."""
    tables = ("split.csv", "predictions_val.csv", "history.csv", "map.csv")
    names = ("model.json", "settings.json", "metrics.json", "golden.json", *tables)
    files = [folder / "classic" / "classic.npz", *(folder / run / name for run in ("net", "classic") for name in names)]
    seeds = {file.relative_to(folder).as_posix(): file.read_bytes() for file in files if file.exists()}

    def read(name: str, data: bytes) -> None:
        file = folder / name
        manifest = file.parent / "model.json"
        hashes = manifest.read_bytes()
        file.write_bytes(data)
        if file != manifest:
            known = hashlib.sha256(seeds[name]).hexdigest().encode()
            manifest.write_bytes(hashes.replace(known, hashlib.sha256(data).hexdigest().encode()))
        try:
            _use_run(file.parent, next((folder / "photos").rglob("0.png")), data)
        finally:
            file.write_bytes(seeds[name])
            manifest.write_bytes(hashes)

    return Target(seeds, read)


def _use_run(run: Path, image: Path, changed: bytes) -> None:
    """List a run, predict with it, and evaluate, verify or diagnose it; each may refuse it."""
    from tlkit.doctor.finished_run import check_run
    from tlkit.errors import TlkitError
    from tlkit.inference.evaluate import evaluate
    from tlkit.inference.golden import verify_golden
    from tlkit.inference.predictor import Predictor
    from tlkit.report.content import read_content
    from tlkit.report.page import make_page
    from tlkit.runs.listing import read_entry
    from tlkit.runs.run import load_run

    read_entry(run)
    uses = (
        lambda: list(Predictor(run).predict([image])),
        lambda: evaluate(run),
        lambda: verify_golden(load_run(run)),
        lambda: check_run(run),
        lambda: make_page(read_content(load_run(run)), None),
    )
    for use in (uses[0], uses[1 + len(changed) % 4]):  # one after the other would take long
        with suppress(TlkitError):
            use()


def self_test_target(folder: Path) -> Target:
    """Do what a finding does, to test that it is found."""

    def read(name: str, data: bytes) -> None:
        if name == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif name == "error":
            raise ValueError("not a TlkitError")
        elif name == "slow":
            while True:
                pass
        elif name == "memory":
            np.ones(MEMORY, np.uint8)

    return Target(dict.fromkeys(("good", "crash", "error", "slow", "memory"), b"seed"), read)


TARGETS: dict[str, Callable[[Path], Target]] = {
    "image": image_target,
    "dicom": dicom_target,
    "table": table_target,
    "run": run_target,
    "self-test": self_test_target,
}
ORDER = ("image", "image", "image", "run", "image", "dicom", "image", "image", "table", "image")  # of ten inputs


# one input


class TooSlowError(BaseException):
    """An input took more than its time; no handler of `Exception` catches it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TooSlowError` in the block after some processor time."""

    def stop(number: int, frame: Any) -> None:
        raise TooSlowError

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, lambda number, frame: None)  # one that is late raises nothing


def make_input(target: Target, kind: str, number: int) -> tuple[str, bytes]:
    """Make an input: the name of its seed, and its bytes."""
    draw = random.Random(f"{kind} {number}")
    names = sorted(target.seeds)
    name = draw.choice(names)
    markers = MARKERS.get(kind, (b"",))
    return name, mutate(target.seeds[name], target.seeds[draw.choice(names)], markers, draw)


def try_input(target: Target, name: str, data: bytes) -> str:
    """Read an input, and give the outcome: "read", "refused", "slow" or the traceback of another error."""
    from tlkit.errors import TlkitError

    try:
        with time_limit(SECONDS):
            target.read(name, data)
        return "read"
    except TlkitError:
        return "refused"
    except TooSlowError:
        return "slow"
    except Exception:  # noqa: BLE001
        return traceback.format_exc()


# many inputs


@dataclass(frozen=True)
class Worker:
    """The folder of a process that tries inputs: `at` holds the number of its input, and counts of outcomes."""

    folder: Path
    part: int
    kinds: tuple[str, ...]

    @property
    def workspace(self) -> Path:
        """The folder with the images and runs that this process may change."""
        return self.folder / f"work-{self.part}"

    def kind(self, number: int) -> str:
        """Choose the kind of an input, so that every process has all kinds."""
        return self.kinds[number // WORKERS % len(self.kinds)]

    def state(self) -> mmap.mmap:
        """Map the number of the input and the counts, which outlive the process."""
        file = self.folder / f"at-{self.part}"
        if not file.exists():
            file.write_bytes(struct.pack("4q", self.part, 0, 0, 0))
        with file.open("r+b") as opened:
            return mmap.mmap(opened.fileno(), 32)

    def work(self, end: int) -> None:
        """Try every `WORKERS`-th input up to a number."""
        warnings.filterwarnings("ignore")
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        targets = {kind: TARGETS[kind](self.workspace) for kind in set(self.kinds)}
        with self.state() as state:
            number, *counts = struct.unpack("4q", state[:])
            while number < end:
                kind = self.kind(number)
                name, data = make_input(targets[kind], kind, number)
                outcome = try_input(targets[kind], name, data)
                position = ("read", "refused").index(outcome) if outcome in ("read", "refused") else 2
                counts[position] += 1
                if position == 2:
                    self.report(number, outcome)
                number += WORKERS
                state[:] = struct.pack("4q", number, *counts)

    def report(self, number: int, outcome: str) -> None:
        """Keep a finding, and the input that led to it."""
        kind = self.kind(number)
        name, data = make_input(TARGETS[kind](self.workspace), kind, number)
        (self.folder / "findings").mkdir(exist_ok=True)
        file = self.folder / "findings" / f"{kind}-{number}-{name.replace('/', '-')}"
        file.write_bytes(data)
        row = {"kind": kind, "number": number, "seed": name, "file": str(file), "outcome": outcome}
        with (self.folder / f"findings-{self.part}.jsonl").open("a") as rows:
            rows.write(json.dumps(row) + "\n")

    def skip(self, outcome: str) -> None:
        """Go behind the input at which the process ended."""
        with self.state() as state:
            number, *counts = struct.unpack("4q", state[:])
            self.report(number, outcome)
            state[:] = struct.pack("4q", number + WORKERS, *counts[:2], counts[2] + 1)


def watch(workers: list[Worker], end: int, seconds: float) -> None:
    """Run every worker to its end or for some time; one that dies or hangs is started again behind its input."""
    started = time.monotonic()
    running = {worker: (start(worker, end), b"", started) for worker in workers}
    while running and time.monotonic() < started + seconds:
        time.sleep(0.1)
        for worker, (process, before, since) in list(running.items()):
            with worker.state() as state:
                now = state[:8]
            code = process.poll()
            if code == 0:
                del running[worker]
            elif code is not None or (now == before and time.monotonic() > since + SECONDS_HUNG):
                process.kill()
                process.wait()
                worker.skip(f"the process ended with {code}" if code is not None else "hung")
                running[worker] = (start(worker, end), b"", time.monotonic())
            elif now != before:
                running[worker] = (process, now, time.monotonic())
    for process, _, _ in running.values():
        process.kill()
        process.wait()


def start(worker: Worker, end: int) -> subprocess.Popen[bytes]:
    """Start the process of a worker."""
    words = ["--worker", str(worker.part), "--inputs", str(end), "--kinds", ",".join(worker.kinds), str(worker.folder)]
    log = (worker.folder / f"log-{worker.part}.txt").open("ab")
    return subprocess.Popen([sys.executable, "-m", "tests.mutations", *words], cwd=ROOT, stdout=log, stderr=log)


def results(workers: list[Worker]) -> tuple[Counter[str], list[dict[str, Any]]]:
    """Count the outcomes, and list the findings."""
    counts, findings = Counter[str](), list[dict[str, Any]]()
    for worker in workers:
        with worker.state() as state:
            counts.update(dict(zip(("read", "refused", "found"), struct.unpack("4q", state[:])[1:], strict=True)))
        file = worker.folder / f"findings-{worker.part}.jsonl"
        findings += [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return counts, findings


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=ROOT / "build" / "mutations")
@click.option("--inputs", type=int, default=120_000, help="Inputs to try, those of earlier times included.")
@click.option("--seconds", type=float, default=float("inf"), help="After which it stops.")
@click.option("--kinds", default=",".join(ORDER), help="Kinds of inputs, in turn.")
@click.option("--worker", "part", type=int, default=-1, hidden=True)
def main(folder: Path, inputs: int, seconds: float, kinds: str, part: int) -> None:
    """Try damaged files, and continue where the last time ended; FOLDER gets the findings."""
    from tests.fuzz import make_workspace

    folder = folder.resolve()
    workers = [Worker(folder, part, tuple(kinds.split(","))) for part in range(WORKERS)]
    if part >= 0:
        workers[part].work(inputs)
        return
    os.environ["TLKIT_CACHE"] = str(folder / "cache")
    if not (folder / "work-0" / "classic" / "DONE").exists():
        make_workspace(folder / "work-0")
    for worker in workers[1:]:
        if not worker.workspace.exists():
            shutil.rmtree(folder / "new", ignore_errors=True)
            (shutil.copytree(folder / "work-0", folder / "new")).rename(worker.workspace)
    started, before = time.monotonic(), results(workers)[0].total()
    watch(workers, inputs, seconds)
    counts, findings = results(workers)
    for row in findings:
        click.echo(f"{row['file']}: {row['outcome'].strip().splitlines()[-1]}")
    speed = (counts.total() - before) / (time.monotonic() - started)
    click.echo(f"{counts.total():,} inputs: {dict(counts)}; {speed:.0f} a second this time")
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
