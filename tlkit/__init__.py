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
    "check_backbone": "tlkit.training.checks",
}
__all__ = [
    "FinetuneSettings",
    "TrainSettings",
    "check_backbone",
    "evaluate",
    "finetune",
    "load_run",
    "predict",
    "read_folder",
    "train",
]

if TYPE_CHECKING:
    from tlkit.data.folder import read_folder
    from tlkit.evaluation.evaluate import evaluate
    from tlkit.prediction import predict
    from tlkit.runs import load_run
    from tlkit.settings import FinetuneSettings, TrainSettings
    from tlkit.training.checks import check_backbone
    from tlkit.training.finetune import finetune
    from tlkit.training.train import train


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'tlkit' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
