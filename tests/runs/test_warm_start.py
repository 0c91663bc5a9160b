"""`--from RUN`: a training that starts from a previous run's classifier."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.networks import keras, random_pixels, run_network
from tlkit.errors import OptionError, RunError
from tlkit.models.backbones import BACKBONES
from tlkit.models.sources import PretrainedBackbone
from tlkit.runs.warm_start import previous_run
from tlkit.settings.training import FinetuneSettings
from tlkit.training.finetune import finetune, finetune_recipe


def start_from(run, **changes):
    quickly = {"freeze": "all", "epochs": 1, "plots": False, "report": False}
    return FinetuneSettings(from_run=str(run.path), **quickly | changes)


def model_of(run):
    return keras.models.load_model(run.path / "model.keras", compile=False)


def subsets_of(run):
    return {row["group"]: row["split"] for row in run.read_rows("split.csv")}


@pytest.fixture(scope="module")
def more(colors, tmp_path_factory):
    """The colors with twelve images of a class more."""
    images = shutil.copytree(colors, tmp_path_factory.mktemp("more") / "images")
    (images / "black").mkdir()
    random = np.random.default_rng(3)
    for number in range(12):
        Image.fromarray(random.integers(0, 60, (48, 48, 3), dtype=np.uint8)).save(images / "black" / f"{number}.png")
    return images


# the previous run as a source


def test_build_gives_the_network_of_the_run_up_to_its_head(blocks_run):
    body, model = previous_run(blocks_run.path).build(), model_of(blocks_run)
    assert not [layer.name for layer in body.layers if layer.name.startswith("head_")]
    pixels = random_pixels(3, 64, kind=np.float32)
    expected = run_network(keras.Model(model.input, model.get_layer("features").output), pixels)
    np.testing.assert_array_equal(run_network(body, pixels), expected)


def test_build_gives_what_the_run_has_trained_not_the_weights_file(blocks_run, weights_file):
    """The previous run changed the backbone itself, and that is what the new one sees."""
    plain = PretrainedBackbone(BACKBONES["mobilenet_025"], str(weights_file), 64).build()
    trained = previous_run(blocks_run.path).build()
    for name, is_trained in (("conv_pw_13", True), ("conv_pw_5", False)):
        pairs = zip(plain.get_layer(name).get_weights(), trained.get_layer(name).get_weights(), strict=True)
        assert any(not np.array_equal(*pair) for pair in pairs) == is_trained, name


def test_source_says_what_it_is(blocks_run):
    source = previous_run(blocks_run.path)
    assert (source.name, source.image_size, source.is_pretrained) == ("mobilenet_025", 64, True)
    assert source.identity() is source.identity("conv1_relu") is None
    assert source.subsets() == subsets_of(blocks_run)


def test_inherited_is_what_makes_the_networks_alike(blocks_run):
    values = previous_run(blocks_run.path).inherited()
    settings = blocks_run.read_json("settings.json")
    assert (values["backbone"], values["image_size"], values["hidden"]) == ("mobilenet_025", 64, "8")
    assert all(values[name] == settings[name] for name in ("resize", "dropout", "batch_norm", "hflip"))


def test_inherited_of_a_run_that_does_not_say_how_its_head_is_built_is_refused(own_run):
    content = json.loads((own_run.path / "model.json").read_text())
    for head in (None, {}, {"hidden": []}, 3):
        (own_run.path / "model.json").write_text(json.dumps(content | {"head": head}))
        with pytest.raises(RunError, match="head"):
            previous_run(own_run.path).inherited()
    (own_run.path / "model.json").write_text(json.dumps({k: v for k, v in content.items() if k != "head"}))
    with pytest.raises(RunError, match="head"):
        finetune_recipe(replace(start_from(own_run), trust_model=True))


def test_inherited_of_a_classic_run_is_refused(classic_run):
    with pytest.raises(RunError, match="contains a classic classifier"):
        previous_run(classic_run.path).inherited()


def test_transfer_head_keeps_columns_of_known_classes_and_starts_others_at_zero(blocks_run):
    names = ("red", "black", "blue")
    inputs = keras.Input((8,))
    classifier = keras.Model(inputs, keras.layers.Dense(3, kernel_initializer="zeros", name="head_logits")(inputs))
    previous = model_of(blocks_run).get_layer("head_logits").get_weights()
    previous_run(blocks_run.path).transfer_head(classifier, names)
    for new, old in zip(classifier.get_layer("head_logits").get_weights(), previous, strict=True):
        np.testing.assert_array_equal(new[..., [2, 0]], old[..., [0, 2]])  # it knows blue, green, red
        assert not new[..., 1].any()


def test_notes_name_classes_that_are_new_or_gone(finetuned_run):
    source = previous_run(finetuned_run.path)
    assert source.notes(("blue", "green", "red")) == []
    new, gone = source.notes(("blue", "green", "black"))
    assert ("black" in new, "red" in gone) == (True, True)


# trainings that start from it


@pytest.mark.training
def test_finetune_from_a_run_begins_where_it_ended(blocks_run, colors, tmp_path):
    done = finetune(colors, tmp_path / "run", start_from(blocks_run, learning_rate=1e-9))
    for layer, previous in zip(model_of(done.run).layers, model_of(blocks_run).layers, strict=True):
        pairs = zip(layer.weights, previous.weights, strict=True)
        learned = [pair for pair in pairs if "moving" not in pair[0].path]  # statistics are those of the best epoch
        assert all(np.allclose(*pair, atol=1e-6) for pair in learned), layer.name
    assert done.metrics.accuracy >= blocks_run.read_json("metrics.json")["accuracy"]


@pytest.mark.training
def test_finetune_from_a_run_keeps_columns_and_subsets_of_what_it_knew(blocks_run, more, tmp_path):
    settings = start_from(blocks_run, learning_rate=1e-9, seed=7, validation_split=0.5)
    done = finetune(more, tmp_path / "run", settings)
    names = done.split.train.class_names
    assert "black" in names
    previous, now = (model_of(run).get_layer("head_logits").get_weights()[0] for run in (blocks_run, done.run))
    columns = [names.index(name) for name in blocks_run.manifest.class_names]
    np.testing.assert_allclose(now[:, columns], previous, atol=1e-6)
    assert any("black" in note for note in done.metrics.notes)
    before, after = subsets_of(blocks_run), subsets_of(done.run)
    assert {group: after[group] for group in before} == before


@pytest.mark.slow
@pytest.mark.training
def test_finetune_from_a_run_learns_a_new_class(finetuned_run, more, tmp_path):
    done = finetune(more, tmp_path / "run", start_from(finetuned_run, epochs=20, learning_rate=0.02))
    with (done.run.path / "history.csv").open() as lines:
        rows = list(csv.DictReader(lines))[1:]  # without the start, whose accuracy is not known
    assert max(float(row["accuracy"]) for row in rows) > 0.9  # of the training images


@pytest.mark.training
def test_finetune_from_a_run_drops_held_out_images_it_was_trained_on(finetuned_run, colors, tmp_path):
    """Somebody sorted the same images into train/ and val/ anew."""
    for number, file in enumerate(sorted(colors.glob("*/*.png"))):
        target = tmp_path / "images" / ("val" if number % 3 == 0 else "train") / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    done = finetune(tmp_path / "images", tmp_path / "run", start_from(finetuned_run))
    trained_on = {group for group, subset in subsets_of(finetuned_run).items() if subset == "train"}
    assert not trained_on & {group for group, subset in subsets_of(done.run).items() if subset == "validation"}
    assert any("trained on" in note for note in done.metrics.notes)


@pytest.mark.slow
@pytest.mark.training
def test_finetune_from_a_run_may_cut_further_down(finetuned_run, colors, tmp_path):
    settings = start_from(finetuned_run, freeze="lower", cut="0.9", upper_epochs=1, upper_batch_size=16, views=1)
    done = finetune(colors, tmp_path / "run", settings)
    assert done.run.read_json("model.json")["cut"] != finetuned_run.read_json("model.json").get("cut")
    assert {row["phase"] for row in done.history} == {"head", "blocks"}
    assert done.run.read_json("settings.json")["backbone"] == "mobilenet_025"


@pytest.mark.training
def test_finetune_from_a_run_keeps_a_start_that_is_not_bettered(finetuned_run, colors, tmp_path):
    done = finetune(colors, tmp_path / "run", start_from(finetuned_run, learning_rate=5.0))
    before = finetuned_run.read_json("metrics.json")["accuracy"]
    assert done.metrics.figures["best_epoch"] == 0 or done.metrics.accuracy >= before


def test_finetune_recipe_refuses_what_must_be_the_previous_runs(blocks_run):
    for name, value in (("backbone", "mobilenet"), ("image_size", 32), ("hidden", "16")):
        with pytest.raises(OptionError) as caught:
            finetune_recipe(start_from(blocks_run, **{name: value}))
        assert all(word in str(caught.value) for word in (f"--{name.replace('_', '-')}", str(value), "--from")), name


def test_finetune_recipe_names_a_run_that_is_missing(tmp_path):
    with pytest.raises(RunError, match=str(tmp_path / "nowhere")):
        finetune_recipe(FinetuneSettings(from_run=str(tmp_path / "nowhere")))


def test_finetune_recipe_keeps_where_the_run_lies(finetuned_run, monkeypatch):
    monkeypatch.chdir(finetuned_run.path.parent)
    settings = finetune_recipe(FinetuneSettings(from_run=finetuned_run.path.name)).settings
    assert settings.from_run == str(finetuned_run.path.resolve())
