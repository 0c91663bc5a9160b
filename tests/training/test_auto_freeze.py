"""What `--freeze auto` and `--time-limit` decide, from probes, real measurements and the time there is."""

import json
import math
from dataclasses import replace

import pytest

from tests.networks import keras, lively_body
from tests.training.loop.test_recovery import hungry
from tlkit.engines.keras import KerasEngine
from tlkit.errors import OptionError
from tlkit.models.build import feature_slices
from tlkit.models.cut import freeze
from tlkit.models.head import Head, attach_head
from tlkit.settings.training import FinetuneSettings
from tlkit.training import estimate as forecast
from tlkit.training.auto_freeze import decide, expected_gain, fit_into, pays_off
from tlkit.training.estimate import (
    CostEstimate,
    EstimateInput,
    Throughput,
    estimate_cost,
    estimate_costs,
    measure_throughput,
    step_seconds,
)
from tlkit.training.finetune import finetune

UNLIKE = {"last map": 0.81, "finer map": 0.86, "all": 0.86}
LIKE = {"last map": 0.95, "finer map": 0.89, "all": 0.96}
SETTINGS = FinetuneSettings(backbone="mobilenet_025", weights="none", image_size=64, engine="keras", hidden="8")
AUTO = replace(SETTINGS, freeze="auto", cut="0.7")


@pytest.fixture(scope="module")
def body():
    return lively_body()


@pytest.fixture
def ready(body, colours):
    files = sorted(colours.rglob("*.png"))
    return EstimateInput(body, KerasEngine(body), files, (300, 60), 3)


# what probes say


def test_the_less_the_photos_are_like_imagenet_the_more_is_gained():
    gains = [expected_gain({"last map": 0.8 - ahead, "finer map": 0.8, "all": 0.8}) for ahead in (-0.3, 0, 0.05, 0.3)]
    assert gains == sorted(gains)
    assert 0 < gains[0] < gains[-1] <= 0.1


def test_without_errors_nothing_is_gained():
    assert expected_gain({"last map": 1.0, "finer map": 1.0, "all": 1.0}) == 0


def test_a_network_of_one_depth_has_an_expectation_too():
    assert 0 < expected_gain({"last map": 0.8, "all": 0.8}) < 0.2


def test_a_point_is_worth_minutes_but_not_hours():
    assert pays_off(0.012, 60)
    assert not pays_off(0.012, 3600)
    assert not pays_off(0.009, 0)


def test_depths_are_the_columns_of_the_features(body):
    found = feature_slices(body)
    assert list(found) == ["last map", "finer map"]
    assert found["last map"] == slice(0, body.get_layer("pooled").output.shape[-1])


# what is decided


def test_photos_like_imagenets_keep_the_whole_backbone_frozen(ready):
    decision = decide(ready, LIKE, AUTO, math.inf)
    assert decision["settings"] == {"freeze": "all"}
    assert decision["advice"]["likeness"] == pytest.approx(0.06)
    assert "are like ImageNet's" in decision["said"][0]
    assert decision["forecast"] is None


def test_photos_unlike_imagenets_get_their_upper_blocks_trained(ready):
    decision = decide(ready, UNLIKE, AUTO, math.inf)
    assert decision["settings"] == {"freeze": "lower"}
    assert "are unlike ImageNet's" in decision["said"][0]
    assert decision["advice"]["seconds"] == pytest.approx(decision["forecast"]["seconds"], abs=0.1)
    assert decision["forecast"]["seconds"] > 0


def test_without_time_nothing_is_begun_that_cannot_be_ended(ready):
    decision = decide(ready, UNLIKE, AUTO, 0.0)
    assert decision["settings"] == {"freeze": "all"}
    assert "--time-limit leaves no time" in decision["said"][0]


def test_a_network_that_cannot_be_cut_is_frozen_whole(ready):
    decision = decide(ready, UNLIKE, replace(AUTO, cache_limit=1e-9), math.inf)
    assert decision["settings"] == {"freeze": "all"}
    assert "freeze all, for" in decision["said"][0]


def test_fewer_epochs_where_all_do_not_fit():
    expected = CostEstimate(fixed=10, per_epoch=10, epochs=10, disk=0)
    lower = replace(SETTINGS, freeze="lower")
    assert fit_into(75, expected, lower)[0] == {"upper_epochs": 6}
    assert fit_into(75, expected, replace(SETTINGS, freeze="all"))[0] == {"epochs": 6}
    assert fit_into(35, expected, lower)[0] == {"freeze": "all"}
    assert fit_into(5, expected, replace(SETTINGS, freeze="none"))[0] == {"epochs": 1}
    assert fit_into(500, expected, lower)[0] == {}


# what is measured


def test_timing_a_step_leaves_the_network_as_it_was(ready):
    whole = attach_head(ready.body, Head(0.5, True, (8,)), 3)
    freeze(whole, [])
    before = [weight.tobytes() for weight in whole.get_weights()]
    assert 0 < step_seconds(whole, 8) < math.inf
    assert [weight.tobytes() for weight in whole.get_weights()] == before


