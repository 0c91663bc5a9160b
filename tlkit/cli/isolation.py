"""A command that runs again in a child process, because it opens a network of a stranger (`--trust-model`)."""

import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from subprocess import Popen

ARGUMENTS = "tlkit.arguments"  # in the context: the words of the command line
SECONDS = 24 * 3600  # of processor time: a training of a night on two cores


def isolate(context: click.Context) -> None:
    """Run the whole command in a child process with limits, and end with its exit code; return in the child.

    The child has the same terminal, input and output.

    Raises:
        ModelError: if the child crashed or reached a limit
    """
    from tlkit.errors import ModelError
    from tlkit.utils.child import describe_end, is_limited, machine_limits, start_child

    if is_limited():
        return
    limits = machine_limits(SECONDS)
    code = _wait(start_child("tlkit", context.find_root().meta[ARGUMENTS], limits))
    if reason := describe_end(code, limits):
        raise ModelError(f"the process that opened the network {reason}; do not use this run.")
    context.exit(code)


def _wait(child: "Popen[bytes]") -> int:
    """Wait for a child; hand the first interrupt on, and end the child at the second."""
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            return child.wait()
        except KeyboardInterrupt:
            with suppress(OSError):
                child.send_signal(number)
    return child.wait()
