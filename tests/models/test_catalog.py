"""What is known of the networks: every one has a row, and the counts are those of its layers."""

import pytest

from tests.write_zoo import FILE, counted, text_of
from tlkit.errors import OptionError
from tlkit.models.architectures.registry import ARCHITECTURES
from tlkit.models.backbones import BACKBONES
from tlkit.models.catalog import SOURCES, find_entries, load_catalog, plot_catalog

ROWS = {(row.command, row.name): row for row in load_catalog()}
LIGHT = [("train", name) for name in ("linear", "lenet5_relu", "resnet20", "inception_small")] + [
    ("finetune", "mobilenet_025"),
    ("finetune", "mobilenet_v3_small_075"),
]
REST = [pytest.param(*key, marks=pytest.mark.slow) for key in ROWS if key not in LIGHT]


def test_every_network_has_a_row():
    assert list(ROWS) == [("finetune", name) for name in BACKBONES] + [("train", name) for name in ARCHITECTURES]


def test_the_file_is_as_it_would_be_written():
    assert FILE.read_text(encoding="utf-8") == text_of(list(load_catalog()))


@pytest.mark.parametrize("row", load_catalog(), ids=lambda row: f"{row.command}-{row.name}")
def test_a_row_is_plausible(row):
    assert 1950 < row.year < 2030
    assert (row.top1 is None) == (row.source == "")
    assert row.top1 is None or (50 < row.top1 < 90 and row.source in SOURCES)
    assert row.depth >= 1
    assert row.multiply_adds >= row.parameters / 40  # a weight of a dense layer is used once
    assert row.size == 4 * row.parameters
    assert row.row.name == row.name


def test_every_backbone_has_a_published_accuracy():
    assert all(row.top1 for row in load_catalog() if row.command == "finetune")


@pytest.mark.parametrize(("command", "name"), [*LIGHT, *REST])
def test_the_counts_are_those_of_the_layers(command, name):
    assert counted(ROWS[command, name]) == ROWS[command, name]


@pytest.mark.parametrize(
    ("name", "parameters"),  # https://keras.io/api/applications/, in millions, to a decimal
    [("xception", 22.9), ("resnet50", 25.6), ("mobilenet_v2", 3.5), ("efficientnet_b0", 5.3), ("nasnet_large", 88.9)],
)
def test_parameters_are_as_keras_says(name, parameters):
    assert ROWS["finetune", name].parameters / 1e6 == pytest.approx(parameters, abs=0.06)


def test_a_network_of_both_kinds_has_two_rows():
    assert [row.command for row in find_entries("ResNet50")] == ["finetune", "train"]
    assert [row.command for row in find_entries("linear")] == ["train"]
    with pytest.raises(OptionError, match="did you mean"):
        find_entries("resnet19")


def test_the_drawing_is_a_png(tmp_path):
    plot_catalog(load_catalog(), tmp_path / "zoo.png")
    assert (tmp_path / "zoo.png").read_bytes().startswith(b"\x89PNG")
