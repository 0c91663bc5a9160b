"""Seconds of an epoch from scratch, with views and without, against Keras's `fit` without.

    python benchmarks/scratch.py [--models lenet5 lenet5_relu] [--rounds 5] [--epochs 4]

The digits of scikit-learn, in one process; the arms take turns. Every arm has the same pixels, batch size and
optimizer; the first epoch, which compiles the step, is left out. tlkit's seconds have the evaluation of 32 images
in them, those of `fit` none. Wall time needs a machine that does nothing else; CPU time, of all threads, hardly does.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
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
LIGHT = Augmentation.from_options("light", {"hflip": False})  # as `train` chooses for digits


Seconds = tuple[float, float]  # wall and CPU


class Clock(Silent):
    """The time at the end of each epoch."""

    def __init__(self) -> None:
        self._ends: list[Seconds] = []

    def on_epoch_end(self, row: Mapping[str, Any]) -> None:
        """Take the time."""
        self._ends.append((time.perf_counter(), time.process_time()))

    def seconds(self) -> Seconds:
        """Give the median of all epochs but the first."""
        wall, cpu = np.median(np.diff(self._ends, axis=0), axis=0).tolist()
        return wall, cpu


def read_digits() -> tuple[list[bytes], np.ndarray]:
    """Write the digits as images: the bytes of each file, and one-hot labels."""
    with tempfile.TemporaryDirectory() as folder:
        write_digits(Path(folder) / "digits")
        images = read_data(Path(folder) / "digits")
        files = [file.read_bytes() for file in images.files]
        return files, np.eye(images.num_classes, dtype=np.float32)[images.labels]


def arms_of(name: str, files: list[bytes], targets: np.ndarray, epochs: int) -> dict[str, Callable[[], Seconds]]:
    """Make the arms of a network: each trains some epochs and gives the median seconds of one."""
    spec = ImageSpec(ARCHITECTURES[name].image_size)
    network = ScratchArchitecture(ARCHITECTURES[name], spec.size).build()
    decoded = [decode_image(data, spec) for data in files]
    plain = np.stack([image.pixels for image in decoded])
    oversized = np.stack([decode_image(data, spec, OversizedImage()).pixels for data in files])
    views = AugmentedBatches(oversized, [image.sha256 for image in decoded], LIGHT, spec.size, 0)
    import keras

    from tlkit.training.loop.fit import fit
    from tlkit.training.loop.keras_learner import KerasLearner

    plan = FitPlan("whole", epochs, 32, OptimizerConfig(1e-3), patience=epochs, seed=0)
    validation = Samples(plain[:VALIDATION_IMAGES], targets[:VALIDATION_IMAGES])

    def new_model() -> Any:
        """Put a new head on the network; as a whole it is not compiled yet."""
        classifier = attach_head(network, Head(0.0, False, ()), targets.shape[1])
        return keras.Model(classifier.input, classifier.output)

    def tlkit(images: Any) -> Seconds:
        """Train with our loop."""
        clock = Clock()
        fit(KerasLearner(new_model()), Samples(images, targets), validation, plan, clock)
        return clock.seconds()

    def keras_fit() -> Seconds:
        """Train with Keras's own loop."""
        model, clock = new_model(), Clock()
        ended = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: clock.on_epoch_end({}))
        model.compile(keras.optimizers.AdamW(1e-3), "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
        model.fit(plain.astype(np.float32), targets, batch_size=32, epochs=epochs, verbose=0, callbacks=[ended])
        return clock.seconds()

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
        measured = interleave(arms_of(name, files, targets, options.epochs), options.rounds)
        for kind, index in (("wall", 0), ("CPU", 1)):
            seconds = {arm: [both[index] for both in values] for arm, values in measured.items()}
            against = {arm: ratios(seconds[arm], seconds["fit"]) for arm in ("none", "views")}
            facts[f"{name}, {kind}"] = against
            rows.append([name, kind, *(spread(against[arm]) for arm in against), spread(seconds["fit"])])
    print(table(["network", "time", "`--augment none`", "with views", "`fit`, seconds an epoch"], rows))
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
