"""What travels with a file, whatever the classes are called."""

import json

import pytest

from tlkit.export.metadata import associated_files, metadata_texts, model_facts

ODD = ["plain", "🐜 ant", 'a "quoted" & <tag>', "two\nlines", "bad \udc80 byte"]


@pytest.fixture
def odd_facts(finetuned_run):
    return model_facts(finetuned_run, "none") | {"class_names": ODD}


def test_odd_names_are_whole_in_model_json_and_one_line_each_in_labels(odd_facts):
    files = associated_files(odd_facts)
    assert json.loads(files["model.json"])["class_names"] == ODD
    assert files["model.json"].isascii()
    lines = files["labels.txt"].decode("utf-8", "surrogateescape").splitlines()
    assert len(lines) == len(ODD)
    assert lines[:3] == ODD[:3]


def test_metadata_texts_are_ascii_json(odd_facts):
    texts = metadata_texts(odd_facts)
    assert json.loads(texts["class_names"]) == ODD
    assert all(text.isascii() and "\n" not in text for text in texts.values())


def test_the_temperature_is_said_to_be_inside(finetuned_run):
    facts = model_facts(finetuned_run, "int8")
    assert facts["calibration"] == {"temperature": finetuned_run.manifest.temperature, "is_inside": True}
    assert (facts["quantize"], facts["image_size"], facts["resize"]) == ("int8", 32, "crop")
