"""`tlkit train`: the folder, split, run and commands of finetune, with a network that has learnt nothing before."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.networks import keras
from tlkit.errors import OptionError
from tlkit.inference.predictor import predict
from tlkit.runs.run import load_run
from tlkit.settings.training import FinetuneSettings, TrainSettings
from tlkit.training import session
from tlkit.training.finetune import finetune, resolve
from tlkit.training.from_scratch import resolve_network, train
from tlkit.training.resume import resume

SMALL = TrainSettings(model="lenet5_relu", image_size=16, width=0.5, epochs=6, batch_size=8, learning_rate=5e-3)
RESIDUAL = TrainSettings(model="resnet20", image_size=16, epochs=2, batch_size=16)


@pytest.fixture(scope="module")
def done(colours, tmp_path_factory):
    return train(colours, tmp_path_factory.mktemp("train") / "run", SMALL)


@pytest.fixture(scope="module")
def residual(colours, tmp_path_factory):
    return train(colours, tmp_path_factory.mktemp("residual") / "run", RESIDUAL)


@pytest.fixture(scope="module")
def signs(tmp_path_factory):
    """Ten classes named as digits are."""
    root = tmp_path_factory.mktemp("signs")
    random = np.random.default_rng(0)
    for name in range(3):
        (root / str(name)).mkdir()
        for number in range(8):
            pixels = random.integers(0, 85, (16, 16, 3), np.uint8) + np.uint8(85 * name)
            Image.fromarray(pixels).save(root / str(name) / f"{number}.png")
    return root


def model_of(done):
    return keras.models.load_model(done.run.path / "model.keras")


def test_it_learns_and_leaves_a_run_as_finetune_does(done):
    assert done.metrics["accuracy"] == 1.0
    facts = done.run.read_json("model.json")
    assert (facts["backbone"], facts["freeze"], facts["weights"]) == ("lenet5_relu", "none", "none")
    assert done.run.read_json("settings.json")["command"] == "train"
    assert {row["phase"] for row in done.history} == {"whole"}
    for name in ("split.csv", "history.csv", "metrics.json", "per_class.csv", "predictions_val.csv", "DONE"):
        assert (done.run.path / name).exists()


def test_its_run_predicts(done, colours):
    rows = list(predict(load_run(done.run.path), [colours / "red" / "0.png", colours / "blue" / "1.png"]))
    assert [row.label for row in rows] == ["red", "blue"]


def test_the_split_is_that_of_a_finetuning(done, colours, weights_file, tmp_path):
    settings = FinetuneSettings(
        backbone="mobilenet_025", weights=str(weights_file), image_size=32, freeze="all", epochs=1
    )
    other = finetune(colours, tmp_path / "run", settings)
    sides = [{row["path"]: row["split"] for row in each.run.read_rows("split.csv")} for each in (done, other)]
    assert sides[0] == sides[1]


EVERYTHING = replace(
    SMALL, augment="strong", ema=0.9, mixup=0.3, cutmix=1.0, clip=1.0, decay="one-cycle", optimizer="sgd"
)


@pytest.mark.parametrize(("settings", "epoch"), [(SMALL, 1), (SMALL, 4), (EVERYTHING, 3)], ids=["early", "late", "all"])
def test_stopped_after_any_epoch_it_ends_with_identical_weights(settings, epoch, done, colours, tmp_path, monkeypatch):
    whole = done if settings is SMALL else train(colours, tmp_path / "whole", settings)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("tlkit.training.loop.checkpoint.SECONDS_BETWEEN", 0.0)
        train(colours, tmp_path / "run", settings, Stopping(epoch))
    again = resume(tmp_path / "run")
    for weight, expected in zip(model_of(again).get_weights(), model_of(whole).get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


class Stopping(session.Silent):
    """Interrupts in an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.left = epoch

    def epoch(self, row):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def test_classes_that_look_like_signs_are_not_mirrored_unless_that_is_asked_for(signs, done, tmp_path):
    once = replace(SMALL, epochs=1)
    told = train(signs, tmp_path / "told", once)
    assert told.run.read_json("settings.json")["hflip"] is False
    assert any("no view is mirrored, for classes such as '0'" in note for note in told.metrics["notes"])
    asked = train(signs, tmp_path / "asked", replace(once, hflip=True))
    assert asked.run.read_json("settings.json")["hflip"] is True
    assert not any("mirror" in note for note in asked.metrics["notes"])
    assert done.run.read_json("settings.json")["hflip"] is None


