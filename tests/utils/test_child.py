"""Child processes: their limits, their ends, and that nothing is imported from the current folder."""

import signal
import subprocess
import sys

import pytest

from tests.cli.commands import posix
from tlkit.utils.child import ChildLimits, describe_end, is_limited, machine_limits, start_child

pytestmark = posix
LIMITS = ChildLimits(2 << 30, 60)


def run(tmp_path, program, limits=LIMITS):
    """Run a module in a child."""
    package = tmp_path / "modules"
    package.mkdir(exist_ok=True)
    (package / "program_of_test.py").write_text(program)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(package), prepend=":")
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # two programs of one second and length have the same bytecode
        with start_child(
            "program_of_test", ["a", "b"], limits, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as child:
            out, error = child.communicate(timeout=120)
    return child.returncode, out.decode(), error.decode()


def test_start_child_runs_a_module_as_the_main_program(tmp_path):
    program = "import sys; from tlkit.utils.child import is_limited; print(__name__, sys.argv[1:], is_limited())"
    assert run(tmp_path, program) == (0, "__main__ ['a', 'b'] True\n", "")
    assert run(tmp_path, "raise SystemExit(4)")[0] == 4
    assert not is_limited()


def test_start_child_imports_nothing_from_the_current_folder(tmp_path, monkeypatch):
    for name in ("json.py", "numpy.py", "tlkit.py", "signal.py", "subprocess.py"):
        (tmp_path / name).write_text("raise SystemExit('imported from the current folder')")
    monkeypatch.chdir(tmp_path)
    code, out, error = run(tmp_path, "import json, numpy, tlkit, signal, subprocess; print('fine')")
    assert (code, out) == (0, "fine\n"), error


@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not hold a limit of memory")
def test_a_child_that_takes_all_memory_fails(tmp_path):
    code, _, error = run(tmp_path, "bytearray(3 << 30)")
    assert code == 1 and "MemoryError" in error
    assert run(tmp_path, "bytearray(1 << 28)")[0] == 0


def test_a_child_that_never_ends_is_ended(tmp_path):
    limits = ChildLimits(2 << 30, 1)
    code = run(tmp_path, "while True: pass", limits)[0]
    assert code == -signal.SIGXCPU
    assert describe_end(code, limits) == "took more than 1 seconds of processor time"


def test_describe_end_says_how_a_child_ended(tmp_path):
    for program, words in (
        ("import os; os.abort()", "crashed (SIGABRT)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed (SIGSEGV)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was ended by SIGKILL"),
        ("pass", ""),
        ("raise SystemExit(3)", ""),
    ):
        assert describe_end(run(tmp_path, program)[0], LIMITS) == words


def test_machine_limits_are_below_what_the_machine_has():
    limits = machine_limits(7)
    assert 1 << 28 < limits.memory < 1 << 50
    assert limits.seconds == 7
