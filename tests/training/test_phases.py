"""Training above a cut, on what lies below it computed once."""

import numpy as np
import pytest

from tests.networks import keras, lazy_functions, lively_body, relative_difference
from tests.training.loop.toys import fit
from tlkit.engines.base import EngineSpec, run_in_batches
from tlkit.engines.factory import open_engine
from tlkit.models.head import Head
from tlkit.training.loop.batches import Samples
from tlkit.training.loop.plan import FitPlan, OptimizerConfig
from tlkit.utils.progress import Silent

(to_litert,) = lazy_functions("tlkit.engines.keras", "to_litert")
batch_norm_names, cut_points = lazy_functions("tlkit.models.cut", "batch_norm_names", "cut_points")
(attach_head,) = lazy_functions("tlkit.models.head", "attach_head")
(trainable_top,) = lazy_functions("tlkit.training.phases", "trainable_top")

SIZE, NUM_CLASSES, NUM_IMAGES = 64, 3, 16
# AdamW divides a gradient by its own size, so that the last digit of a faint one becomes a step of its own:
# what two graphs round differently, as they do on some processors, would be compared instead of what they compute.
PLAN = FitPlan(
    phase="head",
    epochs=2,
    batch_size=8,
    optimizer=OptimizerConfig(1e-2, name="sgd", weight_decay=0.1),
    label_smoothing=0.1,
    patience=9,
    seed=0,
)
CUT, FIRST_ABOVE = "conv_pw_9_relu", "conv_dw_10"


