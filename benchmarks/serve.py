"""Load and garbage for `tlkit serve`, on this machine only.

    python benchmarks/serve.py load RUN PHOTO            # 8 clients against the raw predictor; needs `wrk`
    python benchmarks/serve.py latency RUN PHOTO         # at 80 % load: 8 clients at a pace, then at random times
    python benchmarks/serve.py batches RUN PHOTO         # one session a thread against batches, LiteRT alone
    python benchmarks/serve.py garbage RUN PHOTO --minutes 30 --rate 10

The server and the raw predictor take turns, each for some seconds. Beside the raw predictor a process is as busy as
`wrk` was, because on two cores the client takes time from the server. The figures are in docs/results.md.
"""

import argparse
import asyncio
import http.client
import io
import json
import multiprocessing
import random
import re
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from tlkit import Predictor

CLIENTS, ROUNDS, SECONDS = 8, 6, 6.0
POST = """
local file = io.open("%s", "rb"); wrk.body = file:read("*all"); file:close()
wrk.method = "POST"; wrk.headers["Content-Type"] = "image/jpeg"
"""  # of a request; connections stay open
LOAD = 0.8  # of the images a second that 8 clients get
SLOW_CLIENTS = 4  # at a time
MAX_BOMB = 100_000_000  # bytes that a bomb unpacks to


@contextmanager
def server(run: str, *options: str) -> Iterator[tuple[int, int]]:
    """Start a server; give its port and its process."""
    command = [sys.executable, "-m", "tlkit", "serve", run, "--port", "0", "--no-access-log", *options]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert running.stderr
    try:
        line = running.stderr.readline()
        found = re.search(r"at http://127\.0\.0\.1:(\d+)", line)
        if not found:
            raise SystemExit(line)
        yield int(found[1]), running.pid
        if running.poll() is not None:
            raise SystemExit(f"the server ended by itself with {running.returncode}")
    finally:
        running.terminate()
        rest = running.communicate(timeout=60)[1]
        print(f"server: exit code {running.returncode}" + (f", log: {rest[-2000:]}" if rest else ""), file=sys.stderr)


