"""Golden samples: written by every training, replayed, and what they notice."""

import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import tlkit
from tests.making import encoded, noise
from tests.shared_runs import copy_run
from tlkit.data.folder import read_folder
from tlkit.data.image import ImageSpec, decode_square
from tlkit.engines.keras import to_litert
from tlkit.errors import RunError
from tlkit.inference.golden import (
    GOLDEN,
    MAX_PNG_BYTES,
    MAX_SAMPLES,
    TOLERANCES,
    Replayer,
    has_golden,
    record_golden,
    small_png,
    spread_over_classes,
    verify_golden,
)
from tlkit.inference.predictor import Predictor
from tlkit.runs.run import load_run
from tlkit.utils.files import sha256_file

KINDS = ["finetuned_run", "blocks_run", "scratch_run", "classic_run"]


@pytest.fixture(params=KINDS)
def each_run(request, tmp_path):
    """A copy of a run of each kind."""
    return copy_run(request.getfixturevalue(request.param), tmp_path)


def accept(run, *names):
    """Correct the hashes of files that were changed, as somebody who exchanges them would."""
    content = run.read_json("model.json")
    content["sha256"] |= {name: sha256_file(run.path / name) for name in names}
    (run.path / "model.json").write_text(json.dumps(content))


def refusal(run, **options):
    with pytest.raises(RunError) as caught:
        verify_golden(load_run(run.path), **options)
    assert str(caught.value).startswith(f"'{run.path}")
    return str(caught.value)


# what a training writes


def test_every_training_leaves_samples_that_can_be_replayed(each_run):
    samples = each_run.read_json(GOLDEN)["samples"]
    rows = each_run.read_rows("predictions_val.csv")
    assert len(samples) == min(MAX_SAMPLES, len(rows))
    assert {sample["class"] for sample in samples} == {row["class"] for row in rows}
    assert all(sample["file"] in each_run.manifest.sha256 for sample in samples)
    assert GOLDEN in each_run.manifest.sha256
    assert verify_golden(each_run) == len(samples)


def test_samples_have_the_answers_of_predict(each_run):
    for sample in each_run.read_json(GOLDEN)["samples"]:
        (prediction,) = tlkit.predict(each_run, each_run.path / sample["file"])
        assert sample["answer"][1:] == pytest.approx(prediction.probabilities.tolist(), abs=1e-6)
        assert list(sample["outputs"]) == [name for name, _ in Predictor(each_run).steps]


def test_samples_are_replayed_by_other_engines(finetuned_run):
    for engine in ("keras", "openvino"):
        if engine == "openvino":
            pytest.importorskip("openvino")
        assert verify_golden(finetuned_run, Predictor(finetuned_run, engine)) > 0


@pytest.mark.training
def test_run_of_keras_as_engine_is_replayed(colors, tmp_path):
    pytest.importorskip("sklearn")
    network = {"model": "linear", "image_size": 8, "epochs": 1, "batch_size": 8, "engine": "keras"}
    run = tlkit.train(colors, tmp_path / "network", tlkit.TrainSettings(**network)).run
    assert verify_golden(run) > 0
    names = [name for name, _ in Predictor(run).steps]
    assert names[-1] == "the head of model.keras"
    assert list(run.read_json(GOLDEN)["samples"][0]["outputs"]) == names


@pytest.mark.training
def test_option_leaves_samples_out(colors, tmp_path):
    pytest.importorskip("sklearn")
    settings = tlkit.ClassicSettings(descriptor="colors", classifier="naive-bayes", golden=False)
    run = tlkit.train_classic(colors, tmp_path / "run", settings).run
    assert not has_golden(run)
    assert not (run.path / "golden").exists()
    assert "has no golden samples" in refusal(run)


def test_samples_replayed_together_are_those_replayed_alone(each_run):
    replayer = Replayer(Predictor(each_run))
    files = [each_run.path / sample["file"] for sample in each_run.read_json(GOLDEN)["samples"]]
    damaged = each_run.path / "golden" / "0.png"
    damaged.write_bytes(b"no image")
    together = replayer.replay(files)
    assert [replayer.replay([file])[0] for file in files] == together
    assert [replay.pixels_sha256 == "" for replay in together] == [file == damaged for file in files]


# which images, and how they are stored


def test_images_are_spread_over_the_classes(colors):
    folder = replace(read_folder(colors), sha256=tuple(f"{number * 7919 % 36:02}" for number in range(36)))
    order = list(spread_over_classes(folder))
    assert sorted(order) == list(range(36))
    assert [folder.labels[position] for position in order[:9]] == [0, 1, 2] * 3
    assert list(spread_over_classes(replace(folder, paths=folder.paths[::1]))) == order
    first = [folder.sha256[position] for position in order if folder.labels[position] == 1]
    assert first == sorted(first)


def test_of_many_classes_evenly_spaced_ones_come_first(colors):
    folder = read_folder(colors)
    names = tuple(f"{number:02}" for number in range(36))
    many = replace(folder, class_names=names, labels=np.arange(36, dtype=np.int32), sha256=names)
    order = list(spread_over_classes(many))
    assert order[:MAX_SAMPLES] == [0, 5, 10, 15, 20, 25, 30, 35]
    assert sorted(order) == list(range(36))


