"""Freeze lower: the head first, then the upper blocks on activations cached in several views."""

from dataclasses import replace

import numpy as np
import pytest

from tests.networks import keras, lazy_functions, shared_body
from tlkit.data.folder import read_folder
from tlkit.errors import DataError
from tlkit.models.head import Head
from tlkit.settings.training import settings_from
from tlkit.training.finetune import finetune, finetune_recipe
from tlkit.utils.progress import Silent

CUT = "conv_pw_5_relu"
batch_norm_names, choose_cut, cut_points = lazy_functions(
    "tlkit.models.cut", "batch_norm_names", "choose_cut", "cut_points"
)
(attach_head,) = lazy_functions("tlkit.models.head", "attach_head")
(fold_batch_norms,) = lazy_functions("tlkit.models.fold_batch_norm", "fold_batch_norms")
(trainable_top,) = lazy_functions("tlkit.training.phases", "trainable_top")
(layer_lr_multipliers,) = lazy_functions("tlkit.training.blocks_phase", "layer_lr_multipliers")


@pytest.fixture
def settings(blocks_run):
    """The settings of the shared run of blocks."""
    return settings_from(blocks_run.read_json("settings.json"))


@pytest.fixture
def start_network(settings):
    """The network as it was before any training."""
    from tlkit.models.backbones import BACKBONES
    from tlkit.models.build import build_backbone

    return build_backbone(BACKBONES["mobilenet_025"], settings.weights, 64)


def moved_variables(run, before):
    """Layer and kind of the backbone's variables that are not as they were."""
    after = keras.models.load_model(run.path / "model.keras", compile=False)
    return {
        (layer.name, variable.name)
        for layer in before.layers
        for variable, new in zip(layer.weights, after.get_layer(layer.name).get_weights(), strict=True)
        if not np.array_equal(variable, new)
    }


def test_blocks_start_where_head_ended(blocks_result):
    rows = blocks_result.history
    assert [(row["phase"], row["epoch"]) for row in rows] == [
        ("head", 1),
        ("head", 2),
        *(("blocks", epoch) for epoch in range(4)),
    ]
    head = min(rows[:2], key=lambda row: row["val_loss"])
    np.testing.assert_allclose(rows[2]["val_loss"], head["val_loss"], rtol=1e-4)


def test_blocks_keep_best_epoch_or_start(blocks_result):
    rows = [row for row in blocks_result.history if row["phase"] == "blocks"]
    best = min(rows, key=lambda row: row["val_loss"])
    assert blocks_result.metrics.figures["best_epoch"] == best["epoch"]


def test_model_json_names_cut(blocks_run):
    assert blocks_run.read_json("model.json")["cut"] == CUT


def test_blocks_keras_agrees_with_engine(blocks_result, colors):
    from tlkit.inference.predictor import Predictor

    files = [colors / path for path in blocks_result.split.validation.paths]
    fast, slow = (
        np.stack([row.probabilities for row in Predictor(blocks_result.run, **options).predict(files)])
        for options in ({}, {"engine": "keras"})
    )
    np.testing.assert_allclose(fast, slow, atol=1e-4)


def prepared(settings, colors):
    """The input of the phase on an untrained head, and the split."""
    from tlkit.training.blocks_phase import BlocksPhase
    from tlkit.training.phases import new_classifier

    recipe = finetune_recipe(settings)
    dataset = recipe.load(read_folder(colors), Silent())
    classifier = new_classifier(recipe, dataset.network, len(dataset.split.train), 3)
    return BlocksPhase().prepare(recipe, classifier, dataset, Silent()), dataset.split


def cache_files(folder):
    """When each file was written."""
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