def wrk(port: int, photo: Path, clients: int, seconds: float) -> dict[str, float]:
    """Let `wrk` ask for some seconds: images a second, percentiles in ms, and processors that `wrk` kept busy."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        script.write_text(POST % photo.resolve())
        words = f"wrk -t1 -c{clients} -d{seconds:g}s --latency -s {script} http://127.0.0.1:{port}/predict"
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        output = subprocess.run(words.split(), capture_output=True, text=True, check=True).stdout
        after, elapsed = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - started
    if "Non-2xx" in output or "Socket errors" in output:
        raise SystemExit(output)
    busy = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / elapsed
    units = {"us": 0.001, "ms": 1.0, "s": 1000.0}
    figures = {}
    for p in (50, 99):
        number, unit = re.search(rf"\b{p}%\s+([\d.]+)(us|ms|s)", output).groups()  # type: ignore[union-attr]
        figures[f"p{p}"] = float(number) * units[unit]
    return figures | {"rate": float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1]), "busy": busy}  # type: ignore[index]


def burn(fraction: float, stop: "multiprocessing.synchronize.Event") -> None:
    """Keep one processor busy for a fraction of the time."""
    while not stop.is_set():
        until = time.perf_counter() + 0.01 * fraction
        while time.perf_counter() < until:
            pass
        time.sleep(0.01 * (1 - fraction))


def raw(predictor: Predictor, photo: bytes, busy: float, seconds: float) -> float:
    """Measure the images a second of `Predictor.predict` beside a process that is as busy as the client was."""
    stop = multiprocessing.Event()
    dummy = multiprocessing.Process(target=burn, args=(min(busy, 1.0), stop))
    dummy.start()
    started = time.perf_counter()

    def photos() -> Iterator[bytes]:
        """Give photos until the time is over."""
        while time.perf_counter() - started < seconds:
            yield photo

    count = sum(1 for _ in predictor.predict(photos()))
    elapsed = time.perf_counter() - started
    stop.set()
    dummy.join()
    return count / elapsed


def load(run: str, photo: Path) -> None:
    """Compare 8 clients with the raw predictor, in turns."""
    predictor, data, rows = Predictor(run), photo.read_bytes(), []
    with server(run) as (port, _):
        wrk(port, photo, CLIENTS, 2)
        for _ in range(ROUNDS):
            asked = wrk(port, photo, CLIENTS, SECONDS)
            alone = raw(predictor, data, asked["busy"], SECONDS)
            single = wrk(port, photo, 1, 2)
            rows.append(asked | {"raw": alone, "ratio": asked["rate"] / alone, "single": single["p50"]})
            print(json.dumps(rows[-1]), flush=True)
    names = ("rate", "raw", "ratio", "p50", "p99", "single", "busy")
    print(json.dumps({name: [f(row[name] for row in rows) for f in (statistics.median, min, max)] for name in names}))


async def ask(port: int, data: bytes) -> float | None:
    """Send one photo on a connection of its own; give the seconds to its answer, None where the server is busy."""
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)
    answer = await reader.read()
    writer.close()
    return time.perf_counter() - started if answer.startswith(b"HTTP/1.1 200") else None


async def at_random(port: int, data: bytes, rate: float, seconds: float) -> list[float | None]:
    """Send photos at random times (a Poisson process), whether or not those before are answered."""
    draw, due, tasks = random.Random(0), time.perf_counter(), []
    for _ in range(int(rate * seconds)):
        due += draw.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(ask(port, data)))
    return await asyncio.gather(*tasks)


async def paced(port: int, data: bytes, rate: float, seconds: float) -> list[float | None]:
    """Let 8 clients send a photo each at an even pace; the time of one that is late counts from when it was due."""
    draw, period, answers = random.Random(0), CLIENTS / rate, list[float | None]()

    async def client(phase: float) -> None:
        due = time.perf_counter() + phase * period
        for _ in range(int(seconds / period)):
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            late = max(0.0, time.perf_counter() - due)
            answer = await ask(port, data)
            answers.append(None if answer is None else late + answer)
            due += period

    await asyncio.gather(*(client(draw.random()) for _ in range(CLIENTS)))
    return answers


async def one_by_one(port: int, data: bytes, count: int) -> list[float]:
    """Send photos, each after the answer to the one before."""
    return [await ask(port, data) or 0.0 for _ in range(count)]


def latency(run: str, photo: Path) -> None:
    """Compare the 99th percentile at 80 % load with the median of a single client, in turns."""
    data, rows = photo.read_bytes(), []
    with server(run) as (port, _):
        wrk(port, photo, CLIENTS, 2)
        for _ in range(ROUNDS):
            full = wrk(port, photo, CLIENTS, 4)["rate"]
            single = statistics.median(asyncio.run(one_by_one(port, data, 60)))
            row = {"full": full, "single": 1000 * single}
            for kind, ways in (("paced", paced), ("random", at_random)):
                answers = asyncio.run(ways(port, data, LOAD * full, 8.0))
                found = sorted(answer for answer in answers if answer is not None)
                p99 = found[int(0.99 * len(found))]
                row |= {f"{kind} p50": 1000 * found[len(found) // 2], f"{kind} p99": 1000 * p99}
                row |= {f"{kind} ratio": p99 / single, f"{kind} busy": len(answers) - len(found)}
            rows.append(row)
            print(json.dumps({name: round(value, 1) for name, value in row.items()}), flush=True)
    print(json.dumps({name: [f(row[name] for row in rows) for f in (statistics.median, min, max)] for name in rows[0]}))


def session_of(file: Path, batch: int, threads: int) -> Callable[[], int]:
    """Open a LiteRT session; give a function that classifies a batch, and gives its size."""
    network = Interpreter(model_content=file.read_bytes(), num_threads=threads)
    source = network.get_input_details()[0]
    shape = (batch, *source["shape"][1:])
    network.resize_tensor_input(source["index"], shape)
    network.allocate_tensors()
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(source["dtype"])

    def classify() -> int:
        network.set_tensor(source["index"], pixels)
        network.invoke()
        return batch

    classify()
    return classify


def batches(run: str) -> None:
    """Compare sessions and batches in turns, by images per second of processor time, which others do not disturb."""
    file = Path(run) / "engine" / "lower.tflite"
    arms = {"2 sessions": [session_of(file, 1, 1), session_of(file, 1, 1)]}
    arms |= {f"2 threads, batch {batch}": [session_of(file, batch, 2)] for batch in (1, 4, 8)}
    rates: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(ROUNDS):
        for name, sessions in arms.items():
            until, started = time.perf_counter() + 3, time.process_time()

            def classify(session: Callable[[], int], until: float = until) -> int:
                count = 0
                while time.perf_counter() < until:
                    count += session()
                return count

            with ThreadPoolExecutor(len(sessions)) as threads:
                count = sum(threads.map(classify, sessions))
            rates[name].append(count / (time.process_time() - started))
    for name, found in rates.items():
        ratios = [one / base for one, base in zip(found, rates["2 sessions"], strict=True)]
        print(f"{name:22} {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


# garbage


def png_bomb(side: int) -> bytes:
    """Write a PNG of a few kilobytes that declares side × side pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * min((side // 8 + 1) * side, MAX_BOMB), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def gif_of(frames: int) -> bytes:
    """Write a GIF of many frames."""
    file, images = io.BytesIO(), [Image.new("P", (64, 64), number % 256) for number in range(frames)]
    images[0].save(file, "GIF", save_all=True, append_images=images[1:])
    return file.getvalue()


def request(method: str, address: str, body: bytes = b"", **headers: str) -> bytes:
    """Write a request."""
    given = {"Host": "localhost", "Content-Length": str(len(body))} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {address} HTTP/1.1\r\n{head}\r\n".encode("latin-1", "replace") + body


def garbage(draw: random.Random, photo: bytes, name: str) -> dict[str, Callable[[], bytes]]:
    """Give the kinds of garbage, each as a function that makes one."""
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.jpg"\r\n\r\n'
    multipart, is_json = "multipart/form-data; boundary=b", "application/json"
    bombs = [png_bomb(8_000), png_bomb(100_000), png_bomb(2**31 - 1), gif_of(300)]

    def damaged() -> bytes:
        data = bytearray(photo)
        for _ in range(draw.randint(1, 50)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        return bytes(data[: draw.randrange(1, len(data))] if draw.random() < 0.5 else data)

    def post(body: bytes, address: str = "/predict", **headers: str) -> bytes:
        return request("POST", address, body, **headers)

    kinds = ("text/plain", "image/jpeg", "", "application/json", multipart, "x" * 5000, "multipart/form-data", "\xff")
    depth = draw.randint(1_000, 100_000)
    infer, tensors = f"/v2/models/{name}/infer", {"name": "image", "datatype": "BYTES", "shape": [1]}
    return {
        "random bytes": lambda: draw.randbytes(draw.randint(1, 5000)),
        "random body": lambda: post(draw.randbytes(draw.randint(0, 100_000)), Content_Type=draw.choice(kinds)),
        "damaged photo": lambda: post(damaged(), Content_Type="image/jpeg"),
        "truncated multipart": lambda: post(part + damaged(), Content_Type=multipart),
        "multipart of nothing": lambda: post(b"--b--\r\n", Content_Type=multipart),
        "many parts": lambda: post((part + b"x\r\n") * 3000 + b"--b--\r\n", Content_Type=multipart),
        "huge header": lambda: request("GET", "/", X="x" * draw.randint(10_000, 200_000)),
        "many headers": lambda: request("GET", "/", **{f"X{number}": "y" for number in range(2_000)}),
        "bomb": lambda: post(draw.choice(bombs), Content_Type="image/png"),
        "large body": lambda: post(bytes(10_000_001)),
        "false length": lambda: request(
            "POST", "/predict", b"x" * 10, Content_Length=str(draw.choice((-1, 10**18, "x")))
        ),
        "bad chunks": lambda: b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        "deep JSON": lambda: post(b"[" * depth, Content_Type=is_json),
        "deep objects": lambda: post(b'{"image":' * depth, infer, Content_Type=is_json),
        "numbers": lambda: post(b'{"instances":[' + b"1," * 100_000 + b"1]}", f"/v1/models/{name}:predict"),
        "tensors": lambda: post(json.dumps({"inputs": [tensors | {"data": [draw.random()]}]}).encode(), infer),
        "binary tensors": lambda: post(
            json.dumps({"inputs": [tensors | {"parameters": {"binary_data_size": 9}}]}).encode() + draw.randbytes(9),
            infer,
            Inference_Header_Content_Length=str(draw.randint(-5, 500)),
        ),
        "addresses": lambda: request(
            "GET", "/" + draw.choice(("../" * 9, "%00", "%2e%2e/", "v2/models/%ff", "?" * 999))
        ),
        "methods": lambda: request(draw.choice(("PUT", "TRACE", "CONNECT", "OPTIONS", "GET\x00")), "/predict"),
        "foreign": lambda: request("POST", "/predict", photo, Host="evil.example"),
        "reasons of garbage": lambda: post(damaged(), "/explain?class=%00", Content_Type="image/jpeg"),
    }


async def throw(port: int, data: bytes, is_cut: bool) -> str:
    """Send bytes, perhaps not all, and give the status of the answer."""
    try:
        async with asyncio.timeout(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data[: len(data) // 2] if is_cut else data)
            if is_cut:
                await asyncio.sleep(0.05)
                writer.transport.abort()
                return "left"
            answer = await reader.read(4096)
            writer.close()
            found = re.match(rb"HTTP/1\.1 (\d+)", answer)
            return found[1].decode() if found else "closed"
    except TimeoutError:
        return "no answer"
    except OSError:
        return "reset"


async def trickle(port: int, data: bytes, stop: float) -> None:
    """Send a request byte by byte, again and again."""
    while time.monotonic() < stop:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            for start in range(200):
                writer.write(data[start : start + 1])
                await writer.drain()
                await asyncio.sleep(1)
            writer.close()
        except OSError:
            await asyncio.sleep(1)


def memory_of(process: int) -> float:
    """Give the resident memory of a process, in MB."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())[1]) / 1024  # type: ignore[index]


def name_of_run(port: int) -> str:
    """Ask the server for the name of its run."""
    asked = http.client.HTTPConnection("127.0.0.1", port)
    asked.request("GET", "/models", headers={"Host": "localhost"})
    name: str = json.load(asked.getresponse())["models"][0]["name"]
    return name


async def pelt(port: int, process: int, photo: bytes, minutes: float, rate: float) -> None:
    """Throw garbage for some minutes; every tenth request is a photo, and must be answered as the first was."""
    draw, outcomes, memory = random.Random(0), dict[str, Counter[str]](), list[tuple[float, float]]()
    makers = garbage(draw, photo, name_of_run(port))
    good = request("POST", "/predict", photo)
    started = time.monotonic()
    stop = started + 60 * minutes
    slow = [asyncio.create_task(trickle(port, good, stop)) for _ in range(SLOW_CLIENTS)]
    running, number = set[asyncio.Task[None]](), 0

    async def one(kind: str, data: bytes, is_cut: bool) -> None:
        outcomes.setdefault(kind, Counter())[await throw(port, data, is_cut)] += 1

    while time.monotonic() < stop:
        number += 1
        kind = "photo" if number % 10 == 0 else draw.choice(list(makers))
        data = good if kind == "photo" else makers[kind]()
        task = asyncio.create_task(one(kind, data, kind != "photo" and draw.random() < 0.1))
        running.add(task)
        task.add_done_callback(running.discard)
        if time.monotonic() - started > 10 * len(memory):
            memory.append((time.monotonic() - started, memory_of(process)))
            print(f"{memory[-1][0]:6.0f} s  {memory[-1][1]:6.1f} MB  {number:6d} requests", flush=True)
        await asyncio.sleep(draw.expovariate(rate))
    await asyncio.gather(*running)
    for task in slow:
        task.cancel()
    report(outcomes, memory, number)


def report(outcomes: dict[str, Counter[str]], memory: list[tuple[float, float]], number: int) -> None:
    """Print what came of each kind, and the memory; end with an error if a photo was not answered."""
    for kind, counts in sorted(outcomes.items()):
        print(f"{kind:24} {dict(sorted(counts.items()))}")
    third = len(memory) // 3
    means = [statistics.mean(size for _, size in part) for part in (memory[third : 2 * third], memory[2 * third :])]
    print(json.dumps({"requests": number, "first MB": memory[0][1], "second and last third MB": means}))
    if set(outcomes["photo"]) != {"200"} or any(status == "500" for found in outcomes.values() for status in found):
        raise SystemExit("a photo was not answered, or a request met an error of the program")


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("load", "latency", "batches", "garbage"))
    parser.add_argument("run")
    parser.add_argument("photo", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=10.0, help="requests a second")
    given = parser.parse_args()
    if given.part == "garbage":
        with server(given.run) as (port, process):
            asyncio.run(pelt(port, process, given.photo.read_bytes(), given.minutes, given.rate))
    elif given.part == "batches":
        batches(given.run)
    else:
        {"load": load, "latency": latency}[given.part](given.run, given.photo)


if __name__ == "__main__":
    main()
