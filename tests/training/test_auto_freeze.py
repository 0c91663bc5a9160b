"""What `--freeze auto` and `--time-limit` decide, from probes, real measurements and the time there is."""

import hashlib
import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from tests.training.stops import StoppedError, StopsAtStage
from tlkit.data.split import hash_to_unit
from tlkit.errors import OptionError, RunError
from tlkit.runs.run import Run
from tlkit.settings.training import FinetuneSettings
from tlkit.training.finetune import finetune, finetune_recipe
from tlkit.training.hyperparameters import choose_precision
from tlkit.training.resume import resume
from tlkit.utils.progress import Silent, Stopwatch

UNLIKE = {"last map": 0.81, "finer map": 0.86, "all": 0.86}
LIKE = {"last map": 0.95, "finer map": 0.89, "all": 0.96}
QUICKLY = {"plots": False, "report": False}
SETTINGS = FinetuneSettings(
    backbone="mobilenet_025", weights="imagenet", image_size=64, engine="keras", hidden="8", **QUICKLY
)


@pytest.fixture(scope="module")
def auto_freeze():
    """The module, which imports Keras."""
    from tlkit.training import auto_freeze

    return auto_freeze


def recipe_with(**options):
    """Make a recipe; one that trains upper blocks has options of theirs, others refuse them."""
    if options.get("freeze") in ("lower", "auto"):
        options = {"cut": "0.7"} | options
    return finetune_recipe(replace(SETTINGS, **options))


# what probes say


def test_expected_gain_is_larger_the_less_images_are_like_imagenet(auto_freeze):
    gains = [
        auto_freeze.expected_gain({"last map": 0.8 - ahead, "finer map": 0.8, "all": 0.8})
        for ahead in (-0.3, 0, 0.05, 0.3)
    ]
    assert gains == sorted(gains)
    assert 0 < gains[0] < gains[-1] <= 0.1


def test_expected_gain_without_errors_is_nothing(auto_freeze):
    assert auto_freeze.expected_gain({"last map": 1.0, "finer map": 1.0, "all": 1.0}) == 0


def test_expected_gain_of_single_depth(auto_freeze):
    assert 0 < auto_freeze.expected_gain({"last map": 0.8, "all": 0.8}) < 0.2
    assert auto_freeze.imagenet_similarity({"last map": 0.8, "all": 0.8}) is None


def test_pays_off_a_point_is_worth_minutes_but_not_hours(auto_freeze):
    assert auto_freeze.pays_off(0.012, 60)
    assert not auto_freeze.pays_off(0.012, 3600)
    assert not auto_freeze.pays_off(0.009, 0)


def test_feature_slices_are_columns_of_features(network):
    from tlkit.models.build import feature_slices

    slices = feature_slices(network)
    assert list(slices) == ["last map", "finer map"]
    assert slices["last map"] == slice(0, network.get_layer("pooled").output.shape[-1])


# linear probes

DEPTHS = {"last map": slice(0, 20), "finer map": slice(20, 40)}


def digests(count):
    return [hashlib.sha256(str(number).encode()).hexdigest()[:32] for number in range(count)]


def clouds(count, spread, seed=0, length=20, num_classes=4):
    random = np.random.default_rng(seed)
    labels = np.arange(count) % num_classes
    return (np.eye(length)[labels] + random.normal(0, spread, (count, length))).astype(np.float32), labels


def test_probe_depths_better_depth_gets_better_accuracy(auto_freeze):
    clear, labels = clouds(400, 0.2)
    vague, _ = clouds(400, 1.5, seed=1)
    accuracies = auto_freeze.probe_depths(np.hstack([clear, vague]), labels, digests(400), DEPTHS)
    assert accuracies["last map"] > 0.98
    assert accuracies["finer map"] < 0.7
    assert accuracies["all"] > 0.9
    assert list(accuracies) == ["last map", "finer map", "all"]


def test_probe_depths_without_information_is_at_chance(auto_freeze):
    features = np.random.default_rng(0).normal(size=(2000, 40)).astype(np.float32)
    accuracies = auto_freeze.probe_depths(features, np.arange(2000) % 4, digests(2000), DEPTHS)
    assert all(abs(accuracy - 0.25) < 0.05 for accuracy in accuracies.values())


def test_probe_depths_keeps_copies_in_one_fold(auto_freeze):
    """Random features and labels, every image five times: only a leak could tell them."""
    random = np.random.default_rng(0)
    features = np.repeat(random.normal(size=(100, 40)), 5, axis=0).astype(np.float32)
    labels, groups = np.repeat(random.integers(0, 4, 100), 5), np.repeat(digests(100), 5).tolist()
    assert auto_freeze.probe_depths(features, labels, groups, {})["all"] < 0.45
    assert auto_freeze.probe_depths(features, labels, digests(500), {})["all"] > 0.6


def test_probe_depths_neither_order_nor_constant_feature_matters(auto_freeze):
    features, labels = clouds(200, 0.8, length=40)
    features[:, 7] = 3.0
    groups = digests(200)
    first = auto_freeze.probe_depths(features, labels, groups, DEPTHS)
    order = np.random.default_rng(1).permutation(200)
    again = auto_freeze.probe_depths(features[order], labels[order], [groups[index] for index in order], DEPTHS)
    assert again == first


