"""The folder of a model repository of the Hugging Face hub: model.keras, its card and its configuration."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.data.image import PADDING
from tlkit.export.base import PROBABILITIES, ExportSource, RuntimeFunction
from tlkit.models.keras_setup import start_keras
from tlkit.report.card import card_text
from tlkit.runs.run import Run

NAME, CARD, CONFIG = "model.keras", "README.md", "config.json"
SQUARES = {  # what makes an image square, by --resize
    "crop": "ImageOps.fit(image, size, Image.Resampling.BILINEAR)",
    "pad": f"ImageOps.pad(image, size, Image.Resampling.BILINEAR, {PADDING})",
    "squash": "image.resize(size, Image.Resampling.BILINEAR)",
}
WITHOUT_TLKIT = """
## Without tlkit

```python
import json, keras, numpy as np
from PIL import Image, ImageOps

model = keras.saving.load_model("model.keras")
names = json.load(open("model.json"))["class_names"]
size = ({size}, {size})
image = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
pixels = np.asarray({square}, np.float32)
probabilities = model.predict(pixels[np.newaxis])[0]
print(names[probabilities.argmax()], probabilities.max())
```

The input is RGB from 0 to 255, the output the calibrated probabilities in the order of labels.txt.
"""


def hub_card(run: Run) -> str:
    """Make README.md: the model card of a run, and how to use model.keras without tlkit.

    Raises:
        RunError
    """
    image = run.manifest.image
    return card_text(run) + WITHOUT_TLKIT.format(size=image.size, square=SQUARES[image.resize])


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
