"""A small sample of the damaged files of `make fuzz`, and whether what it looks for would be found."""

import shutil
import sys

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skimage")
pytest.importorskip("pydicom")

import contextlib

from tests import mutations
from tests.mutations import ORDER, TARGETS, Target, Worker, make_input, results, try_input, watch

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="inputs are stopped by SIGPROF, and processes by their memory"),
    pytest.mark.filterwarnings("ignore"),
]
NUM_INPUTS = {"image": 300, "dicom": 50, "table": 50, "run": 24}


@pytest.fixture
def workspace(tmp_path, colors, run, classic_run):
    for name, folder in (("photos", colors), ("net", run.path), ("classic", classic_run.path)):
        shutil.copytree(folder, tmp_path / name)
    return tmp_path


def test_kinds_are_all_tried():
    assert set(ORDER) == NUM_INPUTS.keys() == TARGETS.keys() - {"self-test"}


@pytest.mark.parametrize("kind", NUM_INPUTS)
def test_damaged_files_are_read_or_refused(kind, workspace):
    target = TARGETS[kind](workspace)
    for name, seed in target.seeds.items():
        assert try_input(target, name, seed) == "read", name
    inputs = [make_input(target, kind, number) for number in range(10**9, 10**9 + NUM_INPUTS[kind])]
    outcomes = {number: try_input(target, *given) for number, given in enumerate(inputs)}
    assert {number: said for number, said in outcomes.items() if said not in ("read", "refused")} == {}
    assert sum(data != target.seeds[name] for name, data in inputs) > 0.8 * len(inputs)
    assert inputs[3] == make_input(target, kind, 10**9 + 3)


def test_input_that_takes_too_long_is_found(monkeypatch):
    def read(name, data):
        while True:
            with contextlib.suppress(Exception):
                sum(range(1000))

    monkeypatch.setattr(mutations, "SECONDS", 0.05)
    assert try_input(Target({"x": b""}, read), "x", b"") == "slow"


@pytest.mark.slow
def test_crashes_errors_loops_and_memory_are_found_and_the_rest_is_tried(tmp_path):
    workers = [Worker(tmp_path, part, ("self-test",)) for part in range(mutations.WORKERS)]
    target, num_inputs = TARGETS["self-test"](tmp_path), 24
    names = [make_input(target, "self-test", number)[0] for number in range(num_inputs)]
    assert set(names) == set(target.seeds)
    watch(workers, num_inputs, 300)
    counts, findings = results(workers)
    assert counts == {"read": names.count("good"), "refused": 0, "found": num_inputs - names.count("good")}
    said = {row["number"]: row["outcome"].strip().splitlines()[-1] for row in findings}
    expected = {"crash": "the process ended with -11", "slow": "slow", "error": "ValueError: not a TlkitError"}
    for number, name in enumerate(names):
        if name == "memory":
            assert "MemoryError" in said[number]
        elif name != "good":
            assert said[number] == expected[name]
