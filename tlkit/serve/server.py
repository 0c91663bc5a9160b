"""The server in one process: a socket, runs, threads, and signals.

SIGTERM and SIGINT end it gracefully: it takes no more connections and answers the requests that it has. A second
signal ends it at once.
"""

import asyncio
import ctypes
import ipaddress
import logging
import math
import os
import signal
import socket
import stat
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tlkit.errors import OptionError
from tlkit.serve.app import App
from tlkit.serve.gate import MAX_HEADERS, Gate, RequestLimits
from tlkit.serve.metrics import Metrics
from tlkit.serve.pool import WorkerPool, open_served_runs
from tlkit.serve.watch import Watch, watch_runs
from tlkit.settings.serve import ServeSettings
from tlkit.utils.parallel import count_workers, single_threaded_blas
from tlkit.utils.reading import read_regular
from tlkit.utils.text import escape_control_chars

MIN_TOKEN, MAX_TOKEN = 16, 4096  # characters
MAX_TOKEN_BYTES = 65_536  # of its file, with blanks around it
CONNECTIONS = 4  # that may be open, as a multiple of the requests at a time
KEEP_ALIVE = 5  # seconds that a connection may be idle
HEADER_SECONDS = 10  # in which the headers of a request have to come
M_MMAP_THRESHOLD, LARGE_BLOCK = -3, 4 << 20  # parameter of glibc's mallopt; bytes
SPARE_SECONDS = 10  # of a connection, beyond those of a request


def read_token(file: Path) -> str:
    """Read a token.

    Raises:
        OptionError: if there is no such file, or its token is short
    """
    try:
        token = read_regular(Path(os.path.realpath(file)), MAX_TOKEN_BYTES).decode("ascii").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or (str(error) if isinstance(error, OSError) else "it is not ASCII")
        raise OptionError(f"--token-file '{file}' cannot be read ({reason}).") from None
    if not MIN_TOKEN <= len(token) <= MAX_TOKEN or not token.isprintable() or " " in token:
        raise OptionError(
            f"--token-file '{file}' has no token of at least {MIN_TOKEN} characters without spaces; "
            "`openssl rand -hex 32` makes one."
        )
    return token


def is_readable_by_others(file: Path) -> bool:
    """Tell whether other users of this machine may read a file."""
    return os.name == "posix" and bool(file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def bind_socket(host: str, port: int, has_token: bool) -> socket.socket:
    """Take an address; clients that connect before the server is ready wait.

    Raises:
        OptionError: if the address is not this machine's own and there is no token, or it cannot be taken
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise OptionError(f"--host '{host}' is not an address of this machine; the default is 127.0.0.1.") from None
    family, _, _, _, address = found[0]
    if not has_token and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
        raise OptionError(f"--host {host} can be reached from other machines; add --token-file FILE.")
    # asyncio switches Nagle's algorithm off only where the protocol is named; it costs 40 ms an answer
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # where it does not let two servers share an address
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen()  # before that, another server could bind the same address
    except OSError as error:
        bound.close()
        reason = (error.strerror or str(error)).lower()
        raise OptionError(f"port {port} of {host} cannot be used ({reason}); choose another with --port.") from None
    return bound


@dataclass(frozen=True)
class ServerPlan:
    """Everything that a process needs to serve.

    Attributes:
        runs: as the user gave them
        token: None where only this machine can ask
        metrics_file: that all processes map; None where there is one process
        number: of this process, from 0
    """

    runs: tuple[Path, ...]
    settings: ServeSettings
    token: str | None = field(default=None, repr=False)
    metrics_file: Path | None = None
    number: int = 0


def serve_here(plan: ServerPlan, bound: socket.socket, on_ready: Callable[[list[str]], None]) -> int:
    """Open the runs, and serve in this process until a signal comes.

    Args:
        on_ready: takes the names of the runs

    Returns:
        The number of the signal; 0 where the process that started this one has ended

    Raises:
        RunError
        ModelError
        OptionError
    """
    settings = plan.settings
    return_large_blocks()
    limits = RequestLimits(int(settings.max_body * 1e6), settings.max_images, settings.timeout)
    served = open_served_runs(plan.runs, settings.engine, settings.unknown)
    pool = WorkerPool(math.ceil(count_workers() / settings.processes), settings.max_requests)
    app = App(served, pool, limits)
    if plan.metrics_file:
        app.metrics = Metrics(list(app.addresses), list(served), plan.metrics_file, settings.processes, plan.number)
    gate = Gate(app.router, limits, app.metrics, plan.token, log_line if settings.access_log else None)
    watches = [Watch(run, app.metrics, log_line) for run in served.values()] if settings.watch else []
    server = _Server(_config(gate, settings), lambda: on_ready(list(served)), is_child=plan.metrics_file is not None)
    server.while_running = lambda: watch_runs(watches, pool) if watches else None
    with single_threaded_blas():
        pool.warm_up(list(served.values()))
        try:
            server.run([bound])
        finally:
            pool.close()
    return server.ended_by


def return_large_blocks() -> None:
    """Let the memory of large images go back to the system as soon as it is free, where the C library is glibc.

    It would keep blocks of up to 32 MB for later, in each thread.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)


