"""The folder of a model repository of the hub."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.export.test_saved_model import tiny_model
from tlkit.export.base import ExportSource
from tlkit.export.hub import HubExporter, hub_card
from tlkit.export.metadata import associated_files, metadata_texts, model_facts
from tlkit.export.model import export_model
from tlkit.inference.predictor import predict

ODD = ["<b>ant</b>", 'a "b" | c', "🐜\nbee"]


def test_the_folder_has_a_card_a_configuration_and_a_network(finetuned_run, tmp_path):
    facts = model_facts(finetuned_run, "none") | {"class_names": ODD}
    source = ExportSource(tiny_model(), metadata_texts(facts), associated_files(facts), card=hub_card(finetuned_run))
    exporter = HubExporter()
    exporter.write(source, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["id2label"] == {str(index): name for index, name in enumerate(ODD)}
    assert config["label2id"][ODD[2]] == 2
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    expected = np.asarray(source.model(pixels.astype(np.float32)))
    assert np.abs(exporter.open(tmp_path)(pixels) - expected).max() < 1e-6


def test_the_readme_is_the_model_card_with_its_front_matter_and_a_way_without_tlkit(finetuned_run):
    text = hub_card(finetuned_run)
    _, front, body = text.split("---\n", 2)
    assert "pipeline_tag: image-classification\n" in front
    accuracy = finetuned_run.read_json("metrics.json")["accuracy"]
    assert f"{100 * accuracy:.1f} %" in body
    assert "library_name: keras\n" in front
    for untrue in ("tlkit predict", "import tlkit", "calibrated probabilities", "unknown", ".csv"):
        assert untrue not in body
    assert "It always answers with one of its classes" in body


@pytest.mark.slow
def test_the_code_of_the_readme_classifies_a_photo(finetuned_run, colors, tmp_path):
    facts = model_facts(finetuned_run, "none")
    facts_texts = metadata_texts(facts)
    HubExporter().write(
        ExportSource(export_model(finetuned_run), facts_texts, {}, card=hub_card(finetuned_run)), tmp_path
    )
    (tmp_path / "model.json").write_bytes(associated_files(facts)["model.json"])
    Image.open(colors / "red" / "0.png").save(tmp_path / "photo.jpg", quality=100)
    code = (tmp_path / "README.md").read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    label, probability = done.stdout.split()[-2:]
    (prediction,) = predict(finetuned_run, [tmp_path / "photo.jpg"], unknown=False)
    assert (label, float(probability)) == (prediction.label, pytest.approx(prediction.confidence, abs=1e-4))
