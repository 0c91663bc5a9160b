"""Freeze lower: the head first, then the upper blocks on activations kept in several views."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from tests.networks import enliven, keras, lively_body
from tlkit.errors import DataError, OptionError
from tlkit.inference.evaluate import evaluate
from tlkit.inference.predictor import predict
from tlkit.models.cut import batch_norm_names, choose_cut, cut_points
from tlkit.models.fold_batch_norm import fold_batch_norms
from tlkit.models.head import Head, attach_head
from tlkit.settings.training import FinetuneSettings
from tlkit.training import blocks_phase as blocks
from tlkit.training.finetune import finetune
from tlkit.training.hyperparameters import fit_to_disk
from tlkit.training.loop.optimizers import OPTIMIZERS, layerwise
from tlkit.training.phases import trainable_top

CUT = "conv_pw_5_relu"
SETTINGS = FinetuneSettings(
    backbone="mobilenet_025",
    freeze="lower",
    cut=CUT,
    image_size=64,
    hidden="8",
    batch_size=16,
    upper_batch_size=16,
    epochs=2,
    upper_epochs=3,
    upper_learning_rate=4e-3,
    patience=9,
    views=3,
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    keras.utils.set_random_seed(0)
    network = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(64, 64, 3), alpha=0.25)
    enliven(network)
    file = tmp_path_factory.mktemp("weights") / "lively.weights.h5"
    network.save_weights(file)
    return str(file)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A cache and runs of this module's own."""
    root = tmp_path_factory.mktemp("lower")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TLKIT_CACHE", str(root / "cache"))
        yield root


@pytest.fixture(scope="module")
def run(place, colours, weights):
    return finetune(colours, place / "first", replace(SETTINGS, weights=weights))


@pytest.fixture(scope="module")
def again(run, place, colours, weights):
    return finetune(colours, place / "again", replace(SETTINGS, weights=weights))


def history(run):
    with (run.path / "history.csv").open() as lines:
        return list(csv.DictReader(lines))


def weights_of(run):
    return keras.models.load_model(run.path / "model.keras", compile=False).get_weights()


def test_the_head_comes_first_then_the_blocks_from_where_it_ended(run):
    rows = history(run.run)
    assert [(row["phase"], row["epoch"]) for row in rows] == [
        ("head", "1"),
        ("head", "2"),
        *(("blocks", str(epoch)) for epoch in range(4)),
    ]
    head = min(rows[:2], key=lambda row: float(row["val_loss"]))
    np.testing.assert_allclose(float(rows[2]["val_loss"]), float(head["val_loss"]), rtol=1e-4)


def test_the_kept_epoch_is_the_best_of_the_blocks_or_their_start(run):
    rows = [row for row in history(run.run) if row["phase"] == "blocks"]
    assert run.metrics["best_epoch"] == int(min(rows, key=lambda row: float(row["val_loss"]))["epoch"])


def test_model_json_names_the_cut(run):
    assert json.loads((run.run.path / "model.json").read_text())["cut"] == CUT


