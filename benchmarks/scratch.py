"""What an epoch of a training from scratch takes, with views and without, against Keras's `fit` without.

    python benchmarks/scratch.py [--models lenet5 lenet5_relu] [--rounds 5] [--epochs 4]

The digits of scikit-learn, in one process; the arms take turns. Every arm has the same pixels, batch size and
optimizer; the first epoch, which compiles the step, is left out. tlkit's seconds have the evaluation of 32 images
in them, those of `fit` none.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measure import interleave, ratios, spread, table

from tlkit.data.augment import Augmentation, AugmentedBatches, OversizedImage
from tlkit.data.image import ImageSpec, decode_image
from tlkit.data.reader import read_data
from tlkit.data.sample_datasets import write_digits
from tlkit.models.architectures.registry import ARCHITECTURES
from tlkit.models.head import Head, attach_head
from tlkit.models.sources import ScratchArchitecture
from tlkit.training.loop.batches import Samples
from tlkit.training.loop.plan import FitPlan, OptimizerConfig
from tlkit.utils.progress import Silent

VALIDATION_IMAGES = 32


def read_digits() -> tuple[list[bytes], np.ndarray]:
    """Write the digits as images: the bytes of each file, and one-hot labels."""
    with tempfile.TemporaryDirectory() as folder:
        write_digits(Path(folder) / "digits")
        images = read_data(Path(folder) / "digits")
        files = [file.read_bytes() for file in images.files]
        return files, np.eye(images.num_classes, dtype=np.float32)[images.labels]


def arms_of(name: str, files: list[bytes], targets: np.ndarray, epochs: int) -> dict[str, Callable[[], float]]:
    """Make the arms of a network: each trains some epochs and gives the median seconds of one, without the first."""
    spec = ImageSpec(ARCHITECTURES[name].image_size)
    decoded = [decode_image(data, spec) for data in files]
    plain = np.stack([image.pixels for image in decoded])
    pixels = plain.astype(np.float32)
    oversized = np.stack([decode_image(data, spec, OversizedImage()).pixels for data in files])
    augmentation = Augmentation.from_options("light", {"hflip": False})
    views = AugmentedBatches(oversized, [image.sha256 for image in decoded], augmentation, spec.size, 0)
    network = ScratchArchitecture(ARCHITECTURES[name], spec.size).build()
    import keras

    from tlkit.training.loop.fit import fit

    plan = FitPlan("whole", epochs, 32, OptimizerConfig(1e-3), patience=epochs, seed=0)
    validation = Samples(plain[:VALIDATION_IMAGES], targets[:VALIDATION_IMAGES])

    def new_model() -> Any:
        """Put a new head on the network; as a whole it is not compiled yet."""
        classifier = attach_head(network, Head(0.0, False, ()), targets.shape[1])
        return keras.Model(classifier.input, classifier.output)

    def tlkit(images: Any) -> float:
        """Train with our loop."""
        state = fit(new_model(), Samples(images, targets), validation, plan, Silent())
        return statistics.median(record.seconds for record in state.history[1:])

    def keras_fit() -> float:
        """Train with Keras's own loop."""
        model, ends = new_model(), list[float]()
        clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter()))
        model.compile(keras.optimizers.AdamW(1e-3), "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
        model.fit(pixels, targets, batch_size=32, epochs=epochs, verbose=0, callbacks=[clock])
        return float(np.median(np.diff(ends)))

    return {"fit": keras_fit, "none": lambda: tlkit(plain), "views": lambda: tlkit(views)}


def main() -> None:
    """Measure the arms and print the table."""
    parser = argparse.ArgumentParser(description="Epochs from scratch, with views and without.")
    parser.add_argument("--models", nargs="+", default=["lenet5", "lenet5_relu"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    files, targets = read_digits()
    rows, facts = [], {}
    for name in options.models:
        seconds = interleave(arms_of(name, files, targets, options.epochs), options.rounds)
        facts[name] = {arm: ratios(seconds[arm], seconds["fit"]) for arm in ("none", "views")}
        rows.append([name, *(spread(facts[name][arm]) for arm in ("none", "views")), spread(seconds["fit"])])
    print(table(["network", "`--augment none`", "with views", "`fit`, seconds an epoch"], rows))
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
