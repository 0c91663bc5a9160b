"""From a run to checked files: the fixed names, what is refused, what a failure leaves."""

import hashlib
import json
import zipfile

import numpy as np
import pytest

from tests.shared_runs import copy_foreign_run
from tlkit.errors import DataError, GateError, ModelError, OptionError, RunError
from tlkit.export import formats
from tlkit.export.export import default_output, export_run
from tlkit.export.litert import LiteRTExporter
from tlkit.inference.predictor import Predictor
from tlkit.settings.export import ExportSettings


def report(export):
    return json.loads((export.path / "export.json").read_text())


def test_an_export_has_the_files_that_it_promises(exported, finetuned_run):
    names = {path.name for path in exported.path.iterdir()}
    assert {"model.tflite", "labels.txt", "model.json", "export.json"} <= names
    assert (exported.path / "labels.txt").read_text().splitlines() == list(finetuned_run.manifest.class_names)
    facts = json.loads((exported.path / "model.json").read_text())
    assert facts["class_names"] == list(finetuned_run.manifest.class_names)
    assert facts["input"] == {"name": "pixels", "type": "uint8", "shape": ["batch", 32, 32, 3]}
    assert facts["output"] == {"name": "probabilities", "type": "float32", "shape": ["batch", 3]}
    assert facts["unknown"] == finetuned_run.manifest.unknown


def test_export_json_says_what_was_written_and_checked(exported):
    content = report(exported)
    digest = hashlib.sha256((exported.path / "model.tflite").read_bytes()).hexdigest()
    assert content["sha256"] == {"model.tflite": digest}
    assert (content["format"], content["quantize"]) == ("litert", "none")
    golden, validation = (content["formats"]["litert"][name] for name in ("num_golden", "num_validation"))
    assert (content["images_checked"], golden) == (golden + validation, validation)  # all of these few images
    assert 0 <= content["largest_difference"] <= 1e-4
    assert content["seconds"] > 0
    assert content["formats"]["litert"]["agreement"] == 1


def test_the_file_answers_as_predict(exported, finetuned_run, colors):
    run = LiteRTExporter().open(exported.path)
    predictor = Predictor(finetuned_run)
    pixels = np.random.default_rng(1).integers(0, 256, (5, 32, 32, 3), np.uint8)
    expected = predictor.classify(predictor.network.extract(pixels))
    for count in (1, 5, 2):
        answers = run(pixels[:count])
        assert answers.dtype == np.float32
        assert np.abs(answers - expected[:count]).max() < 1e-6


def test_a_litert_file_holds_its_labels_and_facts(exported):
    with zipfile.ZipFile(exported.path / "model.tflite") as archive:
        assert archive.read("labels.txt") == (exported.path / "labels.txt").read_bytes()
        assert archive.read("model.json") == (exported.path / "model.json").read_bytes()


class DamagedExporter(LiteRTExporter):
    """A format whose file is damaged between writing and checking, as by a bad disk."""

    def write(self, source, folder):
        super().write(source, folder)
        file = folder / "model.tflite"
        content = bytearray(file.read_bytes())
        head = np.frombuffer(content, np.uint8)[len(content) // 3 : 2 * len(content) // 3]
        head[::7] ^= 0x41  # weights, which the container does not check
        file.write_bytes(content)


def test_a_file_with_damaged_weights_is_removed(finetuned_run, tmp_path, monkeypatch):
    from dataclasses import replace

    damaged = replace(formats.FORMATS["litert"], load=DamagedExporter)
    monkeypatch.setitem(formats.FORMATS, "litert", damaged)
    with pytest.raises(
        GateError, match=r"model\.tflite (does not answer as the run does|gives|cannot be run)"
    ) as error:
        export_run(finetuned_run, tmp_path / "out")
    assert error.value.exit_code == 5
    assert list(tmp_path.iterdir()) == []


def test_what_a_format_does_not_take_is_refused_by_name(finetuned_run, tmp_path):
    with pytest.raises(OptionError, match="--format saved_model takes --quantize none, not int8; formats that take"):
        export_run(finetuned_run, tmp_path / "out", format="saved_model", quantize="int8")
    with pytest.raises(OptionError, match="already exists"):
        export_run(finetuned_run, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_its_images_only_the_golden_samples_are_compared(finetuned_run, tmp_path):
    foreign = copy_foreign_run(finetuned_run, tmp_path)
    with pytest.raises(RunError, match="trust_model=True"):
        export_run(foreign, tmp_path / "out")
    with pytest.raises(DataError, match="--quantize int8 needs training images of the run, but the run was not made"):
        export_run(foreign, tmp_path / "out", quantize="int8", trust_model=True)
    assert not (tmp_path / "out").exists()


def test_data_that_does_not_exist_is_an_error(finetuned_run, tmp_path):
    with pytest.raises(DataError, match="--data '.*/nowhere' does not exist"):
        export_run(finetuned_run, tmp_path / "out", data=str(tmp_path / "nowhere"))


def test_the_default_output_is_the_next_free_name(finetuned_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(default_output(finetuned_run, ExportSettings())) == "run-litert"
    (tmp_path / "run-litert").mkdir()
    assert str(default_output(finetuned_run, ExportSettings())) == "run-litert-2"
    assert str(default_output(finetuned_run, ExportSettings(quantize="int8"))) == "run-litert-int8"


def test_a_classic_classifier_is_refused_by_formats_of_networks(classic_run, tmp_path):
    with pytest.raises(ModelError, match="contains a classic classifier, which --format litert cannot hold"):
        export_run(classic_run, tmp_path / "out")
