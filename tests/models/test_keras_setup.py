"""Keras starts quietly, and only with the settings on which the numbers rest."""

import json
import os
import platform
import subprocess
import sys

import pytest

from tlkit.models.keras_setup import start_keras

START = "from tlkit.models.keras_setup import start_keras; print(start_keras().backend.backend())"

TRAIN_OFTEN = """
import logging
import numpy as np
from tlkit.models.keras_setup import start_keras

keras, logger, found = start_keras(), logging.getLogger("tensorflow"), []
logger.filters.insert(0, lambda record: found.append(record.getMessage()) or True)
for _ in range(7):
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    network.predict_on_batch(np.zeros((1, 2), np.float32))
print(sum("retracing" in text for text in found) > 0)
logger.warning("another message")
"""


def test_start_keras_turns_on_the_fast_kernels_unless_they_were_turned_off(monkeypatch):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    start_keras()
    assert os.environ.get("TF_ENABLE_ONEDNN_OPTS") == ("1" if platform.machine() in ("x86_64", "AMD64") else None)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    start_keras()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"


@pytest.mark.slow
def test_start_keras_is_quiet_and_refuses_other_settings(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KERAS", "TF_"))}
    environment |= {"KERAS_HOME": str(tmp_path)}
    options = {"capture_output": True, "text": True, "env": environment}
    done = subprocess.run([sys.executable, "-c", START], check=False, **options)
    assert (done.stdout, done.stderr) == ("tensorflow\n", "")
    (tmp_path / "keras.json").write_text(json.dumps({"floatx": "float16", "image_data_format": "channels_last"}))
    refused = subprocess.run([sys.executable, "-c", START], check=False, **options)
    assert "expected channels_last and float32" in refused.stderr


@pytest.mark.slow
def test_several_networks_in_a_process_are_no_reason_to_warn_of_retracing():
    done = subprocess.run([sys.executable, "-c", TRAIN_OFTEN], check=True, capture_output=True, text=True)
    assert done.stdout == "True\n"  # TensorFlow tried
    assert {line.rpartition(":")[2] for line in done.stderr.splitlines()} == {"another message"}
