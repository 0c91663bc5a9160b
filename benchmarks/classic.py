"""What classifiers that are no networks reach: described by hand, or by a frozen network.

    python benchmarks/classic.py [--only sign_digits trashnet] [--seeds 0 1 2]

Accuracy on the validation images of each seed's split, on which nothing is chosen. TLKIT_TEST_DATA and
KERAS_HOME as for run.py; what was described is kept in the cache, so a second time takes a fraction.
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

TRASH = ("fisher", "lbp", "histogram", "bow+histogram", "fisher+histogram", "fisher+histogram+lbp")
DEEP = ("linear-svm", "logistic", "random-forest", "knn")
ARMS: dict[str, list[dict[str, object]]] = {
    "sign_digits": [{"descriptor": "hog"}, {"descriptor": "fisher+hog"}],
    "trashnet": [
        *({"descriptor": name} for name in ("hog", *TRASH, "fisher+histogram+lbp+haralick")),
        *({"features": "mobilenet_v2", "pca": pca} for pca in (0, 128)),
        *({"features": "mobilenet_v2", "classifier": name} for name in DEEP),
    ],
    "hymenoptera": [
        *({"descriptor": name} for name in ("hog", "histogram", "fisher", "fisher+histogram+lbp+haralick")),
        {"features": "mobilenet_v2"},
    ],
    "digits": [{"descriptor": name} for name in ("histogram", "lbp", "fisher", "hog", "fisher+hog")],
}


def measure_arm(data: Path, options: dict[str, object], seeds: list[int]) -> list[str]:
    """A row of the table."""
    found = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            settings = ClassicSettings(**options, seed=seed)  # type: ignore[arg-type]
            found.append(train_classic(data, Path(folder) / "run", settings, Silent()).metrics["accuracy"])
    words = " ".join(f"--{name} {value}" for name, value in options.items() if value)
    row = [data.name, f"`{words}`", " ".join(f"{share:.3f}" for share in found), f"{median(found):.3f}"]
    say(" ".join(row))
    return row


def find_data(name: str) -> Path:
    """A folder of real photos, or digits made beside them."""
    if name != "digits":
        return Path(os.environ["TLKIT_TEST_DATA"]) / "images" / name
    from tlkit.data.sample_datasets import write_digits

    folder = Path(tempfile.mkdtemp()) / "digits"
    write_digits(folder)
    return folder


def main() -> None:
    """Run the arms and print the table."""
    parser = argparse.ArgumentParser(description="What classifiers that are no networks reach.")
    parser.add_argument("--only", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    rows = []
    for name in options.only:
        data = find_data(name)
        rows += [measure_arm(data, arm, options.seeds) for arm in ARMS[name]]
    head = ["images", "`tlkit train`", f"seeds {' '.join(map(str, options.seeds))}", "median"]
    print(table(head, rows))


if __name__ == "__main__":
    main()
