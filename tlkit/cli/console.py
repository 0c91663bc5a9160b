"""Progress on the terminal: a bar while a stage runs, one line when it has ended; notes and signals."""

import _thread
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import click

from tlkit.cli.reporting import QUIET, VERBOSE, reporting
from tlkit.cli.screen import FAINT, GLUE, GOOD, WARN, Screen, percent, terminal_width
from tlkit.utils.progress import Advance
from tlkit.utils.text import escape_control_chars, format_duration, format_rate

TITLES = {  # of stages, as people read them
    "features": "reading images",
    "views": "augmenting images",
    "head": "training the head",
    "blocks": "training top blocks",
    "whole": "training",
    "rates": "trying learning rates",
    "folds": "cross-validating",
    "fit": "fitting",
    "vocabulary": "finding visual words",
    "encoding": "describing images",
    "hashing": "checking images",
    "candidates": "training models",
    "reference": "classifying images",
    "shards": "classifying images",
    "table": "writing rows",
    "verifying": "checking the file",
    "attacking": "attacking images",
}
TITLE_WIDTH = 20
BAR_STYLES = {  # rich's own are pale on white
    "bar.complete": GOOD,
    "bar.finished": GOOD,
    "progress.download": "none",
    "progress.remaining": FAINT,
}
NARROW = 76  # columns below which there is no room for a bar and the time left
SECONDS_AGAIN = 0.02  # until an interrupt that was dropped is repeated

_received: list[int] = []


def take_signals() -> None:
    """Let SIGINT and SIGTERM raise KeyboardInterrupt from now on."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    show = sys.unraisablehook

    def take_again(error: Any) -> None:
        """Interrupt again where Python drops it, in a destructor: as of a file that was just written."""
        if error.exc_type is not KeyboardInterrupt:
            show(error)
            return
        with suppress(RuntimeError):  # the program is ending
            again = threading.Timer(SECONDS_AGAIN, _thread.interrupt_main)
            again.daemon = True
            again.start()

    sys.unraisablehook = take_again


def ignore_signals() -> None:
    """Let SIGINT and SIGTERM do nothing from now on: the work is done, and its exit code decided."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def was_interrupted() -> bool:
    """Tell whether such a signal was received."""
    return bool(_received)


def raise_if_interrupted() -> None:
    """Raise again what C code below TensorFlow may have swallowed.

    Raises:
        KeyboardInterrupt
    """
    if _received:
        raise KeyboardInterrupt


def _interrupt(number: int, frame: Any) -> None:
    _received.append(number)
    raise KeyboardInterrupt


def describe_interrupt(command: str, can_resume: bool) -> str:
    """Say after an interrupt how far the running command came, and what continues it.

    Args:
        can_resume: True if the command has --resume; else one that has made a folder continues it by itself
    """
    run, epochs = reporting().run, reporting().epochs
    if not can_resume:
        return "Stopped. The same command continues it." if run else "Stopped. Nothing was lost."
    if run is None or not _is_unfinished(run):
        return "Stopped before anything was trained. Nothing was lost."
    after = f" after {epochs[0]} of {_count(epochs[1], 'epochs')}" if epochs else ""
    if command == "compare":  # the epochs are those of one candidate
        after = ""
    return f"Stopped{after}. Continue: {shlex.join(['tlkit', command, '--resume', str(run)])}"


def _is_unfinished(run: Path) -> bool:
    from tlkit.runs.run import UNFINISHED  # not before there is a run: an interrupted import cannot be repeated

    return (run / UNFINISHED).exists()


