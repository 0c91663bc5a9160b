"""The scripts beside a file: each answers as predict does, without tlkit."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tlkit.data.image import RESIZES
from tlkit.export.clients import RUNTIMES, client_scripts
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
        for resize in RESIZES:
            for file, text in client_scripts(name, resize).items():
                assert text.count("\n") <= 25, file
                assert "tlkit" not in text
                if file.endswith(".py"):
                    compile(text, file, "exec")


def test_the_script_of_litert_answers_as_predict(exported, finetuned_run, colors):
    images = [colors / name / "0.png" for name in finetuned_run.manifest.class_names]
    assert_same(finetuned_run, answers(exported.path / "run_litert.py", images), images)


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
def test_the_script_for_node_names_the_same_classes(finetuned_run, colors, tmp_path):
    pytest.importorskip("onnxruntime")
    export_run(finetuned_run, tmp_path / "out", format="onnx")
    (tmp_path / "out" / "node_modules").symlink_to(NODE_MODULES)
    images = [colors / name / "0.png" for name in finetuned_run.manifest.class_names]
    done = subprocess.run(
        [shutil.which("node"), "run_onnx.mjs", *map(str, images)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path / "out",
    )
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    found = [(name.strip('"'), float(probability)) for _, name, probability in rows]
    assert_same(finetuned_run, found, images, tolerance=0.1)
