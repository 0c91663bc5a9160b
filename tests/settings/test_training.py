"""Settings of trainings, and what a settings.json gives back."""

import json
import math

import pytest

from tests.settings.classes import make
from tlkit.errors import OptionError
from tlkit.settings.base import to_json
from tlkit.settings.training import ClassicSettings, FinetuneSettings, TrainSettings, settings_from


def test_settings_come_back_from_json():
    for command, settings in (
        ("finetune", FinetuneSettings(epochs=7, batch_norm=False, backbone="resnet50", dropout=0.25)),
        ("train", TrainSettings(model="vgg16", width=0.5, activation="elu", gray=True)),
        ("train", ClassicSettings(descriptor="hog+lbp", classifier="knn", pca=8)),
        ("train", ClassicSettings(features="mobilenet_v2", seed=2)),
    ):
        written = json.loads(json.dumps({"command": command, "data": "images"} | to_json(settings)))
        assert settings_from(written) == settings


def test_settings_from_takes_defaults_for_what_is_not_said():
    assert settings_from({}) == FinetuneSettings()
    assert settings_from({}, "train") == settings_from({"command": "train"}) == TrainSettings()


def test_settings_from_leaves_out_the_command_and_the_data():
    assert settings_from({"command": "finetune", "data": "photos", "seed": 3}) == FinetuneSettings(seed=3)


def test_settings_from_an_unknown_key_names_it_and_a_similar_one():
    with pytest.raises(OptionError, match=r"^unknown setting 'epoch', similar to 'epochs'\.$"):
        settings_from({"epoch": 3})
    with pytest.raises(OptionError, match=r"^unknown setting 'tensorboard'\.$"):
        settings_from({"tensorboard": True})


def test_settings_from_another_command_is_refused():
    with pytest.raises(OptionError, match="'predict'"):
        settings_from({"command": "predict"})


def test_settings_from_checks_values_like_options():
    for values in ({"epochs": "3"}, {"dropout": None}, {"resize": "fit"}, {"seed": math.nan}):
        with pytest.raises(OptionError, match=f"--{next(iter(values))} is "):
            settings_from(values)


def test_classic_settings_take_a_descriptor_or_features_and_not_both():
    assert make(ClassicSettings).descriptor == "hog"
    for values in ({}, {"descriptor": "hog", "features": "mobilenet_v2"}):
        with pytest.raises(OptionError, match="--descriptor"):
            ClassicSettings(**values)


def test_changes_are_what_differs_from_the_paper():
    assert TrainSettings().changes == {"width": 1.0}
    changed = TrainSettings(hidden="200,80", activation="relu", batch_norm=True, dropout=0.0, width=2.0)
    assert changed.changes == {
        "width": 2.0,
        "activation": "relu",
        "batch_norm": True,
        "dropout": 0.0,
        "hidden": (200, 80),
    }
