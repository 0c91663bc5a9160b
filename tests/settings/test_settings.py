import json
import math
from dataclasses import FrozenInstanceError, fields
from typing import get_args, get_type_hints

import pytest

from tlkit.errors import OptionError
from tlkit.settings.base import LIMITS, option_name, to_json, unwrap_optional, validate
from tlkit.settings.commands import EvaluateSettings, PredictSettings
from tlkit.settings.training import FinetuneSettings, settings_from

CLASSES = [FinetuneSettings, PredictSettings, EvaluateSettings]
FIELDS = [(owner, item) for owner in CLASSES for item in fields(owner)]
NUMBERS = [
    (owner, item) for owner, item in FIELDS if unwrap_optional(get_type_hints(owner)[item.name])[0] in (int, float)
]


def named(value):
    return getattr(value, "name", getattr(value, "__name__", None))


@pytest.mark.parametrize(("owner", "item"), FIELDS, ids=named)
def test_every_setting_has_a_group_and_a_sentence_of_help(owner, item):
    assert item.metadata["group"]
    assert item.metadata["help"][0].isupper()
    assert item.metadata["help"].endswith(".")


@pytest.mark.parametrize("owner", CLASSES, ids=named)
def test_the_defaults_are_within_their_limits(owner):
    validate(owner())


@pytest.mark.parametrize(("owner", "item"), FIELDS, ids=named)
def test_limits_have_names_that_are_checked(owner, item):
    assert item.metadata["limits"].keys() <= LIMITS.keys()


@pytest.mark.parametrize(("owner", "item"), NUMBERS, ids=named)
def test_every_number_has_a_least_value(owner, item):
    assert {"min", "above"} & item.metadata["limits"].keys()


def refusal(owner, **values):
    with pytest.raises(OptionError) as caught:
        owner(**values)
    return str(caught.value)


@pytest.mark.parametrize(("owner", "item"), NUMBERS, ids=named)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1, True, "3", None, [1], 1j])
def test_no_number_is_what_makes_no_sense(owner, item, value):
    if value is None and unwrap_optional(get_type_hints(owner)[item.name])[1]:
        return  # left to be chosen
    words = refusal(owner, **{item.name: value})
    shown = value if value in (-1, -2) else repr(value)
    assert words.startswith(f"{option_name(item.name)} is {shown}; expected ")
    assert words.endswith(".")


@pytest.mark.parametrize(("owner", "item"), NUMBERS, ids=named)
def test_a_value_just_outside_a_limit_is_refused_and_the_limit_named(owner, item):
    for name, bound in item.metadata["limits"].items():
        step = {"min": -1, "max": 1, "above": 0, "below": 0}[name]
        words = refusal(owner, **{item.name: type(bound)(bound + step)})
        assert words.endswith(f"expected {LIMITS[name][0]} {bound}.")


@pytest.mark.parametrize(("owner", "item"), NUMBERS, ids=named)
def test_a_value_on_an_inclusive_limit_is_taken(owner, item):
    for name, bound in item.metadata["limits"].items():
        if name in ("min", "max"):
            assert getattr(owner(**{item.name: bound}), item.name) == bound


@pytest.mark.parametrize(("owner", "item"), FIELDS, ids=named)
def test_a_choice_that_is_none_of_them_is_refused_with_the_list(owner, item):
    choices = get_args(unwrap_optional(get_type_hints(owner)[item.name])[0])
    if choices:
        assert refusal(owner, **{item.name: "other"}).endswith(f"expected one of {', '.join(choices)}.")


@pytest.mark.parametrize("value", [1, 0, "yes", None])
def test_a_switch_is_true_or_false(value):
    assert "--batch-norm is " in refusal(FinetuneSettings, batch_norm=value)


@pytest.mark.parametrize("value", [1, None, True, ["mobilenet_v2"]])
def test_a_name_is_text(value):
    assert "expected a value of type str" in refusal(FinetuneSettings, backbone=value)


def test_a_whole_number_is_a_float_but_a_float_is_no_whole_number():
    assert FinetuneSettings(weight_decay=1).weight_decay == 1
    assert "expected a value of type int" in refusal(FinetuneSettings, epochs=1.0)


@pytest.mark.parametrize("name", ["epochs", "patience"])
def test_a_number_without_a_greatest_value_may_be_huge(name):
    assert getattr(FinetuneSettings(**{name: 10**30}), name) == 10**30


@pytest.mark.parametrize("name", ["batch_size", "image_size", "seed", "learning_rate", "weight_decay"])
def test_a_number_that_memory_or_arithmetic_bounds_is_refused_when_huge(name):
    assert "expected at most" in refusal(FinetuneSettings, **{name: 10**12})


@pytest.mark.parametrize("text", ["", "8,", "many", "-1", "8,0", "1.5", "100000", "8;4"])
def test_hidden_layers_are_numbers_of_units(text):
    assert refusal(FinetuneSettings, hidden=text).startswith(f"--hidden is '{text}'; expected numbers of units")


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.2)])
def test_shares_that_leave_nothing_to_train_on_are_refused(shares):
    assert "leave images to train on" in refusal(FinetuneSettings, validation_split=shares[0], test_split=shares[1])


def test_settings_do_not_change():
    with pytest.raises(FrozenInstanceError):
        FinetuneSettings().epochs = 3


def test_settings_come_back_from_json():
    settings = FinetuneSettings(epochs=7, batch_norm=False, backbone="resnet50", dropout=0.25)
    assert settings_from(json.loads(json.dumps(to_json(settings)))) == settings


@pytest.mark.parametrize("owner", CLASSES, ids=named)
def test_json_holds_every_setting(owner):
    assert list(to_json(owner())) == [item.name for item in fields(owner)]


def test_what_a_settings_file_does_not_say_is_the_default():
    assert settings_from({}) == FinetuneSettings()


def test_the_command_and_the_data_of_a_settings_file_are_no_settings():
    assert settings_from({"command": "finetune", "data": "photos", "seed": 3}) == FinetuneSettings(seed=3)


def test_an_unknown_key_is_named_beside_the_known_ones():
    with pytest.raises(OptionError, match=r"there is no setting 'epoch'; the settings are .*\bepochs\b"):
        settings_from({"epoch": 3})


@pytest.mark.parametrize("values", [{"epochs": "3"}, {"dropout": None}, {"resize": "fit"}, {"seed": math.nan}])
def test_a_settings_file_is_checked_like_options(values):
    with pytest.raises(OptionError, match=f"--{next(iter(values))} is "):
        settings_from(values)


def test_an_option_is_written_with_dashes():
    assert option_name("learning_rate") == "--learning-rate"
