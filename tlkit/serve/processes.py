"""The server in several processes that share one socket."""

import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any

from tlkit.errors import ModelError, TlkitError
from tlkit.serve.metrics import room_for
from tlkit.serve.server import ServerPlan, log_line, serve_here
from tlkit.utils.files import atomic_write
from tlkit.utils.process import folder_of_process

MAX_RESTARTS, RESTART_SECONDS = 5, 60.0  # of processes that end by themselves, within this time
START_SECONDS = 300.0  # in which a process opens the runs


def serve(plan: ServerPlan, bound: socket.socket, on_ready: Callable[[list[str]], None]) -> int:
    """Serve until a signal comes; a process that ends by itself is started again.

    Args, Returns, Raises: as `serve_here`
    """
    if plan.settings.processes == 1:
        return serve_here(plan, bound, on_ready)
    file = folder_of_process() / "metrics"
    atomic_write(file, room_for(len(plan.runs), plan.settings.processes))
    children = _Children(replace(plan, metrics_file=file), bound)
    received = list[int]()

    def end(number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        received.append(number)

    handlers = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        names = children.start_all()
        bound.close()
        on_ready(names)
        while not received:
            children.restart_ended()
    finally:
        children.end(is_hurried=lambda: len(received) > 1)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return received[0]


class _Children:
    """The processes of a server."""

    def __init__(self, plan: ServerPlan, bound: socket.socket) -> None:
        self._plan, self._bound = plan, bound.dup()
        self._running = dict[int, SpawnProcess]()
        self._restarts = list[float]()

    def start_all(self) -> list[str]:
        """Start every process, and wait until all are ready; give the names of the runs.

        Raises:
            TlkitError: that one of them ended with
        """
        pipes = [self._start(number) for number in range(self._plan.settings.processes)]
        return [_receive(pipe) for pipe in pipes][0]

    def _start(self, number: int) -> Connection:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        plan = replace(self._plan, number=number)
        child = context.Process(target=_serve_in_child, args=(plan, self._bound, theirs), daemon=True)
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: Ctrl-C is for this process
        try:
            child.start()
        finally:
            signal.signal(signal.SIGINT, handler)
        theirs.close()
        self._running[number] = child
        return ours

    def restart_ended(self) -> None:
        """Wait a moment, and start again what has ended.

        Raises:
            ModelError: if processes end again and again
        """
        wait([child.sentinel for child in self._running.values()], timeout=0.5)
        for number, child in list(self._running.items()):
            if child.exitcode is None:
                continue
            now = time.monotonic()
            self._restarts = [at for at in self._restarts if now - at < RESTART_SECONDS] + [now]
            if len(self._restarts) > MAX_RESTARTS:
                raise ModelError(f"the processes of the server end by themselves (exit code {child.exitcode}).")
            log_line(f"process {number} has ended (exit code {child.exitcode}) and is started again")
            self._start(number)

    def end(self, is_hurried: Callable[[], bool]) -> None:
        """Let every process end gracefully, or at once in a hurry; nobody can connect from here on."""
        self._bound.close()
        for child in self._running.values():
            with suppress(OSError):
                child.terminate()
        until = time.monotonic() + self._plan.settings.timeout + 5
        while any(child.is_alive() for child in self._running.values()):
            if is_hurried() or time.monotonic() > until:
                for child in self._running.values():
                    child.kill()
            wait([child.sentinel for child in self._running.values() if child.is_alive()], timeout=0.2)


def _receive(pipe: Connection) -> list[str]:
    """Wait for the names of the runs from a process.

    Raises:
        TlkitError: that it ended with
    """
    try:
        if pipe.poll(START_SECONDS):
            kind, content = pipe.recv()
            if kind is not None:
                raise kind(content)
            names: list[str] = content
            return names
    except EOFError:
        pass
    raise ModelError("a process of the server ended before it was ready; try --processes 1.")


def _serve_in_child(plan: ServerPlan, bound: socket.socket, pipe: Connection) -> None:
    """Serve in a process of its own, and tell its parent that it is ready, or why not."""

    def send(kind: Any, content: Any) -> None:
        """Send a message, if the parent still waits for one."""
        with suppress(OSError):
            pipe.send((kind, content))
            pipe.close()

    try:
        serve_here(plan, bound, lambda names: send(None, names))
    except TlkitError as error:
        send(type(error), str(error))
        sys.exit(error.exit_code)
    sys.stderr.flush()
    os._exit(0)
