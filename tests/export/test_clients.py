"""The scripts beside a file: each answers as predict does, without tlkit."""

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tlkit.data.image import RESIZES, ImageSpec, decode_square
from tlkit.export.clients import RUNTIMES, client_scripts, pixels_code
from tlkit.export.export import export_run
from tlkit.export.formats import FORMATS
from tlkit.inference.predictor import predict


def answers(script, images):
    """Run a script in a Python that does not find tlkit, and give its lines as (class, probability)."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", START, str(script), *map(str, images)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == list(map(str, images))
    return [(name.strip('"'), float(probability)) for _, name, probability in rows]


NODE_MODULES = Path(__file__).parents[2] / "build" / "web" / "node_modules"  # `make test-web` fills it
START = f"""
import runpy, sys, warnings
warnings.simplefilter("ignore")
sys.path.extend({[path for path in sys.path if "site-packages" in path]!r})
sys.modules["tlkit"] = None  # importing it is an error
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def assert_same(run, found, images, tolerance=1e-4):
    for (name, probability), prediction in zip(found, predict(run, images, unknown=False), strict=True):
        assert (name, probability) == (prediction.label, pytest.approx(prediction.confidence, abs=tolerance))


def test_every_format_has_a_script_of_25_lines_at_most():
    assert set(RUNTIMES) == {name for name, row in FORMATS.items() if row.in_all}
    for name in FORMATS:
        for resize, gray_range in itertools.product(RESIZES, (None, (0.0, 65535.0))):
            for file, text in client_scripts(name, ImageSpec(224, resize, gray_range)).items():
                assert text.count("\n") <= 25, file
                assert "tlkit" not in text
                if file.endswith(".py"):
                    compile(text, file, "exec")


def test_the_script_of_litert_answers_as_predict(exported, finetuned_run, colors):
    images = [colors / name / "0.png" for name in finetuned_run.manifest.class_names]
    assert_same(finetuned_run, answers(exported.path / "run_litert.py", images), images)


