"""What is special of a pretrained network: its frozen part, the cache, engines, real photos."""

from dataclasses import replace

import numpy as np
import pytest

from tests.making import CHAIN_FILES, RUN_FILES
from tests.networks import keras, use_keras_home
from tests.training.stops import assert_same_training
from tests.training.test_session import files_of
from tlkit.engines.base import MODULES, is_installed
from tlkit.errors import OptionError
from tlkit.settings.training import ClassicSettings, FinetuneSettings, settings_from
from tlkit.training.classic import classic_recipe
from tlkit.training.finetune import finetune, finetune_recipe

RANDOM = FinetuneSettings(backbone="mobilenet_025", weights="none", image_size=32, hidden="8", batch_size=16)


def settings_of(run):
    return settings_from(run.read_json("settings.json"))


# what options mean


def test_finetune_recipe_resolves_every_choice():
    recipe = finetune_recipe(FinetuneSettings(backbone="MobileNet_025", freeze="all"))
    assert recipe.settings == replace(
        FinetuneSettings(freeze="all"), backbone="mobilenet_025", image_size=224, engine="litert"
    )
    assert (recipe.command, recipe.freeze, recipe.source.is_pretrained) == ("finetune", "all", True)
    assert (recipe.image.size, recipe.image.resize, recipe.engine.name) == (224, "crop", "litert")
    assert finetune_recipe(recipe.settings).settings == recipe.settings


def test_finetune_recipe_auto_without_pretrained_weights_trains_everything():
    recipe = finetune_recipe(RANDOM)
    assert recipe.freeze == recipe.settings.freeze == "none"
    assert recipe.trains_batch_norms
    assert finetune_recipe(replace(RANDOM, freeze="all")).freeze == "all"
    assert not finetune_recipe(replace(RANDOM, weights="imagenet", freeze="none")).trains_batch_norms


def test_finetune_recipe_from_run_takes_its_options(finetuned_run):
    recipe = finetune_recipe(FinetuneSettings(from_run=str(finetuned_run.path), freeze="all"))
    assert (recipe.settings.backbone, recipe.settings.image_size, recipe.settings.hidden) == ("mobilenet_025", 32, "0")
    assert recipe.keep_initial_weights
    with pytest.raises(OptionError, match="--image-size is 64, but"):
        finetune_recipe(FinetuneSettings(from_run=str(finetuned_run.path), image_size=64))


def test_recipes_keep_the_absolute_path_of_a_weights_file(weights_file, tmp_path, monkeypatch):
    monkeypatch.chdir(weights_file.parent)
    relative = replace(RANDOM, weights=weights_file.name)
    assert finetune_recipe(relative).settings.weights == str(weights_file)
    assert finetune_recipe(RANDOM).settings.weights == "none"
    classic = ClassicSettings(features="mobilenet_025", weights=weights_file.name)
    assert classic_recipe(classic).settings.weights == str(weights_file)


# what is learnt


def test_finetune_head_learns_colors_completely(finetuned):
    assert finetuned.report.accuracy == finetuned.metrics.accuracy == 1


def test_finetune_frozen_backbone_is_saved_as_it_was(finetuned_run):
    saved = keras.models.load_model(finetuned_run.path / "model.keras")
    network = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3), alpha=0.25)
    network.load_weights(settings_of(finetuned_run).weights)
    for layer in network.layers[1:]:
        for ours, theirs in zip(saved.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.training
def test_finetune_freeze_none_moves_batch_norms_of_random_backbone(colors, tmp_path):
    result = finetune(colors, tmp_path / "run", replace(RANDOM, epochs=1))
    assert result.run.read_json("model.json")["freeze"] == "none"
    saved = keras.models.load_model(result.run.path / "model.keras")
    assert np.abs(saved.get_layer("conv_dw_1_bn").moving_mean.numpy()).max() > 0


def test_finetune_from_run_freeze_none_moves_its_first_layer(adapted_result, scratch_run):
    assert adapted_result.metrics.figures["best_epoch"] > 0
    first, second = (
        keras.models.load_model(run.path / "model.keras").get_weights()[0] for run in (scratch_run, adapted_result.run)
    )
    assert not np.array_equal(first, second)


# once more


@pytest.mark.training
def test_finetune_warm_cache_gives_same_predictions_bit_for_bit(finetuned_run, colors, tmp_path, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    settings = replace(settings_of(finetuned_run), epochs=2)
    cold, warm = (finetune(colors, tmp_path / name, settings) for name in ("cold", "warm"))
    assert (cold.metrics.features_reused, warm.metrics.features_reused) == (0, 36)
    assert_same_training(warm.run, cold.run)


@pytest.mark.training
@pytest.mark.parametrize("name", ["keras", "openvino"])
def test_finetune_another_engine_gives_same_predictions(name, finetuned, colors, tmp_path):
    if not is_installed(name):
        pytest.skip(f"{MODULES[name]} is not installed")
    result = finetune(colors, tmp_path / "run", replace(settings_of(finetuned.run), engine=name))
    assert result.run.manifest.engine == name
    assert files_of(result.run.path) - {"plots/wrong.png"} == RUN_FILES | (set() if name == "keras" else CHAIN_FILES)
    tolerance = 0.2 if name == "keras" else 1e-3  # Keras trains the head there, with draws of its own
    np.testing.assert_allclose(result.report.probabilities, finetuned.report.probabilities, atol=tolerance)
    assert result.report.accuracy == 1


# real photos


@pytest.mark.slow
@pytest.mark.training
def test_finetune_real_photos_of_waste_are_told_apart(shared_data, tmp_path, monkeypatch):
    use_keras_home(monkeypatch, shared_data / "keras_home")
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    settings = FinetuneSettings(freeze="all")
    first, again = (finetune(shared_data / "images/trashnet", tmp_path / name, settings) for name in ("run", "again"))
    assert first.report.accuracy >= 0.83
    assert first.metrics.features_reused == 0
    assert_same_training(again.run, first.run)
