"""From a run to checked files: the fixed names, what is refused, what a failure leaves."""

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from tests.shared_runs import copy_foreign_run, copy_run
from tlkit.errors import DataError, GateError, ModelError, OptionError, RunError
from tlkit.export import formats
from tlkit.export.export import default_output, export_run
from tlkit.export.litert import LiteRTExporter
from tlkit.inference.predictor import Predictor
from tlkit.runs.ledger import record_run
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
        assert np.abs(answers - expected[:count]).max() < 5e-6  # written in two ways: decision 052


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


def test_data_without_an_image_of_the_run_is_an_error(finetuned_run, tmp_path):
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match=r"0 of 6 validation images were found unchanged in '.*/other'; expected at le"):
        export_run(finetuned_run, tmp_path / "out", data=str(tmp_path / "other"))
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def part_of(run, colors, folder, count):
    """Copy some of the validation images of a run, and all of its training images."""
    shutil.copytree(colors, folder)
    rows = [row["path"] for row in run.read_rows("split.csv") if row["split"] == "validation"]
    for path in rows[count:]:
        (folder / path).unlink()
    return str(folder)


def test_a_part_of_the_images_is_noted_and_too_few_for_a_quantized_file(scratch_run, colors, tmp_path):
    part = part_of(scratch_run, colors, tmp_path / "part", 2)
    export = export_run(scratch_run, tmp_path / "out", data=part)
    assert export.formats["litert"].verification.num_validation == 2
    assert report(export)["notes"] == ["2 of 6 validation images were found unchanged."]
    assert report(export)["formats"]["litert"]["is_accuracy_tested"] is False
    with pytest.raises(DataError, match="2 of 6 validation images were found .*; expected at least 6: name the folder"):
        export_run(scratch_run, tmp_path / "half", data=part, quantize="float16")


def test_a_run_with_few_validation_images_says_so(exported):
    assert report(exported)["notes"] == ["the run has 6 validation images; all of them are compared."]


@pytest.mark.slow
def test_accuracy_on_few_validation_images_is_hardly_tested(finetuned_run, tmp_path):
    export = export_run(finetuned_run, tmp_path / "out", quantize="float16")
    hardly = "the accuracy of float16 was hardly tested: on 6 images, of 64 needed."
    assert report(export)["notes"] == ["the run has 6 validation images; all of them are compared.", hardly]


def test_the_default_output_is_the_next_free_name(finetuned_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(default_output(finetuned_run, ExportSettings())) == "run-litert"
    (tmp_path / "run-litert").mkdir()
    assert str(default_output(finetuned_run, ExportSettings())) == "run-litert-2"
    assert str(default_output(finetuned_run, ExportSettings(quantize="int8"))) == "run-litert-int8"


def test_a_classic_classifier_is_refused_by_formats_of_networks(classic_run, tmp_path):
    with pytest.raises(ModelError, match="contains a classic classifier, which --format litert cannot hold"):
        export_run(classic_run, tmp_path / "out")


def test_all_formats_of_a_classic_classifier_are_those_that_can_hold_it(classic_run, tmp_path):
    pytest.importorskip("onnx")
    export = export_run(classic_run, tmp_path / "out", format="all")
    assert list(export.formats) == ["onnx"]
    assert "formats that do not take a classic classifier are left out: LiteRT, SavedModel, OpenVINO." in export.notes


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits and signals")
@pytest.mark.parametrize("name", ["litert", "saved_model", "onnx", "hub"])
def test_a_full_disk_is_a_sentence_and_leaves_nothing(name, finetuned_run, tmp_path):
    words = [sys.executable, "-m", "tlkit", "export", finetuned_run.path, "--format", name, "-o", tmp_path / "out"]
    command = shlex.join(map(str, words))
    done = subprocess.run(["bash", "-c", f"ulimit -f 200; {command}"], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"Error: '{tmp_path / 'out'}' cannot be written (File too large)")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 130)])
def test_an_export_that_is_killed_leaves_nothing_of_its_name(number, code, finetuned_run, tmp_path):
    command = [sys.executable, "-m", "tlkit", "export", finetuned_run.path, "-o", tmp_path / "out"]
    running = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:  # the hidden folder is there
        time.sleep(0.05)
    os.kill(running.pid, number)
    running.communicate()
    assert running.returncode == code
    assert not (tmp_path / "out").exists()
    left = list(tmp_path.iterdir())
    assert all(path.name.startswith(".tlkit-") for path in left)
    if number == signal.SIGTERM:
        assert left == []


@pytest.mark.slow
def test_a_run_of_a_stranger_is_exported_with_trust_and_its_images(finetuned_run, colors, tmp_path):
    foreign = copy_foreign_run(finetuned_run, tmp_path)
    found = export_run(foreign, tmp_path / "alone", trust_model=True).formats["litert"]
    assert (found.verification.num_golden, found.verification.num_validation) == (6, 0)
    assert "only the golden samples" in json.loads((tmp_path / "alone" / "export.json").read_text())["notes"][0]
    found = export_run(foreign, tmp_path / "both", trust_model=True, data=str(colors)).formats["litert"]
    assert found.verification.num_validation == 6


@pytest.mark.slow
def test_odd_names_of_classes_come_through_every_format(finetuned_run, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("openvino")
    names = ["<b>&amp;</b>", "a \"quoted\" 'name'", "\U0001f41c\nant"]
    copied = copy_run(finetuned_run, tmp_path)
    content, rows = copied.read_json("model.json"), copied.read_rows("split.csv")
    (copied.path / "golden.json").unlink()
    hashes = {name: digest for name, digest in content["sha256"].items() if name != "golden.json"}
    known = dict(zip(content["class_names"], names, strict=True))
    renamed = [[known[value] if key == "class" else value for key, value in row.items()] for row in rows]
    copied.write_rows("split.csv", list(rows[0]), renamed)
    hashes["split.csv"] = hashlib.sha256((copied.path / "split.csv").read_bytes()).hexdigest()
    copied.write_json("model.json", content | {"class_names": names, "sha256": hashes})
    record_run(hashlib.sha256((copied.path / "model.json").read_bytes()).hexdigest())
    export_run(copied, tmp_path / "out", format="all")
    assert json.loads((tmp_path / "out" / "model.json").read_text())["class_names"] == names
    assert (tmp_path / "out" / "labels.txt").read_text(encoding="utf-8").splitlines()[:2] == names[:2]
    import onnxruntime
    import openvino

    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    assert json.loads(session.get_modelmeta().custom_metadata_map["class_names"]) == names
    network = openvino.Core().read_model(tmp_path / "out" / "model.xml")
    assert json.loads(network.get_rt_info(["tlkit", "class_names"]).astype(str)) == names
