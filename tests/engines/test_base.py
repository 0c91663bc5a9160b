import importlib.util
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.networks import keras, lively_body, random_pixels, relative_difference
from tlkit.engines.base import (
    MODULES,
    IdentityEngine,
    SequentialEngine,
    choose_engine,
    engine_version,
    run_in_batches,
    versions,
)
from tlkit.engines.factory import open_engine
from tlkit.engines.keras import KerasEngine, to_litert
from tlkit.errors import ModelError, OptionError
from tlkit.models.cut import cut_points, split_at

ENGINES = ("litert", "openvino", "keras")
every_engine = pytest.mark.parametrize("name", ENGINES)
installed = importlib.util.find_spec


def without(monkeypatch, *names):
    """These engines' packages are not installed."""
    missing = {MODULES[name] for name in names}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else installed(name))


@pytest.fixture(scope="module")
def network():
    return lively_body()


@pytest.fixture(scope="module")
def files(network, tmp_path_factory):
    """The network as each engine reads it."""
    folder = tmp_path_factory.mktemp("converted")
    (folder / "lower.tflite").write_bytes(to_litert(network, pixels=True))
    network.save(folder / "model.keras")
    return {name: folder / ("model.keras" if name == "keras" else "lower.tflite") for name in ENGINES}


@pytest.fixture(scope="module")
def engines(files):
    opened = {}

    def engine(name):
        if not installed(MODULES[name]):
            pytest.skip(f"{name} is not installed")
        if name not in opened:
            opened[name] = open_engine(name, files[name], "float32")
        return opened[name]

    return engine


@pytest.fixture(scope="module")
def pixels():
    return random_pixels(20, 64)


@pytest.fixture(scope="module")
def expected(network, pixels):
    return network.predict(pixels.astype(np.float32), verbose=0)


def outputs_of(engine, rows):
    return run_in_batches(engine, engine.session(), rows)


# values


@every_engine
def test_an_engine_agrees_with_keras(name, engines, pixels, expected):
    values = outputs_of(engines(name), pixels)
    assert values.dtype == np.float32
    assert relative_difference(values, expected) < 1e-5


@every_engine
def test_a_row_does_not_depend_on_its_neighbours_or_their_order(name, engines, pixels):
    engine = engines(name)
    whole = outputs_of(engine, pixels)
    order = np.random.default_rng(0).permutation(len(pixels))
    assert relative_difference(outputs_of(engine, pixels[order]), whole[order]) < 1e-6
    alone = np.concatenate([outputs_of(engine, pixels[row : row + 1]) for row in range(len(pixels))])
    assert relative_difference(alone, whole) < 1e-6
    among_others = outputs_of(engine, np.concatenate([random_pixels(3, 64, seed=9), pixels]))[3:]
    assert relative_difference(among_others, whole) < 1e-6


@every_engine
@pytest.mark.parametrize("count", [1, 7, 8, 9])
def test_any_number_of_rows_gives_as_many_outputs(name, count, engines, pixels, expected):
    values = outputs_of(engines(name), pixels[:count])
    assert values.shape == (count, expected.shape[1])
    assert relative_difference(values, expected[:count]) < 1e-5


@every_engine
def test_running_twice_gives_the_same_bits_and_leaves_earlier_outputs_alone(name, engines, pixels):
    engine = engines(name)
    session = engine.session()
    first = session(pixels[: engine.batch_size])
    kept = first.copy()
    session(pixels[-engine.batch_size :])
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(session(pixels[: engine.batch_size]), kept)


@every_engine
def test_sessions_of_several_threads_do_not_disturb_each_other(name, engines, pixels):
    engine, meeting = engines(name), threading.Barrier(3)
    whole = outputs_of(engine, pixels)

    def work(_):
        session = engine.session()
        meeting.wait(timeout=30)
        return run_in_batches(engine, session, pixels)

    with ThreadPoolExecutor(3) as pool:
        for values in pool.map(work, range(3)):
            assert relative_difference(values, whole) < 1e-6


@every_engine
def test_features_are_a_float32_input_too(name, network, engines, tmp_path):
    engines(name)
    cut = next(cut for cut in cut_points(network) if cut.name == "conv_pw_11_relu")
    lower, upper = split_at(network, cut.tensor)
    features = lower.predict(random_pixels(3, 64, kind=np.float32), verbose=0)
    file = tmp_path / ("upper.keras" if name == "keras" else "upper.tflite")
    if name == "keras":
        upper.save(file)
    else:
        file.write_bytes(to_litert(upper, pixels=False))
    values = outputs_of(open_engine(name, file, "float32"), features)
    assert relative_difference(values, upper.predict(features, verbose=0)) < 1e-5


def test_dropout_and_batch_norm_are_converted_as_inference(tmp_path):
    source = keras.Input((6,))
    hidden = keras.layers.Dropout(0.9)(keras.layers.BatchNormalization()(source))
    model = keras.Model(source, hidden)
    (tmp_path / "a.tflite").write_bytes(to_litert(model, pixels=False))
    rows = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    values = outputs_of(open_engine("litert", tmp_path / "a.tflite", "float32"), rows)
    np.testing.assert_allclose(values, rows / np.sqrt(1 + 1e-3), rtol=1e-5)


