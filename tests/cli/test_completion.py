"""Completion: the script of each shell, and what bash completes with it."""

import shutil
import subprocess
import sys

import pytest

from tests.cli.commands import misused, tlkit


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_ends_with_the_line_that_says_where_it_goes(shell):
    done = tlkit("completion", shell)
    assert done.exit_code == 0
    assert f"_TLKIT_COMPLETE={shell}_complete" in done.stdout
    assert done.stderr == ""
    last = done.stdout.splitlines()[-1]
    assert last.startswith("# To keep it: ")
    assert f"tlkit completion {shell} > ~/." in last
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=done.stdout, text=True, check=True, timeout=20)  # it only parses


def test_other_shells_are_refused():
    assert "'bash', 'zsh', 'fish'" in misused("completion", "tcsh")


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_bash_completes_commands_options_and_values(tmp_path):
    program = tmp_path / "tlkit"
    program.write_text(f"#!{sys.executable}\nfrom tlkit.cli import main\nmain.main()\n")
    program.chmod(0o755)
    lines = ("tlkit fine", "tlkit finetune photos --fre", "tlkit finetune photos --freeze l", "tlkit nothing --a")
    script = [f'eval "$("{program}" completion bash)"']
    for line in lines:
        words = line.split()
        script += [
            f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; COMPREPLY=()",
            f'_tlkit_completion "{program}"; echo "${{COMPREPLY[@]}}"',
        ]
    command = ["bash", "--norc", "-c", "\n".join(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == ["finetune", "--freeze", "lower", ""]
