"""Facts that travel with an exported file: class names, the square, the calibration, the rule for "unknown"."""

import json
from typing import Any

from tlkit.data.image import PADDING
from tlkit.export.base import PIXELS, PROBABILITIES
from tlkit.runs.run import Run
from tlkit.utils.text import escape_control_chars

LABELS, FACTS = "labels.txt", "model.json"


def model_facts(run: Run, quantize: str, with_resize: bool = False) -> dict[str, Any]:
    """Give the content of an export's model.json, whose fields have the names of the run's own.

    Args:
        with_resize: whether the file makes images square; `resize` is then "inside", and `resize_inside` says how
    """
    manifest = run.manifest
    size = manifest.image.size
    inside = {"resize": "inside", "resize_inside": manifest.image.resize} if with_resize else {}
    shape = [1, "height", "width", 3] if with_resize else ["batch", size, size, 3]
    return {
        "class_names": list(manifest.class_names),
        **manifest.image.as_json(),
        **inside,
        "padding": list(PADDING),
        "input": {"name": PIXELS, "type": "uint8", "shape": shape},
        "output": {"name": PROBABILITIES, "type": "float32", "shape": [shape[0], len(manifest.class_names)]},
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