def test_converting_twice_gives_the_same_network(network, files, pixels, engines, tmp_path):
    (tmp_path / "again.tflite").write_bytes(to_litert(network, pixels=True))
    again = open_engine("litert", tmp_path / "again.tflite", "float32")
    np.testing.assert_array_equal(outputs_of(again, pixels[:4]), outputs_of(engines("litert"), pixels[:4]))


def test_bfloat16_is_close_where_the_processor_has_it(files, pixels, expected):
    openvino = pytest.importorskip("openvino")
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bfloat16 arithmetic")
    engine = open_engine("openvino", files["openvino"], "bfloat16")
    values = outputs_of(engine, pixels)
    assert values.dtype == np.float32
    assert 1e-6 < relative_difference(values, expected) < 1e-1
    np.testing.assert_array_equal(outputs_of(engine, pixels[::-1])[::-1], values)


# engines made of others


@every_engine
def test_a_chain_equals_its_stages_one_after_the_other(name, network, engines, pixels, expected, tmp_path):
    engines(name)
    cut = next(cut for cut in cut_points(network) if cut.name == "conv_pw_6_relu")
    parts = split_at(network, cut.tensor)
    stages = []
    for part, first in zip(parts, (True, False), strict=True):
        file = tmp_path / f"{first}.tflite"
        if name != "keras":
            file.write_bytes(to_litert(part, pixels=first))
        stages.append(KerasEngine(part) if name == "keras" else open_engine(name, file, "float32"))
    chain = SequentialEngine(stages)
    one_by_one = outputs_of(stages[1], outputs_of(stages[0], pixels))
    np.testing.assert_array_equal(outputs_of(chain, pixels), one_by_one)
    assert relative_difference(one_by_one, expected) < 1e-5


def test_the_engine_of_pixels_gives_them_back_as_they_are(pixels):
    values = outputs_of(IdentityEngine(), pixels)
    assert values.dtype == np.uint8
    np.testing.assert_array_equal(values, pixels)


# damage


@pytest.mark.parametrize("name", ["litert", "openvino", "keras"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "missing"])
def test_a_damaged_file_is_refused(name, damage, files, engines, tmp_path):
    engines(name)
    content = files[name].read_bytes()
    file = tmp_path / files[name].name
    contents = {"truncated": content[: len(content) // 3], "empty": b"", "text": b"hello " * 100}
    if damage in contents:
        file.write_bytes(contents[damage])
    with pytest.raises(ModelError) as caught:
        open_engine(name, file, "float32")
    sentence = str(caught.value)
    assert sentence.startswith(f"the {name} engine cannot open '{file}' (")
    assert sentence.endswith("train or convert it anew.")
    assert "\n" not in sentence


# choosing


@pytest.mark.parametrize(
    ("name", "precision", "missing", "chosen"),
    [
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
    ],
)
def test_the_engine_that_is_chosen(name, precision, missing, chosen, monkeypatch):
    present = {MODULES[engine] for engine in ENGINES if engine not in missing}
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: module if module in present else None)
    assert choose_engine(name, precision) == chosen


@pytest.mark.parametrize("name", ["litert", "keras"])
def test_bfloat16_needs_openvino(name):
    with pytest.raises(OptionError) as caught:
        choose_engine(name, "bfloat16")
    assert str(caught.value) == (
        f"--precision bfloat16 needs the openvino engine, got --engine {name}; leave --engine out."
    )


@pytest.mark.parametrize(
    ("name", "precision", "missing", "sentence"),
    [
        (
            "openvino",
            "float32",
            "openvino",
            "the openvino engine is not installed; `pip install 'tlkit[openvino]'` brings it.",
        ),
        (
            "auto",
            "bfloat16",
            "openvino",
            "the openvino engine is not installed; `pip install 'tlkit[openvino]'` brings it.",
        ),
        ("litert", "float32", "litert", "the litert engine is not installed; `pip install ai-edge-litert` brings it."),
    ],
)
def test_a_missing_engine_names_what_brings_it(name, precision, missing, sentence, monkeypatch):
    without(monkeypatch, missing)
    with pytest.raises(ModelError) as caught:
        choose_engine(name, precision)
    assert str(caught.value) == sentence


def test_a_run_made_with_an_engine_that_is_gone_says_so(files, monkeypatch):
    without(monkeypatch, "litert")
    with pytest.raises(ModelError, match="the litert engine is not installed"):
        open_engine("litert", files["litert"], "float32")


def test_the_versions_numbers_depend_on_are_known():
    found = versions("litert")
    assert found["litert"] == engine_version("litert")
    assert {"tlkit", "python", "keras", "tensorflow", "numpy", "pillow"} < set(found)
    assert all(version[0].isdigit() for version in found.values())
