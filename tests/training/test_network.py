"""Recipes of networks as values: options that change, phases, time limits; what a training notes of its classes."""

import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tlkit.data.folder import read_folder
from tlkit.settings.training import FinetuneSettings, TrainSettings
from tlkit.training.finetune import finetune_recipe
from tlkit.training.from_scratch import scratch_recipe, train

SETTINGS = FinetuneSettings(backbone="mobilenet_025", image_size=64)
SCRATCH = TrainSettings(model="lenet5")


def recipe_with(**options):
    return finetune_recipe(replace(SETTINGS, **options))


def test_changed_sets_options_and_strategy_of_a_copy():
    recipe = recipe_with(freeze="all")
    changed = recipe.changed({"freeze": "lower", "epochs": 3})
    assert (changed.freeze, changed.settings.freeze, changed.settings.epochs) == ("lower", "lower", 3)
    assert (recipe.freeze, recipe.settings.epochs) == ("all", 0)
    assert recipe.changed({}) == recipe
    assert scratch_recipe(SCRATCH).changed({"epochs": 3}).freeze == "none"


def test_changed_option_that_there_is_not_is_refused():
    with pytest.raises(TypeError):
        recipe_with(freeze="all").changed({"no_such_option": 1})


def test_with_decided_freeze_decides_only_what_is_open():
    assert recipe_with(freeze="auto").with_decided_freeze("all").settings.freeze == "all"
    assert recipe_with(freeze="lower").with_decided_freeze("all").freeze == "lower"


def test_adapted_to_signs_mirrors_nothing_unless_asked(signs, colors):
    scratch = scratch_recipe(SCRATCH)
    assert scratch.adapted_to(read_folder(signs)).settings.hflip is False
    assert not scratch.adapted_to(read_folder(signs)).augmentation.hflip
    assert scratch.adapted_to(read_folder(colors)) == scratch
    asked = scratch_recipe(replace(SCRATCH, hflip=True))
    assert asked.adapted_to(read_folder(signs)) == asked
    finetuned = recipe_with(freeze="all")
    assert finetuned.adapted_to(read_folder(signs)) == finetuned


def test_with_time_limit_limits_all_but_frozen_networks():
    assert {freeze: recipe_with(freeze=freeze).with_time_limit(90.4).settings.time_limit
            for freeze in ("all", "auto", "lower", "none")} == {
        "all": "", "auto": "90s", "lower": "90s", "none": "90s"
    }  # fmt: skip
    assert scratch_recipe(SCRATCH).with_time_limit(600).settings.time_limit == "600s"
    assert recipe_with(freeze="none").with_time_limit(math.inf).settings.time_limit == ""


def test_phases_by_strategy():
    phases = {
        freeze: [phase.name for phase in recipe_with(freeze=freeze).phases()] for freeze in ("all", "lower", "none")
    }
    assert phases == {"all": ["head"], "lower": ["head", "blocks"], "none": ["whole"]}
    assert [phase.name for phase in recipe_with(freeze="lower", head_first=False).phases()] == ["blocks"]
    assert [phase.name for phase in scratch_recipe(SCRATCH).phases()] == ["whole"]
    with pytest.raises(KeyError):
        recipe_with(freeze="auto").phases()


def test_phases_advise_options_that_there_are():
    phases = [phase for freeze in ("lower", "none") for phase in recipe_with(freeze=freeze).phases()]
    advised = [advice for phase in phases for advice in (phase.overfitting, phase.underfitting)]
    assert all(replace(SETTINGS, **advice) != SETTINGS for advice in advised)


def test_values_of_options():
    recipe = recipe_with(freeze="none", resize="squash", engine="keras", augment="none", epochs=3)
    assert (recipe.image.size, recipe.image.resize) == (64, "squash")
    assert (recipe.engine.name, recipe.engine.precision) == ("keras", "float32")
    assert not recipe.augmentation.hflip
    assert recipe.plan(100, "loss").epochs == 3
    assert recipe.head(100).hidden == (128,)


def test_plan_keeps_initial_weights_of_a_previous_run(finetuned_run):
    assert not recipe_with(freeze="all").plan(100, "loss").keep_initial_weights
    further = finetune_recipe(FinetuneSettings(from_run=str(finetuned_run.path), freeze="all"))
    assert further.plan(100, "loss").keep_initial_weights


@pytest.mark.training
@pytest.mark.parametrize(
    ("counts", "reason"), [((75, 25), "macro-F1. "), ((75, 20), "the mean of the classes' losses")]
)
def test_note_on_imbalanced_classes_says_what_selected_the_epoch(counts, reason, tmp_path):
    random = np.random.default_rng(0)
    for name, count in zip("ab", counts, strict=True):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 128, (8, 8, 3), np.uint8) + np.uint8(127 * (name == "b"))
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{number}.png")
    result = train(tmp_path / "data", tmp_path / "run", model="linear", image_size=8, epochs=2)
    note = (
        f"('a' {counts[0] * 4 // 5}, 'b' {counts[1] * 4 // 5} training images): the best epoch is selected by {reason}"
    )
    assert any(note in words for words in result.metrics.notes)


@pytest.mark.training
def test_note_on_a_time_limit_says_where_it_stopped_and_that_accuracy_was_rising(colors, tmp_path, monkeypatch):
    """The estimate of an epoch leaves time for three; the first epochs of a slow training each improve it."""
    from tlkit.training import estimate, network, phases

    monkeypatch.setattr(phases, "step_seconds", lambda network, *_: 10.0)
    monkeypatch.setattr(network, "END_SECONDS", -30.0)
    monkeypatch.setattr(estimate, "measure_slowness", lambda: 1.0)
    settings = TrainSettings(
        model="linear", image_size=8, epochs=9, batch_size=30, learning_rate=1e-3, optimizer="sgd", time_limit="10"
    )
    result = train(colors, tmp_path / "run", settings)
    epochs, accuracies = len(result.history), [row["val_accuracy"] for row in result.history]
    assert 1 < epochs < 9
    rising = "; accuracy was still rising" if accuracies[-1] > max(accuracies[:-1]) else ""
    assert f"stopped at {epochs} of 9 epochs by --time-limit{rising}." in result.metrics.notes
