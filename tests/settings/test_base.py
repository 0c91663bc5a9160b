"""Fields of all settings classes: help, types and limits. Each test lists the offenders."""

import math
from dataclasses import FrozenInstanceError, fields
from typing import get_args, get_type_hints

from tests.settings.classes import CLASSES, FIELDS, NUMBERS, make, refusal
from tlkit.settings.base import LIMITS, command_line, option_name, to_json, unwrap_optional, unwrap_repeated
from tlkit.settings.training import FinetuneSettings, TrainSettings


def choices_of(owner, item):
    """The choices of a field that has one value; none of a repeatable one."""
    hint, is_repeated = unwrap_repeated(hint_of(owner, item)[0])
    return () if is_repeated else get_args(hint)


def offenders(pairs, is_right):
    """The fields, as "Class.field", for which a condition does not hold."""
    return [f"{owner.__name__}.{item.name}" for owner, item in pairs if not is_right(owner, item)]


def hint_of(owner, item):
    """A field's type without None, and whether it may be None."""
    return unwrap_optional(get_type_hints(owner)[item.name])


def test_settings_of_every_command_are_tried():
    names = {owner.__name__.removesuffix("Settings") for owner in CLASSES}
    assert names >= {"Finetune", "Train", "Classic", "Compare", "ContactSheet", "Evaluate", "Features"}
    assert names >= {"Gradcheck", "Predict", "Summary"}


def test_setting_has_a_group_and_a_sentence_of_help():
    def is_right(owner, item):
        text = item.metadata["help"]
        return bool(item.metadata["group"]) and text[0].isupper() and text.endswith(".")

    assert offenders(FIELDS, is_right) == []


def test_setting_has_limits_that_are_checked():
    assert offenders(FIELDS, lambda owner, item: item.metadata["limits"].keys() <= LIMITS.keys()) == []


def test_setting_that_is_a_number_has_a_lower_limit():
    assert offenders(NUMBERS, lambda owner, item: {"min", "above"} & item.metadata["limits"].keys()) == []


def test_defaults_are_within_their_limits():
    assert [owner.__name__ for owner in CLASSES if refusal(owner)] == []


def test_number_that_makes_no_sense_is_refused_with_option_and_value():
    wrong = []
    for owner, item in NUMBERS:
        for value in (math.nan, math.inf, -math.inf, -1, True, "3", None, [1], 1j):
            if value is None and hint_of(owner, item)[1]:
                continue  # left to be chosen
            shown = value if value == -1 else repr(value)
            words = refusal(owner, **{item.name: value})
            if not (words.startswith(f"{option_name(item.name)} is {shown}; expected ") and words.endswith(".")):
                wrong.append(f"{owner.__name__}.{item.name} = {value!r}: {words}")
    assert wrong == []


def test_number_just_outside_a_limit_is_refused_with_the_limit():
    wrong = []
    for owner, item in NUMBERS:
        for name, bound in item.metadata["limits"].items():
            outside = type(bound)(bound + {"min": -1, "max": 1, "above": 0, "below": 0}[name])
            words = refusal(owner, **{item.name: outside})
            if not words.endswith(f"expected {LIMITS[name][0]} {bound}."):
                wrong.append(f"{owner.__name__}.{item.name} = {outside}: {words}")
    assert wrong == []


def test_number_on_an_inclusive_limit_is_taken():
    def is_right(owner, item):
        bounds = [bound for name, bound in item.metadata["limits"].items() if name in ("min", "max")]
        return all(getattr(make(owner, **{item.name: bound}), item.name) == bound for bound in bounds)

    assert offenders(NUMBERS, is_right) == []


def test_choice_that_is_none_of_them_is_refused_with_the_list():
    def is_right(owner, item):
        choices = choices_of(owner, item)
        words = refusal(owner, **{item.name: "other"})
        return not choices or words.endswith(f"expected one of {', '.join(choices)}.")

    assert offenders(FIELDS, is_right) == []


def test_choice_is_taken_whichever_it_is():
    def is_right(owner, item):
        choices = choices_of(owner, item)
        return all(getattr(make(owner, **{item.name: choice}), item.name) == choice for choice in choices)

    assert offenders(FIELDS, is_right) == []


def test_switch_is_true_or_false():
    def is_right(owner, item):
        kind, may_be_none = hint_of(owner, item)
        wrong = [1, 0, "yes"] + ([] if may_be_none else [None])
        option = f"{option_name(item.name)} is "
        return kind is not bool or all(option in refusal(owner, **{item.name: value}) for value in wrong)

    assert offenders(FIELDS, is_right) == []


def test_text_is_text():
    def is_right(owner, item):
        wrong = (1, None, True, ["mobilenet_v2"])
        expected = "expected a value of type str"
        return hint_of(owner, item)[0] is not str or all(expected in refusal(owner, **{item.name: x}) for x in wrong)

    assert offenders(FIELDS, is_right) == []


def test_whole_number_is_a_float_but_a_float_is_no_whole_number():
    def is_right(owner, item):
        if hint_of(owner, item)[0] is int:
            return "expected a value of type int" in refusal(owner, **{item.name: 1.0})
        return "expected a value of type" not in refusal(owner, **{item.name: 1})

    assert offenders(NUMBERS, is_right) == []


def test_number_without_an_upper_limit_may_be_huge():
    def is_right(owner, item):
        bounded = {"max", "below"} & item.metadata["limits"].keys()
        return bounded or getattr(make(owner, **{item.name: 10**30}), item.name) == 10**30

    assert offenders(NUMBERS, is_right) == []


def test_number_that_memory_or_arithmetic_bounds_is_refused_when_huge():
    bounded = ("batch_size", "upper_batch_size", "image_size", "seed", "learning_rate", "weight_decay", "width")
    asked = [(owner, item) for owner, item in NUMBERS if item.name in bounded]
    assert {item.name for _, item in asked} == set(bounded)
    assert offenders(asked, lambda owner, item: "expected at most" in refusal(owner, **{item.name: 10**12})) == []


def test_settings_do_not_change():
    changed = []
    for owner in CLASSES:
        settings = make(owner)
        try:
            setattr(settings, fields(owner)[0].name, "other")
        except FrozenInstanceError:
            continue
        changed.append(owner.__name__)
    assert changed == []


def test_to_json_holds_every_setting_in_order():
    stored = {x: [item.name for item in fields(x) if item.name != "trust_model"] for x in CLASSES}
    assert [x for x in CLASSES if list(to_json(make(x))) != stored[x]] == []


def test_option_name_has_dashes():
    assert option_name("learning_rate") == "--learning-rate"
    assert option_name("from_run") == "--from"


def test_unwrap_optional_takes_none_away():
    hints = {name: unwrap_optional(hint) for name, hint in get_type_hints(TrainSettings).items()}
    assert hints["learning_rate"] == (float, True)
    assert hints["epochs"] == (int, False)
    assert hints["activation"][1]
    assert not unwrap_optional(get_type_hints(FinetuneSettings)["freeze"])[1]


def test_command_line_names_what_is_not_the_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = FinetuneSettings(backbone="mobilenet_025", freeze="all", seed=3)
    words = command_line("finetune", settings, tmp_path / "my photos")
    assert words == "tlkit finetune 'my photos' --backbone mobilenet_025 --freeze all --seed 3"
    assert command_line("finetune", FinetuneSettings(), tmp_path / "-o") == "tlkit finetune ./-o"
