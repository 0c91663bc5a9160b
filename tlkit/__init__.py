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
    "train": "tlkit.training.train",
    "TrainSettings": "tlkit.settings",
    "load_run": "tlkit.runs",
    "predict": "tlkit.prediction",
    "evaluate": "tlkit.evaluation.evaluate",
    "train_classic": "tlkit.training.classic",
    "ClassicSettings": "tlkit.settings",
    "compare": "tlkit.comparison.compare",
    "CompareSettings": "tlkit.settings",
    "export_features": "tlkit.vectors.export",
    "FeaturesSettings": "tlkit.settings",
    "check_backbone": "tlkit.training.checks",
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
    from tlkit.evaluation.evaluate import evaluate
    from tlkit.prediction import predict
    from tlkit.runs import load_run
    from tlkit.settings import (
        ClassicSettings,
        CompareSettings,
        FeaturesSettings,
        FinetuneSettings,
        TrainSettings,
    )
    from tlkit.training.checks import check_backbone
    from tlkit.training.classic import train_classic
    from tlkit.training.finetune import finetune
    from tlkit.training.train import train
    from tlkit.vectors.export import export_features


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'tlkit' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