def test_blocks_prepare_again_takes_every_activation_from_cache(settings, colors, tmp_path, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    first, split = prepared(settings, colors)
    files = cache_files(tmp_path / "cache")
    again, _ = prepared(settings, colors)
    num_cached = [[features.num_cached for features in phase.features] for phase in (first, again)]
    assert num_cached == [[0, 0], [len(split.validation), len(split.train)]]
    assert cache_files(tmp_path / "cache") == files
    from tlkit.models.cut import choose_cut, cut_points
    from tlkit.training.blocks_phase import cached_activations

    recipe = finetune_recipe(settings)
    network, views = recipe.source.build(), recipe.hardening.views(recipe)
    cut = choose_cut(network, cut_points(network), recipe.settings.cut)
    assert cached_activations(split.train.files, cut, views, recipe) == 1
    assert cached_activations(split.validation.files, cut, views, recipe) == 0  # plain views alone
    for subset in ("train", "validation"):
        np.testing.assert_array_equal(getattr(first, subset).features[:], getattr(again, subset).features[:])
    assert (first.cut, first.plan.phase, first.notes) == (CUT, "blocks", ())
    assert first.train.features.in_epoch(1)[:1].shape[1:] == first.top.input_shape[1:]


def test_blocks_move_exactly_kernels_above_cut(blocks_result, start_network):
    assert blocks_result.metrics.figures["best_epoch"] > 0  # else there is nothing to see
    names = [layer.name for layer in start_network.layers]
    above = {name for name in names[names.index(CUT) + 1 :] if start_network.get_layer(name).weights}
    norms = above & batch_norm_names(start_network)
    assert moved_variables(blocks_result.run, start_network) == {(name, "kernel") for name in above - norms}


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.parametrize(
    ("batch_norms", "moved"),
    [
        ("frozen", {"kernel"}),
        ("shift", {"kernel", "beta"}),
        ("trained", {"kernel", "beta", "gamma", "moving_mean", "moving_variance"}),
    ],
)
def test_blocks_without_head_phase_move_what_batch_norms_option_says(
    batch_norms, moved, settings, start_network, colors, tmp_path
):
    no_head = {"head_first": False, "epochs": 0, "batch_size": 128}  # options of the head go with it
    start_poor = {"upper_epochs": 40, "patience": 40}  # so that some epoch is better than the start
    result = finetune(colors, tmp_path / "run", replace(settings, batch_norms=batch_norms, **no_head, **start_poor))
    assert {row["phase"] for row in result.history} == {"blocks"}
    assert result.metrics.figures["best_epoch"] > 0
    assert {kind for _, kind in moved_variables(result.run, start_network)} == moved


def test_blocks_file_that_changes_between_both_passes_ends_run(settings, copied_colors, tmp_path, monkeypatch):
    from tlkit.training import blocks_phase

    original = blocks_phase.extractor_at_cut

    def spoil(*arguments):
        for file in sorted((copied_colors / "red").iterdir()):
            file.write_bytes(file.read_bytes() + b"more")
        return original(*arguments)

    monkeypatch.setattr(blocks_phase, "extractor_at_cut", spoil)
    with pytest.raises(DataError, match="was changed or removed"):
        finetune(copied_colors, tmp_path / "run", replace(settings, epochs=1))


def test_blocks_cache_fewer_views_where_space_is_small(settings, colors):
    inputs, _ = prepared(replace(settings, cache_limit=0.0007), colors)
    [note] = inputs.notes
    assert "of 3 augmented views per image" in note
    assert f" at {CUT}. " in note


def test_layer_lr_multipliers_rise_from_cut_to_head():
    network = shared_body()
    classifier = attach_head(network, Head(0.0, False, ()), 3)
    cut = choose_cut(network, cut_points(network), CUT)
    top = trainable_top(classifier, cut.tensor, batch_norm_names(network))
    multipliers = layer_lr_multipliers(top, network, 0.3)
    trained = {variable.path for variable in fold_batch_norms(top, True).network.trainable_variables}
    assert {path for path in trained if not path.startswith("head_")} <= set(multipliers)
    assert list(multipliers.values()) == sorted(multipliers.values())
    assert 0.3 <= min(multipliers.values()) < max(multipliers.values()) < 1
