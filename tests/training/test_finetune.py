import csv
import json
import shutil
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from tests.making import CHAIN_FILES, RUN_FILES
from tests.networks import enliven, keras, use_keras_home
from tlkit.data.image import decode_square
from tlkit.engines.base import MODULES, is_installed
from tlkit.errors import DataError, ModelError, OptionError, RunError
from tlkit.runs.run import load_run, read_manifest
from tlkit.settings.base import to_json
from tlkit.settings.training import FinetuneSettings, settings_from
from tlkit.training.finetune import finetune, resolve
from tlkit.utils.files import sha256_file
from tlkit.utils.progress import Silent

SMALL = FinetuneSettings(
    backbone="mobilenet_025", weights="none", freeze="all", image_size=32, hidden="32", batch_size=16
)
QUICK = replace(SMALL, epochs=1)
WHOLE = replace(SMALL, freeze="none", epochs=1)


@pytest.fixture(scope="module")
def lively_weights(tmp_path_factory):
    """A weights file whose features differ between images: those of fresh random weights all but vanish."""
    keras.utils.set_random_seed(0)
    network = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3), alpha=0.25)
    enliven(network)
    file = tmp_path_factory.mktemp("weights") / "lively.weights.h5"
    network.save_weights(file)
    return str(file)


@pytest.fixture(scope="module")
def cold(colours, lively_weights, tmp_path_factory):
    """The first run on the colours with a frozen backbone, in a cache of its own."""
    root = tmp_path_factory.mktemp("cold")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TLKIT_CACHE", str(root / "cache"))
        return finetune(colours, root / "run", replace(SMALL, weights=lively_weights))


