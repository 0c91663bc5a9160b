"""A head trained without Keras, in a run: what is imported, what Keras and `predict` make of its files."""

import subprocess
import sys

import numpy as np
import pytest

import tlkit
from tests.networks import keras, run_network
from tlkit.data.image import decode_square

CODE = """
import sys
import tlkit
result = tlkit.finetune({data!r}, {output!r}, freeze="all", weights={weights!r}, backbone="mobilenet_025",
                        image_size=32, epochs=2, plots=False, report=False)
print(result.metrics.features_reused, *sorted({{"keras", "tensorflow"}} & sys.modules.keys()))
"""


def trained_in_a_process(colors, weights_file, output):
    code = CODE.format(data=str(colors), output=str(output), weights=str(weights_file))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.training
def test_training_with_cached_features_imports_neither_keras_nor_tensorflow(colors, weights_file, tmp_path):
    options = {"freeze": "all", "weights": str(weights_file), "backbone": "mobilenet_025", "image_size": 32}
    tlkit.finetune(colors, tmp_path / "filling", **options, epochs=1, plots=False, report=False)  # this worker's cache
    assert trained_in_a_process(colors, weights_file, tmp_path / "run") == ["36"]


def test_run_in_keras_gives_what_predict_gives(finetuned_run, colors):
    from tlkit.inference.predictor import predict

    files = sorted((colors / "red").iterdir())[:4]
    pixels = np.stack([decode_square(file.read_bytes(), finetuned_run.manifest.image) for file in files])
    model = keras.models.load_model(finetuned_run.path / "model.keras")
    temperature = finetuned_run.read_json("model.json")["temperature"]
    answers = np.stack([answer.probabilities for answer in predict(finetuned_run, files)])
    logits = np.log(np.maximum(run_network(model, pixels.astype(np.float32)), 1e-37)) / temperature
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert answers == pytest.approx(expected, abs=1e-5)
