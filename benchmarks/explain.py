"""The time of `tlkit explain`, and the difference to Grad-CAM through Keras.

    TLKIT_TEST_DATA=... KERAS_HOME=... python benchmarks/explain.py [RUN]

RUN is a run of hymenoptera (`tlkit finetune hymenoptera --freeze all`); without it, one is trained. A photo is
explained in a cold process, in turns with `import tensorflow` and `tlkit predict`. Then the heat maps of 40
validation photos are compared with those through Keras.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tlkit.data.image import decode_square
from tlkit.data.sources.files import read_file
from tlkit.explain.explainer import Explainer, open_explainer
from tlkit.explain.gradcam import grad_cam
from tlkit.models.graph import averaged_map, topological_order
from tlkit.models.head import split_head
from tlkit.runs.run import Run, load_run
from tlkit.runs.trust import load_run_network

DATA = Path(os.environ["TLKIT_TEST_DATA"]) / "images" / "hymenoptera"
ROUNDS, PHOTOS = 9, 40


def seconds(*words: str) -> float:
    """Time one process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    return time.perf_counter() - started


def measure_cold(run: Path, photo: Path, folder: Path) -> None:
    """Print the time of one photo in a cold process, as a fraction of the import of TensorFlow."""
    rounds = []
    for number in range(ROUNDS):
        explain = ("-m", "tlkit", "explain", str(run), str(photo))
        rounds.append(
            (
                seconds("-c", "import tensorflow"),
                seconds(*explain, "-o", str(folder / f"{number}.png")),
                seconds(*explain, "--json"),
                seconds("-m", "tlkit", "predict", str(run), str(photo)),
            )
        )
    for position, name in enumerate(("import tensorflow", "explain with a PNG", "explain --json", "predict")):
        ratios = sorted(times[position] / times[0] for times in rounds)
        median = statistics.median(times[position] for times in rounds)
        print(
            f"{name:<20} {median:6.2f} s  {ratios[ROUNDS // 2]:.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}) of the import"
        )


def heat_maps_through_keras(run: Run, images: list[np.ndarray], labels: list[int]) -> list[np.ndarray]:
    """Compute Grad-CAM by TensorFlow's gradient through the whole network."""
    import keras
    import tensorflow as tf

    classifier = load_run_network(run)
    maps = averaged_map(split_head(classifier)[0])
    (_, (logits,), _) = topological_order(classifier.output)[-1]
    model, found = keras.Model(classifier.input, [maps, logits]), []
    for pixels, label in zip(images, labels, strict=True):
        inputs = tf.constant(pixels[None], tf.float32)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            values, scores = model(inputs, training=False)
            score = scores[0, label]
        found.append(grad_cam(values[0].numpy(), tape.gradient(score, values)[0].numpy()))
    return found


def measure_difference(run: Run, explainer: Explainer) -> None:
    """Print the largest difference of heat maps, relative to the maximum of each, and the time of a photo."""
    files = sorted((DATA / "val").rglob("*.jpg"))[:: max(1, 153 // PHOTOS)][:PHOTOS]
    images = [decode_square(read_file(file), run.manifest.image) for file in files]
    predictor = explainer.predictor
    predicted = [int(label) for label in predictor.classify(predictor.network.extract(np.stack(images))).argmax(axis=1)]
    explainer.method.heat(images[0], 0)  # the first is slower
    for name, labels in (("predicted", predicted), ("other", [1 - label for label in predicted])):
        started = time.perf_counter()
        found = [explainer.method.heat(pixels, label) for pixels, label in zip(images, labels, strict=True)]
        milliseconds = 1000 * (time.perf_counter() - started) / len(images)
        pairs = zip(found, heat_maps_through_keras(run, images, labels), strict=True)
        apart = [float(np.abs(mine - other).max() / other.max()) for mine, other in pairs if other.max() > 0]
        print(f"{len(apart)} photos, {name} class: differ from Keras by {max(apart):.1e} of the maximum at most,")
        print(f"    in the median {statistics.median(apart):.1e}; {milliseconds:.1f} ms a photo")


def main() -> None:
    """Measure both."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if len(sys.argv) > 1:
            path = Path(sys.argv[1])
        else:
            path = folder / "run"
            seconds("-m", "tlkit", "finetune", str(DATA), "--freeze", "all", "-o", str(path))
        measure_difference(load_run(path), open_explainer(path))
        measure_cold(path, next((DATA / "val" / "bees").glob("*.jpg")), folder)


if __name__ == "__main__":
    main()
