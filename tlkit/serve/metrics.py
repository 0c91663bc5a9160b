"""Counters and histograms in the text format of Prometheus, summed over processes.

Every counter has a fixed column of one array in a file that all processes map; each writes its own row. So the page is
the same for whichever process answers, and nothing is locked.
"""

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

STATUSES = (200, 400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 431, 499, 500, 503)
MAX_ROUTES = 64
OTHER = "other"  # route of an address where nothing answers
OUTCOMES = ("ok", "unknown", "error")  # of an image
RELOADS = ("done", "failed")
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds

Labels = tuple[tuple[str, str], ...]
HELP = {
    "tlkit_requests_total": ("counter", "Requests by route and HTTP status; 499 is a client that left."),
    "tlkit_images_total": ("counter", "Images by run and answer."),
    "tlkit_reloads_total": ("counter", "Runs that were replaced while serving, by result."),
    "tlkit_requests_in_progress": ("gauge", "Requests that are being answered."),
    "tlkit_request_seconds": ("histogram", "Seconds from the headers of a request for predictions to its answer."),
    "process_start_time_seconds": ("gauge", "Start of the server, in seconds since 1970."),
}


class Metrics:
    """The counters of a server, seen from one of its processes.

    Args:
        file: that all processes map; None where there is one process
        row: of this process
    """

    def __init__(
        self, routes: Sequence[str], runs: Sequence[str], file: Path | None = None, rows: int = 1, row: int = 0
    ) -> None:
        self._column = {key: number for number, key in enumerate(_series(routes, runs))}
        shape = (rows, len(self._column))
        if file is None:
            self._started, self._values = time.time(), np.zeros(shape)
        else:
            self._started = float(np.fromfile(file, np.float64, 1)[0])
            self._values = np.memmap(file, np.float64, "r+", offset=8, shape=shape)
        self._row = self._values[row]
        self._row[self._column["tlkit_requests_in_progress", ()]] = 0  # of a process that ended

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Count; a series that is not known is not counted."""
        column = self._column.get((name, tuple(labels.items())))
        if column is not None:
            self._row[column] += amount

    def observe(self, seconds: float) -> None:
        """Count the seconds of a request."""
        self.add("tlkit_request_seconds_sum", seconds)
        self.add("tlkit_request_seconds_count")
        first = self._column["tlkit_request_seconds_bucket", (("le", str(BUCKETS[0])),)]  # the others follow it
        self._row[first + bisect_left(BUCKETS, seconds) : first + len(BUCKETS) + 1] += 1

    def text(self) -> str:
        """Write all series; counters of requests and images only where they are not 0."""
        totals, lines, written = self._values.sum(axis=0), list[str](), ""
        for (name, labels), column in self._column.items():
            family = name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
            if family != written:
                kind, words = HELP[family]
                lines += [f"# HELP {family} {words}", f"# TYPE {family} {kind}"]
                written = family
            value = self._started if name == "process_start_time_seconds" else float(totals[column])
            if value or HELP[family][0] != "counter":
                lines.append(f"{name}{_braced(labels)} {value:.17g}")
        return "\n".join(lines) + "\n"


def room_for(num_runs: int, rows: int) -> bytes:
    """Give the first content of a file of counters: the start of the server, and zeros, enough for every series.

    A file that is only declared so long would end a process on a full disk.
    """
    return np.float64(time.time()).tobytes() + bytes(8 * rows * (MAX_ROUTES * len(STATUSES) + 8 * num_runs + 64))


def _series(routes: Sequence[str], runs: Sequence[str]) -> Iterator[tuple[str, Labels]]:
    """Give every series, in the order of `HELP`."""
    for route in (*routes, OTHER):
        yield from (("tlkit_requests_total", (("route", route), ("status", str(status)))) for status in STATUSES)
    for run in runs:
        yield from (("tlkit_images_total", (("model", run), ("answer", outcome))) for outcome in OUTCOMES)
    for run in runs:
        yield from (("tlkit_reloads_total", (("model", run), ("result", result))) for result in RELOADS)
    yield "tlkit_requests_in_progress", ()
    yield from (("tlkit_request_seconds_bucket", (("le", str(bound)),)) for bound in (*BUCKETS, "+Inf"))
    yield "tlkit_request_seconds_sum", ()
    yield "tlkit_request_seconds_count", ()
    yield "process_start_time_seconds", ()


def _braced(labels: Labels) -> str:
    """Write labels as the format has them.

    >>> _braced((("route", 'a"b'),))
    '{route="a\\\\"b"}'
    """
    escaped = ((name, value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")) for name, value in labels)
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped) + "}" if labels else ""
