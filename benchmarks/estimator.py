"""The time of each fit of a search over `ImageClassifier`, with features cached.

    TLKIT_TEST_DATA=... KERAS_HOME=... python benchmarks/estimator.py [DROPOUT ...]

hymenoptera, mobilenet_v2, every parameter at its default but the dropout; five folds for each value, then a fit on all
images. The first fit computes the features and imports TensorFlow.
"""

import os
import sys
import time
from pathlib import Path

from sklearn.model_selection import GridSearchCV

from tlkit import ImageClassifier

DATA = Path(os.environ["TLKIT_TEST_DATA"]) / "images" / "hymenoptera"


class TimedClassifier(ImageClassifier):
    """Prints the seconds of each fit and of each score."""

    def fit(self, X, y, groups=None):
        started = time.perf_counter()
        super().fit(X, y, groups)
        laps = ", ".join(f"{name} {value:.2f}" for name, value in self.metrics_.seconds.items())
        print(f"fit on {len(X)} images: {time.perf_counter() - started:5.2f} s ({laps})", flush=True)
        return self

    def score(self, X, y, sample_weight=None):
        started = time.perf_counter()
        accuracy = super().score(X, y, sample_weight)
        print(f"  score of {len(X)} images: {time.perf_counter() - started:5.2f} s", flush=True)
        return accuracy


def main() -> None:
    """Search, and print the time of every fit."""
    dropouts = [float(word) for word in sys.argv[1:]] or [0.3, 0.5, 0.7]
    files = sorted(str(file) for file in DATA.rglob("*.jpg"))
    labels = [Path(file).parent.name for file in files]
    search = GridSearchCV(TimedClassifier(), {"dropout": dropouts}).fit(files, labels)
    for dropout, mean, spread in zip(
        dropouts, search.cv_results_["mean_test_score"], search.cv_results_["std_test_score"], strict=True
    ):
        print(f"dropout {dropout:g}: {100 * mean:.1f} % (standard deviation of the folds {100 * spread:.1f})")


if __name__ == "__main__":
    main()