def test_any_network_of_keras_applications_trains(colours, tmp_path):
    settings = TrainSettings(model="MobileNet_025", image_size=32, epochs=1, batch_size=16)
    found = train(colours, tmp_path / "run", settings)
    assert found.run.read_json("model.json")["backbone"] == "mobilenet_025"
    assert np.isfinite(found.history[-1]["loss"])


def test_what_was_never_mirrored_is_not_mirrored_when_it_is_adapted(signs, colours, tmp_path):
    former = train(signs, tmp_path / "former", replace(SMALL, epochs=1))
    assert resolve(FinetuneSettings(from_run=str(former.run.path))).hflip is False
    assert resolve(FinetuneSettings(from_run=str(former.run.path), hflip=True)).hflip is True


@pytest.mark.parametrize("freeze", ["all", "lower"])
def test_what_it_has_learnt_can_be_adapted(freeze, residual, signs, tmp_path):
    """`finetune --from` a run of train: other classes, the same lower layers, whose weights stay."""
    settings = FinetuneSettings(from_run=str(residual.run.path), freeze=freeze, epochs=2, upper_epochs=1)
    found = finetune(signs, tmp_path / "run", settings)
    assert found.split.train.class_names == ("0", "1", "2")
    former, now = model_of(residual), model_of(found)
    for name in ("conv1", "conv2_block1_1", "conv2_block3_2"):
        np.testing.assert_array_equal(now.get_layer(name).get_weights()[0], former.get_layer(name).get_weights()[0])
    assert found.run.read_json("model.json")["backbone"] == "resnet20"
    assert now.input_shape[1:] == (16, 16, 3)


def test_a_network_without_feature_maps_can_be_adapted_too(done, signs, tmp_path):
    found = finetune(signs, tmp_path / "run", FinetuneSettings(from_run=str(done.run.path), epochs=2))
    assert found.run.read_json("settings.json")["freeze"] == "auto"
    assert found.metrics["advice"]["reason"]


def test_too_small_an_image_names_the_least_size():
    with pytest.raises(OptionError, match="--image-size is 20; lenet5 needs at least 32"):
        resolve_network(TrainSettings(model="lenet5", image_size=20))


def test_settings_are_resolved_to_the_networks_own():
    found = resolve_network(TrainSettings(model="LeNet-5"))
    assert (found.model, found.image_size) == ("lenet5", 32)


def test_settings_are_read_again_as_they_were(done):
    values = json.loads((done.run.path / "settings.json").read_text())
    assert session.settings_from(values) == resolve_network(SMALL)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "lenet5", "activation": "relu"}, "lenet5 cannot be varied by --activation; these can: mlp, neo"),
        ({"model": "resnet18", "batch_norm": True}, "resnet18 cannot be varied by --batch-norm"),
        ({"model": "vgg11", "hidden": "5"}, "vgg11 cannot be varied by --hidden; these can: mlp."),
        ({"model": "inception_v3", "width": 0.5}, "inception_v3 cannot be varied by --width"),
        ({"model": "xception", "grey": True}, "xception cannot be varied by --grey; these can: linear, mlp"),
    ],
)
def test_what_would_change_nothing_is_refused(changes, words):
    with pytest.raises(OptionError, match=words):
        resolve_network(TrainSettings(**changes))
