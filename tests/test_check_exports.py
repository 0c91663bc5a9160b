"""The command that exports all backbones: its rows are complete, survive, and say what failed."""

import csv

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.check_exports import (
    CHECKED,
    COLUMNS,
    NUM_PHOTOS,
    check,
    compare_formats,
    lively_classifier,
    main,
    read_photos,
    read_table,
    to_markdown,
    write_table,
)
from tests.networks import keras, random_pixels
from tlkit.export.verification import TOLERANCE, Reference

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Images of 4 x 4 colors, as many as are compared."""
    folder = tmp_path_factory.mktemp("photos")
    for number, colors in enumerate(random_pixels(NUM_PHOTOS, 4)):
        Image.fromarray(colors.repeat(24, axis=0).repeat(24, axis=1)).save(folder / f"{number:02}.jpg")
    return folder


@pytest.fixture(scope="module")
def rows(photos):
    return list(check("mobilenet_025", 64, photos))


def test_every_format_has_a_row_and_agrees(rows):
    assert [row["format"] for row in rows] == list(CHECKED)
    assert {row["works"] for row in rows} == {"yes"}
    assert {row["agreement"] for row in rows} == {"1.000"}
    assert all(int(row["classes"]) > 1 and float(row["mb"]) > 0.5 for row in rows)
    assert all(float(row["images_per_second"]) > 0 and row["photos"] == str(NUM_PHOTOS) for row in rows)


def wrong_padding(layers):
    """Pad one side only in the last layer that pads."""
    layer = [layer for layer in layers if isinstance(layer, keras.layers.ZeroPadding2D)][-1]
    layer.padding = tuple((sum(side), 0) for side in layer.padding)


def wrong_epsilon(layers):
    """Give batch norms the default of other libraries."""
    for layer in layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.epsilon = 1e-5


def swapped_channels(layers):
    """Swap two means of a batch norm in the middle."""
    norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    mean = norms[len(norms) // 2].moving_mean
    mean.assign(np.concatenate([mean[1::-1], mean[2:]]))


@pytest.mark.parametrize("fault", [wrong_padding, wrong_epsilon, swapped_channels])
@pytest.mark.parametrize("name", ["mobilenet_025", "efficientnet_b0", "resnet50"])
def test_a_fault_in_a_network_is_found_in_every_format(name, fault, photos):
    images = read_photos(photos, 64)
    network, probabilities = lively_classifier(name, images.pixels)
    fault(network.layers)
    rows = compare_formats(network, Reference(0, images, probabilities), tuple(CHECKED))
    assert [row["works"] for row in rows.values()] == ["no"] * len(CHECKED), rows
    assert all(float(row["largest_difference"]) > 3 * TOLERANCE for row in rows.values()), rows


def test_a_table_is_read_as_it_was_written_and_becomes_a_page(rows, tmp_path):
    table = tmp_path / "table.csv"
    known = {(row["name"], row["format"]): dict.fromkeys(COLUMNS, "") | row for row in rows}
    write_table(table, known)
    assert read_table(table) == known
    with table.open() as opened:
        assert next(csv.reader(opened)) == list(COLUMNS)
    page = to_markdown(known, dict.fromkeys(COLUMNS, "1.0"))
    line = next(line for line in page.splitlines() if line.startswith("| mobilenet_025 |"))
    assert len(line.split("|")) == 3 * len(CHECKED) + 4
    assert "ONNX 1 of 1" in page


def test_the_command_says_what_failed_and_keeps_rows(photos, tmp_path):
    table = tmp_path / "table.csv"
    words = ["mobilenet_025", "--table", str(table), "--page", str(tmp_path / "page.md"), "--image-size", "64"]
    missing = CliRunner().invoke(main, [*words, "--data", str(tmp_path / "nowhere")])
    assert missing.exit_code == 1
    found = read_table(table)
    assert len(found) == len(CHECKED)
    assert all(row["works"] == "no" and row["error"] for row in found.values())
    words += ["--data", str(photos)]
    assert "(earlier)" in CliRunner().invoke(main, words).output
    done = CliRunner().invoke(main, [*words, "--retry"])
    assert done.exit_code == 0, done.output
    before = table.read_bytes()
    assert "(earlier)" in CliRunner().invoke(main, words).output
    assert table.read_bytes() == before
    assert all(row["works"] == "yes" for row in read_table(table).values())
