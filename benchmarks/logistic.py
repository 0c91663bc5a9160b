"""scikit-learn's logistic regression on the features and the split that `tlkit finetune` uses.

    python benchmarks/logistic.py DATA [--seeds 0 1 2]

The last line is JSON: validation accuracy, one per seed, for each way to fit it.
"""

import argparse
import json
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from parts import ready_lower
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tlkit.extraction import Lower

from tlkit.data.folder import read_folder
from tlkit.data.split import split_folder
from tlkit.features.extract import Features, extract
from tlkit.settings.training import FinetuneSettings
from tlkit.training.finetune import resolve
from tlkit.utils.progress import Silent


def regressions() -> dict[str, Any]:
    """The ways to fit it, by the words for them."""
    return {
        "plain": LogisticRegression(max_iter=2000),
        "standardized, C=0.01": make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000)),
        "standardized, C=1": make_pipeline(StandardScaler(), LogisticRegression(C=1, max_iter=2000)),
    }


def features_of(data: Path, settings: FinetuneSettings) -> Features:
    """The features of every image of a folder, kept ones where there are any."""
    lower: Future[Lower] = Future()
    lower.set_result(ready_lower(settings))
    return extract(read_folder(data), lower, (settings.image_size, settings.resize), Silent())


def accuracies(extracted: Features, settings: FinetuneSettings, seed: int) -> dict[str, float]:
    """Validation accuracy of each regression for one split."""
    split = split_folder(extracted.folder, settings.validation_split, settings.test_split, seed)
    train, validation = extracted.values(split.train), extracted.values(split.validation)
    return {
        name: float(model.fit(train, split.train.labels).score(validation, split.validation.labels))
        for name, model in regressions().items()
    }


def main() -> None:
    """Extract once, fit for every seed."""
    parser = argparse.ArgumentParser(description="Logistic regression on tlkit's features.")
    parser.add_argument("data", type=Path, help="a folder with one subfolder of images per class")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    settings = resolve(FinetuneSettings())
    extracted = features_of(options.data, settings)
    found = [accuracies(extracted, settings, seed) for seed in options.seeds]
    print(json.dumps({name: [one[name] for one in found] for name in found[0]}))


if __name__ == "__main__":
    main()
