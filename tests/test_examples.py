"""The files in examples/: they are read, and their commands are run, on another run and other images."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from tests.shared_runs import copy_foreign_run

yaml = pytest.importorskip("yaml")
EXAMPLES = Path(__file__).parents[1] / "examples"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the commands are for a POSIX shell")


def read(name):
    return yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))


@pytest.fixture
def project(finetuned_run, colors, tmp_path):
    """A repository as the examples expect it: the run comes from another machine."""
    (tmp_path / "runs").mkdir()
    copy_foreign_run(finetuned_run, tmp_path).path.rename(tmp_path / "runs" / "production")
    for name in ("train", "test"):
        shutil.copytree(colors, tmp_path / "data" / name)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "tlkit"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tlkit "$@"\n')
    program.chmod(0o755)
    return tmp_path


def run_in(project, command, variables=None):
    path = f"{project / 'bin'}:{os.environ['PATH']}"
    code = {"PYTHONPATH": str(EXAMPLES.parent)}
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", command],  # as GitHub runs a step
        cwd=project,
        env=os.environ | {"PATH": path} | code | (variables or {}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_the_workflow_evaluates_and_fails_below_the_gate(project):
    workflow = read("evaluate.yml")
    job = workflow["jobs"]["evaluate"]
    assert workflow[True].keys() == {"pull_request", "workflow_dispatch"}  # YAML reads "on" as true
    steps = {step["name"]: step["run"] for step in job["steps"] if "run" in step}
    assert steps.pop("Install") == 'pip install "$TLKIT"'
    assert all({"uses", "run"} & step.keys() for step in job["steps"])
    for command in steps.values():
        done = run_in(project, command, job["env"])
        assert done.returncode == 0, done.stderr
    suite = ElementTree.parse(project / "build" / "gates.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("1", "0")
    assert (project / "build" / "tables" / "per_class.csv").exists()
    shutil.rmtree(project / "build")
    red, blue = (project / "data" / "test" / name for name in ("red", "blue"))
    red.rename(project / "other")
    blue.rename(red)
    (project / "other").rename(blue)
    done = run_in(project, steps["Evaluate"].replace("-o build", "--include-training -o build"), job["env"])
    assert done.returncode == 5, done.stderr
    suite = ElementTree.parse(project / "build" / "gates.xml").getroot()[0]
    assert suite.get("failures") == "1"


@pytest.mark.slow
def test_the_hooks_pass_and_find_what_is_wrong(project):
    (local,) = read("pre-commit-config.yaml")["repos"]
    random = np.random.default_rng(0)
    for name in ("blue", "green", "red"):  # whose colors say nothing of the class, which `--strict` would find
        for number in range(24):
            pixels = random.normal(random.integers(60, 200, 3), 20, (80, 80, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(project / "data" / "train" / name / f"{number}.png")
    entries = {hook["id"]: hook["entry"] for hook in local["hooks"]}
    assert local["repo"] == "local"
    assert all(hook["language"] == "system" and hook["pass_filenames"] is False for hook in local["hooks"])
    for entry in entries.values():
        done = run_in(project, entry)
        assert done.returncode == 0, done.stdout + done.stderr
    shutil.copy(project / "data" / "train" / "blue" / "0.png", project / "data" / "train" / "red" / "copy.png")
    assert run_in(project, entries["check-images"]).returncode == 5
    with (project / "runs" / "production" / "engine" / "head.tflite").open("ab") as file:
        file.write(b"x")
    assert run_in(project, entries["golden-samples"]).returncode != 0


def test_the_examples_are_named_and_their_options_exist():
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    names = sorted(file.name for file in EXAMPLES.iterdir() if file.name != "README.md")
    assert [name for name in names if f"[{name}]({name})" not in page] == []
    from tlkit.cli import main

    commands = [hook["entry"] for hook in read("pre-commit-config.yaml")["repos"][0]["hooks"]]
    for step in read("evaluate.yml")["jobs"]["evaluate"]["steps"]:
        commands += [line for line in step.get("run", "").splitlines() if line.startswith("tlkit")]
    assert len(commands) == 4
    for command in commands:
        _, name, *words = shlex.split(command)
        options = {option for parameter in main.commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= options
