"""Work in a child process with limits of memory and time, so that a crash there is a sentence here.

The child sets its limits before it imports anything else, and then runs a module. The limits hold on Linux, and partly
on macOS; Windows has none. They stop a file that takes all memory or never ends. They are no sandbox: code in the child
has the rights of the user.
"""

import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CRASHES = {"SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS"}
MEMORY_FRACTION = 0.75  # of the machine's memory: a child that needs more would make the machine swap
START = (  # of a child; the folder of tlkit comes last, where it cannot hide a module of Python
    "import sys; sys.path.append(sys.argv[1]); from tlkit.utils.child import run_module; run_module(sys.argv[2:])"
)

_limited: list[int] = []  # in a child: its limit of memory


@dataclass(frozen=True)
class ChildLimits:
    """Limits of a child process.

    Attributes:
        memory: bytes it may allocate
        seconds: of processor time, of all its threads together
    """

    memory: int
    seconds: int


def machine_limits(seconds: int) -> ChildLimits:
    """Give the limits of a child that may use most of this machine's memory."""
    memory = 8 << 30
    with suppress(ValueError, OSError, AttributeError):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return ChildLimits(int(MEMORY_FRACTION * memory), seconds)


def start_child(module: str, arguments: Sequence[str], limits: ChildLimits, **options: Any) -> subprocess.Popen[bytes]:
    """Start a module of tlkit as a child process; nothing is imported from the current folder.

    Args:
        options: of `subprocess.Popen`
    """
    words = [str(limits.memory), str(limits.seconds), module, *arguments]
    return subprocess.Popen(
        [sys.executable, "-P", "-c", START, str(Path(__file__).resolve().parents[2]), *words],
        start_new_session=True,  # a Ctrl-C reaches the parent alone, which hands it on
        **options,
    )


def describe_end(returncode: int, limits: ChildLimits) -> str:
    """Say how a child ended that did not end by itself; "" for one that did."""
    if returncode >= 0:
        return ""
    name = signal.Signals(-returncode).name if -returncode in set(signal.Signals) else str(-returncode)
    if name == "SIGXCPU":
        return f"took more than {limits.seconds:,} seconds of processor time"
    if name in CRASHES:
        return f"crashed ({name})"
    return f"was ended by {name}"


def is_limited() -> bool:
    """Tell whether this process is such a child."""
    return bool(_limited)


def limit_process(limits: ChildLimits) -> None:
    """Set the limits of this process; they can only become tighter."""
    _limited.append(limits.memory)
    with suppress(ImportError):
        import resource

        values = {"RLIMIT_DATA": limits.memory, "RLIMIT_CPU": limits.seconds, "RLIMIT_CORE": 0}
        for name, value in values.items():
            kind = getattr(resource, name)
            _, hard = resource.getrlimit(kind)
            allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
            with suppress(ValueError, OSError):
                resource.setrlimit(kind, (allowed, hard if name == "RLIMIT_CPU" else allowed))


def run_module(words: Sequence[str]) -> None:
    """Set limits, and run a module with its arguments as the main program."""
    memory, seconds, module, *arguments = words
    limit_process(ChildLimits(int(memory), int(seconds)))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