def test_where_sixteen_images_do_not_fit_fewer_are_timed():
    def network(most):
        source = keras.Input((3,))
        return keras.Model(source, hungry(most)(source))

    assert 0 < step_seconds(network(3), 64) < 60
    assert 0 < step_seconds(network(99), 1) < 60
    with pytest.raises(Exception, match="(?i)allocat"):
        step_seconds(network(0), 64)


def test_the_pace_is_measured_on_files_broken_ones_among_them(ready, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    pace = measure_throughput([broken, *ready.files], ready.engine, 64, "crop")
    assert 0 < pace.decode < math.inf
    assert 0 < pace.infer < math.inf


def test_a_machine_that_needs_all_its_time_for_the_first_files_has_a_pace_too(ready, monkeypatch):
    monkeypatch.setattr("tlkit.training.estimate.MEASURED_SECONDS", -1.0)
    pace = measure_throughput(ready.files, ready.engine, 64, "crop")
    assert 0 < pace.decode < math.inf
    assert 0 < pace.infer < math.inf


def test_upper_blocks_take_the_head_first_then_the_views_then_their_epochs(ready, monkeypatch):
    monkeypatch.setattr(forecast, "step_seconds", lambda network, batch_size: 0.1)
    monkeypatch.setattr(EstimateInput, "pace", lambda ready, settings: Throughput(decode=0.01, infer=0.02))
    head, blocks = (estimate_cost(ready, replace(AUTO, freeze=name, views=4)) for name in ("all", "lower"))
    assert head.fixed == 0
    assert blocks.fixed == pytest.approx(head.seconds + 300 * (0.01 + 4 * 0.02) + 60 * (0.01 + 0.02))
    assert head.per_epoch == pytest.approx(0.1 * (3 + 60 / 128 / 3))
    assert blocks.per_epoch == pytest.approx(0.1 * (10 + 60 / 32 / 3))
    assert blocks.disk > head.disk


def test_what_is_timed_is_the_head_or_everything(ready, monkeypatch):
    timed = []
    monkeypatch.setattr(forecast, "step_seconds", lambda network, batch_size: timed.append(network) or 0.1)
    for name in ("all", "none"):
        estimate_cost(ready, replace(AUTO, freeze=name))
    head, whole = (network.count_params() for network in timed)
    assert whole == head + ready.body.count_params()


def test_a_dry_run_trains_nothing(colours):
    found = estimate_costs(colours, SETTINGS)
    assert list(found) == ["all", "lower", "none"]
    assert all(forecast.seconds > 0 and forecast.disk > 0 for forecast in found.values())


# in a run


@pytest.fixture
def auto(colours, weights_file, tmp_path):
    settings = FinetuneSettings(backbone="mobilenet_025", weights=str(weights_file), image_size=32, hidden="8")
    return finetune(colours, tmp_path / "run", replace(settings, freeze="auto", cut="0.7", epochs=2, upper_epochs=2))


def test_the_advice_and_its_numbers_are_stored(auto):
    advice = auto.metrics["advice"]
    assert advice["strategy"] == auto.run.read_json("model.json")["freeze"]
    assert set(advice["probes"]) == {"last map", "finer map", "all"}
    assert auto.run.read_json("settings.json")["freeze"] == "auto"
    assert not list(auto.run.path.glob("checkpoint-*"))


def test_a_resumed_run_decides_as_it_had_decided(colours, weights_file, tmp_path, monkeypatch):
    from tlkit.training import auto_freeze as strategy
    from tlkit.training import session as module

    settings = FinetuneSettings(
        backbone="mobilenet_025", weights=str(weights_file), image_size=32, hidden="8", epochs=2
    )
    monkeypatch.setattr(strategy, "probe_depths", lambda *parts: LIKE)

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "train_strategy", stop)
        patch.setattr(module, "has_progress", lambda run: True)
        finetune(colours, tmp_path / "run", settings)
    assert json.loads((tmp_path / "run" / strategy.DECISION_FILE).read_text())["settings"] == {"freeze": "all"}
    monkeypatch.setattr(strategy, "probe_depths", lambda *parts: UNLIKE)
    done = module.resume(tmp_path / "run")
    assert done.metrics["advice"]["strategy"] == "all"
    assert done.metrics["advice"]["probes"] == LIKE


@pytest.mark.parametrize("text", ["5", "90s", "5m", "1.5h"])
def test_a_time_limit_is_a_length_of_time(text):
    assert FinetuneSettings(time_limit=text).time_limit == text


@pytest.mark.parametrize("text", ["soon", "-5m", "0", "5 days", "m", "1e3"])
def test_what_is_no_length_of_time_is_refused(text):
    with pytest.raises(OptionError, match="expected a length of time such as 5m"):
        FinetuneSettings(time_limit=text)