@pytest.mark.parametrize("size", [(3000, 2000), (60, 4000), (20, 30), (1, 1)])
@pytest.mark.parametrize("side", [32, 224, 600])
def test_stored_image_is_small_and_keeps_what_there_is_to_decode(size, side):
    spec = ImageSpec(side)
    stored = small_png(encoded(noise(*size[::-1], 1), "JPEG"), spec)
    image = Image.open(io.BytesIO(stored))
    assert image.format == "PNG"
    assert len(stored) <= MAX_PNG_BYTES
    assert max(image.size) <= 2 * min(image.size) + 1
    assert min(image.size) <= max(spec.oversized.size, 1)
    if side == 32 and min(size) > 60:
        assert min(image.size) == spec.oversized.size
    assert decode_square(stored, spec).shape == (side, side, 3)


def test_stored_image_has_no_metadata():
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 12.0)}  # GPS
    exif[0x010F] = "Maker"
    file = io.BytesIO()
    Image.fromarray(noise(80, 60, 2)).save(file, "JPEG", exif=exif, icc_profile=b"a profile", comment=b"by Ana")
    stored = small_png(file.getvalue(), ImageSpec(32))
    assert not any(word in stored for word in (b"Maker", b"eXIf", b"iCCP", b"tEXt", b"Ana"))


def test_images_that_have_gone_are_left_out(own_run, colors, tmp_path):
    shutil.copytree(colors, tmp_path / "copy")
    folder = read_folder(tmp_path / "copy")
    folder = replace(folder, sha256=tuple(f"{number:02}" for number in range(36)))
    for position in list(spread_over_classes(folder))[:2]:
        folder.files[position].unlink()
    shutil.rmtree(own_run.path / "golden")
    record_golden(own_run, folder)
    assert len(own_run.read_json(GOLDEN)["samples"]) == MAX_SAMPLES
    for file in folder.files:
        file.unlink(missing_ok=True)
    shutil.rmtree(own_run.path / "golden")
    (own_run.path / GOLDEN).unlink()
    record_golden(own_run, folder)
    assert not (own_run.path / GOLDEN).exists()


# what is noticed


def test_flipped_bit_of_an_image_is_found_by_its_hash(own_run):
    file = own_run.path / "golden" / "1.png"
    content = file.read_bytes()
    file.write_bytes(content[:60] + bytes([content[60] ^ 1]) + content[61:])
    assert f"'{file}' is not the file that the run wrote" in refusal(own_run)


def test_other_pixels_are_named_as_decoding(each_run):
    file = each_run.path / "golden" / "0.png"
    with Image.open(file) as image:
        pixels = np.array(image.convert("RGB"))
    pixels[:, :, 0] ^= 1
    Image.fromarray(pixels).save(file)
    accept(each_run, "golden/0.png")
    assert "decoding gives other pixels for golden/0.png (Pillow " in refusal(each_run)
    file.write_bytes(b"not a PNG")
    accept(each_run, "golden/0.png")
    assert "decoding gives other pixels for golden/0.png (Pillow " in refusal(each_run)


def head_of(features, classes, scale):
    """A head with other weights, as LiteRT reads it."""
    from tests.networks import keras

    rows = keras.Input((features,))
    logits = keras.layers.Dense(classes, kernel_initializer=keras.initializers.RandomNormal(stddev=scale, seed=3))(rows)
    return to_litert(keras.Model(rows, keras.layers.Softmax()(logits)), pixels=False)


@pytest.mark.parametrize("kind", ["finetuned_run", "blocks_run", "scratch_run"])
def test_exchanged_head_is_named(kind, request, tmp_path):
    run = copy_run(request.getfixturevalue(kind), tmp_path)
    steps = Predictor(run).steps
    assert steps[-1][0] == "engine/head.tflite"
    (run.path / "engine" / "head.tflite").write_bytes(head_of(int(steps[-1][1].input_shape[1]), 3, 0.5))
    accept(run, "engine/head.tflite")
    words = refusal(run)
    assert "engine/head.tflite gives other values for golden/" in words
    assert f"at most {TOLERANCES['float32']:g} is allowed" in words


def test_exchanged_frozen_part_is_named(own_run, colors, tmp_path):
    from tests.networks import keras

    side, features = own_run.manifest.image.size, int(Predictor(own_run).steps[-1][1].input_shape[1])
    pixels = keras.Input((side, side, 3))
    flat = keras.layers.GlobalAveragePooling2D()(pixels)
    other = keras.Model(pixels, keras.layers.Dense(features)(flat))
    (own_run.path / "engine" / "lower.tflite").write_bytes(to_litert(other, pixels=True))
    accept(own_run, "engine/lower.tflite")
    assert "engine/lower.tflite gives other values for golden/0.png" in refusal(own_run)


