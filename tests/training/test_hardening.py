"""Hardening: which views are degraded, in every strategy, and what a run says of it."""

from dataclasses import replace

import numpy as np
import pytest

from tests.training.stops import StoppedError, StopsInEpoch, assert_same_training
from tlkit.data.augment import NO_AUGMENTATION, PRESETS
from tlkit.settings.training import FinetuneSettings
from tlkit.training.finetune import finetune, finetune_recipe
from tlkit.training.hardening import NO_HARDENING, Hardening

SMALL = FinetuneSettings(
    backbone="mobilenet_025", weights="none", freeze="lower", cut="conv_pw_5_relu", image_size=32, hidden="8",
    batch_size=16, upper_batch_size=16, epochs=2, upper_epochs=3, patience=50, views=2, harden="noise",
)  # fmt: skip
OF_BLOCKS = {"cut": "auto", "upper_epochs": 0, "upper_batch_size": 32, "views": 3}
WAYS = {
    "all": replace(SMALL, **OF_BLOCKS | {"views": 2}, freeze="all", epochs=3),
    "lower": SMALL,
    "none": replace(SMALL, **OF_BLOCKS, freeze="none", epochs=3),
}


def views_of(**options):
    recipe = finetune_recipe(replace(SMALL, **options))
    return recipe.hardening.views(recipe)


def test_kinds_of_hardening():
    assert Hardening.from_options("none") == NO_HARDENING
    assert Hardening.from_options("noise").noise


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
@pytest.mark.parametrize("freeze", WAYS)
def test_hardened_training_is_another_one_says_so_and_resumes_exactly(
    freeze, colors, weights_file, tmp_path, monkeypatch
):
    monkeypatch.setattr("tlkit.training.loop.checkpoint.SECONDS_BETWEEN", 0.0)
    from tlkit.training.resume import resume

    settings = replace(WAYS[freeze], weights=str(weights_file))
    usual = replace(settings, harden="none", views=FinetuneSettings.views if freeze == "all" else settings.views)
    expected, plain = finetune(colors, tmp_path / "whole", settings), finetune(colors, tmp_path / "plain", usual)
    entry = expected.run.read_json("metrics.json")["hardening"]
    assert entry["noise"] is True
    assert (entry["seconds"] is None) == (freeze == "none")
    assert "hardening" not in plain.run.read_json("metrics.json")
    losses = [[row["loss"] for row in result.history if row["epoch"]] for result in (expected, plain)]
    assert not np.allclose(*losses)
    with pytest.raises(StoppedError):
        finetune(colors, tmp_path / "stopped", settings, StopsInEpoch(2))
    assert_same_training(resume(tmp_path / "stopped").run, expected.run)