class Console:
    """A `Progress` for people, made before any work starts.

    It draws on a duplicate of the terminal's descriptor, which keeps showing while descriptor 2
    is silenced for libraries that print to it. Where standard error is not a terminal, it writes one
    plain line per stage.

    Args:
        stage_lines: whether a stage that has ended leaves a line
    """

    def __init__(self, stage_lines: bool = True) -> None:
        self._verbosity = reporting().verbosity
        self._stage_lines = stage_lines and self._verbosity > QUIET
        self._terminal: IO[str] | None = None
        if sys.stderr.isatty():
            self._terminal = os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8", errors="replace")
        self._epochs: list[Mapping[str, Any]] = []
        self._bars: Any = None

    def run_started(self, path: Path) -> None:
        """Keep the folder for the message after an interrupt."""
        reporting().run = path

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        """Show a bar with a rate and the time left on a terminal; then a line with the result."""
        title, started, done = TITLES.get(name, name), time.monotonic(), 0
        self._epochs = []
        reporting().epochs = (0, total) if unit == "epochs" else None
        with self._bar(title, total) as update:

            def advance(count: int) -> None:
                """Count units; write nothing until the stage ends."""
                nonlocal done
                raise_if_interrupted()
                done += count
                if unit == "epochs":
                    reporting().epochs = (done, total)
                update(count, "" if unit == "epochs" else _rate(done, time.monotonic() - started, unit))

            yield advance
        if self._stage_lines:
            self._end_stage(title, _count(done, unit) if unit else "done", time.monotonic() - started)

    @contextmanager
    def _bar(self, title: str, total: int) -> Iterator[Callable[[int, str], None]]:
        if self._terminal is None or self._verbosity == QUIET:
            yield lambda count, text: None
            return
        with _progress_bars(self._terminal) as bars:
            task = bars.add_task(f"  {title}", total=total, text="")
            self._bars = bars

            def update(count: int, text: str) -> None:
                """Advance the bar, and change its text."""
                bars.update(task, advance=count, **({"text": text} if text else {}))

            try:
                yield update
            finally:
                self._bars = None

    def _end_stage(self, title: str, result: str, seconds: float) -> None:
        if self._epochs:
            result = _describe_epochs(self._epochs)
        if self._terminal is None:
            click.echo(f"{title}: {result.replace(GLUE, ' ')}, {format_duration(seconds)}", err=True)
            return
        screen = Screen(self._terminal)
        screen.line(("✓ ", GOOD), f"{title:<{TITLE_WIDTH}}", result, (f"  {format_duration(seconds)}", FAINT))

    def waiting(self, text: str) -> None:
        """Say in the bar what the stage waits for; the first units that are done take its place."""
        if self._bars is not None:
            self._bars.update(self._bars.task_ids[-1], text=escape_control_chars(text))

    def note(self, text: str, transient: bool = False) -> None:
        """Write one sentence on stderr; a transient one is dim, and is left out in a pipe.

        Raises:
            KeyboardInterrupt: with a transient one, if C code has made an error of an interrupt
        """
        if transient:
            raise_if_interrupted()
        if self._verbosity == QUIET or (transient and self._terminal is None):
            return
        if self._terminal is None:
            click.echo(f"Note: {escape_control_chars(text)}", err=True)
            return
        bars = self._bars
        if bars is not None:
            bars.stop()  # the line takes its place
        if transient:
            Screen(self._terminal).line((text, FAINT))
        else:
            Screen(self._terminal).entry("note", text, style=WARN)
        if bars is not None:
            bars.start()

    def on_epoch_end(self, row: Mapping[str, Any]) -> None:
        """Show the loss, the accuracy and the best so far; an interrupt that was swallowed ends the training here.

        Raises:
            KeyboardInterrupt
        """
        raise_if_interrupted()
        self._epochs.append(row)
        if self._verbosity == VERBOSE:
            self._print_above_bar(_epoch_line(row))
        accuracy, best = row["val_accuracy"], max(epoch["val_accuracy"] for epoch in self._epochs)
        figures = f"accuracy {percent(accuracy)}  best {percent(best)}  loss {row['val_loss']:.2f}"
        self.waiting(figures.replace(GLUE, " "))

    def _print_above_bar(self, line: str) -> None:
        """Print a line; without a bar, it goes to stderr as it is."""
        if self._bars is None:
            click.echo(line, file=self._terminal, err=True)
        else:
            self._bars.console.print(line, markup=False, highlight=False)


def _progress_bars(terminal: IO[str]) -> Any:
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.theme import Theme

    width = terminal_width()
    bar = [BarColumn(bar_width=min(30, width - 68))] if width >= NARROW else []
    left = [TimeRemainingColumn(compact=True)] if width >= NARROW else []
    return Progress(
        TextColumn("{task.description}"),
        *bar,
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}"),
        *left,
        console=RichConsole(file=terminal, force_terminal=True, width=width, theme=Theme(BAR_STYLES)),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,  # what descriptor 2 is silenced for would come back through it
    )


def _count(number: int, unit: str) -> str:
    return f"{number:,} {unit.removesuffix('s') if number == 1 else unit}"


def _rate(done: int, seconds: float, unit: str) -> str:
    return f"{format_rate(done / max(seconds, 1e-6))} {unit}/s"


def _describe_epochs(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say how many epochs there were, and the accuracy on the validation images: of the first, and of the kept one."""
    count, kept = _count(len(rows), "epochs"), rows[-1]["best_epoch"]
    accuracies = {row["epoch"]: percent(row["val_accuracy"]) for row in rows}
    if kept not in accuracies:  # it was before the first of these
        return f"{count}; the weights of epoch {kept} are kept"
    first = next(iter(accuracies))
    rise = f"{accuracies[first]} → " if kept != first else ""
    return f"{count}, accuracy {rise}{accuracies[kept]} at epoch {kept}"


def _epoch_line(row: Mapping[str, Any]) -> str:
    return (
        f"  epoch {row['epoch']:>3}  loss {row['loss']:.3f}, accuracy {row['accuracy']:.3f};  "
        f"validation loss {row['val_loss']:.3f}, accuracy {row['val_accuracy']:.3f}"
    )
