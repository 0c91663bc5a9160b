"""The folder of a model repository of the Hugging Face hub: model.keras, its card and its configuration."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.export.base import PROBABILITIES, ExportSource, RuntimeFunction
from tlkit.export.clients import pixels_code
from tlkit.models.keras_setup import start_keras
from tlkit.report.card import card_text
from tlkit.runs.run import Run

NAME, CARD, CONFIG = "model.keras", "README.md", "config.json"
USAGE = """```python
import json, sys
import keras
import numpy as np
from PIL import Image, ImageOps

model = keras.saving.load_model("model.keras")
names = json.load(open("model.json"))["class_names"]
path = "photo.jpg"
{pixels}
probabilities = model.predict(pixels.astype(np.float32))[0]
print(names[probabilities.argmax()], probabilities.max())
```

The input is float32 RGB from 0 to 255, {size} x {size}. The output is the probabilities, in the order of labels.txt. \
`model.json` has the class names and how an image becomes square."""


def hub_card(run: Run) -> str:
    """Make README.md: the model card of a run, for a folder with model.keras that is used without tlkit.

    Raises:
        RunError
    """
    image = run.manifest.image
    return card_text(run, USAGE.format(pixels=pixels_code(image).rstrip(), size=image.size))


class HubExporter:
    """Writes README.md, config.json and model.keras; nothing is uploaded."""

    def write(self, source: ExportSource, folder: Path) -> None:
        """Write the folder; its network takes float32 pixels and gives calibrated probabilities."""
        source.model.save(folder / NAME)
        facts = {name: json.loads(text) for name, text in source.metadata.items()}
        (folder / CONFIG).write_text(json.dumps(_config(facts), indent=2) + "\n", encoding="ascii")
        (folder / CARD).write_text(source.card, encoding="utf-8", errors="surrogateescape")

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
