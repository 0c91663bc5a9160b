"""Scripts beside an exported file that run it without tlkit: NumPy, Pillow and the runtime are enough."""

import textwrap

from tlkit.data.decode import MAX_ON_WHITE
from tlkit.data.image import PADDING, ImageSpec

PYTHON = """\"\"\"Classify images with {file}: pip install {packages} numpy pillow; python {script} IMAGE...\"\"\"
import json
import sys
from pathlib import Path
import numpy as np
{imports}
from PIL import Image, ImageOps

FOLDER = Path(__file__).parent
NAMES = json.loads((FOLDER / "model.json").read_text())["class_names"]
{opening}
for path in sys.argv[1:]:
{pixels}
    probabilities = {running}[0]
    print(path, json.dumps(NAMES[probabilities.argmax()]), f"{{probabilities.max():.4f}}", sep="\\t")
"""
PIXELS = """image = Image.open(path)
image.draft(None, [-(-side * {oversized} // min(image.size)) for side in image.size])
image = ImageOps.exif_transpose(image)
if image.mode[0] in "IF":  # gray values of more than 8 bits
    {deep}
if image.has_transparency_data:  # on white, but what is nearly white on black
    image = image.convert("RGBA")
    brightness = np.subtract(image.convert("RGB").convert("L"), {max_on_white}.0) * image.getchannel("A")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "black" if brightness.sum() > 0 else "white"), image)
{before}pixels = np.asarray({square})[np.newaxis]
"""
REFUSED = "has gray values of more than 8 bits, and the model has no range for them"
SCALED = (
    "image = Image.fromarray(np.rint(((np.asarray_chkfinite(image, float) - {low}) * {factor})"
    ".clip(0, 255)).astype(np.uint8))"
)
NODE = """// Classify images with model.onnx: npm install onnxruntime-web sharp; node run_onnx.mjs IMAGE...
import {{ readFileSync }} from "node:fs";
import * as ort from "onnxruntime-web";
import sharp from "sharp";

const read = (name) => readFileSync(new URL(name, import.meta.url));
const {{ image_size: size, class_names: names }} = JSON.parse(read("model.json"));
const session = await ort.InferenceSession.create(new Uint8Array(read("model.onnx")));

for (const path of process.argv.slice(2)) {{
  const [{{ depth }}, {{ isOpaque }}] = await Promise.all([sharp(path).metadata(), sharp(path).stats()]);
  if (depth !== "uchar" || !isOpaque) {{
    console.error(`${{path}} is transparent or has more than 8 bits; save it as a JPEG file.`);
    process.exit(1);
  }}
  const image = sharp(path).rotate().removeAlpha().toColourspace("srgb");
  const square = {square};
  const {{ data, info }} = await square.raw().toBuffer({{ resolveWithObject: true }});
  const pixels = new ort.Tensor("uint8", data, [1, info.height, info.width, 3]);
  const {{ probabilities }} = await session.run({{ pixels }});
  const best = probabilities.data.indexOf(Math.max(...probabilities.data));
  console.log([path, JSON.stringify(names[best]), probabilities.data[best].toFixed(4)].join("\\t"));
}}
"""
BILINEAR = "Image.Resampling.BILINEAR"
SQUARES = {  # by --resize: a line before `pixels`, the square of `image`, and the name that sharp has
    "crop": (
        "box = [(side + sign * min(image.size)) / 2 for sign in (-1, 1) for side in image.size]\n",
        f'image.convert("RGB").resize(({{size}}, {{size}}), {BILINEAR}, box, reducing_gap=2)',
        "cover",
    ),
    "pad": (  # 0.4999 rounds half a pixel down
        'image = image.convert("RGB").resize([round(side * {size} / max(image.size)) for side in image.size], '
        f"{BILINEAR}, reducing_gap=2)\n",
        f"ImageOps.pad(image, ({{size}}, {{size}}), color={PADDING}, centering=(0.4999, 0.4999))",
        "contain",
    ),
    "squash": ("", f'image.convert("RGB").resize(({{size}}, {{size}}), {BILINEAR}, reducing_gap=2)', "fill"),
}
WHOLE = 'image.convert("RGB")'
NODE_SQUARE = 'image.resize(size, size, {{ fit: "{fit}", kernel: "linear", background: "{background}" }})'
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


def pixels_code(spec: ImageSpec, with_resize: bool = False) -> str:
    """Write the lines of Python that make `pixels` of the image at `path`, uint8 (1, size, size, 3), as `predict` does.

    They end with an error for an image that they cannot treat as `predict` does.

    Args:
        with_resize: whether the file makes the image square, so that the lines do not
    """
    deep = f'sys.exit(f"{{path}} {REFUSED}.")'
    if spec.gray_range is not None:
        low, high = spec.gray_range
        deep = SCALED.format(low=low, factor=255 / (high - low))
    before, square, _ = (
        ("", WHOLE, "") if with_resize else (text.format(size=spec.size) for text in SQUARES[spec.resize])
    )
    words = {"deep": deep, "max_on_white": MAX_ON_WHITE, "before": before, "square": square}
    return PIXELS.format(oversized=spec.oversized.size, **words)


def client_scripts(name: str, spec: ImageSpec, with_resize: bool = False) -> dict[str, str]:
    """Write the scripts of a format, by file name: in Python, and for ONNX in JavaScript for Node; none for the hub.

    Args:
        name: of the format
        spec: how an image becomes the square that the network sees
        with_resize: whether the file makes it square
    """
    if name not in RUNTIMES:
        return {}
    file, packages, imports, opening, running = RUNTIMES[name]
    script = f"run_{name}.py"
    words = {"file": file, "packages": packages, "script": script, "imports": imports, "opening": opening}
    pixels = textwrap.indent(pixels_code(spec, with_resize), "    ").rstrip()
    scripts = {script: PYTHON.format(**words, running=running, pixels=pixels)}
    if name == "onnx":
        background = f"rgb{PADDING}".replace(" ", "")
        square = "image" if with_resize else NODE_SQUARE.format(fit=SQUARES[spec.resize][2], background=background)
        scripts["run_onnx.mjs"] = NODE.format(square=square)
    return scripts
