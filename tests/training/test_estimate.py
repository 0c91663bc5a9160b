"""Time and disk, from a few seconds of measuring: what is timed, and how phases add up."""

import math
from dataclasses import replace

import pytest

from tests.networks import keras
from tests.training.loop.toys import starving
from tlkit.data.image import ImageSpec
from tlkit.models.head import Head
from tlkit.settings.training import FinetuneSettings
from tlkit.training.finetune import finetune_recipe
from tlkit.training.loop import cost
from tlkit.utils.progress import Stopwatch

SETTINGS = FinetuneSettings(backbone="mobilenet_025", weights="none", image_size=64, engine="keras", hidden="8")


@pytest.fixture(scope="module")
def estimate():
    """The module, which imports Keras."""
    from tlkit.training import estimate

    return estimate


@pytest.fixture
def constant_step(monkeypatch):
    """Every step takes 0.1 s; the networks that would have been timed."""
    from tlkit.training import blocks_phase, phases

    timed = []
    for module in (phases, blocks_phase):
        monkeypatch.setattr(module, "step_seconds", lambda network, *_: timed.append(network) or 0.1)
    monkeypatch.setattr(phases, "head_step_seconds", lambda head, *sizes: timed.append(head) or 0.1)
    return timed


@pytest.fixture
def even(monkeypatch, estimate):
    """This machine is as fast as the one that the figures are from."""
    monkeypatch.setattr(estimate, "measure_slowness", lambda: 1.0)


def recipe_with(**options):
    """Make a recipe; one that trains upper blocks has options of theirs, others refuse them."""
    if options.get("freeze") in ("lower", "auto"):
        options = {"cut": "0.7"} | options
    return finetune_recipe(replace(SETTINGS, **options))


# one step, one image


def test_step_seconds_leaves_network_as_it_was(estimate, network):
    from tlkit.models.cut import freeze
    from tlkit.models.head import attach_head

    classifier = attach_head(network, Head(0.5, True, (8,)), 3)
    freeze(classifier, [])
    before = [weight.tobytes() for weight in classifier.get_weights()]
    assert 0 < estimate.step_seconds(classifier, 8) < math.inf
    assert [weight.tobytes() for weight in classifier.get_weights()] == before


def test_step_seconds_times_fewer_images_where_sixteen_do_not_fit(estimate):
    def network(max_images):
        toy = starving(max_images)
        return keras.Model(toy.inputs[0], toy.outputs[0])

    assert 0 < estimate.step_seconds(network(3), 64) < 60
    assert 0 < estimate.step_seconds(network(99), 1) < 60
    with pytest.raises(Exception, match="(?i)allocat"):
        estimate.step_seconds(network(0), 64)


def test_measure_throughput_of_files_broken_ones_among_them(estimate, inputs, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    throughput = estimate.measure_throughput([broken, *inputs.files], inputs.engine, ImageSpec(64))
    assert 0 < throughput.decode < math.inf
    assert 0 < throughput.infer < math.inf


def test_measure_throughput_without_time_measures_first_files(estimate, inputs, monkeypatch):
    monkeypatch.setattr(estimate, "MEASURED_SECONDS", -1.0)
    throughput = estimate.measure_throughput(inputs.files, inputs.engine, ImageSpec(64))
    assert 0 < throughput.decode < math.inf
    assert 0 < throughput.infer < math.inf


def test_measure_views_takes_longer_for_more_views_and_skips_broken_files(estimate, inputs, tmp_path):
    from tlkit.data.augment import AugmentedViews

    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    few, many = (
        min(estimate.measure_views([broken, *inputs.files], ImageSpec(64), AugmentedViews(count, 0)) for _ in "ab")
        for count in (1, 20)
    )
    assert 0 < 2 * few < many
    assert estimate.measure_views([broken], ImageSpec(64), AugmentedViews(2, 0)) == 0


# sums


def test_estimate_blocks_take_head_then_views_then_epochs(estimate, inputs, constant_step, even, monkeypatch):
    from tlkit.training import blocks_phase

    monkeypatch.setattr(estimate, "measure_throughput", lambda *parts: estimate.Throughput(0.01, 0.02))
    monkeypatch.setattr(blocks_phase, "measure_views", lambda *parts: 0.03)
    head, blocks = (
        recipe_with(**options).estimate(inputs) for options in ({"freeze": "all"}, {"freeze": "lower", "views": 4})
    )
    assert head.fixed_seconds == cost.HEAD_GRAPH_SECONDS
    assert head.end_seconds == blocks.end_seconds == cost.END_SECONDS
    top = constant_step[-1]
    below = 0.02 * blocks_phase.fraction_below(inputs.network, top)
    views = 300 * (0.03 + 4 * below) + 60 * (0.01 + below)
    trained = head.seconds - head.end_seconds + views
    assert blocks.fixed_seconds == pytest.approx(trained + cost.GRAPH_SECONDS * len(top.layers))
    assert head.epoch_seconds == pytest.approx(0.1 * (3 + 60 / 128 / 3))
    assert blocks.epoch_seconds == pytest.approx(0.1 * (10 + 60 / 32 / 3))
    assert blocks.disk > head.disk
    assert len(constant_step) == 2  # the head is timed once
    together = recipe_with(freeze="lower", views=4, head_first=False).estimate(inputs)
    assert together.fixed_seconds == pytest.approx(blocks.fixed_seconds - head.seconds + head.end_seconds)


def test_estimate_times_head_or_everything(inputs, constant_step):
    for freeze in ("all", "none"):
        recipe_with(freeze=freeze).estimate(inputs)
    head, everything = constant_step
    assert head == recipe_with().head(300)
    assert everything.count_params() > inputs.network.count_params()


def test_estimate_leaves_weights_as_they_were(inputs):
    before = [weight.tobytes() for weight in inputs.network.get_weights()]
    recipe_with(freeze="lower").estimate(inputs)
    assert [weight.tobytes() for weight in inputs.network.get_weights()] == before


def test_estimate_costs_of_every_strategy_trains_nothing(estimate, colors, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    costs = estimate.estimate_costs(colors, finetune_recipe(SETTINGS), Stopwatch())
    assert list(costs) == ["all", "lower", "none"]
    assert all(cost.seconds > 0 and cost.disk > 0 for cost in costs.values())
    assert list(tmp_path.iterdir()) == []


def test_estimate_costs_of_upper_blocks_contain_those_of_the_head(estimate, colors, weights_file):
    recipe = recipe_with(weights=str(weights_file), image_size=32)
    costs = estimate.estimate_costs(colors, recipe, Stopwatch())
    assert 0 < costs["all"].seconds < costs["lower"].seconds
    assert costs["all"].disk < costs["lower"].disk
