"""Feature maps of an image, against what Keras computes itself."""

import numpy as np
import pytest

from tests.making import encoded, noise
from tests.networks import keras, run_network
from tests.visualization.making import inspected, lively_network, small_networks, two_layers
from tlkit.errors import DataError, OptionError
from tlkit.visualization.feature_maps import SIDE, compute_maps, decode_for, show_maps, strongest


def test_maps_equal_the_output_of_keras():
    network, pixels = two_layers(), noise(24, 24)
    for name in ("edges", "corners_relu", "logits"):
        [found] = compute_maps(network, [network.find_layer(name)], pixels)
        model = keras.Model(network.model.input, network.model.get_layer(name).output)
        np.testing.assert_allclose(found, run_network(model, pixels[None].astype(np.float32))[0], rtol=1e-5, atol=1e-6)


def test_rows_show_the_image_and_then_the_strongest_maps_of_each_resolution():
    network, pixels = two_layers(), noise(24, 24)
    seen, edges, corners = show_maps(network, pixels)
    np.testing.assert_array_equal(seen.tiles[0][::9, ::9], pixels)  # enlarged by a whole factor
    assert (edges.layer, edges.shape, corners.layer, corners.shape) == (
        *("edges", (24, 24, 4)),
        *("corners_relu", (12, 12, 6)),
    )
    [values] = compute_maps(network, [network.find_layer("corners_relu")], pixels)
    spread = values[2:-2, 2:-2].std(axis=(0, 1))
    assert list(corners.units) == np.argsort(-spread, kind="stable").tolist()
    np.testing.assert_allclose(corners.values, values.max(axis=(0, 1))[list(corners.units)], rtol=1e-6)


def test_bright_is_a_large_value():
    network, pixels = two_layers(), noise(24, 24)
    corners = show_maps(network, pixels)[2]
    [values] = compute_maps(network, [network.find_layer("corners_relu")], pixels)
    factor = corners.tiles.shape[1] // 12
    for unit, tile in zip(corners.units, corners.tiles[:, ::factor, ::factor].astype(float).sum(axis=-1), strict=True):
        inside = values[2:-2, 2:-2, unit]
        if inside.std():
            order = np.argsort(inside.ravel())
            assert np.all(np.diff(tile[2:-2, 2:-2].ravel()[order]) >= -1e-9)


def test_border_does_not_make_a_map_strong():
    values = np.zeros((14, 14, 2))
    values[0, :, 0] = values[-1, :, 0] = 100
    values[5:9, 5:9, 1] = 1
    assert strongest(values).tolist() == [1, 0]
    assert strongest(np.random.default_rng(0).normal(0, [1, 3, 2], (2, 2, 3)), 2).tolist() == [1, 2]


def test_named_layer_and_unit_are_shown():
    network, pixels = two_layers(), noise(24, 24)
    names = [row.layer for row in show_maps(network, pixels, "pooled")]
    assert names == ["", "edges", "pooled", "corners_relu"]
    rows = show_maps(network, pixels, "corners", 2)
    assert [row.layer for row in rows] == ["", "corners"]
    assert rows[1].units == (2,)
    assert len(rows[1].tiles) == 1
    vector = show_maps(network, pixels, "logits")[-1]
    assert (vector.shape, vector.units, len(vector.tiles)) == ((3,), (), 1)
    assert SIDE // 2 <= vector.tiles.shape[1] <= SIDE


def test_what_is_not_in_the_network_is_refused():
    network, pixels = two_layers(), noise(24, 24)
    with pytest.raises(OptionError, match="--unit is 6; expected 0 to 5: corners has 6"):
        show_maps(network, pixels, "corners", 6)
    with pytest.raises(OptionError, match="--layer is 'corner'"):
        show_maps(network, pixels, "corner")
    with pytest.raises(OptionError, match="logits gives one value per unit; leave --unit out"):
        show_maps(network, pixels, "logits", 1)
    flat = keras.Model(pixels := keras.Input((4, 4, 3)), keras.layers.Dense(2)(keras.layers.Flatten()(pixels)))
    with pytest.raises(OptionError, match="no layer with feature maps; name one with --layer"):
        show_maps(inspected(flat, 4), noise(4, 4))


@pytest.mark.parametrize("name", [name for name in small_networks() if name not in ("linear", "mlp")])
def test_every_kind_of_network_has_maps(name):
    size = small_networks()[name]
    network = lively_network(name, size)
    rows = show_maps(network, noise(size, size))
    assert [row.layer for row in rows[1:]] == [layer.name for layer in network.stages()]
    for row in rows[1:]:
        assert row.tiles.dtype == np.uint8
        assert 1 <= len(row.tiles) == len(row.units) <= 8


def test_image_is_read_as_predict_reads_it_or_refused(tmp_path):
    from tlkit.data.image import decode_square

    content = encoded(noise(40, 60))
    (tmp_path / "a.png").write_bytes(content)
    (tmp_path / "b.png").write_bytes(b"no image")
    name, pixels = decode_for(two_layers(), tmp_path / "a.png")
    assert name == str(tmp_path / "a.png")
    np.testing.assert_array_equal(pixels, decode_square(content, two_layers().image))
    for missing in ("b.png", "c.png"):
        with pytest.raises(DataError, match=f"{missing}' cannot be shown .*expected an image file"):
            decode_for(two_layers(), tmp_path / missing)
