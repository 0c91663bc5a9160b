"""Explanations of the answers of a run."""

import io
import sys
from subprocess import run as start

import numpy as np
import pytest
from PIL import Image

from tests.making import noise
from tests.shared_runs import copy_foreign_run
from tlkit.errors import OptionError, RunError
from tlkit.explain.explainer import open_explainer
from tlkit.inference.predictor import predict


def test_explain_gives_the_answers_of_predict(finetuned_run, blocks_run, scratch_run, classic_run, colors):
    files = sorted(map(str, colors.rglob("*.png")))[::5]
    methods = {finetuned_run.path: "gradcam", blocks_run.path: "gradcam", scratch_run.path: "gradcam"}
    for run in (finetuned_run, blocks_run, scratch_run, classic_run):
        explanations = list(open_explainer(run).explain(files))
        for explanation, prediction in zip(explanations, predict(run, files), strict=True):
            assert (explanation.path, explanation.status) == (prediction.path, prediction.status)
            assert (explanation.label, explanation.confidence) == (prediction.label, prediction.confidence)
            assert explanation.explained == explanation.label
            assert explanation.method == methods.get(run.path, "occlusion")
            assert explanation.heat.shape == (run.manifest.image.size,) * 2
            assert explanation.heat.min() >= 0 and explanation.heat.max() in (0, 1)
            assert explanation.overlay(64).size[0] <= 64 and len(explanation.neighbors) == 5


def test_explain_another_class_gives_its_probability(finetuned_run):
    explainer = open_explainer(finetuned_run)
    image = noise(32, 32, seed=1)
    by_class = {name: next(explainer.explain(image, name)) for name in explainer.predictor.manifest.class_names}
    assert sum(explanation.probability for explanation in by_class.values()) == pytest.approx(1, abs=1e-5)
    assert len({explanation.label for explanation in by_class.values()}) == 1
    with pytest.raises(OptionError, match="expected one of 'blue', 'green' and 'red'"):
        next(explainer.explain(image, "yellow"))


def test_explanations_of_large_images_keep_small_ones(finetuned_run, tmp_path):
    Image.fromarray(noise(1100, 2200, seed=0)).save(tmp_path / "large.png")
    (explanation,) = open_explainer(finetuned_run).explain(tmp_path / "large.png")
    assert explanation.size == (2200, 1100) and explanation.image.size == (1600, 800)
    array = np.asarray(Image.open(tmp_path / "large.png"))
    (given,) = open_explainer(finetuned_run).explain(array)
    assert (given.size, given.peak) == (explanation.size, explanation.peak)


def test_explain_finds_the_size_of_the_upright_original(finetuned_run, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(noise(300, 900, seed=0)).save(tmp_path / "turned.jpg", exif=exif)
    (explanation,) = open_explainer(finetuned_run).explain(tmp_path / "turned.jpg")
    assert explanation.size == (300, 900)
    if explanation.peak:
        x, y = explanation.peak
        assert 0 <= x < 300 and 300 <= y < 600  # in the central square


def test_explain_takes_what_predict_takes(finetuned_run, tmp_path):
    image = Image.fromarray(noise(32, 32, seed=3))
    image.save(tmp_path / "image.png")
    data = (tmp_path / "image.png").read_bytes()
    given = [tmp_path / "image.png", data, np.asarray(image), image, io.BytesIO(data)]
    heats = [explanation.heat for explanation in open_explainer(finetuned_run).explain(given)]
    assert len(heats) == 5
    for heat in heats[1:]:
        np.testing.assert_array_equal(heat, heats[0])


def test_explain_of_a_broken_file_is_an_error_row(finetuned_run, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 broken")
    (explanation,) = open_explainer(finetuned_run).explain(tmp_path / "broken.jpg")
    assert explanation.status == "error" and "broken JPEG" in explanation.error
    with pytest.raises(ValueError, match="no heat map"):
        explanation.overlay()


def test_open_explainer_refuses_what_cannot_be_done(classic_run, scratch_run, tmp_path):
    with pytest.raises(OptionError, match="expected one of auto, gradcam"):
        open_explainer(classic_run, "magic")
    with pytest.raises(OptionError, match="use --method occlusion"):
        open_explainer(classic_run, "gradcam")
    foreign = copy_foreign_run(scratch_run, tmp_path)
    with pytest.raises(RunError, match="--trust-model"):
        open_explainer(foreign)  # its map goes through Keras


def test_explain_a_frozen_network_loads_no_tensorflow(finetuned_run, tmp_path):
    Image.fromarray(noise(32, 32, seed=0)).save(tmp_path / "image.png")
    code = (
        "import sys; from tlkit.explain.explainer import open_explainer\n"
        f"e = next(open_explainer({str(finetuned_run.path)!r}).explain({str(tmp_path / 'image.png')!r}))\n"
        "e.overlay(); print(sorted({'tensorflow', 'keras', 'matplotlib', 'h5py'} & set(sys.modules)))"
    )
    done = start([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