def pixels_and_targets():
    """Noise around one color per class."""
    random = np.random.default_rng(0)
    labels = np.arange(NUM_IMAGES) % NUM_CLASSES
    colors = np.array([(200, 60, 60), (60, 200, 60), (60, 60, 200)])[labels][:, None, None]
    pixels = np.clip(random.normal(colors, 40, (NUM_IMAGES, SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
    return pixels.astype(np.float32), np.eye(NUM_CLASSES, dtype=np.float32)[labels]


class Trained:
    """A classifier trained above a cut, or whole with the lower layers frozen, from one and the same start."""

    def __init__(self, cut, keep=True, cached=True, head=None, plan=PLAN):
        network = lively_body(image_size=SIZE)
        keras.utils.set_random_seed(0)
        self.classifier = attach_head(network, head or Head(0.5, True, (8,)), NUM_CLASSES)
        self.kept = batch_norm_names(network) if keep else set()
        tensor = next(point.tensor for point in cut_points(self.classifier) if point.name == cut)
        self.top = trainable_top(self.classifier, tensor, self.kept)
        self.extractor = keras.Model(self.classifier.input, tensor)
        self.before = self.values()
        pixels, targets = pixels_and_targets()
        self.features = self.extractor.predict(pixels, batch_size=8, verbose=0)
        samples = Samples(self.features if cached else pixels, targets)
        self.history = fit(self.top if cached else self.classifier, samples, samples, plan, Silent()).history

    def values(self):
        """Of every variable but the state of dropout's random numbers."""
        weights = self.classifier.weights
        return {weight.path: np.copy(weight.numpy()) for weight in weights if not weight.path.startswith("seed_")}

    @property
    def moved(self):
        return {path for path, value in self.values().items() if not np.array_equal(value, self.before[path])}

    @property
    def layers_above(self):
        names = [layer.name for layer in self.classifier.layers]
        return set(names[names.index(FIRST_ABOVE) :]) - {"pooled_finer"}


@pytest.fixture(scope="module")
def inner():
    return Trained(CUT)


@pytest.fixture(scope="module")
def head_only():
    return Trained("features")


def layer_of(path):
    return path.split("/")[-2]


def owners(paths):
    return {layer_of(path) for path in paths}


# exactly the intended variables


def test_trainable_top_inner_cut_moves_only_layers_above(inner):
    assert owners(inner.moved) <= inner.layers_above
    below = [path for path in inner.before if layer_of(path) not in inner.layers_above]
    assert len(below) > 50
    assert any(path.endswith("moving_variance") for path in below)
    assert not inner.moved & set(below)


def test_trainable_top_inner_cut_moves_every_layer_above_but_frozen_batch_norms(inner):
    with_weights = {layer_of(path) for path in inner.before} & inner.layers_above
    assert owners(inner.moved) == with_weights - inner.kept
    assert {"conv_dw_10", "conv_pw_11", "conv_pw_13", "head_batch_norm", "head_logits"} <= owners(inner.moved)


def test_trainable_top_inner_cut_moves_every_variable_of_a_moving_layer(inner):
    intended = {path for path in inner.before if layer_of(path) in inner.layers_above - inner.kept}
    assert inner.moved == intended


def test_trainable_top_frozen_batch_norms_keep_gain_offset_and_statistics(inner):
    above = {path for path in inner.before if layer_of(path) in inner.kept & inner.layers_above}
    assert {path.rpartition("/")[2] for path in above} == {"gamma", "beta", "moving_mean", "moving_variance"}
    assert not above & inner.moved


@pytest.mark.slow
def test_trainable_top_trained_batch_norms_move_above_and_not_below():
    trained = Trained(CUT, keep=False)
    norms = {name for name in owners(trained.before) if name.endswith("_bn")}
    assert owners(trained.moved) & norms == norms & trained.layers_above
    assert owners(trained.moved) <= trained.layers_above


def test_trainable_top_at_features_moves_only_head(head_only):
    assert owners(head_only.moved) == {"head_batch_norm", "head_hidden", "head_linear", "head_logits"}


def test_trainable_top_at_pixels_trains_all_but_frozen_batch_norms():
    network = lively_body(image_size=SIZE)
    classifier = attach_head(network, Head(0.0, False, ()), NUM_CLASSES)
    top = trainable_top(classifier, classifier.input, batch_norm_names(network))
    assert [id(variable) for variable in top.variables] == [id(variable) for variable in classifier.variables]
    assert top is not classifier  # what is compiled must not be what is saved: its optimizer would be saved too
    owned = {layer_of(variable.path) for variable in classifier.trainable_variables}
    assert owned == {layer.name for layer in classifier.layers if layer.weights} - batch_norm_names(network)


# joined


def test_classifier_on_pixels_equals_top_on_cached_features(inner):
    pixels, _ = pixels_and_targets()
    whole = inner.classifier.predict(pixels, batch_size=8, verbose=0)
    np.testing.assert_array_equal(whole, inner.top.predict(inner.features, batch_size=8, verbose=0))
    assert whole.std(axis=0).min() > 1e-4


def test_top_shares_variables_of_classifier(inner):
    shared = {id(variable) for variable in inner.top.variables}
    assert shared <= {id(variable) for variable in inner.classifier.variables}


def test_converted_parts_one_after_the_other_equal_classifier(inner, tmp_path):
    pixels, _ = pixels_and_targets()
    rows = pixels.astype(np.uint8)
    for name, part in (("extractor", inner.extractor), ("top", inner.top)):
        file = tmp_path / f"{name}.tflite"
        file.write_bytes(to_litert(part, pixels=name == "extractor"))
        engine = open_engine(EngineSpec("litert"), file)
        rows = run_in_batches(engine, engine.session(), rows)
    np.testing.assert_allclose(rows, inner.classifier.predict(pixels, verbose=0), atol=1e-5)


# cached equals uncached


def same_training(cached, through):
    assert cached.moved == through.moved
    left, right = cached.values(), through.values()
    for path in cached.moved:
        assert relative_difference(left[path], right[path]) < 1e-5, path
    for ours, theirs in zip(cached.history, through.history, strict=True):
        assert ours.val_loss == pytest.approx(theirs.val_loss, rel=1e-5)
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)


def test_head_on_cached_features_equals_training_through_frozen_backbone(head_only):
    same_training(head_only, Trained("features", cached=False))


def test_top_on_cached_features_equals_training_through_frozen_layers(inner):
    same_training(inner, Trained(CUT, cached=False))


@pytest.mark.slow
def test_top_on_cached_features_equals_uncached_with_trained_batch_norms():
    same_training(Trained(CUT, keep=False), Trained(CUT, keep=False, cached=False))


@pytest.mark.slow
def test_top_trained_twice_gives_same_bits(inner):
    again = Trained(CUT).values()
    assert all(np.array_equal(value, again[path]) for path, value in inner.values().items())
