"""Nodes of a cluster, started as `ray start` does, each a process group of its own that can be killed."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.object_store import free_port
from tests.test_shared_cache import wait_for

ROOT = Path(__file__).parents[2]


@contextmanager
def running_node(words: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen]:
    """Start one node, wait until it runs, and end it."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats", *words]
    with log.open("w") as output:
        node = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        wait_for(lambda: "block forever" in log.read_text(), seconds=120)
        yield node
    finally:
        with suppress(ProcessLookupError):
            os.killpg(node.pid, signal.SIGTERM)
        node.wait(60)


@contextmanager
def running_cluster(
    folder: Path, num_cpus: int, variables: dict[str, str], num_more: int = 0
) -> Iterator[tuple[str, list[subprocess.Popen]]]:
    """Start a head and more nodes; give the address and the nodes behind the head.

    num_cpus: of each node
    variables: of the nodes, beside those of this process
    """
    port = free_port()
    base = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = base | {"PYTHONPATH": str(ROOT)} | variables
    with ExitStack() as stack:
        short = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True))
        head = ["--head", f"--port={port}", f"--num-cpus={num_cpus}", "--include-dashboard=false"]
        head += [f"--temp-dir={short}"]  # a short one, for the names of its sockets
        stack.enter_context(running_node(head, environment, folder / "head.log"))
        more = [f"--address=127.0.0.1:{port}", f"--num-cpus={num_cpus}"]
        nodes = [
            stack.enter_context(running_node(more, environment, folder / f"node-{number}.log"))
            for number in range(num_more)
        ]
        yield f"127.0.0.1:{port}", nodes
