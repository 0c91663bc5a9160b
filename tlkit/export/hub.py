"""The folder of a model repository of the Hugging Face hub: model.keras, its card and its configuration."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.export.base import PROBABILITIES, ExportSource, RuntimeFunction
from tlkit.models.keras_setup import start_keras

NAME, CARD, CONFIG = "model.keras", "README.md", "config.json"
FRONT = """---
library_name: keras
pipeline_tag: image-classification
tags:
- image-classification
- keras
- tlkit
---

"""


class HubExporter:
    """Writes README.md, config.json and model.keras; nothing is uploaded."""

    def write(self, source: ExportSource, folder: Path) -> None:
        """Write the folder; its network takes float32 pixels and gives calibrated probabilities."""
        source.model.save(folder / NAME)
        facts = {name: json.loads(text) for name, text in source.metadata.items()}
        (folder / CONFIG).write_text(json.dumps(_config(facts), indent=2) + "\n", encoding="ascii")
        (folder / CARD).write_text(FRONT + source.card, encoding="utf-8", errors="surrogateescape")

    def open(self, folder: Path) -> RuntimeFunction:
        """Load the network with Keras, as its users do."""
        network = start_keras().models.load_model(folder / NAME, compile=False)
        return lambda pixels: np.asarray(network.predict_on_batch(pixels.astype(np.float32)))


def _config(facts: dict[str, Any]) -> dict[str, Any]:
    """Give the content of config.json, with the names that the hub's own libraries use."""
    names = facts["class_names"]
    return {
        "architectures": ["keras.Model"],
        "problem_type": "single_label_classification",
        "num_labels": len(names),
        "id2label": dict(enumerate(names)),
        "label2id": {name: index for index, name in enumerate(names)},
        "image_size": facts["image_size"],
        "num_channels": 3,
        "output": PROBABILITIES,
        "tlkit": {key: value for key, value in facts.items() if key not in ("class_names", "input", "output")},
    }