@pytest.mark.parametrize("length", [20, 300])
def test_probe_depths_is_ridge_regression_of_the_other_folds(auto_freeze, length):
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 150)
    features = random.normal(0, 1, (150, length)) + labels[:, None] * random.normal(0, 0.15, length)
    groups = [hashlib.sha256(bytes([number])).hexdigest() for number in range(150)]
    found = auto_freeze.probe_depths(features, labels, groups, {})["all"]
    values = (features - features.mean(axis=0)) / (features.std(axis=0) + auto_freeze.STD_FLOOR)
    targets = np.eye(3)[labels] - np.eye(3)[labels].mean(axis=0)
    positions = np.array([hash_to_unit(group, seed=5) for group in groups])
    folds, right = (positions / (positions.max() + 1e-9) * 5).astype(int), 0
    for fold in range(5):
        x, y = values[folds != fold], targets[folds != fold]
        weights = np.linalg.solve(x.T @ x + auto_freeze.RIDGE * length * np.eye(length), x.T @ y)
        right += int(((values[folds == fold] @ weights).argmax(axis=1) == labels[folds == fold]).sum())
    assert found == right / 150
    assert 0.4 < found < 0.99


def test_probe_depths_of_many_images_takes_some(auto_freeze, monkeypatch):
    features, labels = clouds(600, 0.2)
    everything = auto_freeze.probe_depths(features, labels, digests(600), {})["all"]
    monkeypatch.setattr(auto_freeze, "MAX_PROBE_IMAGES", 100)
    some = auto_freeze.probe_depths(features, labels, digests(600), {})["all"]
    assert some != everything
    assert abs(some - everything) < 0.1


def test_probe_depths_of_a_handful_of_images_is_an_accuracy(auto_freeze):
    features, labels = clouds(4, 0.1)
    assert 0 <= auto_freeze.probe_depths(features, labels, digests(4), {})["all"] <= 1


# what is decided


def test_decide_images_like_imagenet_freeze_all(auto_freeze, inputs):
    decision = auto_freeze.decide(recipe_with(freeze="auto"), inputs, LIKE, math.inf)
    assert decision.options == {"freeze": "all"}
    assert decision.advice["likeness"] == pytest.approx(0.06)
    assert "similar to those of ImageNet" in decision.messages[0]
    assert 0 < decision.end_seconds < decision.forecast["seconds"]
    assert decision.messages[0].startswith("Only the head is trained. Training the upper blocks, too, should add less")


def test_decide_images_unlike_imagenet_freeze_lower(auto_freeze, inputs):
    decision = auto_freeze.decide(recipe_with(freeze="auto"), inputs, UNLIKE, math.inf)
    assert decision.options == {"freeze": "lower"}
    assert "different from those of ImageNet" in decision.messages[0]
    assert decision.advice["seconds"] == pytest.approx(decision.forecast["seconds"], abs=0.1)
    assert decision.forecast["seconds"] > 0


def test_decide_few_epochs_that_were_asked_for_are_trained(auto_freeze, inputs):
    for epochs in (1, 2):
        decision = auto_freeze.decide(recipe_with(freeze="auto", upper_epochs=epochs), inputs, UNLIKE, math.inf)
        assert decision.options == {"freeze": "lower"}


def test_decide_without_time_starts_nothing_that_cannot_end(auto_freeze, inputs):
    decision = auto_freeze.decide(recipe_with(freeze="auto"), inputs, UNLIKE, 0.0)
    assert decision.options == {"freeze": "all"}
    assert "does not fit in --time-limit" in decision.messages[0]
    blocks = recipe_with(freeze="lower").estimate(inputs)
    assert decision.forecast["seconds"] < blocks.seconds  # they are not trained


def test_decide_network_that_cannot_be_cut_freezes_all(auto_freeze, inputs):
    decision = auto_freeze.decide(recipe_with(freeze="auto", cache_limit=1e-9), inputs, UNLIKE, math.inf)
    assert decision.options == {"freeze": "all"}
    assert "Upper blocks cannot be trained" in decision.messages[0]


def test_decide_asked_for_strategy_changes_nothing_but_epochs(auto_freeze, inputs):
    head = auto_freeze.decide(recipe_with(freeze="all"), inputs, None, math.inf)
    assert (head.options, head.messages, head.notes, head.advice) == ({}, [], [], None)
    assert head.forecast["seconds"] > head.end_seconds > 0
    free = auto_freeze.decide(recipe_with(freeze="lower"), inputs, None, math.inf)
    assert (free.options, free.notes, free.advice) == ({}, [], None)
    assert "training takes about " in free.messages[0]
    hurried = auto_freeze.decide(recipe_with(freeze="none"), inputs, None, 0.1)
    assert hurried.options == {"epochs": 1}
    assert hurried.messages == [f"--time-limit allows 1 of {hurried.planned_epochs} epochs."]
    assert hurried.forecast["seconds"] < recipe_with(freeze="none").estimate(inputs).seconds


