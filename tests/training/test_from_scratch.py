"""What is special of networks trained from scratch: their registry, mirrored views, and adapting what was learnt."""

from dataclasses import replace

import numpy as np
import pytest

from tests.networks import keras
from tests.training.stops import StoppedError, StopsInEpoch, assert_same_training
from tlkit.errors import OptionError
from tlkit.settings.training import FinetuneSettings, TrainSettings
from tlkit.training.finetune import finetune, finetune_recipe
from tlkit.training.from_scratch import scratch_recipe, train
from tlkit.training.resume import resume

QUICKLY = {"plots": False, "report": False}
SMALL = TrainSettings(
    model="lenet5_relu", image_size=16, width=0.5, epochs=6, batch_size=8, learning_rate=5e-3, **QUICKLY
)
RESIDUAL = TrainSettings(model="resnet20", image_size=16, epochs=2, batch_size=16, **QUICKLY)


def network_of(run):
    return keras.models.load_model(run.path / "model.keras")


def test_train_learns_colors_from_random_weights(scratch_result):
    assert scratch_result.metrics.accuracy == 1.0
    content = scratch_result.run.read_json("model.json")
    assert (content["backbone"], content["freeze"], content["weights"]) == ("lenet5_relu", "none", "none")
    assert {row["phase"] for row in scratch_result.history} == {"whole"}


# what options mean


def test_scratch_recipe_takes_size_of_network():
    recipe = scratch_recipe(TrainSettings(model="LeNet-5"))
    assert (recipe.settings.model, recipe.settings.image_size) == ("lenet5", 32)
    assert (recipe.command, recipe.freeze, recipe.source.is_pretrained) == ("train", "none", False)
    assert recipe.trains_batch_norms
    assert scratch_recipe(recipe.settings).settings == recipe.settings
    assert scratch_recipe(TrainSettings(model="MobileNet_025")).source.name == "mobilenet_025"


def test_scratch_recipe_too_small_image_names_min_size():
    with pytest.raises(OptionError, match="--image-size is 20; lenet5 needs at least 32"):
        scratch_recipe(TrainSettings(model="lenet5", image_size=20))


def test_scratch_recipe_refuses_what_would_change_nothing():
    refused = [
        ({"model": "lenet5", "activation": "relu"}, "--activation has no effect with --model lenet5; leave it out, or"),
        ({"model": "resnet18", "batch_norm": True}, "--batch-norm has no effect with --model resnet18"),
        ({"model": "vgg11", "hidden": "5"}, "--hidden has no effect with --model vgg11; .* or use --model mlp."),
        ({"model": "inception_v3", "width": 0.5}, "--width has no effect with --model inception_v3"),
        ({"model": "xception", "gray": True}, "--gray has no effect with --model xception; .* --model linear"),
    ]
    for options, words in refused:
        with pytest.raises(OptionError, match=words):
            scratch_recipe(TrainSettings(**options))


# mirrored views


@pytest.fixture(scope="module")
def signs_run(signs, tmp_path_factory):
    """A run on classes named as digits are."""
    return train(signs, tmp_path_factory.mktemp("signs-run") / "run", replace(SMALL, epochs=1)).run


@pytest.mark.training
def test_train_does_not_mirror_signs_unless_asked(signs_run, scratch_run, signs, tmp_path):
    assert signs_run.read_json("settings.json")["hflip"] is False
    notes = signs_run.read_json("metrics.json")["notes"]
    assert any("images are not mirrored: a mirrored '0'" in note for note in notes)
    asked = train(signs, tmp_path / "asked", replace(SMALL, epochs=1, hflip=True))
    assert asked.run.read_json("settings.json")["hflip"] is True
    assert not any("mirror" in note for note in asked.metrics.notes)
    assert scratch_run.read_json("settings.json")["hflip"] is None


@pytest.mark.training
def test_finetune_from_run_never_mirrored_is_not_mirrored(signs_run):
    start = {"from_run": str(signs_run.path)}
    assert finetune_recipe(FinetuneSettings(**start)).settings.hflip is False
    assert finetune_recipe(FinetuneSettings(**start, hflip=True)).settings.hflip is True


# adapting what was learnt


@pytest.fixture(scope="module")
def residual_run(colors, tmp_path_factory):
    """A run of a network with feature maps and batch norms."""
    return train(colors, tmp_path_factory.mktemp("residual") / "run", RESIDUAL).run


@pytest.mark.training
def test_train_moves_statistics_of_batch_norms(residual_run):
    means = [weight for weight in network_of(residual_run).weights if weight.path.endswith("moving_mean")]
    assert means
    assert [weight.path for weight in means if not np.abs(weight.numpy()).max() > 0] == []


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.parametrize("freeze", ["all", "lower"])
def test_finetune_from_scratch_run_keeps_lower_layers(freeze, residual_run, signs, tmp_path):
    """Other classes, the same lower layers, whose weights stay."""
    of_blocks = {"upper_epochs": 1} if freeze == "lower" else {}
    settings = FinetuneSettings(from_run=str(residual_run.path), freeze=freeze, epochs=2, **of_blocks)
    result = finetune(signs, tmp_path / "run", settings)
    assert result.split.train.class_names == ("0", "1", "2")
    previous, adapted = network_of(residual_run), network_of(result.run)
    for name in ("conv1", "conv2_block1_1", "conv2_block3_2"):
        np.testing.assert_array_equal(
            adapted.get_layer(name).get_weights()[0], previous.get_layer(name).get_weights()[0]
        )
    assert result.run.read_json("model.json")["backbone"] == "resnet20"
    assert adapted.input_shape[1:] == (16, 16, 3)


@pytest.mark.training
def test_finetune_from_run_without_feature_maps_is_advised(scratch_run, signs, tmp_path):
    result = finetune(signs, tmp_path / "run", FinetuneSettings(from_run=str(scratch_run.path), epochs=2))
    assert result.run.read_json("settings.json")["freeze"] == "auto"
    assert result.metrics.advice["reason"]


# everything at once


@pytest.mark.slow
@pytest.mark.training
def test_train_any_network_of_keras_applications(colors, tmp_path):
    settings = TrainSettings(model="MobileNet_025", image_size=32, epochs=1, batch_size=16)
    result = train(colors, tmp_path / "run", settings)
    assert result.run.read_json("model.json")["backbone"] == "mobilenet_025"
    assert np.isfinite(result.history[-1]["loss"])


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.parametrize("schedule", ["one-cycle", "plateau"])
def test_train_with_every_option_resumes_to_same_weights(schedule, colors, tmp_path, monkeypatch):
    monkeypatch.setattr("tlkit.training.loop.checkpoint.SECONDS_BETWEEN", 0.0)
    loss = "hinge" if schedule == "plateau" else "cross-entropy"
    regularized = {"loss": loss, "ema": 0.9, "mixup": 0.3, "cutmix": 1.0, "clip_norm": 1.0, "class_weight": "sqrt"}
    everything = replace(SMALL, augment="strong", schedule=schedule, optimizer="sgd", epochs=4, **regularized)
    expected = train(colors, tmp_path / "whole", everything)
    with pytest.raises(StoppedError):
        train(colors, tmp_path / "run", everything, StopsInEpoch(2))
    assert_same_training(resume(tmp_path / "run").run, expected.run)
