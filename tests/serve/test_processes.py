"""Several processes behind one socket."""

import os
import re
import signal
import time
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.cli.commands import posix, process
from tests.serve.conftest import started
from tests.shared_runs import copy_run

pytestmark = posix


def children_of(number):
    tasks = Path(f"/proc/{number}/task/{number}/children")
    if not tasks.exists():
        pytest.skip("this system does not list processes so")
    names = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in tasks.read_text().split()}
    return [int(child) for child, line in names.items() if b"spawn_main" in line]


def count(client):
    text = client.get("/metrics", headers={"connection": "close"}).text
    return sum(map(int, re.findall(r'tlkit_images_total.*answer="ok"} (\d+)', text)))


@pytest.mark.slow
def test_processes_answer_alike_are_counted_together_and_start_again(finetuned_run, photo):
    with started(finetuned_run.path, "--processes", "2") as server:
        with httpx.Client(base_url=server.address, headers={"connection": "close"}) as client:
            rows = [client.post("/predict", content=photo.read_bytes()).json() for _ in range(20)]
            assert all(row == rows[0] for row in rows)
            assert [count(client) for _ in range(6)] == [20] * 6
            first, second = children_of(server.pid)
            os.kill(first, signal.SIGKILL)
            until = time.monotonic() + 20
            while time.monotonic() < until and len(set(children_of(server.pid)) - {first}) < 2:
                time.sleep(0.2)
            time.sleep(3)
            assert second in children_of(server.pid)
            assert client.get("/healthz").status_code == 200
            assert count(client) == 20
        assert any("has ended (exit code -9) and is started again" in line for line in server.lines)
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) == 0
        assert not any("Traceback" in line for line in server.lines)


@pytest.mark.slow
def test_a_run_that_does_not_open_ends_the_server_with_its_sentence(finetuned_run, tmp_path):
    run = copy_run(finetuned_run, tmp_path)
    (run.path / "engine" / "head.tflite").write_bytes(b"x")
    running = process("serve", run.path, "--port", "0", "--processes", "2")
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 4
    assert errors.startswith("Error: ") and errors.count("\n") == 1


@pytest.mark.slow
def test_processes_end_when_their_parent_is_killed(finetuned_run):
    with started(finetuned_run.path, "--processes", "2") as server:
        numbers = children_of(server.pid)
        server.send_signal(signal.SIGKILL)
        server.wait()
        until = time.monotonic() + 10
        while time.monotonic() < until and any(Path(f"/proc/{number}").exists() for number in numbers):
            time.sleep(0.2)
        assert not any(Path(f"/proc/{number}").exists() for number in numbers)
