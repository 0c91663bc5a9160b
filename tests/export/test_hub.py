"""The folder of a model repository of the hub."""

import json

import numpy as np

from tests.export.test_saved_model import tiny_model
from tlkit.export.base import ExportSource
from tlkit.export.hub import HubExporter
from tlkit.export.metadata import associated_files, metadata_texts, model_card, model_facts

ODD = ["<b>ant</b>", 'a "b" | c', "🐜\nbee"]


def test_the_folder_has_a_card_a_configuration_and_a_network(finetuned_run, tmp_path):
    facts = model_facts(finetuned_run, "none") | {"class_names": ODD}
    source = ExportSource(tiny_model(), metadata_texts(facts), associated_files(facts), card=model_card(finetuned_run))
    exporter = HubExporter()
    exporter.write(source, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["id2label"] == {str(index): name for index, name in enumerate(ODD)}
    assert config["label2id"][ODD[2]] == 2
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    expected = np.asarray(source.model(pixels.astype(np.float32)))
    assert np.abs(exporter.open(tmp_path)(pixels) - expected).max() < 1e-6


def test_the_card_begins_with_front_matter_and_has_the_accuracy(finetuned_run, tmp_path):
    source = ExportSource(
        tiny_model(), metadata_texts(model_facts(finetuned_run, "none")), {}, card=model_card(finetuned_run)
    )
    HubExporter().write(source, tmp_path)
    text = (tmp_path / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    assert "library_name: keras\npipeline_tag: image-classification\n" in front
    accuracy = finetuned_run.read_json("metrics.json")["accuracy"]
    assert f"{100 * accuracy:.1f} %" in body
    for name in finetuned_run.manifest.class_names:
        assert name in body


def test_names_cannot_write_markdown(finetuned_run, tmp_path):
    from tests.shared_runs import copy_run

    copied = copy_run(finetuned_run, tmp_path)
    content = copied.read_json("model.json")
    copied.write_json("model.json", content | {"class_names": ["<script>", "[x](y)", "# two\nlines"]})
    card = model_card(copied)
    assert r"\<script\>" in card
    assert r"\[x\]\(y\)" in card
    assert "\nlines" not in card
