"""Descriptors in ONNX, compared with those of the classic pipeline."""

import numpy as np
import pytest

from tests.export.running import run_graph
from tests.networks import random_pixels
from tlkit.classic.descriptors import DESCRIPTORS
from tlkit.classic.encoding import fit_vocabulary
from tlkit.classic.pipeline import DescriptorPipeline
from tlkit.errors import ModelError
from tlkit.export.onnx.descriptors import WRITERS, write_descriptors
from tlkit.export.onnx.graph import OnnxGraph

SIZE = 64
FISHER = 3e-2  # difference of a Fisher vector, whose length is 1: its square roots turn 1e-7 beside zero into 3e-4


def images(size=SIZE):
    """Noise, colored patches, a gradient of gray, and one color: (4, size, size, 3)."""
    noise, small = random_pixels(1, size), random_pixels(1, 4, seed=1)
    patches = small.repeat(size // 4, axis=1).repeat(size // 4, axis=2)
    ramp = np.broadcast_to(np.linspace(0, 255, size).astype(np.uint8)[:, None, None], (size, size, 3))
    return np.concatenate([noise, patches, ramp[None], np.full((1, size, size, 3), 90, np.uint8)])


def pipeline_of(names, sizes, levels=1):
    pipeline = DescriptorPipeline(names, sizes, levels)
    for name in names:
        if DESCRIPTORS[name].is_local:
            patches = np.concatenate([DESCRIPTORS[name].compute(image) for image in images()])
            pipeline = pipeline.with_vocabulary(name, fit_vocabulary(name, patches, 0))
    return pipeline


def compare(pipeline, pixels):
    graph = OnnxGraph()
    output = write_descriptors(graph, "values", pixels.shape[1], pipeline)
    differences = run_graph(graph, output, pixels) - np.stack([pipeline.transform(image) for image in pixels])
    assert np.linalg.norm(differences, axis=1).max() < (FISHER if "fisher" in pipeline.descriptors else 1e-5)


@pytest.mark.parametrize("name", [*WRITERS])
def test_a_descriptor_is_that_of_the_pipeline(name):
    compare(pipeline_of((name,), (SIZE,)), images())


def test_descriptors_of_several_sizes_with_a_pyramid():
    compare(pipeline_of(("fisher", "pixels", "hog"), (SIZE, 16, 48), levels=2), images())


def test_the_histogram_has_the_bin_of_every_color():
    """Each image has colors that differ by one level, so that every boundary between bins is crossed."""
    levels = np.arange(0, 256, 3, dtype=np.uint8)
    colors = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    pixels = colors[: len(colors) // 64**2 * 64**2].reshape(-1, 64, 64, 3)
    compare(pipeline_of(("histogram",), (64,)), pixels)


def test_a_descriptor_that_rounding_would_change_is_refused_by_name():
    known = {"pixels", "histogram", "hog", "fisher"}
    assert set(WRITERS) == known
    for name in set(DESCRIPTORS) - known:
        pipeline = DescriptorPipeline(("hog", name), (SIZE, SIZE), 1)
        with pytest.raises(ModelError, match=f"the descriptor {name} cannot be written as ONNX, because rounding"):
            write_descriptors(OnnxGraph(), "values", SIZE, pipeline)