def _config(gate: Gate, settings: ServeSettings) -> uvicorn.Config:
    """Configure the library: nothing of its own is logged but errors, and no header of a proxy is believed."""
    handler = _LogHandler(logging.ERROR)
    for name in ("uvicorn.error", "asyncio", "python_multipart"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.ERROR)
    _CutOffProtocol.max_seconds = settings.timeout + KEEP_ALIVE + SPARE_SECONDS
    return uvicorn.Config(
        gate,
        http=_CutOffProtocol,
        ws="none",
        loop="uvloop" if find_spec("uvloop") else "asyncio",  # there is none for Windows
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS * settings.max_requests + 1,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=math.ceil(settings.timeout),
    )


class _CutOffProtocol(HttpToolsProtocol):
    """A connection that is cut off where headers do not come or do not end, or a request and its answer take too long.

    The parser has no limit of its own for headers, nor for those after a body.
    """

    max_seconds = 45.0
    _cut_off: asyncio.TimerHandle | None = None
    _request: object = None  # that has its time
    _num_bytes = 0  # since the last end of headers, part of a body, or end of a request

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the headers of the first request their time."""
        super().connection_made(transport)
        self._start_again(HEADER_SECONDS)

    def data_received(self, data: bytes) -> None:
        """Give a request whose headers have come its time; refuse headers that do not end."""
        self._num_bytes += len(data)
        super().data_received(data)
        if self._num_bytes > MAX_HEADERS and not self.transport.is_closing():
            self.send_400_response("The headers of the request are too large.")
        self._time_request()

    def on_headers_complete(self) -> None:
        """Count from here; what comes after the body is not added to the headers."""
        self._num_bytes = 0
        super().on_headers_complete()
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """Count from here."""
        self._num_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Count from here."""
        self._num_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Give the headers of the next request their time."""
        super().on_response_complete()
        self._start_again(HEADER_SECONDS)
        self._time_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the time."""
        super().connection_lost(exc)
        if self._cut_off:
            self._cut_off.cancel()

    def _time_request(self) -> None:
        if self.cycle is not None and self.cycle is not self._request:
            self._request = self.cycle
            self._start_again(self.max_seconds)

    def _start_again(self, seconds: float) -> None:
        if self._cut_off:
            self._cut_off.cancel()
        self._cut_off = self.loop.call_later(seconds, self.transport.abort)


class _Server(uvicorn.Server):
    """A server that says when it is ready, and keeps the signal that ended it.

    Attributes:
        ended_by: number of the signal; 0 before
        while_running: gives what runs beside the requests
    """

    ended_by = 0

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None], is_child: bool) -> None:
        super().__init__(config)
        self._on_start, self._parent = on_start, os.getppid() if is_child else None
        self.while_running: Callable[[], Coroutine[Any, Any, None] | None] = lambda: None

    async def main_loop(self) -> None:
        """Serve until a signal comes."""
        self._on_start()
        beside = self.while_running()
        task = asyncio.create_task(beside) if beside else None
        try:
            await super().main_loop()
        finally:
            if task:
                task.cancel()

    async def on_tick(self, counter: int) -> bool:
        """Tell whether to end, also where the process that started this one has ended."""
        is_orphan = self._parent is not None and os.getppid() != self._parent
        return await super().on_tick(counter) or is_orphan

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End gracefully at the first signal, at once at the second; a child leaves SIGINT to its parent."""
        if self._parent is not None and sig == signal.SIGINT:
            return
        self.force_exit = self.should_exit
        self.should_exit = True
        self.ended_by = self.ended_by or sig


class _LogHandler(logging.Handler):
    """Writes the first line of an error of the library as a line of the log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        log_line(f"error: {(record.getMessage().splitlines() or [''])[0]}")


def log_line(text: str) -> None:
    """Write a line of the log on standard error."""
    print(escape_control_chars(text), file=sys.stderr, flush=True)
