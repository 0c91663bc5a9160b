"""`tlkit doctor`: what it prints, its exit code, and what it leaves alone."""

import json
import os
import subprocess
import sys

import pytest

from tests.cli.commands import tlkit
from tlkit.doctor import machine

TOPICS = ["tlkit", "packages", "optional", "engines", "processor", "precision", "threads", "cache", "weights", "speed"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A short measurement; a cache and weights that are not there yet."""
    monkeypatch.setattr(machine, "SECONDS", 0.02)
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


def test_doctor_prints_a_line_for_everything_and_makes_nothing(tmp_path):
    done = tlkit("doctor")
    assert (done.exit_code, done.stderr) == (0, "")
    assert all(any(line.startswith(topic) for line in done.stdout.splitlines()) for topic in TOPICS)
    assert list(tmp_path.iterdir()) == []


def test_doctor_as_json_has_the_same_findings(tmp_path):
    content = json.loads(tlkit("doctor", "--json").stdout)
    assert content["problems"] == 0
    assert content["remarks"] == sum(row["state"] == "remark" for row in content["findings"])
    assert set(TOPICS) <= {row["topic"] for row in content["findings"]}
    assert all(set(row) == {"topic", "state", "text", "remedy"} for row in content["findings"])


def test_doctor_looks_at_a_run_too(own_run):
    done = tlkit("doctor", own_run.path)
    assert done.exit_code == 0, done.stdout
    assert "predict     can be used: engine/" in done.stdout
    (own_run.path / "metrics.json").write_text("{}")
    done = tlkit("doctor", own_run.path, "-q")
    assert done.exit_code == 4
    assert done.stdout.splitlines()[0] == "1 problem"
    assert "files       problem: " in done.stdout
    missing = tlkit("doctor", own_run.path / "no", "-q")
    assert (missing.exit_code, missing.stdout.splitlines()[0]) == (4, "1 problem")


def test_doctor_says_what_is_wrong_first_and_how_to_mend_it(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "thesis.txt").write_text("mine")
    done = tlkit("doctor")
    lines = done.stdout.splitlines()
    assert done.exit_code == 2
    assert lines[0].startswith("1 problem")
    assert lines[2].startswith("cache       problem: ")
    assert any(line.startswith("mend        export TLKIT_CACHE=") for line in lines)
    models = tmp_path / "keras" / "models"
    models.mkdir(parents=True)
    (models / "mobilenet_2_5_224_tf_no_top.h5").write_bytes(b"")
    quiet = tlkit("doctor", "--quiet")
    assert quiet.exit_code == 4
    assert quiet.stdout.startswith("2 problems")
    assert "processor" not in quiet.stdout
    assert json.loads(tlkit("doctor", "--json").stdout)["problems"] == 2


def test_doctor_loads_no_tensorflow_and_starts_fast(tmp_path):
    code = (
        "import sys, tlkit.doctor.machine as machine; machine.SECONDS = 0.02; from tlkit.cli import main\n"
        "try: main.main(['doctor', '-q'])\n"
        "except SystemExit: pass\n"
        "print(*sorted(set(sys.modules) & {'tensorflow', 'keras', 'matplotlib', 'sklearn'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.splitlines()[-1] == ""
