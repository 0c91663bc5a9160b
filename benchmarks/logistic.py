"""scikit-learn's logistic regression on the features and the split that `tlkit finetune` uses.

    python benchmarks/logistic.py DATA [--seeds 0 1 2]

The last line is JSON: validation accuracy, one per seed, for each way to fit it.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from parts import ready_extractor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tlkit.data.folder import read_folder
from tlkit.data.split import split_folder
from tlkit.features.extract import Features, extract
from tlkit.features.extractor import completed
from tlkit.settings.training import FinetuneSettings
from tlkit.training.finetune import finetune_recipe
from tlkit.training.network import NetworkRecipe
from tlkit.utils.progress import Silent


def regressions() -> dict[str, Any]:
    """Give the ways to fit it, by the words for them."""
    return {
        "plain": LogisticRegression(max_iter=2000),
        "standardized, C=0.01": make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000)),
        "standardized, C=1": make_pipeline(StandardScaler(), LogisticRegression(C=1, max_iter=2000)),
    }


def features_of(data: Path, recipe: NetworkRecipe) -> Features:
    """Compute the features of every image of a folder, or take cached ones."""
    return extract(read_folder(data), completed(ready_extractor(recipe)), recipe.image, Silent())


def accuracies(features: Features, recipe: NetworkRecipe, seed: int) -> dict[str, float]:
    """Validation accuracy of each regression for one split."""
    settings = recipe.settings
    split = split_folder(features.folder, settings.validation_split, settings.test_split, seed)
    train, validation = features.load(split.train), features.load(split.validation)
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
    recipe = finetune_recipe(FinetuneSettings())
    features = features_of(options.data, recipe)
    by_seed = [accuracies(features, recipe, seed) for seed in options.seeds]
    print(json.dumps({name: [values[name] for values in by_seed] for name in by_seed[0]}))


if __name__ == "__main__":
    main()
