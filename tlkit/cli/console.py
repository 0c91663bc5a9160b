"""Progress bars and notes on stderr: bars on a terminal, nothing but notes when piped."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from tlkit.progress import Advance


class Console:
    """A `Progress` for people."""

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        """A bar with a rate and the time left, where somebody can see it."""
        if not sys.stderr.isatty():
            yield lambda done: None
            return
        with _bars(unit) as bars:
            task = bars.add_task(name, total=total, rate="")
            started = time.monotonic()

            def advance(done: int) -> None:
                bars.advance(task, done)
                bars.update(task, rate=_rate(int(bars.tasks[task].completed), time.monotonic() - started, unit))

            yield advance
            if unit == "epochs":  # stopped early: done, not stuck
                bars.update(task, total=bars.tasks[task].completed)

    def note(self, text: str) -> None:
        """One line on stderr."""
        from tlkit.evaluation.wording import printable

        click.echo(f"Note: {printable(text)}", err=True)


def _bars(unit: str) -> Any:
    """Bars drawn on a duplicate of the terminal's descriptor, which stays when the other is silenced."""
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    terminal = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")
    return Progress(
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("[cyan]{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
        console=RichConsole(file=terminal, force_terminal=True),
    )


def _rate(done: int, seconds: float, unit: str) -> str:
    return f"{done / max(seconds, 1e-6):.0f} {unit}/s"
