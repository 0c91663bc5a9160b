"""`--from RUN`: a run that starts from a former run's classifier."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.networks import keras
from tlkit.errors import OptionError, RunError
from tlkit.settings.training import FinetuneSettings
from tlkit.training.finetune import finetune, resolve

SETTINGS = FinetuneSettings(
    backbone="mobilenet_025", freeze="lower", cut="0.7", image_size=32, hidden="8", batch_size=16, upper_batch_size=16,
    epochs=3, upper_epochs=2, views=2, upper_learning_rate=1e-3,
)  # fmt: skip


def start_from(run, **changes):
    return FinetuneSettings(from_run=str(run.path), **{"freeze": "all", "epochs": 2} | changes)


def model_of(done):
    return keras.models.load_model(done.run.path / "model.keras", compile=False)


def sides_of(done):
    with (done.run.path / "split.csv").open() as lines:
        return {row["group"]: row["split"] for row in csv.DictReader(lines)}


@pytest.fixture(scope="module")
def first(colours, weights_file, tmp_path_factory):
    return finetune(colours, tmp_path_factory.mktemp("former") / "first", replace(SETTINGS, weights=str(weights_file)))


@pytest.fixture
def more(colours, tmp_path):
    """The colours with twelve photos of a class more."""
    images = shutil.copytree(colours, tmp_path / "images")
    (images / "black").mkdir()
    random = np.random.default_rng(3)
    for number in range(12):
        Image.fromarray(random.integers(0, 60, (48, 48, 3), dtype=np.uint8)).save(images / "black" / f"{number}.png")
    return images


def test_it_begins_where_the_former_run_ended(first, colours, tmp_path):
    second = finetune(colours, tmp_path / "run", start_from(first.run, learning_rate=1e-9))
    former, now = model_of(first), model_of(second)
    for layer, other in zip(now.layers, former.layers, strict=True):
        assert all(np.allclose(*pair, atol=1e-6) for pair in zip(layer.get_weights(), other.get_weights(), strict=True))
    assert second.metrics["accuracy"] >= first.metrics["accuracy"]


def test_what_was_trained_above_the_cut_is_not_that_of_the_weights_file(first, colours, weights_file, tmp_path):
    """The former run changed the backbone itself, and that is what the new one sees."""
    plain = finetune(colours, tmp_path / "plain", replace(SETTINGS, weights=str(weights_file), freeze="all", epochs=1))
    assert any(
        not np.array_equal(*pair)
        for pair in zip(model_of(plain).get_layer("conv_pw_13").get_weights(),
                        model_of(first).get_layer("conv_pw_13").get_weights(), strict=True)
    )  # fmt: skip


def test_a_new_class_is_learnt_and_the_others_keep_their_columns(first, more, tmp_path):
    second = finetune(more, tmp_path / "run", start_from(first.run, learning_rate=1e-9))
    names = second.split.train.class_names
    assert "black" in names
    former, now = (done.get_layer("head_logits").get_weights()[0] for done in (model_of(first), model_of(second)))
    known = [names.index(name) for name in first.split.train.class_names]
    np.testing.assert_allclose(now[:, known], former, atol=1e-6)
    assert "new classes: black." in second.metrics["notes"]
    learnt = finetune(more, tmp_path / "learnt", start_from(first.run, epochs=30, learning_rate=0.02))
    with (learnt.run.path / "history.csv").open() as lines:
        rows = list(csv.DictReader(lines))[1:]  # without the start, of which it is not known
    assert max(float(row["accuracy"]) for row in rows) > 0.9  # of the training images


def test_images_keep_their_sides_whatever_the_seed(first, more, tmp_path):
    second = finetune(more, tmp_path / "run", start_from(first.run, seed=7, validation_split=0.5))
    before, after = sides_of(first), sides_of(second)
    assert {group: after[group] for group in before} == before


def test_a_held_out_image_that_was_trained_on_is_dropped(first, colours, tmp_path):
    """Somebody sorted the same photos into train/ and val/ anew."""
    for number, file in enumerate(sorted(colours.glob("*/*.png"))):
        target = tmp_path / "images" / ("val" if number % 3 == 0 else "train") / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    second = finetune(tmp_path / "images", tmp_path / "run", start_from(first.run))
    learnt = {group for group, side in sides_of(first).items() if side == "train"}
    assert not learnt & {group for group, side in sides_of(second).items() if side == "validation"}
    assert any("was trained on them" in note for note in second.metrics["notes"])


def test_one_more_cut_down(first, colours, tmp_path):
    second = finetune(colours, tmp_path / "run", start_from(first.run, freeze="lower", cut="0.4", upper_epochs=1))
    assert second.run.read_json("model.json")["cut"] != first.run.read_json("model.json")["cut"]
    assert second.run.read_json("settings.json")["backbone"] == "mobilenet_025"


def test_a_start_that_is_not_bettered_is_kept(first, colours, tmp_path):
    second = finetune(colours, tmp_path / "run", start_from(first.run, learning_rate=5.0, epochs=1))
    assert second.metrics["best_epoch"] == 0 or second.metrics["accuracy"] >= first.metrics["accuracy"]


@pytest.mark.parametrize(("name", "value"), [("backbone", "mobilenet"), ("image_size", 64), ("hidden", "16")])
def test_what_must_be_the_former_runs_cannot_be_another(first, name, value):
    with pytest.raises(OptionError, match="leave it out, or start without --from"):
        resolve(start_from(first.run, **{name: value}))


def test_no_run_to_start_from_is_named(tmp_path):
    with pytest.raises(RunError, match="there is no run folder"):
        resolve(FinetuneSettings(from_run=str(tmp_path / "nowhere")))


def test_a_run_that_does_not_say_how_its_head_is_built_is_refused(first, tmp_path):
    old = shutil.copytree(first.run.path, tmp_path / "old")
    facts = json.loads((old / "model.json").read_text())
    del facts["head"]
    (old / "model.json").write_text(json.dumps(facts))
    with pytest.raises(RunError, match="does not say how its head is built"):
        resolve(FinetuneSettings(from_run=str(old)))
