"""Progress and signals of a terminal."""

import os
import signal
import sys

import click
import pytest
from click.testing import CliRunner

from tests.cli.commands import posix
from tlkit.cli import console
from tlkit.cli.console import Console, raise_if_interrupted, take_signals, was_interrupted

EPOCH = {"phase": "head", "epoch": 1, "loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}


@pytest.fixture
def signals(monkeypatch):
    """Handlers of signals as they were, after a test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(console, "_received", [])
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_take_signals_lets_them_interrupt_and_remembers_them(signals, number):
    take_signals()
    assert not was_interrupted()
    raise_if_interrupted()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)
    assert was_interrupted()
    with pytest.raises(KeyboardInterrupt):
        raise_if_interrupted()


@posix
def test_console_raises_again_what_c_code_swallowed_at_the_end_of_an_epoch(signals):
    take_signals()
    Console().on_epoch_end(EPOCH)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        Console().on_epoch_end(EPOCH)


def test_console_without_a_terminal_writes_one_line_per_stage_and_notes():
    @click.command()
    def work():
        progress = Console()
        with progress.stage("features", 3, "images") as advance:
            advance(3)
        progress.note("one \x1b[31mclass")

    done = CliRunner().invoke(work, [])
    assert (done.stdout, done.stderr) == ("", "reading images: 3 images, 1 s\nNote: one \\x1b[31mclass\n")


@posix
def test_console_on_a_terminal_draws_while_descriptor_2_is_silenced(monkeypatch):
    import pty

    reader, writer = pty.openpty()
    with os.fdopen(writer, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        progress = Console()
        with progress.stage("training", 4, "epochs") as advance:
            advance(1)  # stopped early
        progress.note("done")
    shown = os.read(reader, 100_000).decode()
    os.close(reader)
    assert "training" in shown
    assert "0/4" in shown
    assert "✓" in shown
    assert "1 epoch" in shown
    assert "note" in shown
