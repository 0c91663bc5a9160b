"""Keras alone: `model.predict` over the Keras loader, all images of a folder.

    python benchmarks/keras_predict.py MODEL DATA

MODEL is the `model.keras` of a run. The last line is JSON: images, and images per second after start-up
(importing, loading and first batches are not counted). Keras compiles `predict` for every shape it meets, so it is
warmed up on both: a full batch, and one of the size that is left at the end.
"""

import argparse
import json
import time
from pathlib import Path

import keras

BATCH = 32


def main() -> None:
    """Predict a batch of each size to warm up, then everything."""
    parser = argparse.ArgumentParser(description="Time Keras's own prediction.")
    parser.add_argument("model", type=Path, help="a model.keras that takes pixels 0 to 255")
    parser.add_argument("data", type=Path, help="a folder of images")
    options = parser.parse_args()
    model = keras.models.load_model(options.model, compile=False)
    images = keras.utils.image_dataset_from_directory(
        options.data, labels=None, shuffle=False, image_size=model.input_shape[1:3], batch_size=BATCH
    )
    left = len(images.file_paths) % BATCH or BATCH
    for warm_up in (images.take(1), images.take(1).map(lambda batch: batch[:left])):
        model.predict(warm_up, verbose=0)
    started = time.perf_counter()
    probabilities = model.predict(images, verbose=0)
    rate = len(probabilities) / (time.perf_counter() - started)
    print(json.dumps({"images": len(probabilities), "images_per_second": rate}))


if __name__ == "__main__":
    main()
