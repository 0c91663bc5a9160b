"""Facts that travel with an exported file: class names, the square, the calibration, the rule for "unknown"."""

import json
import re
from typing import Any

from tlkit.data.image import PADDING
from tlkit.export.base import PIXELS, PROBABILITIES
from tlkit.runs.run import Run
from tlkit.utils.reading import read_regular
from tlkit.utils.text import escape_control_chars

LABELS, FACTS = "labels.txt", "model.json"
CARD = "MODEL_CARD.md"  # of a run
MAX_CARD_BYTES = 1_000_000
CARD_SQUARES = {  # what makes an image square, by --resize
    "crop": "ImageOps.fit(image, size, Image.Resampling.BILINEAR)",
    "pad": f"ImageOps.pad(image, size, Image.Resampling.BILINEAR, {PADDING})",
    "squash": "image.resize(size, Image.Resampling.BILINEAR)",
}
MAX_NAMED = 100  # classes in a card


def model_facts(run: Run, quantize: str) -> dict[str, Any]:
    """Give the content of an export's model.json, whose fields have the names of the run's own."""
    manifest = run.manifest
    return {
        "class_names": list(manifest.class_names),
        **manifest.image.as_json(),
        "padding": list(PADDING),
        "input": {"name": PIXELS, "type": "uint8", "shape": ["batch", manifest.image.size, manifest.image.size, 3]},
        "output": {"name": PROBABILITIES, "type": "float32", "shape": ["batch", len(manifest.class_names)]},
        "channels": "RGB, 0 to 255",
        "quantize": quantize,
        "calibration": {"temperature": manifest.temperature, "is_inside": True},
        "unknown": manifest.unknown,
    }


def associated_files(facts: dict[str, Any]) -> dict[str, bytes]:
    """Write labels.txt, one name a line with control characters escaped, and model.json, in ASCII."""
    lines = "".join(f"{escape_control_chars(name)}\n" for name in facts["class_names"])
    return {
        LABELS: lines.encode("utf-8", "surrogateescape"),
        FACTS: (json.dumps(facts, indent=2) + "\n").encode(),
    }


def metadata_texts(facts: dict[str, Any]) -> dict[str, str]:
    """Give each fact as JSON in ASCII, for formats that hold texts by name.

    >>> metadata_texts({"class_names": ["a", "☃"]})
    {'class_names': '["a", "\\\\u2603"]'}
    """
    return {name: json.dumps(value) for name, value in facts.items()}


def model_card(run: Run) -> str:
    """Give the model card of a run, in Markdown: its own, else what its numbers say.

    Raises:
        RunError
    """
    if CARD in run.manifest.sha256:
        return read_regular(run.checked_file(CARD), MAX_CARD_BYTES).decode()
    metrics, names = run.read_json("metrics.json"), run.manifest.class_names
    figures = metrics.get(metrics["headline"]) or metrics
    low, high = figures["accuracy_ci95"]
    listed = ", ".join(map(_markdown, names[:MAX_NAMED])) + ", ..." * (len(names) > MAX_NAMED)
    return (
        f"# {_markdown(run.path.resolve().name)}\n\n"
        f"An image classifier of {len(names):,} classes, trained by tlkit: {listed}.\n\n"
        f"Accuracy on {metrics['headline']} images: {100 * figures['accuracy']:.1f} % "
        f"(95 % interval {100 * low:.1f} to {100 * high:.1f} %).\n\n"
        "## Use\n\n```python\nimport json, keras, numpy as np\nfrom PIL import Image, ImageOps\n\n"
        'model = keras.saving.load_model("model.keras")\nnames = json.load(open("model.json"))["class_names"]\n'
        f"size = ({run.manifest.image.size}, {run.manifest.image.size})\n"
        'image = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")\n'
        f"pixels = np.asarray({CARD_SQUARES[run.manifest.image.resize]}, np.float32)\n"
        "probabilities = model.predict(pixels[np.newaxis])[0]\n"
        "print(names[probabilities.argmax()], probabilities.max())\n```\n\n"
        "The input is RGB from 0 to 255; the output are calibrated probabilities in the order of labels.txt.\n"
    )


def _markdown(text: str) -> str:
    """Write a text so that Markdown shows it as it is, on one line."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~&-])", r"\\\1", escape_control_chars(text))
