"""Served runs: inside the test's process, and as a server of its own."""

import re
import signal
import threading
from contextlib import contextmanager

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("python_multipart")

from starlette.testclient import TestClient

from tests.cli.commands import process
from tlkit.serve.app import App
from tlkit.serve.gate import Gate, RequestLimits
from tlkit.serve.pool import WorkerPool, open_served_runs

HERE = "http://localhost"


class Served:
    """Runs with everything around them, as a server has it; `client` asks them."""

    def __init__(self, *runs, limits=None, token=None, max_requests=8, threads=2):
        limits, self.log = limits or RequestLimits(), []
        self.runs = open_served_runs([run.path for run in runs], "auto", None)
        self.pool = WorkerPool(threads, max_requests)
        self.app = App(self.runs, self.pool, limits)
        gate = Gate(self.app.router, limits, self.app.metrics, token, self.log.append)
        self.client = TestClient(gate, base_url=HERE, raise_server_exceptions=False)
        self.name = next(iter(self.runs))

    def post(self, address, **options):
        return self.client.post(address, **options)


@pytest.fixture(scope="session")
def served(finetuned_run):
    """A network behind a name."""
    found = Served(finetuned_run)
    yield found
    found.pool.close()


@pytest.fixture
def serving():
    """Make `Served` with other limits; its threads end with the test."""
    made = []

    def make(*runs, **options):
        made.append(Served(*runs, **options))
        return made[-1]

    yield make
    for found in made:
        found.pool.close()


@contextmanager
def started(*args):
    """A server as a process, with its address and its standard error so far."""
    running, lines = process("serve", *args, "--port", "0"), []
    try:
        for line in running.stderr:
            lines.append(line)
            if found := re.search(r"at (http://\S+?)\.? Ctrl-C", line):
                break
        else:
            raise AssertionError(f"exit code {running.wait()}: {lines}")
        reader = threading.Thread(target=lambda: lines.extend(running.stderr), daemon=True)
        reader.start()
        running.lines, running.address = lines, found[1]
        running.port = int(found[1].rpartition(":")[2])
        yield running
    finally:
        if running.poll() is None:
            running.send_signal(signal.SIGKILL)
        running.wait(timeout=20)


@pytest.fixture
def photo(colors):
    """A file of an image."""
    return colors / "red" / "0.png"