@pytest.fixture(scope="module")
def warm(cold, colours, lively_weights):
    """The same once more, in the cache that the first run left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TLKIT_CACHE", str(cold.run.path.parent / "cache"))
        return finetune(colours, cold.run.path.parent / "again", replace(SMALL, weights=lively_weights))


@pytest.fixture(scope="module")
def whole(colours, tmp_path_factory):
    """A network trained from random weights, all of it, for what is frozen was left to be chosen."""
    return finetune(colours, tmp_path_factory.mktemp("whole") / "run", replace(WHOLE, freeze="auto"))


@pytest.fixture
def copied(colours, tmp_path):
    """The colours in a folder that may be changed."""
    return shutil.copytree(colours, tmp_path / "images")


def files_of(path):
    return {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}


def table(run, name):
    with (run.path / name).open(newline="") as lines:
        return list(csv.DictReader(lines))


def shares_of(run):
    """The probabilities in `predictions_val.csv`."""
    return np.array(
        [[float(row[key]) for key in row if key.startswith("p_")] for row in table(run, "predictions_val.csv")]
    )


# the run folder


def test_a_run_has_exactly_the_files_of_the_design(cold):
    assert files_of(cold.run.path) == RUN_FILES | CHAIN_FILES


def test_a_run_trained_whole_has_one_network_in_its_engine(whole):
    assert files_of(whole.run.path) == RUN_FILES | {"engine/classifier.tflite"}


def test_a_run_can_be_loaded_and_every_file_has_its_hash(cold):
    run = load_run(cold.run.path)
    facts = read_manifest(run)
    assert facts.class_names == ("blue", "green", "red")
    assert (facts.image_size, facts.resize, facts.precision, facts.engine) == (32, "crop", "float32", "litert")
    assert set(facts.sha256) == (RUN_FILES | CHAIN_FILES) - {"DONE", "model.json"}
    assert all(sha256_file(run.path / name) == value for name, value in facts.sha256.items())


def test_what_comes_later_is_null(cold):
    content = json.loads((cold.run.path / "model.json").read_text())
    assert [content[name] for name in ("temperature", "unknown_threshold", "golden_samples")] == [None] * 3
    assert {"tlkit", "keras", "tensorflow", "litert"} <= content["versions"].keys()


def test_the_tables_have_the_columns_of_the_design(cold):
    columns = {name: list(table(cold.run, name)[0]) for name in sorted(RUN_FILES) if name.endswith(".csv")}
    assert columns == {
        "confusion_matrix.csv": ["class", "blue", "green", "red"],
        "history.csv": [
            "phase",
            "epoch",
            "learning_rate",
            "loss",
            "accuracy",
            "val_loss",
            "val_accuracy",
            "seconds",
        ],
        "per_class.csv": ["class", "precision", "recall", "f1", "support"],
        "predictions_val.csv": ["path", "class", "label", "confidence", "p_blue", "p_green", "p_red"],
        "split.csv": ["path", "class", "split", "group", "sha256"],
    }


def test_the_split_names_every_image_once(cold, colours):
    rows = table(cold.run, "split.csv")
    assert sorted(row["path"] for row in rows) == sorted(
        file.relative_to(colours).as_posix() for file in colours.rglob("*.png")
    )
    assert all(row["path"].startswith(row["class"] + "/") for row in rows)
    assert all(row["sha256"] == sha256_file(colours / row["path"]) for row in rows)
    validation = [row["path"] for row in rows if row["split"] == "validation"]
    assert validation == [row["path"] for row in table(cold.run, "predictions_val.csv")]


def test_the_figures_agree_with_the_tables(cold):
    figures = json.loads((cold.run.path / "metrics.json").read_text())
    predictions = table(cold.run, "predictions_val.csv")
    correct = sum(row["class"] == row["label"] for row in predictions)
    assert figures["accuracy"] == correct / len(predictions)
    assert figures["num_validation"] == len(predictions)
    assert figures["num_train"] + figures["num_validation"] == 36
    assert figures["selected_on_validation"] is True
    low, high = figures["accuracy_ci95"]
    assert 0 <= low <= figures["accuracy"] <= high <= 1
    assert {"scan", "features", "fit", "total"} <= figures["seconds"].keys()
    assert {"baseline_accuracy", "macro_f1"} <= figures.keys()
    confusion = [
        [int(row[name]) for name in ("blue", "green", "red")] for row in table(cold.run, "confusion_matrix.csv")
    ]
    assert sum(map(sum, confusion)) == len(predictions)
    assert sum(confusion[k][k] for k in range(3)) == correct


# what was learnt


def test_the_head_learns_the_colours_completely(cold):
    assert cold.report.accuracy == 1
    assert cold.metrics["accuracy"] == 1


@pytest.mark.parametrize("kind", ["cold", "whole"])
def test_the_saved_model_predicts_what_the_run_says(kind, colours, request):
    run = request.getfixturevalue(kind).run
    paths = [row["path"] for row in table(run, "predictions_val.csv")]
    pixels = np.stack([decode_square((colours / path).read_bytes(), 32) for path in paths]).astype(np.float32)
    model = keras.models.load_model(run.path / "model.keras")
    predicted = model.predict(pixels, verbose=0)
    assert np.abs(predicted - shares_of(run)).max() < 1e-4
    np.testing.assert_allclose(shares_of(run).sum(axis=1), 1, atol=1e-5)


def test_auto_without_pretrained_weights_trains_everything(whole):
    assert whole.run.read_json("model.json")["freeze"] == "none"
    assert whole.run.read_json("settings.json")["freeze"] == "none"


def test_training_whole_moves_the_backbone(whole):
    model = keras.models.load_model(whole.run.path / "model.keras")
    assert np.abs(model.get_layer("conv_dw_1_bn").moving_mean.numpy()).max() > 0


def test_a_frozen_backbone_is_saved_as_it_was(cold, lively_weights):
    model = keras.models.load_model(cold.run.path / "model.keras")
    network = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3), alpha=0.25)
    network.load_weights(lively_weights)
    for layer in network.layers[1:]:
        for ours, theirs in zip(model.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


# once more


def test_a_warm_cache_gives_the_same_predictions_bit_for_bit(cold, warm):
    assert warm.metrics["features_reused"] == 36
    assert cold.metrics["features_reused"] == 0
    first, second = ((run.run.path / "predictions_val.csv").read_bytes() for run in (cold, warm))
    assert first == second


def test_settings_can_be_run_again(cold, lively_weights, tmp_path, colours):
    content = json.loads((cold.run.path / "settings.json").read_text())
    assert content["command"] == "finetune"
    assert content["data"] == str(colours.resolve())
    settings = settings_from(content)
    assert settings == resolve(replace(SMALL, weights=lively_weights))
    again = finetune(content["data"], tmp_path / "again", settings)
    first, second = ((run.path / "predictions_val.csv").read_bytes() for run in (cold.run, again.run))
    assert first == second


def test_settings_keep_every_option_resolved(cold):
    content = json.loads((cold.run.path / "settings.json").read_text())
    assert content.keys() == to_json(SMALL).keys() | {"command", "data"}
    assert [name for name, value in content.items() if value == "auto"] == ["cut"]  # means the same every time
    assert content["image_size"] == 32


@pytest.mark.parametrize("name", ["keras", "openvino"])
def test_another_engine_gives_the_same_predictions(name, cold, colours, lively_weights, tmp_path):
    if not is_installed(name):
        pytest.skip(f"{MODULES[name]} is not installed")
    settings = replace(SMALL, weights=lively_weights, engine=name)
    done = finetune(colours, tmp_path / "run", settings)
    assert read_manifest(load_run(done.run.path)).engine == name
    engine = set() if name == "keras" else CHAIN_FILES
    assert files_of(done.run.path) == RUN_FILES | engine
    assert np.abs(shares_of(done.run) - shares_of(cold.run)).max() < 1e-3
    assert done.report.accuracy == 1


def test_a_run_is_numbered_where_no_output_is_given(colours, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/finetune-004").mkdir(parents=True)
    done = finetune(colours, None, QUICK)
    assert done.run.path.as_posix() == "runs/finetune-005"


# bad input


def test_corrupt_files_among_the_images_are_left_out_and_counted(copied, tmp_path):
    (copied / "red/bad.png").write_bytes((copied / "red/0.png").read_bytes()[:500])
    (copied / "blue/empty.jpg").write_bytes(b"")
    (copied / "green/notes.txt").write_text("notes")
    done = finetune(copied, tmp_path / "run", QUICK)
    rows = table(done.run, "left_out.csv")
    assert [row["path"] for row in rows] == ["blue/empty.jpg", "green/notes.txt", "red/bad.png"]
    assert all(row["reason"] for row in rows)
    assert sum(done.metrics["left_out"].values()) == 3
    assert done.metrics["num_train"] + done.metrics["num_validation"] == 36
    assert files_of(done.run.path) == RUN_FILES | CHAIN_FILES | {"left_out.csv"}


def test_a_class_of_corrupt_files_alone_is_refused_and_leaves_no_run(copied, tmp_path):
    for file in (copied / "red").iterdir():
        file.write_bytes(b"no image")
    with pytest.raises(DataError, match="class 'red' has no readable image to train on"):
        finetune(copied, tmp_path / "run", WHOLE)
    assert not (tmp_path / "run").exists()


def test_weights_that_cannot_be_read_leave_no_run(colours, tmp_path):
    (tmp_path / "bad.h5").write_text("no weights")
    with pytest.raises(ModelError, match="is no weights file"):
        finetune(colours, tmp_path / "run", replace(SMALL, weights=str(tmp_path / "bad.h5")))
    assert not (tmp_path / "run").exists()


def test_an_existing_output_is_refused_and_untouched(colours, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/precious.txt").write_text("mine")
    for path in ("mine", "mine/precious.txt"):
        with pytest.raises(OptionError, match="is already there and is never written into"):
            finetune(colours, tmp_path / path, WHOLE)
    assert files_of(tmp_path) == {"mine/precious.txt"}
    assert (tmp_path / "mine/precious.txt").read_text() == "mine"


@pytest.mark.parametrize("inside", ["run", "red/run", "."])
def test_an_output_among_the_images_is_refused(inside, copied):
    before = files_of(copied)
    with pytest.raises(OptionError) as caught:
        finetune(copied, copied / inside, WHOLE)
    assert "inside the images" in str(caught.value)
    assert files_of(copied) == before


def test_the_default_output_among_the_images_is_refused(copied, monkeypatch):
    monkeypatch.chdir(copied)
    before = files_of(copied)
    with pytest.raises(OptionError, match="inside the images"):
        finetune(".", None, WHOLE)
    assert files_of(copied) == before


def test_a_folder_without_classes_is_refused_before_anything_is_made(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        finetune(tmp_path / "empty", tmp_path / "run", WHOLE)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"image_size": 31}, "--image-size is 31; mobilenet_025 needs at least 32"),
        ({"backbone": "mobilnet_025"}, "did you mean mobilenet_025"),
        ({"engine": "keras", "precision": "bfloat16"}, "--precision bfloat16 needs the openvino engine"),
    ],
)
def test_options_that_mean_nothing_are_refused_before_anything_is_made(changes, sentence, colours, tmp_path):
    with pytest.raises(OptionError, match=sentence):
        finetune(colours, tmp_path / "run", replace(WHOLE, **changes))
    assert not (tmp_path / "run").exists()


# stopped


class Stopped(Silent):
    """The user interrupts when a stage begins."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    @contextmanager
    def stage(self, name, total, unit):
        if name == self.at:
            raise KeyboardInterrupt
        yield lambda done: None