def test_fit_into_takes_fewer_epochs_where_all_do_not_fit(auto_freeze):
    from tlkit.training.loop.cost import CostEstimate

    expected = CostEstimate(fixed_seconds=10, epoch_seconds=10, epochs=10, expected_epochs=10)
    assert auto_freeze.fit_into(75, expected, "lower")[0] == {"upper_epochs": 6}
    assert auto_freeze.fit_into(75, expected, "all")[0] == {"epochs": 6}
    assert auto_freeze.fit_into(35, expected, "lower")[0] == {"freeze": "all"}
    assert auto_freeze.fit_into(5, expected, "none")[0] == {"epochs": 1}
    assert auto_freeze.fit_into(500, expected, "lower") == ({}, "")
    assert auto_freeze.fit_into(35, expected, "lower")[1].endswith("; 1 min 15 s are missing.")


def test_in_words_give_the_longest_time_where_early_stopping_may_save_much(auto_freeze):
    from tlkit.training.loop.cost import CostEstimate

    cost = CostEstimate(fixed_seconds=10, epoch_seconds=10, epochs=10, disk=7_000_000, expected_epochs=4)
    assert auto_freeze.in_words(cost) == (
        "training takes about 50 s (up to 1 min 50 s if early stopping does not end it) and 7.0 MB of disk space."
    )
    assert auto_freeze.in_words(cost.with_epochs(4)) == "training takes about 50 s and 7.0 MB of disk space."


def test_freeze_decision_file_is_read_back_and_nothing_measured_again(auto_freeze, inputs, tmp_path):
    recipe, run = recipe_with(freeze="auto", time_limit="1h"), Run(tmp_path)
    for probes in (LIKE, UNLIKE):
        decision = auto_freeze.decide(recipe, inputs, probes, math.inf)
        run.write_json(auto_freeze.DECISION_FILE, asdict(decision))
        content = run.read_json(auto_freeze.DECISION_FILE)
        assert content.keys() == set(auto_freeze.FreezeDecision.__dataclass_fields__)
        progress, no_dataset = Silent(), None  # it would fail if anything was measured
        assert auto_freeze.choose_strategy(run, recipe, no_dataset, Stopwatch(), progress) == decision
        assert progress.notes == []


# in a run


@pytest.fixture
def settings(weights_file):
    return FinetuneSettings(
        backbone="mobilenet_025", weights=str(weights_file), image_size=32, hidden="8", epochs=2, **QUICKLY
    )


@pytest.mark.training
def test_advice_and_its_numbers_are_stored(settings, colors, tmp_path):
    result = finetune(colors, tmp_path / "run", replace(settings, cut="0.7", upper_epochs=2))
    advice = result.metrics.advice
    assert advice.keys() == {"strategy", "reason", "probes", "likeness", "gain", "seconds"}
    assert advice["strategy"] == result.run.read_json("model.json")["freeze"]
    assert set(advice["probes"]) == {"last map", "finer map", "all"}
    assert result.run.read_json("settings.json")["freeze"] == "auto"
    assert not list(result.run.path.glob("checkpoint-*"))


@pytest.mark.training
def test_resumed_run_decides_as_it_had_decided(auto_freeze, settings, colors, tmp_path, monkeypatch):
    monkeypatch.setattr(auto_freeze, "probe_depths", lambda *parts: LIKE)
    with pytest.raises(StoppedError):
        finetune(colors, tmp_path / "run", settings, StopsAtStage("head"))
    content = json.loads((tmp_path / "run" / auto_freeze.DECISION_FILE).read_text())
    assert content["options"] == {"freeze": "all"}
    monkeypatch.setattr(auto_freeze, "probe_depths", lambda *parts: UNLIKE)
    resumed = resume(tmp_path / "run")
    assert resumed.metrics.advice["strategy"] == "all"
    assert resumed.metrics.advice["probes"] == LIKE


@pytest.mark.training
def test_stopped_run_keeps_the_precision_of_its_products(auto_freeze, settings, colors, tmp_path):
    with pytest.raises(StoppedError):
        finetune(colors, tmp_path / "run", replace(settings, freeze="lower", cut="0.7"), StopsAtStage("head"))
    content = json.loads((tmp_path / "run" / auto_freeze.DECISION_FILE).read_text())
    assert content["options"] == {"upper_precision": choose_precision("auto")}


# lengths of time


def test_time_limit_is_a_length_of_time():
    texts = ["5", "90s", "5m", "1.5h"]
    assert [FinetuneSettings(time_limit=text).time_limit for text in texts] == texts
    for text in ("soon", "-5m", "0", "5 days", "m", "1e3"):
        with pytest.raises(OptionError, match="expected a duration, e.g. 5m"):
            FinetuneSettings(time_limit=text)


def test_freeze_decision_file_that_is_damaged_is_named(auto_freeze, tmp_path):
    run = Run(tmp_path)
    run.write_json(auto_freeze.DECISION_FILE, {"said": []})
    with pytest.raises(RunError, match="checkpoint-strategy.json' is damaged; remove it"):
        auto_freeze.choose_strategy(run, recipe_with(freeze="auto"), None, Stopwatch(), Silent())
