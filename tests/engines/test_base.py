"""What all engines have in common: the choice between them, batches of one size, engines in a row, versions."""

import importlib.util
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.networks import relative_difference
from tlkit.engines.base import (
    MODULES,
    EngineSpec,
    IdentityEngine,
    SequentialEngine,
    ThreadedRunner,
    choose_engine,
    engine_version,
    run_in_batches,
    versions,
)
from tlkit.engines.factory import open_engine
from tlkit.engines.keras import KerasEngine, to_litert
from tlkit.errors import ModelError, OptionError

ENGINES = ("litert", "openvino", "keras")


class Doubling:
    """An engine that takes three rows at a time and keeps what it was given."""

    batch_size = 3
    single_threaded_blas = False

    def __init__(self):
        self.batches = []
        self.sessions = 0

    def session(self):
        self.sessions += 1

        def run(rows):
            self.batches.append(rows.copy())
            return rows * 2

        return run


def test_run_in_batches_fills_up_with_zeros_and_cuts_again():
    for count in range(1, 8):
        engine, rows = Doubling(), np.arange(1, 2 * count + 1).reshape(count, 2)
        np.testing.assert_array_equal(run_in_batches(engine, engine.session(), rows), rows * 2)
        assert {batch.shape for batch in engine.batches} == {(3, 2)}
        assert (np.concatenate(engine.batches)[count:] == 0).all()


def test_threaded_runner_has_a_session_per_thread():
    engine = Doubling()
    run, rows = ThreadedRunner(engine), np.arange(8).reshape(4, 2)
    for _ in range(3):
        np.testing.assert_array_equal(run(rows), rows * 2)
    assert engine.sessions == 1
    with ThreadPoolExecutor(1) as pool:
        np.testing.assert_array_equal(pool.submit(run, rows).result(), rows * 2)
    assert engine.sessions == 2


@pytest.mark.parametrize("name", ENGINES)
def test_sequential_engine_equals_its_stages_one_after_the_other(name, network, engines, pixels, expected, tmp_path):
    engines(name)
    from tlkit.models.cut import cut_points, split_at

    cut = next(cut for cut in cut_points(network) if cut.name == "conv_pw_6_relu")
    stages = []
    for part, is_first in zip(split_at(network, cut.tensor), (True, False), strict=True):
        file = tmp_path / f"{is_first}.tflite"
        if name != "keras":
            file.write_bytes(to_litert(part, pixels=is_first))
        stages.append(KerasEngine(part) if name == "keras" else open_engine(EngineSpec(name), file))
    chain = SequentialEngine(stages)
    one_by_one = run_in_batches(stages[0], stages[0].session(), pixels)
    one_by_one = run_in_batches(stages[1], stages[1].session(), one_by_one)
    np.testing.assert_array_equal(run_in_batches(chain, chain.session(), pixels), one_by_one)
    assert relative_difference(one_by_one, expected) < 1e-5


def test_sequential_engine_has_what_its_stages_have():
    assert SequentialEngine([Doubling(), Doubling()]).batch_size == 3
    quiet = Doubling()
    quiet.single_threaded_blas = True
    assert SequentialEngine([Doubling(), quiet]).single_threaded_blas
    assert not SequentialEngine([Doubling()]).single_threaded_blas


def test_identity_engine_gives_pixels_back_as_they_are(pixels):
    given = run_in_batches(IdentityEngine(), IdentityEngine().session(), pixels)
    assert given.dtype == np.uint8
    np.testing.assert_array_equal(given, pixels)


def test_choose_engine_takes_what_is_installed_and_can_do_it(monkeypatch):
    for name, precision, missing, chosen in (
        ("auto", "float32", (), "litert"),
        ("auto", "float32", ("litert",), "keras"),
        ("auto", "float32", ("openvino",), "litert"),
        ("auto", "float32", ("litert", "openvino"), "keras"),
        ("auto", "bfloat16", (), "openvino"),
        ("auto", "bfloat16", ("litert",), "openvino"),
        ("litert", "float32", (), "litert"),
        ("openvino", "float32", (), "openvino"),
        ("openvino", "bfloat16", (), "openvino"),
        ("keras", "float32", ("litert",), "keras"),
    ):
        present = {MODULES[engine] for engine in ENGINES if engine not in missing}
        monkeypatch.setattr(importlib.util, "find_spec", {module: module for module in present}.get)
        assert choose_engine(name, precision) == chosen, (name, precision, missing)


def test_choose_engine_for_bfloat16_needs_openvino():
    for name in ("litert", "keras"):
        with pytest.raises(OptionError) as caught:
            choose_engine(name, "bfloat16")
        assert str(caught.value) == (f"--precision bfloat16 needs --engine openvino, not {name}; omit --engine.")


def test_choose_engine_that_is_missing_names_what_brings_it(without_engines):
    for name, precision, missing, package in (
        ("openvino", "float32", "openvino", "'tlkit[openvino]'"),
        ("auto", "bfloat16", "openvino", "'tlkit[openvino]'"),
        ("litert", "float32", "litert", "ai-edge-litert"),
        ("keras", "float32", "keras", "'tlkit[train]'"),
    ):
        without_engines(missing)
        with pytest.raises(ModelError) as caught:
            choose_engine(name, precision)
        sentence = f"the {missing} engine is not installed; install it with `pip install {package}`."
        assert str(caught.value) == sentence, (name, precision)


def test_versions_name_what_numbers_depend_on():
    by_package = versions("litert")
    assert by_package["litert"] == engine_version("litert")
    assert {"tlkit", "python", "keras", "tensorflow", "numpy", "pillow"} < set(by_package)
    assert [version for version in by_package.values() if not version[0].isdigit()] == []
