"""The drawing of a network has a block for every height of its maps."""

import xml.etree.ElementTree as xml

import pytest

from tests.models.test_summary import summary_of
from tests.networks import lazy_functions

blocks_of, draw_network, skip_connections = lazy_functions(
    "tlkit.models.diagram", "blocks_of", "draw_network", "skip_connections"
)


@pytest.mark.parametrize("name", ["linear", "lenet5", "googlenet", "resnet20"])
def test_draw_network_is_xml_with_block_per_height(name):
    summary = summary_of(name, num_classes=10, width=1.0 if name == "lenet5" else 0.1)
    root = xml.fromstring(draw_network(summary))
    heights = {row.output[0] for row in summary.layers if len(row.output) == 3}
    maps = [block for block in blocks_of(summary) if len(block.shape) == 3]
    assert [block.shape[0] for block in maps] == sorted(heights, reverse=True)
    texts = [element.text for element in root.iter() if element.text]
    assert name in texts
    assert all("×".join(map(str, block.shape)) in texts for block in blocks_of(summary))


@pytest.mark.parametrize(
    ("name", "count"), [("resnet20", 9), ("plain34", 0), ("googlenet", 0), ("mobilenet_v2_035", 10)]
)
def test_skip_connections_are_those_of_the_paper_and_each_is_an_arc(name, count):
    summary = summary_of(name, num_classes=10, width=0.1)
    skips = skip_connections(summary)
    order = [layer.name for layer in summary.layers]
    assert len(skips) == count
    assert all(order.index(source) < order.index(merge) for source, merge in skips)
    drawing = draw_network(summary)
    assert drawing.count('class="skip"') == count
    assert (f"{count} skip connections" in drawing) == bool(count)


def test_skip_connections_of_a_residual_block_start_where_it_branches():
    pairs = skip_connections(summary_of("resnet20", num_classes=10, width=0.1))
    assert pairs[0] == ("conv1_relu", "conv2_block1_add")


def test_padding_layers_are_not_drawn():
    summary = summary_of("mobilenet_v2_035", num_classes=10)
    assert any(layer.output[0] == 113 for layer in summary.layers)  # padded before a stride of 2
    assert [block.shape[0] for block in blocks_of(summary)][:6] == [224, 112, 56, 28, 14, 7]
