"""Every engine, as the factory opens it, on one network: values as of Keras, whatever the order and the threads."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.networks import random_pixels, relative_difference
from tlkit.engines.base import EngineSpec, run_in_batches
from tlkit.engines.factory import images_per_second, open_engine
from tlkit.engines.keras import to_litert
from tlkit.errors import ModelError

every_engine = pytest.mark.parametrize("name", ("litert", "openvino", "keras"))


def outputs_of(engine, rows):
    return run_in_batches(engine, engine.session(), rows)


@every_engine
def test_engine_agrees_with_keras_for_any_number_of_rows(name, engines, pixels, expected):
    for count in (1, 7, 8, 9, 20):
        outputs = outputs_of(engines(name), pixels[:count])
        assert outputs.dtype == np.float32
        assert outputs.shape == (count, expected.shape[1])
        assert relative_difference(outputs, expected[:count]) < 1e-5, count


@every_engine
def test_engine_gives_a_row_whatever_its_neighbors_and_their_order(name, engines, pixels):
    engine = engines(name)
    whole = outputs_of(engine, pixels)
    order = np.random.default_rng(0).permutation(len(pixels))
    assert relative_difference(outputs_of(engine, pixels[order]), whole[order]) < 1e-6
    alone = np.concatenate([outputs_of(engine, pixels[row : row + 1]) for row in range(len(pixels))])
    assert relative_difference(alone, whole) < 1e-6
    among_others = outputs_of(engine, np.concatenate([random_pixels(3, 64, seed=9), pixels]))[3:]
    assert relative_difference(among_others, whole) < 1e-6


@every_engine
def test_engine_run_twice_gives_the_same_bits_and_leaves_earlier_outputs_alone(name, engines, pixels):
    engine = engines(name)
    session = engine.session()
    first = session(pixels[: engine.batch_size])
    copied = first.copy()
    session(pixels[-engine.batch_size :])
    np.testing.assert_array_equal(first, copied)
    np.testing.assert_array_equal(session(pixels[: engine.batch_size]), copied)


@every_engine
def test_engine_sessions_of_several_threads_do_not_disturb_each_other(name, engines, pixels):
    engine, meeting = engines(name), threading.Barrier(3)
    whole = outputs_of(engine, pixels)

    def work(_):
        session = engine.session()
        meeting.wait(timeout=30)
        return run_in_batches(engine, session, pixels)

    with ThreadPoolExecutor(3) as pool:
        for outputs in pool.map(work, range(3)):
            assert relative_difference(outputs, whole) < 1e-6


@every_engine
def test_engine_takes_features_as_float32_too(name, network, engines, tmp_path):
    engines(name)
    from tlkit.models.cut import cut_points, split_at

    cut = next(cut for cut in cut_points(network) if cut.name == "conv_pw_11_relu")
    extractor, top = split_at(network, cut.tensor)
    features = extractor.predict(random_pixels(3, 64, kind=np.float32), verbose=0)
    file = tmp_path / ("top.keras" if name == "keras" else "top.tflite")
    if name == "keras":
        top.save(file)
    else:
        file.write_bytes(to_litert(top, pixels=False))
    outputs = outputs_of(open_engine(EngineSpec(name), file), features)
    assert relative_difference(outputs, top.predict(features, verbose=0)) < 1e-5


@every_engine
def test_open_engine_of_a_damaged_file_is_refused(name, network_files, engines, tmp_path):
    engines(name)
    content = network_files[name].read_bytes()
    file = tmp_path / network_files[name].name
    for damaged in (content[: len(content) // 3], b"", b"hello " * 100, None):
        file.unlink() if damaged is None else file.write_bytes(damaged)
        with pytest.raises(ModelError) as caught:
            open_engine(EngineSpec(name), file)
        sentence = str(caught.value)
        assert sentence.startswith(f"the {name} engine cannot open '{file}' ("), damaged
        assert sentence.endswith("train or convert it again."), damaged
        assert "\n" not in sentence


def test_open_engine_of_a_run_whose_engine_is_gone_says_so(network_files, without_engines):
    without_engines("litert")
    with pytest.raises(ModelError, match="the litert engine is not installed"):
        open_engine(EngineSpec("litert"), network_files["litert"])


def test_images_per_second_is_measured_in_the_time_asked_for(network):
    assert images_per_second(network, seconds=0.05) > 0