def gradient(width=90, height=70):
    """A colored image with smooth changes."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 2, columns * 2, 90 + rows + columns // 2], axis=-1).astype(np.uint8)


def clear_images(folder):
    """Transparent images: with soft edges, nearly white, with nothing visible, gray, with a palette."""
    rgb, edge = gradient(), np.linspace(0, 255, 70 * 90).reshape(70, 90, 1).astype(np.uint8)
    files = {
        "soft.png": Image.fromarray(np.dstack([rgb, edge])),
        "white.png": Image.fromarray(np.dstack([200 + rgb // 5, edge])),
        "nothing.png": Image.fromarray(np.dstack([200 + rgb // 5, 0 * edge])),
        "gray.png": Image.fromarray(np.dstack([rgb[..., :1], edge]), "LA"),
        "opaque.png": Image.fromarray(np.dstack([rgb, 0 * edge + 255])),
    }
    for name, image in files.items():
        image.save(folder / name)
    Image.fromarray(rgb).quantize(16).save(folder / "palette.png", transparency=bytes(range(0, 256, 16)))
    Image.fromarray(rgb).quantize(16).save(folder / "palette.gif", transparency=3)
    return sorted(folder.iterdir())


def deep_images(folder):
    """Images of 16 bits and of floating point numbers."""
    gray = gradient().astype(np.uint16)[..., 2] * 20
    Image.fromarray(gray).save(folder / "16.png")
    Image.fromarray(gray.astype(">u2")).save(folder / "16.tif")
    Image.fromarray(gray.astype(np.float32) - 0.5).save(folder / "float.tif")
    return sorted(folder.iterdir())


def make_pixels(path, spec):
    """Run the lines of a script that make the pixels of an image."""
    names = {"path": str(path), "np": np, "sys": sys, "Image": Image, "ImageOps": ImageOps}
    exec(pixels_code(spec), names)
    return names["pixels"][0]


@pytest.mark.parametrize("resize", RESIZES)
def test_the_pixels_of_a_script_are_those_of_predict(resize, tmp_path):
    Image.fromarray(gradient()).save(
        tmp_path / "photo.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0"
    )
    Image.fromarray(gradient()).convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(gradient(403, 300)).save(tmp_path / "large.png")  # reduced in two steps
    clear_images(tmp_path)
    spec = ImageSpec(32, resize, (100, 5000))
    for path in deep_images(tmp_path):
        expected = decode_square(path.read_bytes(), spec)
        assert np.ptp(expected) > 20 or path.name == "nothing.png"
        assert np.array_equal(make_pixels(path, spec), expected), path.name


def test_a_script_refuses_gray_values_without_a_range_or_that_are_no_numbers(tmp_path):
    for path in deep_images(tmp_path):
        with pytest.raises(SystemExit, match=f"{path.name} has gray values of more than 8 bits, and the model has no"):
            make_pixels(path, ImageSpec(32))
    Image.fromarray(np.full((40, 40), np.nan, np.float32)).save(tmp_path / "nan.tif")
    with pytest.raises(ValueError, match="must not contain infs or NaNs"):
        make_pixels(tmp_path / "nan.tif", ImageSpec(32, gray_range=(0, 1)))


def test_a_script_answers_as_predict_for_transparent_images(exported, finetuned_run, tmp_path):
    images = clear_images(tmp_path)
    assert_same(finetuned_run, answers(exported.path / "run_litert.py", images), images)


def test_a_script_that_refuses_an_image_ends_with_a_sentence(exported, tmp_path):
    (path, *_) = deep_images(tmp_path)
    command = [sys.executable, exported.path / "run_litert.py", path]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith(f"{path} has gray values of more than 8 bits")


def test_the_script_of_a_file_that_resizes_answers_nearly_as_predict(finetuned_run, colors, tmp_path):
    pytest.importorskip("onnxruntime")
    export = export_run(finetuned_run, tmp_path / "out", format="onnx", with_resize=True)
    facts = json.loads((tmp_path / "out" / "model.json").read_text())
    assert (facts["resize"], facts["resize_inside"]) == ("inside", "crop")
    assert facts["input"]["shape"] == [1, "height", "width", 3]
    assert export.formats["onnx"].verification.num_validation == 6
    images = [colors / name / "0.png" for name in finetuned_run.manifest.class_names]
    assert_same(finetuned_run, answers(tmp_path / "out" / "run_onnx.py", images), images, tolerance=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNTIMES)
def test_every_script_answers_as_predict_on_photos(name, blocks_run, photos, tmp_path):
    pytest.importorskip("openvino")
    pytest.importorskip("onnxruntime")
    export_run(blocks_run, tmp_path / "out", format=name)
    assert_same(blocks_run, answers(tmp_path / "out" / f"run_{name}.py", photos), photos)


@pytest.fixture
def photos(shared_data):
    """Photos of several sizes and shapes."""
    return sorted((shared_data / "images" / "hymenoptera").rglob("*.jpg"))[::40]


@pytest.mark.web
@pytest.mark.parametrize("with_resize", [False, True])
def test_the_script_for_node_names_the_same_classes(with_resize, finetuned_run, colors, tmp_path):
    pytest.importorskip("onnxruntime")
    export_run(finetuned_run, tmp_path / "out", format="onnx", with_resize=with_resize)
    (tmp_path / "out" / "node_modules").symlink_to(NODE_MODULES)
    images = [colors / name / "0.png" for name in finetuned_run.manifest.class_names]
    done = run_node(tmp_path / "out", images)
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    found = [(name.strip('"'), float(probability)) for _, name, probability in rows]
    assert_same(finetuned_run, found, images, tolerance=0.02 if with_resize else 0.1)
    (tmp_path / "images").mkdir()
    opaque = [file for file in clear_images(tmp_path / "images") if file.name == "opaque.png"]
    refused = [file for file in deep_images(tmp_path / "images") if file not in opaque]
    assert run_node(tmp_path / "out", opaque).returncode == 0
    for file in refused:
        done = run_node(tmp_path / "out", [file])
        assert (done.returncode, done.stdout) == (1, ""), file.name
        assert done.stderr == f"{file} is transparent or has more than 8 bits; save it as a JPEG file.\n"


def run_node(folder, images):
    command = [shutil.which("node"), "run_onnx.mjs", *map(str, images)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
