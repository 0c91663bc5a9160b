"""visualize(): what is shown, in which words, and what is refused."""

import io

import numpy as np
import pytest
from PIL import Image

import tlkit
from tests.shared_runs import copy_foreign_run
from tlkit.errors import DataError, OptionError, RunError
from tlkit.visualization.visualize import visualize


def size_of(shown):
    image = Image.open(io.BytesIO(shown.png))
    assert image.format == "PNG"
    return image.size


def test_without_options_the_filters_of_the_first_layer_are_shown(finetuned_run):
    shown = visualize(finetuned_run)
    assert (shown.kind, shown.network) == ("filters", str(finetuned_run.path))
    assert [row.layer for row in shown.layers] == ["conv1"]
    assert "gray is zero" in shown.caption
    assert size_of(shown)[0] >= 640
    assert shown.png == visualize(str(finetuned_run.path)).png == tlkit.visualize(finetuned_run.path).png


def test_image_is_shown_layer_by_layer(finetuned_run, colors):
    shown = visualize(finetuned_run, image=str(colors / "red/0.png"))
    assert shown.kind == "feature maps"
    heights = [row.shape[0] for row in shown.layers]
    assert heights == sorted(heights, reverse=True)
    assert shown.title == f"0.png, layer by layer, in {finetuned_run.path}"
    json = shown.as_json()
    assert [row["layer"] for row in json["layers"]] == [row.layer for row in shown.layers[1:]]
    assert all(len(row["units"]) == len(row["values"]) for row in json["layers"])
    with pytest.raises(DataError, match="cannot be shown"):
        visualize(finetuned_run, image=str(colors))


def test_class_and_units_are_maximized(finetuned_run):
    shown = visualize(finetuned_run, class_name="green", steps=3)
    assert shown.kind == "maximization"
    [row] = shown.layers
    assert (row.units, row.shape) == ((1,), (3,))
    assert row.labels[0].startswith("class green: ")
    unit = visualize(finetuned_run, layer="conv1", unit=2, steps=3, seed=1)
    assert unit.layers[0].units == (2,)
    assert unit.png == visualize(finetuned_run, layer="conv1", unit=2, steps=3, seed=1).png
    assert unit.png != visualize(finetuned_run, layer="conv1", unit=2, steps=3, seed=2).png
    assert len(visualize(finetuned_run, layer="conv1", steps=1).layers[0].units) == 6


def test_map_is_that_of_the_run(finetuned_run, classic_run):
    shown = visualize(finetuned_run, map="pca")
    assert shown.kind == "map"
    assert shown.image_map.points.shape == (6, 2)
    assert shown.as_json()["num_images"] == 6
    assert visualize(classic_run, map="pca").image_map.points.shape == (6, 2)


def test_dense_first_layer_has_templates():
    shown = visualize("mlp", weights="none")
    assert shown.title == "Templates of mlp, random weights"
    assert "the sum is the value of its class or unit" in shown.caption


def test_random_network_and_weights_of_a_file(weights_file):
    random = visualize("lenet5_relu", weights="none", seed=1)
    assert random.network == "lenet5_relu, random weights"
    assert random.png != visualize("lenet5_relu", weights="none", seed=2).png
    named = visualize("mobilenet_025", weights=str(weights_file), image_size=32)
    assert named.network == "mobilenet_025, weights of small.weights.h5"
    assert not np.array_equal(
        named.layers[0].tiles, visualize("mobilenet_025", weights="none", image_size=32, seed=5).layers[0].tiles
    )


def test_what_cannot_be_shown_is_refused(finetuned_run, classic_run, tmp_path):
    for options, words in (
        ({"layer": "conv_1"}, "expected a layer such as 'conv1'"),
        ({"layer": "pixels"}, "the pixels themselves; expected a layer above them"),
        ({"layer": "conv1", "unit": 8}, "--unit is 8; expected 0 to 7: conv1 has 8"),
        ({"class_name": "gren"}, "--class is 'gren'; expected a class of the run, such as 'green'"),
    ):
        with pytest.raises(OptionError, match=words):
            visualize(finetuned_run, **options)
    with pytest.raises(OptionError, match="--class needs a run"):
        visualize("mobilenet_025", weights="none", image_size=32, class_name="cat")
    with pytest.raises(OptionError, match="--map needs a run"):
        visualize("mobilenet_025", map="pca")
    with pytest.raises(RunError, match="classic classifier"):
        visualize(classic_run)
    with pytest.raises(RunError, match="was not made on this machine"):
        visualize(copy_foreign_run(finetuned_run, tmp_path))


def test_visualization_is_saved_once_and_shows_itself_in_a_notebook(finetuned_run, tmp_path):
    shown = visualize(finetuned_run)
    shown.save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == shown.png == shown._repr_png_()
    with pytest.raises(OptionError, match="already exists"):
        shown.save(tmp_path / "a.png")
