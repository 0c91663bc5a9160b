"""Past one machine: a pass over images on Ray workers against threads, workers that are killed, and larger clusters.

    python benchmarks/scale.py local DATA              one pass by 2 threads and by 2 workers, in turns
    python benchmarks/scale.py kill DATA --rounds 20   kills workers, or the command itself, and compares every value
    python benchmarks/scale.py kill DATA --command predict --images 3000   the same with predictions in shards
    python benchmarks/scale.py simulate                10 to 1,000 workers, from measured rates

DATA is a folder of classes. `local` copies its files until there are --images of them, each with other bytes at its
end, which decoders do not read. Processor time is that of all processes that inherit a mark in their environment, so
Ray's own count, too. A round of `--command predict` counts where all kills fell between the first shard and the
manifest; other rounds are repeated.
"""

import argparse
import hashlib
import heapq
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
from measure import say

from tlkit.distributed.workers import block_size
from tlkit.utils.text import format_duration

TICK = os.sysconf("SC_CLK_TCK")
MARK = "TLKIT_SCALE_MARK"
NETWORK = ("--backbone", "mobilenet_v2")
SMALL = ("--backbone", "mobilenet_025", "--freeze", "all", "--epochs", "3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (("local", "threads against workers"), ("kill", "SIGKILL at random times")):
        command = commands.add_parser(name, help=words)
        command.add_argument("data", type=Path)
        command.add_argument("--workers", type=int, default=2)
        command.add_argument("--rounds", type=int, default=3 if name == "local" else 20)
        command.add_argument("--images", type=int, default=10_000 if name == "local" else 400)
        command.add_argument("--folder", type=Path, help="for images, caches and results [a temporary one]")
        if name == "kill":
            command.add_argument("--command", dest="killed", choices=("features", "predict"), default="features")
    commands.add_parser("simulate", help="larger clusters")
    options = parser.parse_args()
    if options.command == "simulate":
        simulate_all()
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        data = copy_images(options.data, folder / f"images-{options.images}", options.images)
        kill = kill_predictions if vars(options).get("killed") == "predict" else kill_features
        {"local": compare_executors, "kill": kill}[options.command](data, folder, options.workers, options.rounds)


def copy_images(data: Path, target: Path, count: int) -> Path:
    """Copy files, again and again, with their number at their end, until there are as many as asked for."""
    files = sorted(file for file in data.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
    random.Random(0).shuffle(files)  # a few of them are of every class, too
    if target.exists():
        return target
    for number, file in zip(range(count), cycle(files), strict=False):
        copy = target / file.relative_to(data).parent / f"{number:06}{file.suffix}"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes() + b"%012d" % number)
    return target


@dataclass(frozen=True)
class Finished:
    """A command that has ended: wall and processor seconds of all its processes, and what it wrote on stderr."""

    wall: float
    processor: float
    messages: str
    code: int


class ProcessorTime:
    """Adds up the processor time of all processes with a mark in their environment, dead ones included."""

    def __init__(self, mark: str) -> None:
        self._mark, self._ticks = f"{MARK}={mark}".encode(), dict[int, int]()

    def look(self) -> None:
        """Read the ticks of every marked process."""
        for pid in marked_processes(self._mark):
            with suppress(OSError, ValueError, IndexError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                self._ticks[pid] = int(fields[11]) + int(fields[12])

    @property
    def seconds(self) -> float:
        """User and system time so far."""
        return sum(self._ticks.values()) / TICK


def marked_processes(mark: bytes) -> Iterator[int]:
    """Find processes by a variable of their environment."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                if mark in Path(f"/proc/{entry.name}/environ").read_bytes().split(b"\0"):
                    yield int(entry.name)


def run(words: list[str], cache: Path, mark: str, kill: "Killer | None" = None) -> Finished:
    """Run tlkit in a process of its own, and measure it while it runs."""
    environment = os.environ | {MARK: mark, "TLKIT_CACHE": str(cache)}
    started, times = time.perf_counter(), ProcessorTime(mark)
    with tempfile.TemporaryFile("w+") as messages:
        command = [sys.executable, "-m", "tlkit", *words]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=messages)
        while process.poll() is None:
            times.look()
            if kill:
                kill(process, mark)
            time.sleep(0.1)
        wall = time.perf_counter() - started
        messages.seek(0)
        return Finished(wall, times.seconds, messages.read(), process.returncode)


def compare_executors(data: Path, folder: Path, workers: int, rounds: int) -> None:
    """Print wall and processor seconds of both ways, in turns, and whether their features are equal."""
    few = copy_images(data, folder / "images-64", 64)
    run(["features", str(few), "-o", str(folder / "warm.npz"), *NETWORK], folder / "converted", "warm")
    count, ratios = sum(1 for file in data.rglob("*") if file.is_file()), []
    for number in range(rounds):
        found = {}
        for name, words in (("threads", ()), ("ray", ("--on", "ray", "--workers", str(workers)))):
            for images, what in ((few, "64"), (data, "all")):
                cache, output = folder / f"cache-{number}-{name}-{what}", folder / f"{number}-{name}-{what}.npz"
                shutil.copytree(folder / "converted", cache, ignore=shutil.ignore_patterns("features"))
                command = ["features", str(images), "-o", str(output), *NETWORK, *words]
                found[name, what] = run(command, cache, f"{name}-{number}-{what}")
                if found[name, what].code:
                    raise SystemExit(found[name, what].messages)
                shutil.rmtree(cache)
        ratios.append(report_round(found, count, workers))
        equal_features(folder / f"{number}-threads-all.npz", folder / f"{number}-ray-all.npz")
    say(f"processor seconds per image, ray / threads: {' '.join(f'{ratio:.3f}' for ratio, _, _ in ratios)}")
    say(f"images per second, ray / threads: {' '.join(f'{ratio:.3f}' for _, ratio, _ in ratios)}")
    say(f"fixed cost of ray in seconds: {' '.join(f'{seconds:.1f}' for _, _, seconds in ratios)}")


def report_round(found: dict[tuple[str, str], Finished], count: int, workers: int) -> tuple[float, float, float]:
    """Take the fixed cost of a process, measured on 64 images, away from the whole; give the ratios and that cost."""
    per_image, rates = {}, {}
    for name in ("threads", "ray"):
        few, many = found[name, "64"], found[name, "all"]
        per_image[name] = (many.processor - few.processor) / (count - 64)
        rates[name] = (count - 64) / (many.wall - few.wall)
        say(
            f"{name:8} {many.wall:6.1f} s, {many.processor:6.1f} processor s; 64 images {few.wall:.1f} s; "
            f"{1000 * per_image[name]:.2f} ms of processor an image, {rates[name]:.1f} images/s"
        )
    for line in re.findall(r".*--on ray: .*", found["ray", "all"].messages):
        say(f"         {line.strip()}")
    fixed = found["ray", "64"].wall - found["threads", "64"].wall
    return per_image["ray"] / per_image["threads"], rates["ray"] / rates["threads"], fixed


def equal_features(first: Path, second: Path) -> bool:
    """Compare two tables of features, value by value, and say so."""
    tables = [np.load(file, allow_pickle=False) for file in (first, second)]
    equal = all(np.array_equal(tables[0][name], tables[1][name]) for name in tables[0].files)
    say(f"         features, paths, classes and split are {'equal' if equal else 'DIFFERENT'}")
    return equal


class Killer:
    """Kills processes of a command at given moments.

    Attributes:
        killed: how many
    """

    def __init__(self, driver: bool, draws: random.Random, moments: list[Callable[[], bool]]) -> None:
        """Plan the kills.

        Args:
            driver: whether the command itself is killed, else one of its workers
            moments: one after the other; each tells whether it has come
        """
        self._driver, self._draws, self._moments, self.killed = driver, draws, moments, 0

    def __call__(self, process: "subprocess.Popen[bytes]", mark: str) -> None:
        """Kill, if the moment has come and there is something to kill."""
        if not self._moments or not self._moments[0]():
            return
        pids = [process.pid] if self._driver else ray_workers(mark)
        if pids:
            self._moments.pop(0)
            with suppress(ProcessLookupError):
                os.kill(self._draws.choice(pids), signal.SIGKILL)
                self.killed += 1


def after_seconds(seconds: float) -> Callable[[], bool]:
    """Give a moment by the clock."""
    until = time.perf_counter() + seconds
    return lambda: time.perf_counter() >= until


def after_shards(output: Path, count: int, seconds: float) -> Callable[[], bool]:
    """Give a moment: some seconds after there are enough shards."""
    reached = list[Callable[[], bool]]()

    def has_come() -> bool:
        """Look whether they are there, and start the clock."""
        if not reached and count_shards(output) >= count:
            reached.append(after_seconds(seconds))
        return bool(reached) and reached[0]()

    return has_come


def ray_workers(mark: str) -> list[int]:
    """Find the actors of a command that are at work."""
    found = []
    for pid in marked_processes(f"{MARK}={mark}".encode()):
        with suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::MapWorker"):
                found.append(pid)
    return found


def kill_features(data: Path, folder: Path, workers: int, rounds: int) -> None:
    """Kill workers in every round, then the command itself; compare features and look for temporary files."""
    cache = folder / "converted"
    words = ["features", str(data), *NETWORK]
    run([*words, "-o", str(folder / "reference.npz")], cache, "reference")
    shutil.rmtree(cache / "features")
    on_ray = ["--on", "ray", "--workers", str(workers)]
    usual = run([*words, "-o", str(folder / "usual.npz"), *on_ray], cache, "usual").wall
    draws, good = random.Random(0), {"workers": 0, "command": 0}
    for number in range(rounds):
        for what in good:
            shutil.rmtree(cache / "features", ignore_errors=True)
            output, mark = folder / f"{what}-{number}.npz", f"{what}-{number}"
            command = [*words, "-o", str(output), *on_ray]
            times = sorted(
                draws.uniform(0.2, 1) * usual for _ in range(1 if what == "command" else draws.choice((1, 2)))
            )
            killer = Killer(what == "command", draws, list(map(after_seconds, times)))
            finished = run(command, cache, mark, killer)
            if what == "command" and killer.killed:
                wait_for_end(mark)
            if what == "command" and killer.killed and not output.exists():  # else it was killed behind its end
                finished = run(command, cache, mark)
            left = [file for file in (cache / "features").rglob("*") if file.name.endswith(".tmp")]
            is_good = output.exists() and equal_features(folder / "reference.npz", output)
            # a file that a killed process had half written has a name that says so, and is removed after a day
            good[what] += is_good
            say(f"{what} {number}: {killer.killed} killed, code {finished.code}, {len(left)} temporary files")
            if not is_good:
                say(finished.messages)
    say(f"equal after kills: workers {good['workers']} of {rounds}, command {good['command']} of {rounds}")


def kill_predictions(data: Path, folder: Path, workers: int, rounds: int) -> None:
    """Kill workers in rounds, then the command itself; compare each file of the folder with those of this machine."""
    few, cache, trained = copy_images(data, folder / "images-64", 64), folder / "converted", folder / "run"
    run(["finetune", str(few), "-o", str(trained), *SMALL], cache, "train")
    words = ["predict", str(trained), str(data), "-o"]
    reference = folder / "reference"
    for output in (f"{reference}.parquet", f"{reference}/"):
        here = run([*words, output], cache, "reference")
        say(f"here     {here.wall:.1f} s, {here.processor:.1f} processor s, code {here.code}")
    check_rows(reference, sum(1 for file in data.rglob("*") if file.is_file()))
    expected, draws = files_of(reference), random.Random(0)
    for what in ("workers", "command"):
        counted = good = number = 0
        while counted < rounds:
            output, number = folder / f"{what}-{number}", number + 1
            command = [*words, f"{output}/", "--on", "ray", "--workers", str(workers)]
            is_counted, text = kill_round(command, output, cache, what == "command", draws, count_shards(reference))
            is_equal = files_of(output) == expected
            counted, good = counted + is_counted, good + (is_counted and is_equal)
            say(f"{what} {number}: {text}: {'equal' * is_equal or 'DIFFERENT'}{', not counted' * (not is_counted)}")
            if is_equal:
                shutil.rmtree(output)
        say(f"{what}: equal after kills in {good} of {counted}, {number - counted} more were not counted")


def kill_round(
    command: list[str], output: Path, cache: Path, driver: bool, draws: random.Random, num_shards: int
) -> tuple[bool, str]:
    """Run a command with one or two kills until it ends; tell whether they came while it worked, and say how it went.

    A command that was killed is repeated at once, or when all its processes are gone.
    """
    counts = sorted(draws.sample(range(1, num_shards), draws.choice((1, 2))))
    moments = [after_shards(output, count, draws.uniform(0, 0.5)) for count in counts]
    texts, marks, is_counted = list[str](), list[str](), True
    for kill in [[moment] for moment in moments] + [[]] if driver else [moments]:
        marks.append(f"{output.name}-{len(marks)}")
        killer = Killer(driver, draws, list(kill))
        ended = run(command, cache, marks[-1], killer)
        there, again = count_shards(output), re.findall(r"(\d+) blocks were done again", ended.messages)
        is_counted &= killer.killed == len(kill) and ended.code == (-signal.SIGKILL if driver and kill else 0)
        is_counted &= not (driver and kill and (output / "_manifest.json").exists())
        texts.append(f"{killer.killed} killed, code {ended.code}, {there} shards, {''.join(again) or 0} again")
        if ended.code not in (0, -signal.SIGKILL):
            say(ended.messages)
        if draws.random() < 0.5:
            texts[-1] += f", gone after {wait_for_end(marks[-1]):.0f} s"
    for mark in marks:
        wait_for_end(mark)
    return is_counted, "; ".join(texts)


def check_rows(reference: Path, num_images: int) -> None:
    """Check that a folder of shards has the rows of one file, one for each image, and that its manifest is right."""
    from pyarrow import dataset, parquet

    rows = dataset.dataset(reference, format="parquet").to_table().replace_schema_metadata()
    manifest = json.loads((reference / "_manifest.json").read_text())
    shards = {shard["file"]: shard["sha256"] for shard in manifest["shards"]}
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in reference.glob("*.parquet")}
    assert rows.equals(parquet.read_table(f"{reference}.parquet").replace_schema_metadata())
    assert len(set(rows.column("path").to_pylist())) == rows.num_rows == num_images == manifest["rows"]
    assert shards == found
    say(f"{rows.num_rows:,} rows in {len(found)} shards, as in one file")


def count_shards(folder: Path) -> int:
    """Count the finished shards of a folder."""
    return sum(1 for _ in folder.glob("part-*.parquet"))


def files_of(folder: Path) -> dict[str, bytes]:
    """Read every file of a folder, temporary ones, too."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def wait_for_end(mark: str) -> float:
    """Wait until Ray has noticed that the command is gone, at most two minutes; give the seconds."""
    started = time.perf_counter()
    while time.perf_counter() < started + 120 and list(marked_processes(f"{MARK}={mark}".encode())):
        time.sleep(0.2)
    return time.perf_counter() - started


# ------------------------------------------------------------------------------------------------------- simulation


@dataclass(frozen=True)
class Rates:
    """Measured on two cores (docs/results.md), and given.

    Attributes:
        read, hash, decode, engine: processor seconds an image
        kilobytes: of an image
        block_seconds: of Ray for one block, measured on empty blocks
        start_seconds: until all workers answer
        list_seconds: an image, of one of 16 threads on object storage (given)
        split_seconds, head_seconds: an image, on the driver
        gigabits: of network a node has (given)
    """

    cpu: float
    kilobytes: float
    block_seconds: float = 0.02
    start_seconds: float = 20.0
    list_seconds: float = 1 / (16 * 5_000)
    split_seconds: float = 3.6e-6
    head_seconds: float = 2.5e-5
    gigabits: float = 10.0
    cores: int = 8


def simulate(num_images: int, workers: int, rates: Rates, slow: float = 1.0) -> float:
    """Give the seconds of a pass: every worker takes the next block when it is free.

    Args:
        slow: how many times longer the first node's workers take
    """
    size = block_size(num_images, workers)
    per_node = rates.gigabits * 1e9 / 8 / min(rates.cores, workers) / (1000 * rates.kilobytes)  # images/s by network
    seconds = max(rates.cpu, 1 / per_node)
    free = [(rates.start_seconds, worker) for worker in range(workers)]
    end, left = rates.start_seconds, num_images
    while left > 0:
        count = min(size, left)
        left -= count
        now, worker = heapq.heappop(free)
        done = now + rates.block_seconds + count * seconds * (slow if worker < rates.cores else 1.0)
        end = max(end, done)
        heapq.heappush(free, (done, worker))
    return end


def simulate_all() -> None:
    """Print a table: seconds of the pass for 10 to 1,000 workers, and what the driver takes."""
    web, phone = Rates(0.0115, 109), Rates(0.036, 1500)
    print("| images | KB | workers | pass | one slow node (2 ×) | core-hours | listing | split | head, 3 passes |")
    print("|---|---|---|---|---|---|---|---|---|")
    for num_images in (10**6, 10**7, 10**8):
        for rates in (web, phone):
            for workers in (10, 100, 1000):
                seconds, slow = simulate(num_images, workers, rates), simulate(num_images, workers, rates, 2.0)
                driver = (rates.list_seconds, rates.split_seconds, 3 * rates.head_seconds)
                shown = [format_duration(value * num_images) for value in driver]
                cells = [f"{num_images:,}", f"{rates.kilobytes:g}", f"{workers:,}"]
                cells += [format_duration(seconds), format_duration(slow), f"{seconds * workers / 3600:.0f}", *shown]
                print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