@pytest.mark.parametrize("stage", ["features", "whole"])
def test_an_interrupt_before_anything_is_trained_leaves_no_run(stage, colours, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        finetune(colours, tmp_path / "run", WHOLE, Stopped(stage))
    assert not (tmp_path / "run").exists()


def test_an_interrupt_while_the_run_is_written_leaves_what_says_it_is_unfinished(colours, tmp_path, monkeypatch):
    def interrupted(self, *args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(keras.Model, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        finetune(colours, tmp_path / "run", QUICK)
    left = files_of(tmp_path / "run")
    assert "DONE" not in left
    assert {"UNFINISHED", "history.csv", "settings.json"} <= left
    assert "model.keras" not in left
    assert not any(name.startswith(".") for name in left)
    with pytest.raises(RunError, match="is an unfinished run"):
        load_run(tmp_path / "run")


# real photos


@pytest.mark.slow
def test_real_photos_of_waste_are_told_apart(shared_data, tmp_path, monkeypatch):
    use_keras_home(monkeypatch, shared_data / "keras_home")
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    done = finetune(shared_data / "images/trashnet", tmp_path / "run", FinetuneSettings(freeze="all"))
    assert done.report.accuracy >= 0.83
    assert done.metrics["features_reused"] == 0
    again = finetune(shared_data / "images/trashnet", tmp_path / "again", FinetuneSettings(freeze="all"))
    first, second = ((run.run.path / "predictions_val.csv").read_bytes() for run in (done, again))
    assert first == second