def test_predict_and_evaluate_give_what_the_run_wrote(run, colours):
    with (run.run.path / "predictions_val.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    written = np.array([[float(row[key]) for key in row if key.startswith("p_")] for row in rows])
    found = list(predict(run.run, [colours / row["path"] for row in rows]))
    np.testing.assert_allclose(np.stack([one.probabilities for one in found]), written, atol=1e-6)
    assert evaluate(run.run.path).report.accuracy == run.report.accuracy


def test_the_joined_model_opens_in_keras_and_agrees_with_the_engine(run, colours):
    files = [colours / path for path in run.split.validation.paths]
    fast = np.stack([one.probabilities for one in predict(run.run, files)])
    from tlkit.inference.predictor import Predictor

    slow = np.stack([one.probabilities for one in Predictor(run.run, engine="keras").predict(files)])
    np.testing.assert_allclose(fast, slow, atol=1e-4)


def test_a_second_run_takes_every_activation_from_the_cache_and_is_the_same(run, again):
    for first, second in zip(weights_of(run.run), weights_of(again.run), strict=True):
        np.testing.assert_array_equal(first, second)


def test_nothing_below_the_cut_moves_and_no_batch_norm_of_the_backbone(run, weights):
    from tlkit.models.backbones import BACKBONES
    from tlkit.models.build import build_backbone

    assert run.metrics["best_epoch"] > 0  # else there is nothing to see
    before = build_backbone(BACKBONES["mobilenet_025"], weights, 64)
    after = keras.models.load_model(run.run.path / "model.keras", compile=False)
    names = [layer.name for layer in before.layers]
    above = {name for name in names[names.index(CUT) + 1 :] if before.get_layer(name).weights}
    moved = {
        (layer.name, variable.name)
        for layer in before.layers
        for variable, new in zip(layer.weights, after.get_layer(layer.name).get_weights(), strict=True)
        if not np.array_equal(variable, new)
    }
    norms = above & batch_norm_names(before)
    assert moved == {(name, "kernel") for name in above - norms}


def test_a_file_that_changes_between_the_two_passes_ends_the_run(colours, place, weights, monkeypatch, tmp_path):
    images = shutil.copytree(colours, tmp_path / "images")
    original = blocks.lower_at

    def spoil(*arguments):
        for file in sorted((images / "red").iterdir()):
            file.write_bytes(file.read_bytes() + b"more")
        return original(*arguments)

    monkeypatch.setattr(blocks, "lower_at", spoil)
    with pytest.raises(DataError, match="changed or went away"):
        finetune(images, tmp_path / "run", replace(SETTINGS, weights=weights))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_variable_moves_at_its_own_rate(name):
    """One step of Adam moves a variable by its rate, whatever its gradient."""
    source = keras.Input((3,))
    model = keras.Model(source, keras.layers.Dense(3, name="high")(keras.layers.Dense(3, name="low")(source)))
    rates = {"low/kernel": 0.25, "low/bias": 0.5}
    optimizer = layerwise(OPTIMIZERS[name].constructor)(rates, learning_rate=0.01, weight_decay=0.0)
    before = {variable.path: np.copy(variable.numpy()) for variable in model.trainable_variables}
    optimizer.build(model.trainable_variables)
    gradients = [keras.ops.convert_to_tensor(np.full(value.shape, 3.0, np.float32)) for value in before.values()]
    optimizer.apply(gradients, model.trainable_variables)
    steps = {variable.path: before[variable.path] - variable.numpy() for variable in model.trainable_variables}
    whole = np.abs(steps["high/kernel"]).mean()
    assert whole > 0
    for path, share in {"low/kernel": 0.25, "low/bias": 0.5, "high/kernel": 1, "high/bias": 1}.items():
        np.testing.assert_allclose(steps[path], share * whole, rtol=0.02)


def test_rates_rise_from_the_cut_to_the_head():
    body = lively_body(image_size=64)
    whole = attach_head(body, Head(0.0, False, ()), 3)
    cut = choose_cut(body, cut_points(body), CUT)
    upper = trainable_top(whole, cut.tensor, batch_norm_names(body))
    rates = blocks.layer_lr_multipliers(upper, body, 0.3)
    learning = {variable.path for variable in fold_batch_norms(upper, shifts=True).network.trainable_variables}
    assert {path for path in learning if not path.startswith("head_")} <= set(rates)
    assert list(rates.values()) == sorted(rates.values())
    assert 0.3 <= min(rates.values()) < max(rates.values()) < 1


@pytest.mark.parametrize("limit", [0, 1e3])
def test_a_disk_too_small_for_any_activation_is_refused(limit):
    with pytest.raises(OptionError, match="--cache-limit"):
        fit_to_disk([100], (10, 5), 5, limit)


def test_fewer_views_are_kept_where_the_space_is_small(colours, place, weights):
    tight = replace(SETTINGS, weights=weights, cache_limit=0.0007, upper_epochs=1)
    metrics = finetune(colours, place / "tight", tight).metrics
    assert any("of 3 views are kept" in note for note in metrics["notes"])


def moved_variables(done, weights):
    """Names of the kinds of variables of the backbone that are not those of the weights file."""
    from tlkit.models.backbones import BACKBONES
    from tlkit.models.build import build_backbone

    before = build_backbone(BACKBONES["mobilenet_025"], weights, 64)
    after = keras.models.load_model(done.run.path / "model.keras", compile=False)
    return {
        variable.name
        for layer in before.layers
        for variable, new in zip(layer.weights, after.get_layer(layer.name).get_weights(), strict=True)
        if not np.array_equal(variable, new)
    }


@pytest.mark.parametrize(
    ("batch_norms", "moved"),
    [
        ("frozen", {"kernel"}),
        pytest.param("shift", {"kernel", "beta"}, marks=pytest.mark.slow),
        ("trained", {"kernel", "beta", "gamma", "moving_mean", "moving_variance"}),
    ],
)
def test_batch_norms_learn_what_they_are_told_to(batch_norm_names, moved, colours, place, weights):
    start_poor = {"head_first": False, "upper_epochs": 8}  # so that some epoch is better than the start
    settings = replace(SETTINGS, weights=weights, batch_norms=batch_norm_names, **start_poor)
    done = finetune(colours, place / batch_norm_names, settings)
    assert done.metrics["best_epoch"] > 0
    assert moved_variables(done, weights) == moved


def test_without_a_head_phase_head_and_blocks_begin_together(colours, place, weights):
    settings = replace(SETTINGS, weights=weights, head_first=False, upper_epochs=4)
    done = finetune(colours, place / "together", settings)
    assert {row["phase"] for row in history(done.run)} == {"blocks"}
    assert done.metrics["best_epoch"] > 0
