"""Runs that are replaced while they are served."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tlkit.errors import RunError, TlkitError
from tlkit.runs.run import find_run, is_done
from tlkit.serve.metrics import Metrics
from tlkit.serve.pool import ServedRun, WorkerPool

SECONDS_BETWEEN = 1.0  # looks at the folders
MAX_FAILURES = 3  # of looks, before a run is given up


def signature_of(given: Path) -> tuple[Any, ...] | None:
    """Describe the finished run that a path means now, so that another one has another signature.

    Returns:
        None where there is no finished run, as while a folder is replaced
    """
    with suppress(OSError, RunError):
        folder = find_run(given)
        status = (folder / "model.json").stat()
        if is_done(folder):
            return str(folder.resolve()), status.st_ino, status.st_mtime_ns, status.st_size
    return None


class Watch:
    """A look at the folder of one run from time to time.

    A folder that is being replaced may be read half-way, so a run that does not open is tried again a few times; then
    the run before it stays until the folder changes again.
    """

    def __init__(self, run: ServedRun, metrics: Metrics, log: Callable[[str], None]) -> None:
        self._run, self._metrics, self._log = run, metrics, log
        self._known, self._failures = signature_of(run.given), 0

    def look(self) -> None:
        """Open what has replaced the run, and let it take over if its golden samples give the same answers."""
        found = signature_of(self._run.given)
        if found is None or found == self._known:
            return
        try:
            self._run.open()
        except (TlkitError, OSError) as error:
            self._failures += 1
            if self._failures < MAX_FAILURES:
                return
            self._log(f"{self._run.name}: the run before it still answers, because {error}")
            self._metrics.add("tlkit_reloads_total", model=self._run.name, result="failed")
        else:
            self._log(f"{self._run.name}: '{self._run.run.path}' has taken over")
            self._metrics.add("tlkit_reloads_total", model=self._run.name, result="done")
        self._known, self._failures = found, 0


async def watch_runs(watches: Sequence[Watch], pool: WorkerPool) -> None:
    """Look at every run, for ever."""
    while True:
        await asyncio.sleep(SECONDS_BETWEEN)
        for watch in watches:
            await pool.run(watch.look)
