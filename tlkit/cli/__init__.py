"""The command line: one thin file per command; the work is in the package of the same noun."""

import errno
import gc
import io
import os
import sys
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from tlkit.cli.attack import attack
from tlkit.cli.augment import augment
from tlkit.cli.cache import cache
from tlkit.cli.check import check
from tlkit.cli.compare import compare
from tlkit.cli.completion import completion
from tlkit.cli.console import describe_interrupt, ignore_signals, take_signals, was_interrupted
from tlkit.cli.doctor import doctor
from tlkit.cli.evaluate import evaluate
from tlkit.cli.explain import explain
from tlkit.cli.export import export
from tlkit.cli.features import features
from tlkit.cli.finetune import finetune
from tlkit.cli.gradcheck import gradcheck
from tlkit.cli.help import HelpGroup
from tlkit.cli.isolation import ARGUMENTS
from tlkit.cli.lr_find import lr_find
from tlkit.cli.models import models
from tlkit.cli.predict import predict
from tlkit.cli.report import report
from tlkit.cli.robustness import robustness
from tlkit.cli.runs import runs
from tlkit.cli.sample import sample
from tlkit.cli.search import search
from tlkit.cli.serve import serve
from tlkit.cli.summary import summary
from tlkit.cli.train import train
from tlkit.cli.visualize import visualize
from tlkit.errors import OptionError, TlkitError, naming_extras
from tlkit.utils.process import remove_folders_of_process

INTERRUPTED = 130
GARBAGE_THRESHOLD = 10_000  # new objects between two searches for cycles: those of 700 took 0.3 s of a training
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)


class _Group(HelpGroup):
    """The group of all commands, which turns errors into a message and an exit code."""

    def main(self, args: Sequence[str] | None = None, *positional: Any, **extra: Any) -> Any:
        """Run as a program; return to the caller where `args` are given, as tests and other programs do."""
        if args is not None:
            return super().main(args, *positional, **extra)
        take_signals()
        gc.set_threshold(GARBAGE_THRESHOLD)
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:  # where the shell has closed it, as by >&-
                setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        if hasattr(sys.stderr, "buffer"):
            sys.stderr = _Messages(sys.stderr.buffer, sys.stderr.encoding, sys.stderr.errors, line_buffering=True)
        try:
            super().main(**extra)
        except SystemExit as end:
            _exit(end)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the command line; `--help` writes its page here."""
        words = list(args[1])  # reading them empties the list
        with _reader_may_leave(), _usage_errors_fit():
            context = super().make_context(*args, **extra)
        context.meta[ARGUMENTS] = words
        return context

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; say an error in one sentence."""
        with _reader_may_leave(), _usage_errors_fit():
            return self._invoke(ctx)

    def _invoke(self, ctx: click.Context) -> Any:
        try:
            with naming_extras("this command"):
                return super().invoke(ctx)
        except TlkitError as error:
            _say(f"Error: {error}")
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            self._end_interrupted(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if _is_full_output(error):
                raise
            if was_interrupted():  # C code below TensorFlow turns the interrupt into an error of its own
                self._end_interrupted(ctx)
            if os.environ.get("TLKIT_DEBUG"):
                raise
            _say(f"Error: {_describe_unexpected(error)} Set TLKIT_DEBUG=1 for a traceback.")
            ctx.exit(1)

    def _end_interrupted(self, ctx: click.Context) -> None:
        name = ctx.invoked_subcommand or ""
        command = self.get_command(ctx, name)
        can_resume = command is not None and any(parameter.name == "resume" for parameter in command.params)
        _say(describe_interrupt(name, can_resume))
        ctx.exit(INTERRUPTED)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(None, "-V", "--version", package_name="tlkit")
def main() -> None:
    """Turn a folder of images into a classifier that can be trusted, on an ordinary laptop."""
    warnings.filterwarnings("ignore")  # what matters is said in a sentence of our own
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        click.get_current_context().color = False


class _Messages(io.TextIOWrapper):
    """Standard error. A message that cannot be written there, as on a full disk, ends no training."""

    def write(self, text: str) -> int:
        """Write a message, or drop it."""
        with _dropped():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered, or drop it."""
        with _dropped():
            super().flush()


@contextmanager
def _dropped() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not _is_full_output(error):
            raise


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    """End with exit code 0 where the reader of the output has closed it, as `| head -1` does; with 2 on a full disk."""
    try:
        yield
    except BrokenPipeError:
        _flush()
        raise click.exceptions.Exit(0) from None
    except OSError as error:
        if not _is_full_output(error):
            raise
        _say(f"Error: standard output cannot be written ({error.strerror}); check the disk that it goes to.")
        raise click.exceptions.Exit(OptionError.exit_code) from None


def _is_full_output(error: Exception) -> bool:
    """Tell whether standard output cannot be written; errors of files have their names."""
    return isinstance(error, OSError) and error.filename is None and error.errno in FULL


@contextmanager
def _usage_errors_fit() -> Iterator[None]:
    """Wrap the sentence of a usage error at the width of the terminal."""
    try:
        yield
    except click.UsageError as error:
        if not sys.stderr.isatty():
            raise
        from tlkit.cli.screen import terminal_width

        start = "Error: "
        lines = textwrap.fill(start + error.format_message(), terminal_width(), break_on_hyphens=False)
        raise click.UsageError(lines.removeprefix(start), error.ctx) from None


def _flush() -> None:
    """Write what is buffered; where nobody reads it any more, drop it, or Python complains when it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            with Path(os.devnull).open("w") as sink:
                os.dup2(sink.fileno(), stream.fileno())


def _exit(end: SystemExit) -> None:
    """End at once where TensorFlow was loaded, whose shutdown takes a second, and after an interrupt: all is written.

    Python would end an interrupted import of code with the signal instead of the exit code.
    """
    ignore_signals()
    with suppress(OSError):
        _flush()
    remove_folders_of_process()
    if "tensorflow" not in sys.modules and not was_interrupted():
        raise end
    os._exit(end.code if isinstance(end.code, int) else 1)


def _say(text: str) -> None:
    """Print a message for people on stderr: wrapped on a terminal, else as one line."""
    if sys.stderr.isatty():
        from tlkit.cli.screen import BAD, Screen

        start = "Error:" * text.startswith("Error:")
        Screen(sys.stderr).line((start, BAD), text.removeprefix(start))
        return
    from tlkit.utils.text import escape_control_chars

    click.echo(escape_control_chars(text), err=True)


def _describe_unexpected(error: Exception) -> str:
    if isinstance(error, OSError):
        where = f" at '{error.filename}'" if error.filename else ""
        return f"{error.strerror or error}{where}; existing files are unchanged."
    first_line = str(error).splitlines()[0] if str(error) else ""
    return f"unexpected {type(error).__name__}: {first_line}."


COMMANDS = {  # by heading of `tlkit --help`
    "Learn": (finetune, train, compare, lr_find),
    "Use": (predict, explain, evaluate, attack, robustness, report, features, search, export, runs, serve),
    "Look": (check, augment, models, summary, visualize, gradcheck),
    "Other": (sample, cache, doctor, completion),
}
main.headings = COMMANDS
for _command in (command for commands in COMMANDS.values() for command in commands):
    main.add_command(_command)
