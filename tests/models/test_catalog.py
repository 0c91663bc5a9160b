"""The catalog has an entry for every network, and its counts are those of the layers."""

import pytest
from matplotlib.figure import Figure

from tests.write_catalog import CATALOG_FILE, recount, to_csv
from tlkit.errors import OptionError
from tlkit.models.architectures.registry import ARCHITECTURES
from tlkit.models.backbones import BACKBONES
from tlkit.models.catalog import SOURCES, find_entries, load_catalog, plot_catalog

ENTRIES = {(entry.command, entry.name): entry for entry in load_catalog()}
SMALL = [
    *(("train", name) for name in ("linear", "lenet5_relu", "resnet20", "inception_small")),
    ("finetune", "mobilenet_025"),
]
LARGE = [pytest.param(*key, marks=pytest.mark.slow) for key in ENTRIES if key not in SMALL]
PUBLISHED = {  # millions of parameters, https://keras.io/api/applications/
    "xception": 22.9,
    "resnet50": 25.6,
    "mobilenet_v2": 3.5,
    "efficientnet_b0": 5.3,
    "nasnet_large": 88.9,
}


def test_catalog_has_every_network_in_order():
    assert list(ENTRIES) == [("finetune", name) for name in BACKBONES] + [("train", name) for name in ARCHITECTURES]


def test_catalog_file_is_as_it_would_be_written():
    assert CATALOG_FILE.read_text(encoding="utf-8") == to_csv(list(load_catalog()))


def test_catalog_entries_are_plausible():
    def is_plausible(entry):
        return (
            1950 < entry.year < 2030
            and (entry.top1 is None) == (entry.source == "")
            and (entry.top1 is None or (50 < entry.top1 < 90 and entry.source in SOURCES))
            and (entry.top1 is not None or entry.command == "train")
            and entry.depth >= 1
            and entry.multiply_adds >= entry.parameters / 40  # a weight of a dense layer is used once
            and entry.size == 4 * entry.parameters
            and entry.spec.name == entry.name
        )

    assert [key for key, entry in ENTRIES.items() if not is_plausible(entry)] == []


@pytest.mark.parametrize(("command", "name"), [*SMALL, *LARGE])
def test_catalog_counts_are_those_of_layers(command, name):
    assert recount(ENTRIES[command, name]) == ENTRIES[command, name]


def test_catalog_parameters_are_published_ones():
    millions = {name: ENTRIES["finetune", name].parameters / 1e6 for name in PUBLISHED}
    assert millions == pytest.approx(PUBLISHED, abs=0.06)


def test_find_entries_of_both_commands_gives_two():
    assert [entry.command for entry in find_entries("ResNet50")] == ["finetune", "train"]
    assert [entry.command for entry in find_entries("linear")] == ["train"]
    with pytest.raises(OptionError, match="did you mean"):
        find_entries("resnet19")


def test_plot_catalog_writes_each_name_once_and_names_the_families(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *args, **options: figures.append(figure))
    plot_catalog(load_catalog(), tmp_path / "networks.png")
    (axes,) = figures[0].axes
    names = [text.get_text() for text in axes.texts]
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(names) == len(set(names)) > 30
    assert not any(a.overlaps(b) for number, a in enumerate(boxes) for b in boxes[:number])
    families = {text.get_text() for legend in axes.artists for text in legend.get_texts()}
    assert {"MobileNet", "ResNet", "VGG", "ConvNeXt"} < families


def test_plot_catalog_writes_png(tmp_path):
    plot_catalog(load_catalog(), tmp_path / "zoo.png")
    assert (tmp_path / "zoo.png").read_bytes().startswith(b"\x89PNG")
