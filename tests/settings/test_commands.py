"""Settings of the other commands: what they share with the trainings means the same there."""

from dataclasses import fields

from tests.settings.classes import CLASSES
from tlkit.settings.commands import ContactSheetSettings
from tlkit.settings.shared import AugmentSettings
from tlkit.settings.training import FinetuneSettings


def test_a_setting_of_several_classes_has_one_type():
    types = {}
    for owner in CLASSES:
        for item in fields(owner):
            types.setdefault(item.name, {}).setdefault(str(item.type), []).append(owner.__name__)
    may_differ = {"batch_norm", "dropout", "format"}  # None is what the paper has; each command has its own formats
    assert {name: kinds for name, kinds in types.items() if len(kinds) > 1 and name not in may_differ} == {}


def test_a_contact_sheet_varies_images_as_a_training_does():
    for item in fields(AugmentSettings):
        assert ContactSheetSettings.__dataclass_fields__[item.name].metadata == item.metadata
    assert ContactSheetSettings().amounts == FinetuneSettings().amounts
    assert ContactSheetSettings().augment == FinetuneSettings().augment
