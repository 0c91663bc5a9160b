"""`--trust-model`: the whole command runs in a child process; its output, exit code and interrupts are its own."""

import signal
import subprocess
import sys
import time

import pytest

from tests.cli.commands import posix, process, refused, tlkit
from tests.shared_runs import copy_foreign_run

pytestmark = posix


@pytest.fixture
def foreign_run(finetuned_run, tmp_path):
    return copy_foreign_run(finetuned_run, tmp_path)


def ended(*args, **options):
    """Exit code, output and messages of a command as a process."""
    with process(*args, **options) as running:
        out, error = running.communicate(timeout=180)
    return running.returncode, out, error


COMMANDS = {
    "predict": ("predict", "RUN", "IMAGE", "--engine", "keras"),
    "evaluate": ("evaluate", "RUN", "DATA", "--engine", "keras"),
    "robustness": ("robustness", "RUN", "DATA", "--engine", "keras"),
    "features": ("features", "DATA", "--run", "RUN", "-o", "OUT"),
    "summary": ("summary", "RUN"),
    "finetune": ("finetune", "DATA", "--from", "RUN", "--epochs", "1", "-o", "OUT"),
    "lr-find": ("lr-find", "DATA", "--from", "RUN", "-o", "OUT"),
}


def test_every_command_that_opens_a_network_is_refused(foreign_run, colors, tmp_path):
    words = {"RUN": foreign_run.path, "DATA": colors, "IMAGE": colors / "red" / "0.png", "OUT": tmp_path / "out.npz"}
    for name, command in COMMANDS.items():
        sentence = refused(4, *(words.get(word, word) for word in command))
        assert "was not made on this machine" in sentence and "--trust-model" in sentence, name
        assert not (tmp_path / "out.npz").exists(), name


@pytest.mark.slow
def test_a_trusted_run_predicts_in_a_child_as_here(foreign_run, finetuned_run, colors):
    image = str(colors / "red" / "0.png")
    code, out, error = ended("predict", foreign_run.path, image, "--engine", "keras", "--trust-model")
    assert (code, error) == (0, "")
    assert out == tlkit("predict", finetuned_run.path, image, "--engine", "keras").stdout
    code, out, _ = ended("predict", foreign_run.path, image, "nowhere.png", "--engine", "keras", "--trust-model")
    assert code == 6 and out.count("\n") == 3


def test_the_parent_loads_no_keras_and_the_child_has_limits(foreign_run, colors):
    program = (
        "import sys; from tlkit.cli import main\n"
        "try: main.main(sys.argv[1:])\n"
        "except SystemExit as end: print(end.code, sorted({'keras', 'tensorflow', 'h5py'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, "summary", str(foreign_run.path), "--trust-model", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    assert "multiply-adds" in done.stdout
    assert done.stdout.splitlines()[-1] == "0 []"


@pytest.mark.slow
@pytest.mark.training
def test_a_run_that_starts_from_a_stranger_stays_a_strangers(foreign_run, colors, tmp_path):
    command = ("finetune", colors, "--from", foreign_run.path, "--epochs", "1", "-o", tmp_path / "next", "-q")
    assert ended(*command, "--trust-model")[0] == 0
    assert "trust" not in (tmp_path / "next" / "settings.json").read_text()
    image = colors / "red" / "0.png"
    assert tlkit("predict", tmp_path / "next", image).exit_code == 0
    assert "--trust-model" in refused(4, "predict", tmp_path / "next", image, "--engine", "keras")


@pytest.mark.slow
@pytest.mark.training
def test_an_interrupt_reaches_the_child_and_its_exit_code_comes_back(foreign_run, colors, tmp_path):
    command = ("finetune", colors, "--from", foreign_run.path, "--epochs", "100000", "--patience", "100000")
    running = process(*command, "--freeze", "all", "-o", tmp_path / "next", "--trust-model")
    deadline = time.monotonic() + 120
    while not (tmp_path / "next" / "checkpoint-head.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    _, error = running.communicate(timeout=60)
    assert running.returncode == 130, error
    assert "Traceback" not in error and "--resume" in error
    assert "--trust-model" in refused(4, "finetune", "--resume", tmp_path / "next")


def test_trust_model_is_no_setting_of_a_file(foreign_run, colors, tmp_path):
    import json

    content = json.loads((foreign_run.path / "settings.json").read_text()) | {"trust_model": True}
    (tmp_path / "config.json").write_text(json.dumps(content))
    words = refused(2, "finetune", colors, "--config", tmp_path / "config.json")
    assert "unknown setting 'trust_model'" in words
    assert "--trust-model has no effect without --from" in refused(2, "finetune", colors, "--trust-model")
    assert "--trust-model has no effect" in refused(2, "summary", "lenet5", "--trust-model")
