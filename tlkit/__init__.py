"""tlkit: from a folder of images to a classifier that can be trusted.

The names below import their modules on first use, so that `import tlkit` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
_HOMES = {
    "read_folder": "tlkit.data.folder",
    "finetune": "tlkit.training.finetune",
    "FinetuneSettings": "tlkit.settings",
    "train": "tlkit.training.from_scratch",
    "TrainSettings": "tlkit.settings",
    "load_run": "tlkit.runs.run",
    "predict": "tlkit.inference.predictor",
    "evaluate": "tlkit.inference.evaluate",
    "train_classic": "tlkit.training.classic",
    "ClassicSettings": "tlkit.settings",
    "compare": "tlkit.comparison.compare",
    "CompareSettings": "tlkit.settings",
    "export_features": "tlkit.features.export",
    "FeaturesSettings": "tlkit.settings",
    "check_backbone": "tlkit.testing",
}
__all__ = [
    "ClassicSettings",
    "CompareSettings",
    "FeaturesSettings",
    "FinetuneSettings",
    "TrainSettings",
    "check_backbone",
    "compare",
    "evaluate",
    "export_features",
    "finetune",
    "load_run",
    "predict",
    "read_folder",
    "train",
    "train_classic",
]

if TYPE_CHECKING:
    from tlkit.comparison.compare import compare
    from tlkit.data.folder import read_folder
    from tlkit.features.export import export_features
    from tlkit.inference.evaluate import evaluate
    from tlkit.inference.predictor import predict
    from tlkit.runs.run import load_run
    from tlkit.settings.commands import CompareSettings, FeaturesSettings
    from tlkit.settings.training import ClassicSettings, FinetuneSettings, TrainSettings
    from tlkit.testing import check_backbone
    from tlkit.training.classic import train_classic
    from tlkit.training.finetune import finetune
    from tlkit.training.from_scratch import train


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'tlkit' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
