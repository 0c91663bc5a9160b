"""The drawing of a network has a block for every height of its maps."""

import xml.etree.ElementTree as xml

import pytest

from tests.models.test_summary import summary_of
from tests.networks import lazy_functions

blocks_of, draw_network = lazy_functions("tlkit.models.diagram", "blocks_of", "draw_network")


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
