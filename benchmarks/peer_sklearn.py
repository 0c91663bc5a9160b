"""Logistic regression on the features of a Keras network as a peer: the twenty lines that people write.

    python benchmarks/peer_sklearn.py TRAIN TEST [--seed N]

Two points: scikit-learn's regression on the features as they are, then on standardized ones with C = 0.01, which is
better on photos.
"""

from pathlib import Path

from points import Points, peer_options

POINTS = Points()

import keras  # noqa: E402
import numpy as np  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

SIZE = (224, 224)


def main() -> None:
    """Fit, and write the points."""
    parser = peer_options("scikit-learn on the features of MobileNetV2.")
    options = parser.parse_args()
    network = keras.applications.MobileNetV2(include_top=False, weights="imagenet", pooling="avg")
    values, labels, _ = features(network, options.train)
    found: dict[str, np.ndarray] = {}
    for name, model in (
        ("plain", LogisticRegression(max_iter=1000, random_state=options.seed)),
        ("standardized", make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))),
    ):
        model.fit(values, labels)

        def classify(model=model) -> dict[str, str]:  # type: ignore[no-untyped-def]
            if not found:
                found["values"], _, found["paths"] = features(network, options.test)
            return dict(zip(found["paths"].tolist(), model.predict(found["values"]).tolist(), strict=True))

        POINTS.add(name, classify)


def features(network: keras.Model, folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the features, the class and the path of each image of a folder."""
    images = keras.utils.image_dataset_from_directory(folder, image_size=SIZE, shuffle=False, verbose=0)
    prepared = images.map(lambda pixels, label: keras.applications.mobilenet_v2.preprocess_input(pixels))
    paths = [Path(path).relative_to(folder).as_posix() for path in images.file_paths]
    return network.predict(prepared, verbose=0), np.array([path.split("/")[0] for path in paths]), np.array(paths)


if __name__ == "__main__":
    main()
