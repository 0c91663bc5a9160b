"""The trial of the engines: what it measures, keeps and chooses."""

import json

import pytest

from tlkit.engines import trial
from tlkit.engines.cache import Conversion, save_converted
from tlkit.engines.trial import Trial, can_try, recall_trial, try_engines


@pytest.fixture
def converted(network_files, tmp_path, monkeypatch):
    """The network in a cache of its own."""
    if not can_try():
        pytest.skip("OpenVINO is not installed")
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(trial, "ROUND_SECONDS", 0.01)
    return save_converted("a" * 64, Conversion(network_files["litert"].read_bytes(), "0" * 64))


def test_trial_is_kept_and_recalled(converted, tmp_path):
    assert recall_trial(converted) is None
    made = try_engines(converted)
    assert set(made.speeds) == {"litert", "openvino"}
    assert min(made.speeds.values()) > 0
    assert recall_trial(converted) == made
    assert len(list((tmp_path / "cache" / "engines").glob("*.json"))) == 2


def test_trial_is_of_one_network_one_processor_and_some_versions(converted, network_files, monkeypatch):
    try_engines(converted)
    other = save_converted("b" * 64, Conversion(network_files["litert"].read_bytes(), "0" * 64))
    assert recall_trial(other) is None
    for name, value in (
        ("read_processor", lambda: ("another", frozenset())),
        ("engine_version", lambda name: "0.1"),
        ("count_workers", lambda: 77),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(trial, name, value)
            assert recall_trial(converted) is None, name
    assert recall_trial(converted)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"speeds": {"litert": 1}}', '{"speeds": {"litert": "x"}}'])
def test_damaged_trial_is_made_again(converted, content):
    made = try_engines(converted)
    file = trial._trial_file(trial._trial_key(converted))
    file.write_text(content)
    assert recall_trial(converted) is None
    file.write_text(json.dumps({"trial": "c" * 64, "speeds": made.speeds}))
    assert recall_trial(converted) is None


def test_trial_takes_another_engine_only_where_it_is_clearly_faster():
    assert Trial({"litert": 100.0, "openvino": 90.0}).fastest == "litert"
    assert Trial({"litert": 100.0, "openvino": 109.0}).fastest == "litert"
    assert Trial({"litert": 100.0, "openvino": 111.0}).fastest == "openvino"
    assert str(Trial({"litert": 1210.4, "openvino": 180.0})) == (
        "engine: LiteRT 1,210, OpenVINO 180 images/s on this machine; LiteRT is used."
    )


def test_network_that_an_engine_cannot_open_has_no_trial(converted):
    converted.file.write_bytes(b"damaged")
    assert try_engines(converted) is None
