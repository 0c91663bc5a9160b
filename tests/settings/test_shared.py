"""What is checked of several options together, and options that are small languages of their own."""

from dataclasses import fields

import pytest

from tests.settings.classes import CLASSES, refusal
from tlkit.errors import OptionError
from tlkit.settings.shared import AugmentSettings, hidden_units, parse_seeds
from tlkit.settings.training import FinetuneSettings


def classes_with(*names):
    return [owner for owner in CLASSES if set(names) <= {item.name for item in fields(owner)}]


def test_fractions_that_leave_nothing_to_train_on_are_refused():
    splitters = classes_with("validation_split", "test_split")
    assert len(splitters) >= 4
    for owner in splitters:
        for validation, test in ((0.5, 0.5), (0.9, 0.2)):
            words = refusal(owner, validation_split=validation, test_split=test)
            assert "--validation-split and --test-split" in words, owner
        assert refusal(owner, validation_split=0.5, test_split=0.49) == ""


def test_one_fold_is_refused_and_none_is_not():
    for owner in classes_with("folds"):
        assert "--folds is 1" in refusal(owner, folds=1)
        assert refusal(owner, folds=0) == refusal(owner, folds=2) == ""


def test_a_time_limit_is_a_duration():
    timed = classes_with("time_limit")
    assert len(timed) >= 3
    for owner in timed:
        assert "soon" in refusal(owner, time_limit="soon"), owner
        assert [text for text in ("", "90s", "5m", "1h") if refusal(owner, time_limit=text)] == []


def test_seeds_are_whole_numbers_with_commas_between():
    assert parse_seeds("") == []
    assert parse_seeds("1,2") == [1, 2]
    for owner in classes_with("seeds"):
        for text in ("1;2", "one", "1,,2", "1.5", "-1", "1,2147483648"):
            assert refusal(owner, seeds=text).startswith(f"--seeds is '{text}'; expected whole numbers"), text


def test_hidden_layers_are_numbers_of_units():
    assert (hidden_units("0"), hidden_units("512"), hidden_units("200,80")) == ((), (512,), (200, 80))
    for text in ("", "8,", "many", "-1", "8,0", "1.5", "100000", "8;4"):
        for owner in classes_with("hidden"):
            assert refusal(owner, hidden=text).startswith(f"--hidden is '{text}'; expected layer sizes"), text
        with pytest.raises(OptionError):
            hidden_units(text)


def test_amounts_are_the_options_of_augmentation_alone():
    amounts = FinetuneSettings(rotation=0.0, hflip=False).amounts
    assert list(amounts) == [item.name for item in fields(AugmentSettings)]
    assert {name: value for name, value in amounts.items() if value is not None} == {"rotation": 0.0, "hflip": False}
