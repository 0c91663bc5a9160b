"""The folder of a model repository of the hub."""

import json

import numpy as np

from tests.export.test_saved_model import tiny_model
from tlkit.export.base import ExportSource
from tlkit.export.hub import HubExporter, hub_card
from tlkit.export.metadata import associated_files, metadata_texts, model_facts

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
    code = body.rpartition("```python\n")[2].partition("```")[0]
    assert "size = (32, 32)\n" in code
    compile(code, "README.md", "exec")
