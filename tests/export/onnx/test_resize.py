"""Pillow's resizing in ONNX, compared with Pillow byte by byte."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper
from PIL import Image

from tests.export.running import open_session, run_graph
from tests.networks import random_pixels
from tlkit.classic.descriptors import resize_square
from tlkit.data.image import RESIZES, ImageSpec
from tlkit.export.onnx.graph import OnnxGraph
from tlkit.export.onnx.resize import SQUARE, resize_images, with_resize

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


SHAPES = [(37, 50), (50, 33), (32, 32), (6, 9), (17, 101), (1, 9)]


@pytest.mark.parametrize("resize", RESIZES)
def test_an_image_of_any_size_becomes_the_square_of_predict(resize):
    spec = ImageSpec(32, resize)
    graph = OnnxGraph()
    means = graph.apply("ReduceMean", graph.pixels((32, 32, 3)), axes=[2, 3], keepdims=0)
    content = with_resize(graph.to_bytes(replace(means, shape=(None, 3)), (32, 32, 3), {"a": "b"}), spec)
    model = onnx.load_from_string(content)
    model.graph.output.append(helper.make_tensor_value_info(SQUARE, onnx.TensorProto.UINT8, None))
    session = open_session(model.SerializeToString())
    assert session.get_modelmeta().custom_metadata_map == {"a": "b"}
    (pixels,) = session.get_inputs()
    assert (pixels.name, pixels.type, pixels.shape) == ("pixels", "tensor(uint8)", [1, "height", "width", 3])
    for number, (height, width) in enumerate(SHAPES):
        image = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
        expected = np.asarray(RESIZES[resize](Image.fromarray(image), spec.size)).astype(int)
        square, probabilities = session.run([SQUARE, "probabilities"], {"pixels": image[np.newaxis]})
        assert np.abs(square[0] - expected).max() <= 1, (height, width)
        np.testing.assert_allclose(probabilities, square.mean(axis=(1, 2)), rtol=1e-5)
