"""Pillow's resizing in ONNX, compared with Pillow byte by byte."""

import numpy as np
import pytest

from tests.export.running import run_graph
from tests.networks import random_pixels
from tlkit.classic.descriptors import resize_square
from tlkit.export.onnx_graph import OnnxGraph
from tlkit.export.onnx_resize import resize_images

SIZES = [(224, 96), (224, 16), (96, 16), (96, 128), (50, 48), (223, 20), (227, 30), (229, 11), (31, 32), (64, 64)]


@pytest.mark.parametrize(("size", "new_size"), SIZES)
def test_every_byte_is_pillows(size, new_size):
    pixels = np.concatenate([random_pixels(2, size), np.full((1, size, size, 3), 255, np.uint8)])
    pixels[1] = pixels[1] // 200 * 255  # black and white, where a rounding error shows
    graph = OnnxGraph()
    output = resize_images(graph, "values", size, new_size)
    if size == new_size:
        assert output == "values"
        return
    resized = run_graph(graph, output, pixels.astype(np.float32))
    np.testing.assert_array_equal(resized, np.stack([resize_square(image, new_size) for image in pixels]))
