"""Does a network work with everything here? `check_backbone` tries it, property by property."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkit.engines.base import EngineSpec, choose_engine, run_in_batches
from tlkit.engines.factory import open_engine
from tlkit.engines.keras import KerasEngine, load_network, to_litert
from tlkit.errors import OptionError
from tlkit.explain.gradcam import PooledGradCam
from tlkit.explain.head_gradient import HeadGradient
from tlkit.inference.network import RunNetwork
from tlkit.models.backbones import find_backbone
from tlkit.models.build import build_backbone
from tlkit.models.cut import Cut, batch_norm_names, choose_cut, cut_points
from tlkit.models.graph import averaged_map, topological_order
from tlkit.models.head import Head, attach_head, head_arrays, split_head
from tlkit.runs.manifest import MODEL
from tlkit.training.loop.batches import Samples
from tlkit.training.loop.plan import FitPlan, OptimizerConfig
from tlkit.training.phases import fit_top, trainable_top
from tlkit.utils.progress import Silent

MIN_SIZE, IMAGES, CLASSES = 64, 8, 3  # pixels, so that there is something to cut
OPTIMIZER = OptimizerConfig(learning_rate=1e-3, weight_decay=0.1)
PLAN = FitPlan("head", epochs=1, batch_size=4, optimizer=OPTIMIZER, label_smoothing=0.1, patience=9, seed=0)
EXACT, CLOSE = 1e-5, 1e-4  # relative differences: of one computation twice, of two engines
ROUNDING, ROUNDINGS = 2.0**-23, 10  # of float32; how many of them at the pixels explain a difference of two engines


@dataclass(frozen=True)
class Finding:
    """One property: its name, whether it holds, and the figure or the names that tell."""

    name: str
    holds: bool
    detail: str


def check_backbone(name: str, image_size: int = 0) -> tuple[Finding, ...]:
    """Try every property a backbone must have, with random weights; minutes for the large ones.

    Args:
        image_size: in pixels; 0 for the smallest at which there is something to cut

    Returns:
        One finding per property, in the order of `CHECKS`

    Raises:
        OptionError: for an unknown name or too small a size
    """
    row = find_backbone(name)
    subject = _Subject(row.name, image_size or max(MIN_SIZE, row.min_size))
    return tuple(Finding(title, *check(subject)) for title, check in CHECKS.items())


class _Subject:
    """A backbone with random weights and a head, and random images."""

    def __init__(self, name: str, image_size: int) -> None:
        self.name, self.image_size = name, image_size
        random = np.random.default_rng(0)
        self.pixels = random.integers(0, 256, (IMAGES, image_size, image_size, 3)).astype(np.float32)
        self.targets = np.eye(CLASSES, dtype=np.float32)[np.arange(IMAGES) % CLASSES]
        self.network, self.classifier = self.build()
        self.inner = [cut for cut in cut_points(self.network) if len(cut.shape) == 3]

    @property
    def labeled(self) -> list[tuple[np.ndarray, int]]:
        """The images with their classes."""
        return list(zip(self.pixels, self.targets.argmax(axis=1).tolist(), strict=True))

    def build(self) -> tuple[keras.Model, keras.Model]:
        """Build the backbone, and the classifier on it."""
        network = build_backbone(find_backbone(self.name), "none", self.image_size)
        calibrate_batch_norms(network, self.pixels)
        keras.utils.set_random_seed(0)
        return network, attach_head(network, Head(0.5, True, (8,)), CLASSES)

    @cached_property
    def cut(self) -> Cut | None:
        """The cut point of `--cut auto`; None for a network without one."""
        try:
            return choose_cut(self.network, self.inner, "auto")
        except OptionError:
            return None


def _builds(subject: _Subject) -> tuple[bool, str]:
    output = run_network(subject.network, subject.pixels)
    return output.ndim == 2 and bool(np.isfinite(output).all()), f"{output.shape[1]} features"


def _cuts(subject: _Subject) -> tuple[bool, str]:
    """Extractor and top make the whole, at every cut point."""
    expected = run_network(subject.network, subject.pixels)
    tensors = [cut.tensor for cut in subject.inner]
    values = keras.Model(subject.network.input, tensors)(subject.pixels, training=False)
    tops = [keras.Model(tensor, subject.network.output) for tensor in tensors]
    apart = [difference(run_network(*pair), expected) for pair in zip(tops, values, strict=True)]
    return max(apart) <= EXACT, f"{len(apart)} cuts, differ by {max(apart):.1e} at most"


class _Computed:
    """Features computed again for every batch, as if nothing were cached."""

    def __init__(self, extractor: keras.Model, pixels: np.ndarray) -> None:
        self.extractor, self.pixels = extractor, pixels

    def __getitem__(self, indices: np.ndarray | slice) -> np.ndarray:
        return run_network(self.extractor, self.pixels[indices])


def _trained(subject: _Subject, cached: bool) -> tuple[keras.Model, dict[tuple[int, int], np.ndarray], set[str]]:
    """Train the layers above the cut for an epoch: the classifier, its weights before, and the trained layers."""
    network, classifier = subject.build()
    rank = subject.cut.index if subject.cut else len(cut_points(network)) - 1
    tensor = cut_points(network)[rank].tensor
    top = trainable_top(classifier, tensor, batch_norm_names(network))
    before = layer_weights(classifier)
    extractor = keras.Model(classifier.input, tensor)
    features = run_network(extractor, subject.pixels) if cached else _Computed(extractor, subject.pixels)
    samples = Samples(features, subject.targets)
    validation = Samples(run_network(extractor, subject.pixels), subject.targets)
    fit_top(top, samples, validation, PLAN, Silent())
    return classifier, before, {layer.name for layer in top.layers if layer.trainable and layer.weights}


def _caches_exactly(subject: _Subject) -> tuple[bool, str]:
    """Check that an epoch on cached features moves every weight as one on features computed batch by batch."""
    cached, computed = (layer_weights(_trained(subject, cached)[0]) for cached in (True, False))
    step = OPTIMIZER.learning_rate * IMAGES / PLAN.batch_size  # as far as AdamW can move a weight
    worst = max(float(np.abs(value - computed[key]).max()) for key, value in cached.items())
    return worst <= 0.1 * step, f"differ by {worst:.1e}"


def _moves_what_it_should(subject: _Subject) -> tuple[bool, str]:
    """Exactly the trainable layers above the cut, moving statistics of batch norms included."""
    classifier, before, wanted = _trained(subject, cached=True)
    after = layer_weights(classifier)
    moved = {classifier.layers[key[0]].name for key, value in after.items() if not np.array_equal(value, before[key])}
    wrong = sorted(moved ^ {layer.name for layer in classifier.layers if layer.name in wanted})
    return not wrong, ", ".join(wrong[:3]) or f"{len(moved)} layers"


def _saves(subject: _Subject) -> tuple[bool, str]:
    """Plain Keras opens what was saved, and gives the same probabilities."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / MODEL
        subject.classifier.save(file)
        loaded = load_network(file)
    apart = difference(run_network(loaded, subject.pixels), run_network(subject.classifier, subject.pixels))
    return apart <= EXACT, f"differ by {apart:.1e}"


