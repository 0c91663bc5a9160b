"""tlkit: from a folder of images to a classifier that can be trusted.

    tlkit.check("photos").issues                            # what to mend first
    result = tlkit.finetune("photos", seed=1)               # options as keywords ...
    settings = tlkit.FinetuneSettings(seed=1)
    result = tlkit.finetune("photos", settings=settings)    # ... or as an object
    result.report.accuracy, result.report.interval, result.run

    run = tlkit.load_run("runs/finetune-001")
    for prediction in tlkit.predict(run, "new_images"): ...
    tlkit.evaluate(run, "labeled_images").report

The names below import their modules on first use, so that `import tlkit` stays light.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
_MODULES = {
    "tlkit.comparison.compare": ("Comparison", "compare", "resume_comparison"),
    "tlkit.comparison.recommendation": ("Recommendation",),
    "tlkit.comparison.results": ("CandidateResult",),
    "tlkit.data.folder": ("ImageFolder", "read_folder"),
    "tlkit.data.split": ("Split",),
    "tlkit.distributed.workers": ("use_workers",),
    "tlkit.errors": ("DataError", "ModelError", "OptionError", "RunError", "SamplesError", "TlkitError"),
    "tlkit.estimator.classifier": ("ImageClassifier",),
    "tlkit.estimator.transformer": ("FeatureExtractor",),
    "tlkit.evaluation.report": ("Report",),
    "tlkit.explain.base": ("Explanation",),
    "tlkit.explain.explainer": ("Explainer", "open_explainer"),
    "tlkit.export.export": ("Export", "export_run"),
    "tlkit.features.export": ("FeatureExport", "export_features"),
    "tlkit.inference.evaluate": ("Evaluation", "evaluate"),
    "tlkit.inference.mlflow_model": ("save_mlflow",),
    "tlkit.inference.predictor": ("Prediction", "Predictor", "predict"),
    "tlkit.inference.sheet_files": ("write_sheet",),
    "tlkit.inference.tables": ("predictions_to_pandas",),
    "tlkit.quality.base": ("Issue",),
    "tlkit.quality.check": ("CheckResult", "check"),
    "tlkit.robustness.measure": ("measure_robustness",),
    "tlkit.robustness.results": ("Robustness",),
    "tlkit.runs.run": ("Run", "load_run"),
    "tlkit.runs.trust": ("keras_model",),
    "tlkit.search.build": ("index_images",),
    "tlkit.search.evaluate": ("SearchEvaluation", "evaluate_index"),
    "tlkit.search.index": ("Index", "open_index"),
    "tlkit.search.near": ("NearResult", "find_near_images"),
    "tlkit.search.query": ("QueryResult", "search_images"),
    "tlkit.settings.commands": (
        "CheckSettings",
        "CompareSettings",
        "EvaluateSettings",
        "FeaturesSettings",
        "VisualizeSettings",
    ),
    "tlkit.settings.export": ("ExportSettings",),
    "tlkit.settings.robustness": ("RobustnessSettings",),
    "tlkit.settings.search": ("IndexSettings", "QuerySettings", "SearchEvaluateSettings"),
    "tlkit.settings.training": ("ClassicSettings", "FinetuneSettings", "TrainSettings"),
    "tlkit.training.classic": ("train_classic",),
    "tlkit.training.finetune": ("finetune",),
    "tlkit.training.from_scratch": ("train",),
    "tlkit.training.recipe": ("TrainingMetrics", "TrainingResult"),
    "tlkit.training.resume": ("resume",),
    "tlkit.visualization.visualize": ("Visualization", "visualize"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}
__all__ = [
    "CandidateResult",
    "CheckResult",
    "CheckSettings",
    "ClassicSettings",
    "CompareSettings",
    "Comparison",
    "DataError",
    "EvaluateSettings",
    "Evaluation",
    "Explainer",
    "Explanation",
    "Export",
    "ExportSettings",
    "FeatureExport",
    "FeatureExtractor",
    "FeaturesSettings",
    "FinetuneSettings",
    "ImageClassifier",
    "ImageFolder",
    "Index",
    "IndexSettings",
    "Issue",
    "ModelError",
    "NearResult",
    "OptionError",
    "Prediction",
    "Predictor",
    "QueryResult",
    "QuerySettings",
    "Recommendation",
    "Report",
    "Robustness",
    "RobustnessSettings",
    "Run",
    "RunError",
    "SamplesError",
    "SearchEvaluateSettings",
    "SearchEvaluation",
    "Split",
    "TlkitError",
    "TrainSettings",
    "Visualization",
    "VisualizeSettings",
    "TrainingMetrics",
    "TrainingResult",
    "check",
    "compare",
    "evaluate",
    "evaluate_index",
    "export_features",
    "export_run",
    "find_near_images",
    "finetune",
    "index_images",
    "keras_model",
    "load_run",
    "measure_robustness",
    "open_explainer",
    "open_index",
    "predict",
    "predictions_to_pandas",
    "read_folder",
    "resume",
    "resume_comparison",
    "testing",
    "save_mlflow",
    "search_images",
    "train",
    "train_classic",
    "use_workers",
    "visualize",
    "write_sheet",
]

_NEEDS = {"FeatureExtractor": "sklearn", "ImageClassifier": "sklearn", "testing": "keras"}  # packages to import them
for _name, _package in _NEEDS.items():
    if not find_spec(_package):
        __all__.remove(_name)  # so that `import *` works in every install; `tlkit.<name>` says what is missing

if TYPE_CHECKING:
    from tlkit import testing
    from tlkit.comparison.compare import Comparison, compare, resume_comparison
    from tlkit.comparison.recommendation import Recommendation
    from tlkit.comparison.results import CandidateResult
    from tlkit.data.folder import ImageFolder, read_folder
    from tlkit.data.split import Split
    from tlkit.distributed.workers import use_workers
    from tlkit.errors import DataError, ModelError, OptionError, RunError, SamplesError, TlkitError
    from tlkit.estimator.classifier import ImageClassifier
    from tlkit.estimator.transformer import FeatureExtractor
    from tlkit.evaluation.report import Report
    from tlkit.explain.base import Explanation
    from tlkit.explain.explainer import Explainer, open_explainer
    from tlkit.export.export import Export, export_run
    from tlkit.features.export import FeatureExport, export_features
    from tlkit.inference.evaluate import Evaluation, evaluate
    from tlkit.inference.mlflow_model import save_mlflow
    from tlkit.inference.predictor import Prediction, Predictor, predict
    from tlkit.inference.sheet_files import write_sheet
    from tlkit.inference.tables import predictions_to_pandas
    from tlkit.quality.base import Issue
    from tlkit.quality.check import CheckResult, check
    from tlkit.robustness.measure import measure_robustness
    from tlkit.robustness.results import Robustness
    from tlkit.runs.run import Run, load_run
    from tlkit.runs.trust import keras_model
    from tlkit.search.build import index_images
    from tlkit.search.evaluate import SearchEvaluation, evaluate_index
    from tlkit.search.index import Index, open_index
    from tlkit.search.near import NearResult, find_near_images
    from tlkit.search.query import QueryResult, search_images
    from tlkit.settings.commands import (
        CheckSettings,
        CompareSettings,
        EvaluateSettings,
        FeaturesSettings,
        VisualizeSettings,
    )
    from tlkit.settings.export import ExportSettings
    from tlkit.settings.robustness import RobustnessSettings
    from tlkit.settings.search import IndexSettings, QuerySettings, SearchEvaluateSettings
    from tlkit.settings.training import ClassicSettings, FinetuneSettings, TrainSettings
    from tlkit.training.classic import train_classic
    from tlkit.training.finetune import finetune
    from tlkit.training.from_scratch import train
    from tlkit.training.recipe import TrainingMetrics, TrainingResult
    from tlkit.training.resume import resume
    from tlkit.visualization.visualize import Visualization, visualize


def __getattr__(name: str) -> Any:
    from tlkit.errors import naming_extras

    with naming_extras(f"tlkit.{name}"):
        if name == "testing":
            return import_module("tlkit.testing")
        if name in _MODULE_OF:
            return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'tlkit' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
