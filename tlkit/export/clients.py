"""Scripts beside an exported file that run it without tlkit: NumPy, Pillow and the runtime are enough."""

from tlkit.data.image import MARGIN, PADDING

PYTHON = '''"""Classify images with {file}: pip install {packages} numpy pillow; python {script} IMAGE..."""

import json
import math
import sys
from pathlib import Path

import numpy as np
{imports}
from PIL import Image, ImageOps

FOLDER = Path(__file__).parent
FACTS = json.loads((FOLDER / "model.json").read_text())
SIZE, NAMES = FACTS["image_size"], FACTS["class_names"]
{opening}

for path in sys.argv[1:]:
    image = Image.open(path)
    image.draft(None, [math.ceil(side * round({margin} * SIZE) / min(image.size)) for side in image.size])
    image = ImageOps.exif_transpose(image).convert("RGB")
    pixels = np.asarray({square})[np.newaxis]
    probabilities = {running}[0]
    best = int(probabilities.argmax())
    print(path, json.dumps(NAMES[best]), f"{{probabilities[best]:.4f}}", sep="\\t")
'''
NODE = """// Classify images with model.onnx: npm install onnxruntime-web sharp; node run_onnx.mjs IMAGE...
import {{ readFileSync }} from "node:fs";
import * as ort from "onnxruntime-web";
import sharp from "sharp";

const read = (name) => readFileSync(new URL(name, import.meta.url));
const {{ image_size: size, class_names: names }} = JSON.parse(read("model.json"));
const session = await ort.InferenceSession.create(new Uint8Array(read("model.onnx")));

for (const path of process.argv.slice(2)) {{
  const image = sharp(path).rotate().removeAlpha().toColourspace("srgb");
  const square = image.resize(size, size, {{ fit: "{fit}", kernel: "linear", background: "{background}" }});
  const pixels = new ort.Tensor("uint8", await square.raw().toBuffer(), [1, size, size, 3]);
  const {{ probabilities }} = await session.run({{ pixels }});
  const best = probabilities.data.indexOf(Math.max(...probabilities.data));
  console.log([path, JSON.stringify(names[best]), probabilities.data[best].toFixed(4)].join("\\t"));
}}
"""
SQUARES = {  # what makes an image square, by --resize: in Pillow, and the name that sharp has for it
    "crop": ("ImageOps.fit(image, (SIZE, SIZE), Image.Resampling.BILINEAR)", "cover"),
    "pad": (f"ImageOps.pad(image, (SIZE, SIZE), Image.Resampling.BILINEAR, {PADDING})", "contain"),
    "squash": ("image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)", "fill"),
}
RUNTIMES = {  # by format: its file, packages, imports, what opens the file, what runs it
    "litert": (
        *("model.tflite", "ai-edge-litert", "from ai_edge_litert.interpreter import Interpreter"),
        'run = Interpreter(str(FOLDER / "model.tflite")).get_signature_runner()',
        'run(pixels=pixels)["probabilities"]',
    ),
    "saved_model": (
        *("saved_model/", "tensorflow", "import tensorflow as tf"),
        'loaded = tf.saved_model.load(FOLDER / "saved_model")',
        'loaded.signatures["serving_default"](pixels=tf.constant(pixels))["probabilities"].numpy()',
    ),
    "onnx": (
        *("model.onnx", "onnxruntime", "import onnxruntime"),
        'session = onnxruntime.InferenceSession(FOLDER / "model.onnx")',
        'session.run(["probabilities"], {"pixels": pixels})[0]',
    ),
    "openvino": (
        *("model.xml", "openvino", "import openvino"),
        'compiled = openvino.Core().compile_model(FOLDER / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})',
        'compiled({"pixels": pixels})["probabilities"]',
    ),
}


def client_scripts(name: str, resize: str) -> dict[str, str]:
    """Write the scripts of a format, by file name: in Python, and for ONNX in JavaScript for Node; none for the hub.

    Args:
        name: of the format
        resize: "crop", "pad" or "squash", a value of --resize
    """
    if name not in RUNTIMES:
        return {}
    file, packages, imports, opening, running = RUNTIMES[name]
    square, fit = SQUARES[resize]
    script = f"run_{name}.py"
    words = {"file": file, "packages": packages, "script": script, "imports": imports, "opening": opening}
    scripts = {script: PYTHON.format(**words, running=running, square=square, margin=MARGIN)}
    if name == "onnx":
        scripts["run_onnx.mjs"] = NODE.format(fit=fit, background=f"rgb{PADDING}".replace(" ", ""))
    return scripts
