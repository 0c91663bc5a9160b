"""Accuracy of classic classifiers: on handcrafted features, or on those of a frozen network.

    python benchmarks/classic.py [--only sign_digits trashnet] [--seeds 0 1 2]

Accuracy on the validation images of each seed's split, which choose nothing. TLKIT_TEST_DATA and KERAS_HOME
as for run.py. The cache holds features for later runs, so a second run takes a fraction of the time.
"""

import argparse
import os
import tempfile
from pathlib import Path
from statistics import median

from measure import say, table

from tlkit import ClassicSettings
from tlkit.training.classic import train_classic
from tlkit.utils.progress import Silent

TRASH_DESCRIPTORS = ("fisher", "lbp", "histogram", "bow+histogram", "fisher+histogram", "fisher+histogram+lbp")
DEEP_CLASSIFIERS = ("linear-svm", "logistic", "random-forest", "knn")
ARMS: dict[str, list[dict[str, object]]] = {
    "sign_digits": [{"descriptor": "hog"}, {"descriptor": "fisher+hog"}],
    "trashnet": [
        *({"descriptor": name} for name in ("hog", *TRASH_DESCRIPTORS, "fisher+histogram+lbp+haralick")),
        *({"features": "mobilenet_v2", "pca": pca} for pca in (0, 128)),
        *({"features": "mobilenet_v2", "classifier": name} for name in DEEP_CLASSIFIERS),
    ],
    "hymenoptera": [
        *({"descriptor": name} for name in ("hog", "histogram", "fisher", "fisher+histogram+lbp+haralick")),
        {"features": "mobilenet_v2"},
    ],
    "digits": [{"descriptor": name} for name in ("histogram", "lbp", "fisher", "hog", "fisher+hog")],
}


def measure_arm(data: Path, options: dict[str, object], seeds: list[int]) -> list[str]:
    """Train with each seed; return a row of the table."""
    accuracies = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            settings = ClassicSettings(**options, seed=seed)  # type: ignore[arg-type]
            result = train_classic(data, Path(folder) / "run", settings, Silent())
            accuracies.append(result.report.accuracy)
    arguments = " ".join(f"--{name} {value}" for name, value in options.items() if value)
    by_seed = " ".join(f"{accuracy:.3f}" for accuracy in accuracies)
    row = [data.name, f"`{arguments}`", by_seed, f"{median(accuracies):.3f}"]
    say(" ".join(row))
    return row


def find_data(name: str) -> Path:
    """Find a folder of real photos, or write the digits of scikit-learn as images."""
    if name != "digits":
        return Path(os.environ["TLKIT_TEST_DATA"]) / "images" / name
    from tlkit.data.sample_datasets import write_digits

    folder = Path(tempfile.mkdtemp()) / "digits"
    write_digits(folder)
    return folder


def main() -> None:
    """Measure the arms and print the table."""
    parser = argparse.ArgumentParser(description="Accuracy of classic classifiers.")
    parser.add_argument("--only", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    rows = []
    for name in options.only:
        data = find_data(name)
        rows += [measure_arm(data, arm, options.seeds) for arm in ARMS[name]]
    header = ["images", "`tlkit train`", f"seeds {' '.join(map(str, options.seeds))}", "median"]
    print(table(header, rows))


if __name__ == "__main__":
    main()