def _converts(subject: _Subject) -> tuple[bool, str]:
    """Check that the fastest engine agrees with Keras, and that a row does not depend on its neighbors."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "body.tflite"
        file.write_bytes(to_litert(subject.network, pixels=True))
        engine = open_engine(EngineSpec(choose_engine("auto", "float32")), file)
        session, rows = engine.session(), subject.pixels.astype(np.uint8)
        together = run_in_batches(engine, session, rows)
        alone = np.concatenate([run_in_batches(engine, session, rows[k : k + 1]) for k in range(IMAGES)])
    expected = run_network(subject.network, subject.pixels)
    apart, same = difference(together, expected), np.array_equal(together, alone)
    growth = _growth(subject, lambda pixels: run_network(subject.network, pixels), expected)
    bound = max(CLOSE, ROUNDINGS * ROUNDING * growth)
    return apart <= bound and same, f"differ by {apart:.1e}" + ("" if same else ", and from batch to batch")


def _explains(subject: _Subject) -> tuple[bool, str]:
    """Check that heat maps without Keras, from the converted network, are those of Grad-CAM through Keras."""
    classifier = attach_head(subject.network, Head(0.5, True, (8,)), CLASSES)
    draws, (body, head) = np.random.default_rng(0), split_head(classifier)
    for layer in head.layers:
        if isinstance(layer, keras.layers.Dense):  # the logits of a new head are all zero
            layer.set_weights([draws.normal(size=weight.shape) for weight in layer.get_weights()])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "body.tflite"
        file.write_bytes(to_litert(body, pixels=True))
        engine = open_engine(EngineSpec(choose_engine("auto", "float32")), file)
        network = RunNetwork([("body", engine), ("head", KerasEngine(head))])
        method = PooledGradCam("gradcam", network, HeadGradient(head_arrays(classifier)).gradient, None)
        found = [method.heat(pixels.astype(np.uint8), label) for pixels, label in subject.labeled]

    def through_keras(images: np.ndarray) -> np.ndarray:
        """Compute Grad-CAM of each image, for its class."""
        maps, labels = averaged_map(body), subject.targets.argmax(axis=1).tolist()
        return np.stack([_grad_cam(classifier, maps, *pair) for pair in zip(images, labels, strict=True)])

    expected = through_keras(subject.pixels)
    apart = difference(np.stack(found), expected)
    bound = max(CLOSE, ROUNDINGS * ROUNDING * _growth(subject, through_keras, expected))
    return apart <= bound, f"{found[0].shape[0]} x {found[0].shape[1]}, differ by {apart:.1e}, rounding by {bound:.0e}"


def _grad_cam(classifier: keras.Model, maps: Any, pixels: np.ndarray, label: int) -> np.ndarray:
    """Compute Grad-CAM through Keras: float32 (height, width)."""
    import tensorflow as tf

    _, (logits, *_), _ = topological_order(classifier.output)[-1]
    model, inputs = keras.Model(classifier.input, [maps, logits]), tf.constant(pixels[None])
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        values, scores = model(inputs, training=False)
        score = scores[0, label]
    weights = tape.gradient(score, values)[0].numpy().mean(axis=(0, 1))
    return np.asarray(np.maximum(values[0].numpy() @ weights, 0))


def _growth(subject: _Subject, compute: Callable[[np.ndarray], np.ndarray], before: np.ndarray) -> float:
    """Measure by what factor a small relative change of the pixels grows on its way through the network.

    Random weights make some networks chaotic: inception_v3 at 75 pixels turns 1e-6 into 2e-3, so
    two engines that round differently cannot agree better.

    Args:
        compute: from pixels to what two engines are compared by
        before: that of the images
    """
    noise = np.random.default_rng(1).standard_normal(subject.pixels.shape, dtype=np.float32)
    scale = 1e-5 * np.linalg.norm(subject.pixels) / np.linalg.norm(noise)
    moved = (subject.pixels + scale * noise).astype(np.float32)
    return difference(compute(moved), before) / difference(moved, subject.pixels)


CHECKS: dict[str, Callable[[_Subject], tuple[bool, str]]] = {
    "builds, from pixels to one finite vector": _builds,
    "lower and upper part make the whole at every cut": _cuts,
    "training on cached features equals training without": _caches_exactly,
    "exactly the layers above the cut move": _moves_what_it_should,
    "plain Keras opens what was saved": _saves,
    "the engine agrees, and no row depends on its neighbors": _converts,
    "heat maps without Keras are Grad-CAM through Keras": _explains,
}


def run_network(network: keras.Model, values: np.ndarray) -> np.ndarray:
    """Run a network as at inference."""
    output: np.ndarray = keras.ops.convert_to_numpy(network(values, training=False))
    return output


def layer_weights(classifier: keras.Model) -> dict[tuple[int, int], np.ndarray]:
    """Copy every weight but random states, by the rank of its layer, whose name changes from build to build."""
    return {
        (rank, index): np.copy(keras.ops.convert_to_numpy(weight))
        for rank, layer in enumerate(classifier.layers)
        for index, weight in enumerate(layer.weights)
        if "seed" not in weight.path
    }


def difference(values: np.ndarray, expected: np.ndarray) -> float:
    """Measure the norm of the difference, relative to the norm of the expected values."""
    return float(np.linalg.norm(values - expected) / max(float(np.linalg.norm(expected)), 1e-30))


def calibrate_batch_norms(body: keras.Model, pixels: np.ndarray) -> None:
    """Give batch norms the statistics of some images: in a fresh network the signal vanishes or explodes."""
    norms = [layer for layer in body.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    body(pixels, training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