def test_head_is_exact_where_the_frozen_part_is_not(own_run):
    """As in bfloat16, whose tolerance is wide: the head alone is compared on the recorded features."""
    content = own_run.read_json(GOLDEN)
    content["tolerance"] = TOLERANCES["bfloat16"]
    for sample in content["samples"]:
        sample["outputs"]["engine/lower.tflite"] = [value * 1.05 for value in sample["outputs"]["engine/lower.tflite"]]
    (own_run.path / GOLDEN).write_text(json.dumps(content))
    accept(own_run, GOLDEN)
    assert verify_golden(load_run(own_run.path)) > 0
    head = content["samples"][0]["outputs"]["engine/head.tflite"]
    content["samples"][0]["outputs"]["engine/head.tflite"] = [value * 1.001 for value in head]
    (own_run.path / GOLDEN).write_text(json.dumps(content))
    accept(own_run, GOLDEN)
    assert "engine/head.tflite gives other values for golden/0.png (by 0.001; at most 0.0001 is" in refusal(own_run)


def test_other_answer_of_the_same_stages_is_named_as_calibration(own_run):
    content = own_run.read_json(GOLDEN)
    content["samples"][2]["answer"] = [value * 1.01 for value in content["samples"][2]["answer"]]
    (own_run.path / GOLDEN).write_text(json.dumps(content))
    accept(own_run, GOLDEN)
    assert "calibration gives other values for golden/2.png (by 0.0099;" in refusal(own_run)


def test_changed_temperature_is_named_as_calibration(own_run):
    content = own_run.read_json("model.json")
    content["temperature"] = content.get("temperature", 1.0) * 1.5
    (own_run.path / "model.json").write_text(json.dumps(content))
    assert "calibration gives other values for golden/0.png" in refusal(own_run)


def test_other_distance_is_named(own_run):
    content = own_run.read_json(GOLDEN)
    assert all(0 <= sample["distance"][1] <= 2 for sample in content["samples"])
    content["samples"][1]["distance"][1] += 0.01
    (own_run.path / GOLDEN).write_text(json.dumps(content))
    accept(own_run, GOLDEN)
    assert "the distance to the training images gives other values for golden/1.png" in refusal(own_run)


DAMAGE = {
    "nothing": {},
    "a list": [],
    "no samples": {"tolerance": 1e-4, "samples": []},
    "no tolerance": {"samples": [{"file": "golden/0.png", "pixels_sha256": "", "outputs": {}, "answer": []}]},
    "a tolerance that allows anything": {"tolerance": 1e9, "samples": "same"},
    "numbers that are too large": {
        "tolerance": 1e-4,
        "samples": [{"file": "golden/0.png", "pixels_sha256": "", "outputs": {"a": [10**400]}, "answer": []}],
    },
    "features that are not base64": {
        "tolerance": 1e-4,
        "samples": [{"file": "golden/0.png", "pixels_sha256": "", "outputs": {}, "features": "?", "answer": []}],
    },
    "numbers that are none": {"tolerance": 1e-4, "samples": [{"file": "golden/0.png", "outputs": {"a": ["x"]}}]},
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_list_is_refused_in_a_sentence(own_run, name):
    content = DAMAGE[name]
    if isinstance(content, dict) and content.get("samples") == "same":
        content = content | {"samples": own_run.read_json(GOLDEN)["samples"]}
    (own_run.path / GOLDEN).write_text(json.dumps(content))
    accept(own_run, GOLDEN)
    assert f"'{own_run.path / GOLDEN}' is damaged" in refusal(own_run)


@pytest.mark.parametrize("features", ["AAAA", "AA==", "A" * 40_000])
def test_features_of_another_size_differ(own_run, features):
    content = own_run.read_json(GOLDEN)
    content["samples"][0]["features"] = features
    (own_run.path / GOLDEN).write_text(json.dumps(content))
    accept(own_run, GOLDEN)
    assert "engine/head.tflite gives other values for golden/0.png (by inf;" in refusal(own_run)


def test_sample_of_an_image_that_cannot_be_decoded_is_refused(own_run):
    content = own_run.read_json(GOLDEN)
    content["samples"][0] |= {"pixels_sha256": "", "outputs": {}, "features": "", "answer": [], "distance": []}
    (own_run.path / GOLDEN).write_text(json.dumps(content))
    (own_run.path / "golden" / "0.png").write_bytes(b"not a PNG")
    accept(own_run, GOLDEN, "golden/0.png")
    assert "decoding gives other pixels for golden/0.png" in refusal(own_run)


def test_file_outside_the_run_is_not_read(own_run):
    content = own_run.read_json(GOLDEN)
    content["samples"][0]["file"] = "../../secret.png"
    (own_run.path / GOLDEN).write_text(json.dumps(content))
    accept(own_run, GOLDEN)
    assert "secret.png" in refusal(own_run)


def test_values_that_are_no_numbers_differ(own_run):
    content = own_run.read_json(GOLDEN)
    content["samples"][0]["answer"][0] = float("nan")
    (own_run.path / GOLDEN).write_text(json.dumps(content))
    accept(own_run, GOLDEN)
    assert "calibration gives other values for golden/0.png (by nan" in refusal(own_run)
