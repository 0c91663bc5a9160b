"""Tables of features: the rows of every training, with path, class and split."""

import csv
import json

import numpy as np
import pytest

from tlkit.data.image import ImageSpec

pytest.importorskip("sklearn")
pytest.importorskip("faiss")
parquet = pytest.importorskip("pyarrow.parquet")

from tests.networks import keras, run_network
from tlkit.data.image import decode_square
from tlkit.errors import OptionError, RunError
from tlkit.features import export
from tlkit.features.export import export_features
from tlkit.settings.commands import FeaturesSettings


@pytest.fixture(scope="module")
def small(weights_file):
    return {"backbone": "mobilenet_025", "weights": str(weights_file), "image_size": 32}


@pytest.fixture(scope="module")
def exported(small, colors, tmp_path_factory):
    return export_features(colors, tmp_path_factory.mktemp("table") / "all.npz", FeaturesSettings(**small))


def opened(file):
    with np.load(file, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def test_export_has_a_row_with_class_and_subset_of_every_image(exported, colors, finetuned):
    table = opened(exported.files[0])
    assert table["features"].shape == exported.shape
    assert table["path"].tolist() == sorted(file.relative_to(colors).as_posix() for file in colors.glob("*/*"))
    assert [path.split("/")[0] for path in table["path"]] == table["class"].tolist()
    subsets = {path: subset for subset, part in finetuned.split.subsets.items() for path in part.paths}
    assert [subsets[path] for path in table["path"].tolist()] == table["split"].tolist()  # as a training with that seed
    assert json.loads(str(table["facts"]))["class_names"] == ["blue", "green", "red"]


def test_export_of_a_backbone_gives_what_a_head_is_trained_on(exported, finetuned):
    table = opened(exported.files[0])
    model = keras.saving.load_model(finetuned.run.path / "model.keras", compile=False)
    body = keras.Model(model.input, model.get_layer("features").output)
    expected = run_network(body, pixels_of(finetuned, table["path"][:5]))
    np.testing.assert_allclose(table["features"][:5], expected, atol=1e-3)


def pixels_of(finetuned, paths):
    root = finetuned.split.train.root
    return np.stack([decode_square((root / path).read_bytes(), ImageSpec(32)) for path in paths]).astype(np.float32)


def test_export_of_a_run_gives_what_it_classifies_on_and_keeps_its_subsets(finetuned_run, finetuned, colors, tmp_path):
    done = export_features(colors, tmp_path / "run.npz", FeaturesSettings(run=str(finetuned_run.path), seed=5))
    table = opened(done.files[0])
    model = keras.saving.load_model(finetuned_run.path / "model.keras", compile=False)
    logits = model.get_layer("head_logits")
    body = keras.Model(model.input, logits.input)
    expected = run_network(body, pixels_of(finetuned, table["path"][:5]))
    np.testing.assert_allclose(table["features"][:5], expected, atol=1e-3)
    subsets = {path: subset for subset, part in finetuned.split.subsets.items() for path in part.paths}
    assert [subsets[path] for path in table["path"].tolist()] == table["split"].tolist()


def test_export_of_a_layer_is_averaged_over_the_image(finetuned_run, finetuned, colors, tmp_path):
    done = export_features(
        colors, tmp_path / "layer.npz", FeaturesSettings(run=str(finetuned_run.path), layer="conv_pw_3_relu")
    )
    table = opened(done.files[0])
    model = keras.saving.load_model(finetuned_run.path / "model.keras", compile=False)
    from tlkit.models.graph import topological_order

    output = next(tensor for layer, _, tensor in topological_order(model.output) if layer.name == "conv_pw_3_relu")
    maps = run_network(keras.Model(model.input, output), pixels_of(finetuned, table["path"][:5]))
    np.testing.assert_allclose(table["features"][:5], maps.mean(axis=(1, 2)), atol=1e-3)


def test_export_of_a_layer_without_weights_below_it_is_its_own_networks(small, colors, tmp_path):
    networks = {"mobilenet_025": (-1, 1), "vgg16": (-124, 152)}  # what each makes of pixels from 0 to 255
    means = []
    for name, (low, high) in networks.items():
        settings = FeaturesSettings(backbone=name, weights="none", image_size=32, layer="preprocessing")
        table = opened(export_features(colors, tmp_path / f"{name}.npz", settings).files[0])
        assert low <= table["features"].min() <= table["features"].max() <= high
        means.append(table["features"].mean(axis=0))
    assert not np.allclose(*means, atol=0.05)


def test_export_to_csv_and_parquet_holds_the_same_and_puts_the_codec_beside(small, colors, tmp_path, exported):
    settings = FeaturesSettings(**small, pca=5)
    (tmp_path / "p").mkdir()
    files = [tmp_path / "t.csv", tmp_path / "p" / "t.parquet", tmp_path / "t.npz"]
    written = [export_features(colors, file, settings) for file in files]
    with (tmp_path / "t.csv").open(newline="") as lines:
        by_csv = list(csv.DictReader(lines))
    by_parquet = parquet.read_table(files[1]).to_pylist()
    table = opened(tmp_path / "t.npz")
    for row, (one, other) in enumerate(zip(by_csv, by_parquet, strict=True)):
        values = [np.float32(one[f"feature_{column}"]) for column in range(5)]
        assert values == other["features"] == table["features"][row].tolist()
        for name in ("path", "class", "split"):
            assert one[name] == other[name] == table[name][row]
    assert [file.name for file in written[0].files] == ["t.csv", "t.learnt.npz"]
    fitted, full = opened(tmp_path / "t.learnt.npz"), opened(exported.files[0])["features"]
    np.testing.assert_allclose((full - fitted["mean"]) @ fitted["components"].T, table["features"], atol=1e-3)


def test_export_fits_components_on_training_images_alone(small, colors, tmp_path, exported):
    export_features(colors, tmp_path / "p.npz", FeaturesSettings(**small, pca=3))
    full, table = opened(exported.files[0]), opened(tmp_path / "p.npz")
    np.testing.assert_allclose(table["mean"], full["features"][full["split"] == "train"].mean(axis=0), atol=1e-4)


def test_export_of_codes_has_bytes(small, colors, tmp_path):
    done = export_features(colors, tmp_path / "q.npz", FeaturesSettings(**small, pca=8, pq=4))
    table = opened(done.files[0])
    assert table["codes"].dtype == np.uint8
    assert table["codes"].shape == (36, 4)
    assert "features" not in table
    assert set(done.nearest_neighbor_accuracy) == {"features", "components", "codes"}
    assert done.nearest_neighbor_accuracy["features"] > 0.5


def test_nearest_images_are_the_same_in_blocks_of_any_size(small, colors, tmp_path, monkeypatch):
    options = FeaturesSettings(**small, pca=8, pq=4, validation_split=0.4)
    expected = export_features(colors, tmp_path / "whole.npz", options).nearest_neighbor_accuracy
    assert 0 < min(expected.values()) <= max(expected.values()) <= 1
    for rows in (1, 5):
        monkeypatch.setattr(export, "BLOCK_ROWS", rows)
        done = export_features(colors, tmp_path / f"{rows}.npz", options)
        assert done.nearest_neighbor_accuracy == pytest.approx(expected)


def test_of_many_validation_images_some_are_asked_about_and_a_note_says_so(small, colors, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "MAX_QUERIES", 3)
    done = export_features(colors, tmp_path / "some.npz", FeaturesSettings(**small))
    assert "nearest training images were looked for of 3 of 6 validation images." in done.notes
    assert 3 * done.nearest_neighbor_accuracy["features"] in (0, 1, 2, 3)


def test_export_of_what_is_the_runs_own_cannot_be_another(finetuned_run, colors, tmp_path):
    for name, value, option in (
        ("image_size", 64, "--image-size is 64"),
        ("backbone", "resnet50", "--backbone is resnet50"),
        ("resize", "pad", "--resize is pad"),
        ("gray_range", "0,9", "--gray-range is 0,9"),
        ("weights", "none", "--weights is none"),
    ):
        settings = FeaturesSettings(run=str(finetuned_run.path), **{name: value})
        with pytest.raises(OptionError, match=option):
            export_features(colors, tmp_path / "f.csv", settings)
    assert list(tmp_path.iterdir()) == []


def test_export_of_a_classic_run_is_refused(classic_run, colors, tmp_path):
    with pytest.raises(RunError, match="contains a classic classifier"):
        export_features(colors, tmp_path / "f.npz", FeaturesSettings(run=str(classic_run.path)))


def test_export_to_csv_for_spreadsheets_has_decimal_commas(small, colors, tmp_path, exported):
    options = FeaturesSettings(**small, csv_dialect="excel")
    export = export_features(colors, tmp_path / "t.csv", options)
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8-sig") as lines:
        header, *rows = csv.reader(lines, delimiter=";")
    assert header[:4] == ["path", "class", "split", "feature_0"]
    found = np.array([[value.replace(",", ".") for value in row[3:]] for row in rows], np.float32)
    assert np.array_equal(found, export.table.rows)
    assert np.array_equal(found, opened(exported.files[0])["features"])
    with pytest.raises(OptionError, match="--csv-dialect"):
        export_features(colors, tmp_path / "t.npz", options)
