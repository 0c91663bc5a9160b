"""Progress and signals of a terminal."""

import os
import signal
import sys
import time

import click
import pytest
from click.testing import CliRunner

from tests.cli.commands import posix
from tlkit.cli import console
from tlkit.cli.console import Console, ignore_signals, raise_if_interrupted, take_signals, was_interrupted

EPOCH = {"phase": "head", "epoch": 1, "loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}


@pytest.fixture
def signals(monkeypatch):
    """Handlers of signals as they were, after a test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(console, "_received", [])
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
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


def test_console_says_the_accuracy_of_the_epoch_that_is_kept():
    def said(*rows):
        @click.command()
        def work():
            progress = Console()
            with progress.stage("head", 9, "epochs") as advance:
                for row in rows:
                    progress.on_epoch_end(EPOCH | row)
                    advance(1)

        return CliRunner().invoke(work, []).stderr

    first, high = {"best_epoch": 1}, {"epoch": 2, "val_accuracy": 0.9, "best_epoch": 1}  # of a lower loss, the first
    third = {"epoch": 3, "val_accuracy": 0.8, "best_epoch": 3}
    assert said(first, high) == "training the head: 2 epochs, accuracy 50.0 % at epoch 1, 1 s\n"
    assert said(first, high, third) == "training the head: 3 epochs, accuracy 50.0 % → 80.0 % at epoch 3, 1 s\n"
    assert said(high) == "training the head: 1 epoch; the weights of epoch 1 are kept, 1 s\n"


class Dropped:
    """An object whose destructor takes the signal, as that of a file may."""

    def __del__(self):
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_in_a_destructor_is_not_lost(signals):
    take_signals()
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        thing = Dropped()
        del thing
        for _ in range(500):
            time.sleep(0.01)


def test_console_interrupted_names_the_run_and_the_command(tmp_path):
    run = tmp_path / "my run"
    run.mkdir()

    def said(command, can_resume=True, epochs=3, is_unfinished=True):
        @click.command()
        def work():
            progress = Console()
            progress.run_started(run)
            (run / "UNFINISHED").unlink(missing_ok=True)
            if is_unfinished:
                (run / "UNFINISHED").touch()
            with progress.stage("head" if epochs else "features", 9, "epochs" if epochs else "images") as advance:
                advance(epochs)
            click.echo(console.describe_interrupt(command, can_resume))

        return CliRunner().invoke(work, []).stdout

    assert said("train") == f"Stopped after 3 of 9 epochs. Continue: tlkit train --resume '{run}'\n"
    assert said("train", epochs=0) == f"Stopped. Continue: tlkit train --resume '{run}'\n"
    assert said("compare") == f"Stopped. Continue: tlkit compare --resume '{run}'\n"
    assert said("finetune", is_unfinished=False) == "Stopped before anything was trained. Nothing was lost.\n"
    assert said("predict", can_resume=False) == "Stopped. The same command continues it.\n"


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
    shown = ""
    while "done" not in shown:  # a terminal gives it piece by piece
        shown += os.read(reader, 100_000).decode()
    os.close(reader)
    assert "training" in shown
    assert "0/4" in shown
    assert "✓" in shown
    assert "1 epoch" in shown
    assert "note" in shown


@posix
def test_console_raises_again_what_c_code_swallowed_at_the_next_unit_of_a_stage(signals):
    take_signals()
    with Console().stage("features", 2, "images") as advance:
        advance(1)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            advance(1)


@posix
def test_a_note_beside_a_bar_has_a_line_of_its_own(monkeypatch):
    import pty

    reader, writer = pty.openpty()
    with os.fdopen(writer, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        progress = Console(stage_lines=False)
        with progress.stage("candidates", 2, "models") as advance:
            progress.note("one is done", transient=True)
            advance(1)
        progress.note("the end")
    shown = ""
    while "the end" not in shown:
        shown += os.read(reader, 100_000).decode()
    os.close(reader)
    before, after = shown.split("one is done")
    assert before.rpartition("training models")[2].count("\x1b[2K") >= 1  # the bar was taken away for it
    assert after.lstrip("\x1b[0m").startswith("\r\n")
    assert "1/2" in after


@posix
def test_ignore_signals_lets_a_command_that_has_ended_end(signals):
    take_signals()
    ignore_signals()
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(os.getpid(), number)
    assert not was_interrupted()
