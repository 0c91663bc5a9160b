"""What trainings of both kinds have in common, and how their settings are read again."""

from dataclasses import fields
from typing import Any

from tlkit.errors import OptionError
from tlkit.settings.classic import ClassicSettings
from tlkit.settings.finetune import FinetuneSettings
from tlkit.settings.train import TrainSettings

AnySettings = FinetuneSettings | TrainSettings | ClassicSettings
TrainingSettings = FinetuneSettings | TrainSettings
KINDS: dict[str, type[FinetuneSettings] | type[TrainSettings]] = {"finetune": FinetuneSettings, "train": TrainSettings}


def is_random(settings: TrainingSettings) -> bool:
    """Whether the network has learnt nothing yet."""
    return settings.weights == "none" and not settings.from_run


def settings_from(values: dict[str, Any], command: str = "finetune") -> AnySettings:
    """The settings a `settings.json` holds.

    command: that they are for, where they do not say so themselves
    raises: OptionError for keys that are no setting of it
    """
    command = values.get("command", command)
    if command not in KINDS:
        raise OptionError(f"'{command}' is no training; expected {' or '.join(KINDS)}.")
    is_classic = command == "train" and (values.get("descriptor") or values.get("features"))
    kind = ClassicSettings if is_classic else KINDS[command]
    known = {item.name for item in fields(kind)}
    if unknown := sorted(values.keys() - known - {"command", "data"}):
        raise OptionError(f"there is no setting '{unknown[0]}'; the settings are {', '.join(sorted(known))}.")
    return kind(**{name: value for name, value in values.items() if name in known})
