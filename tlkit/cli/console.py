"""Progress bars, notes and signals on the terminal."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

import click

from tlkit.utils.progress import Advance

_received: list[int] = []


def take_signals() -> None:
    """Let SIGINT and SIGTERM raise KeyboardInterrupt from now on."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def was_interrupted() -> bool:
    """Whether such a signal has come."""
    return bool(_received)


def raise_if_interrupted() -> None:
    """Raise again what C code below TensorFlow may have swallowed.

    raises: KeyboardInterrupt
    """
    if _received:
        raise KeyboardInterrupt


def _interrupt(number: int, frame: Any) -> None:
    _received.append(number)
    raise KeyboardInterrupt


class Console:
    """A `Progress` for people, made before any work starts.

    It draws on a duplicate of the terminal's descriptor, which goes on showing while descriptor 2
    is silenced for libraries that print to it.
    """

    def __init__(self) -> None:
        self._terminal: IO[str] | None = None
        if sys.stderr.isatty():
            self._terminal = os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8", errors="replace")

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        """A bar with a rate and the time left, where somebody can see it."""
        if self._terminal is None:
            yield lambda done: None
            return
        with _bars(self._terminal) as bars:
            task = bars.add_task(name, total=total, rate="")
            started = time.monotonic()

            def advance(done: int) -> None:
                bars.advance(task, done)
                bars.update(task, rate=_rate(int(bars.tasks[task].completed), time.monotonic() - started, unit))

            yield advance
            if unit == "epochs":  # stopped early: done, not stuck
                bars.update(task, total=bars.tasks[task].completed)

    def note(self, text: str, transient: bool = False) -> None:
        """One line on stderr; a transient one is dim, and is left out where nobody watches.

        raises: KeyboardInterrupt with a transient one, where C code has made an error of an interrupt
        """
        from tlkit.utils.text import escape_control_chars

        if transient:
            raise_if_interrupted()
            if self._terminal is not None:
                click.echo(click.style(escape_control_chars(text), dim=True), file=self._terminal, err=True)
            return
        click.echo(f"Note: {escape_control_chars(text)}", file=self._terminal, err=True)

    def on_epoch_end(self, row: Mapping[str, Any]) -> None:
        """The bar says enough; an interrupt that was swallowed ends the training here.

        raises: KeyboardInterrupt
        """
        raise_if_interrupted()


def _bars(terminal: IO[str]) -> Any:
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("[cyan]{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
        console=RichConsole(file=terminal, force_terminal=True),
        redirect_stdout=False,
        redirect_stderr=False,  # what descriptor 2 is silenced for would come back through it
    )


def _rate(done: int, seconds: float, unit: str) -> str:
    return f"{done / max(seconds, 1e-6):.0f} {unit}/s"
