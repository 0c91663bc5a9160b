"""Every option, written once: the command line, `settings.json` and the docs are made from this."""

from tlkit.settings.augment import SheetSettings
from tlkit.settings.base import LIMITS, as_json, check_settings, kind_of, option_name
from tlkit.settings.classic import ChosenSettings, ClassicSettings, ClassifierSettings, DeepSettings, DescriptorSettings
from tlkit.settings.compare import CompareSettings
from tlkit.settings.data import SplitSettings, parse_seeds
from tlkit.settings.evaluate import EvaluateSettings
from tlkit.settings.features import FeaturesSettings
from tlkit.settings.finetune import FinetuneSettings
from tlkit.settings.gradcheck import GradcheckSettings
from tlkit.settings.learning import SpeedSettings, hidden_units
from tlkit.settings.predict import PredictSettings
from tlkit.settings.summary import SummarySettings
from tlkit.settings.train import TrainSettings
from tlkit.settings.training import KINDS, AnySettings, TrainingSettings, is_random, settings_from

__all__ = [
    "KINDS",
    "LIMITS",
    "AnySettings",
    "ChosenSettings",
    "ClassicSettings",
    "ClassifierSettings",
    "CompareSettings",
    "DeepSettings",
    "DescriptorSettings",
    "EvaluateSettings",
    "FeaturesSettings",
    "FinetuneSettings",
    "GradcheckSettings",
    "PredictSettings",
    "SheetSettings",
    "SpeedSettings",
    "SplitSettings",
    "SummarySettings",
    "TrainSettings",
    "TrainingSettings",
    "as_json",
    "check_settings",
    "hidden_units",
    "is_random",
    "kind_of",
    "option_name",
    "parse_seeds",
    "settings_from",
]
