"""Hardening: which views are degraded, in every strategy, and what a run says of it."""

from dataclasses import replace

import numpy as np
import pytest

from tests.training.stops import StoppedError, StopsInEpoch, assert_same_training
from tlkit.data.augment import NO_AUGMENTATION, PRESETS
from tlkit.errors import OptionError
from tlkit.settings.training import FinetuneSettings
from tlkit.training.finetune import finetune, finetune_recipe
from tlkit.training.hardening import NO_HARDENING, Hardening

SMALL = FinetuneSettings(
    backbone="mobilenet_025", weights="none", freeze="lower", cut="conv_pw_5_relu", image_size=32, hidden="8",
    batch_size=16, upper_batch_size=16, epochs=2, upper_epochs=3, patience=50, views=2, harden="noise",
)  # fmt: skip
OF_BLOCKS = {"cut": "auto", "upper_epochs": 0, "upper_batch_size": 32, "views": 3}
WHOLE = replace(SMALL, **OF_BLOCKS, freeze="none", epochs=3)
WAYS = {
    "all": replace(SMALL, **OF_BLOCKS | {"views": 2}, freeze="all", epochs=3),
    "lower": SMALL,
    "none": WHOLE,
    "lower, adversarial": replace(SMALL, harden="adversarial", mixup=0.2),
    "lower, both": replace(SMALL, harden="both", augment="none"),
    "none, both": replace(WHOLE, harden="both", harden_epsilon=1),
    "none, adversarial, not augmented": replace(WHOLE, harden="adversarial", augment="none"),
}


def views_of(**options):
    recipe = finetune_recipe(replace(SMALL, **options))
    return recipe.hardening.views(recipe)


def test_kinds_of_hardening():
    kinds = {kind: Hardening.from_options(kind, 3) for kind in ("none", "noise", "adversarial", "both")}
    assert kinds["none"] == NO_HARDENING
    assert [(kind.noise, kind.epsilon) for kind in kinds.values()] == [(False, 0), (True, 0), (False, 3), (True, 3)]


def test_adversarial_without_freeze_trains_upper_blocks_of_a_pretrained_network_and_all_of_a_random_one(weights_file):
    for weights, freeze in ((str(weights_file), "lower"), ("none", "none")):
        settings = FinetuneSettings(backbone="mobilenet_025", image_size=32, weights=weights, harden="adversarial")
        recipe = finetune_recipe(settings)
        assert recipe.freeze == freeze
        assert finetune_recipe(recipe.settings).settings == recipe.settings


def test_adversarial_is_refused_where_only_the_head_is_trained():
    for kind in ("adversarial", "both"):
        with pytest.raises(OptionError, match="--harden has no effect with --freeze all: the head alone cannot learn"):
            finetune_recipe(FinetuneSettings(freeze="all", harden=kind))
    with pytest.raises(OptionError, match="--harden-epsilon has no effect without attacks; leave it out, or use "):
        finetune_recipe(FinetuneSettings(harden="noise", harden_epsilon=3))


def test_noise_doubles_views_and_degrades_every_second():
    views = views_of()
    assert (views.count, views.num_degraded, views.degraded) == (4, 2, "every second")
    assert views.augmentation == PRESETS["light"]


def test_noise_without_augmentation_degrades_all_views_but_the_plain_one():
    views = views_of(augment="none")
    assert (views.count, views.num_degraded, views.augmentation) == (3, 2, NO_AUGMENTATION)


def test_without_hardening_no_view_is_degraded_and_the_cache_key_is_as_before():
    views = views_of(harden="none")
    assert (views.count, views.num_degraded) == (2, 0)
    assert "degraded" not in views.key
    assert "degraded" in views_of().key


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.parametrize("way", WAYS)
def test_hardened_training_is_another_one_says_so_and_resumes_exactly(way, colors, weights_file, tmp_path, monkeypatch):
    monkeypatch.setattr("tlkit.training.loop.checkpoint.SECONDS_BETWEEN", 0.0)
    from tlkit.training.resume import resume

    settings = replace(WAYS[way], weights=str(weights_file))
    defaults = {"harden": "none", "harden_epsilon": FinetuneSettings.harden_epsilon}
    if way == "all" or settings.augment == "none":
        defaults["views"] = FinetuneSettings.views
    usual = replace(settings, **defaults)
    expected, plain = finetune(colors, tmp_path / "whole", settings), finetune(colors, tmp_path / "plain", usual)
    entry = expected.run.read_json("metrics.json")["hardening"]
    assert entry["noise"] == (settings.harden != "adversarial")
    assert entry["epsilon"] == ("adversarial" in way or "both" in way) * settings.harden_epsilon
    assert (entry["seconds"] is None) == (way == "none")
    assert "hardening" not in plain.run.read_json("metrics.json")
    losses = [[row["loss"] for row in result.history if row["epoch"]] for result in (expected, plain)]
    assert not np.allclose(*losses)
    with pytest.raises(StoppedError):
        finetune(colors, tmp_path / "stopped", settings, StopsInEpoch(2))
    assert_same_training(resume(tmp_path / "stopped").run, expected.run)
