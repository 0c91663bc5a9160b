"""The Keras guide's transfer learning as a peer: points of a frozen network, then of the whole network.

    python benchmarks/peer_keras.py TRAIN TEST --frozen 1 2 5 10 [--whole 1 2]

The recipe is that of keras_guide.py. Points are written after the given epochs. --whole trains all layers after the
last epoch with a frozen network, at 1e-5, as the guide does.
"""

from collections.abc import Mapping
from pathlib import Path

from points import Points, add_epochs, peer_options

POINTS = Points()

import keras  # noqa: E402
from keras_guide import BATCH, SIZE, build, load_all  # noqa: E402


def main() -> None:
    """Train, and write the points."""
    parser = peer_options("The Keras guide's transfer learning on TRAIN, scored on TEST.")
    add_epochs(parser)
    options = parser.parse_args()
    keras.utils.set_random_seed(options.seed)
    train, names = load_all(options.train)
    model = build(len(names), None)

    def classify() -> Mapping[str, str]:
        return predictions(model, options.test, names)

    for name, epochs in (("frozen", options.frozen), ("whole", options.whole)):
        if name == "whole" and epochs:
            model.layers[2].trainable = True
            for layer in model.layers[2].layers:
                layer.trainable = True
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(optimizer=keras.optimizers.Adam(1e-5), loss=loss, metrics=["accuracy"])
        for epoch in range(1, max(epochs, default=0) + 1):
            model.fit(train, epochs=1, verbose=0)
            if epoch in epochs:
                earlier = f"{max(options.frozen)} frozen + " if name == "whole" else ""
                POINTS.add(f"{earlier}{epoch} {name}", classify)


def predictions(model: keras.Model, test: Path, names: list[str]) -> Mapping[str, str]:
    """Classify the test images with Keras's own loader."""
    images = keras.utils.image_dataset_from_directory(test, image_size=SIZE, batch_size=BATCH, shuffle=False, verbose=0)
    found = model.predict(images, verbose=0).argmax(axis=1)
    paths = [Path(path).relative_to(test).as_posix() for path in images.file_paths]
    return {path: names[index] for path, index in zip(paths, found, strict=True)}


if __name__ == "__main__":
    main()
