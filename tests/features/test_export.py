"""Tables of features: the rows of every training, with path, class and split."""

import csv
import json

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("faiss")
parquet = pytest.importorskip("pyarrow.parquet")

from tests.cli.test_cli import refused, tlkit
from tests.networks import keras
from tlkit.data.image import decode_square
from tlkit.errors import OptionError, RunError
from tlkit.features.export import Table, check_file, export_features, write_table
from tlkit.settings.commands import FeaturesSettings


@pytest.fixture(scope="module")
def small(weights_file):
    return {"backbone": "mobilenet_025", "weights": str(weights_file), "image_size": 32}


@pytest.fixture(scope="module")
def exported(small, colours, tmp_path_factory):
    return export_features(colours, tmp_path_factory.mktemp("table") / "all.npz", FeaturesSettings(**small))


def opened(file):
    with np.load(file, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def test_every_image_has_its_row_class_and_side(exported, colours, finetuned):
    table = opened(exported.files[0])
    assert table["features"].shape == exported.shape
    assert table["path"].tolist() == sorted(file.relative_to(colours).as_posix() for file in colours.glob("*/*"))
    assert [path.split("/")[0] for path in table["path"]] == table["class"].tolist()
    sides = {path: side for side, part in finetuned.split.parts.items() for path in part.paths}
    assert [sides[path] for path in table["path"].tolist()] == table["split"].tolist()  # as a training with that seed
    assert json.loads(str(table["facts"]))["class_names"] == ["blue", "green", "red"]


def test_rows_are_what_a_head_is_trained_on(exported, finetuned):
    table = opened(exported.files[0])
    model = keras.saving.load_model(finetuned.run.path / "model.keras", compile=False)
    ahead = keras.Model(model.input, model.get_layer("features").output)
    expected = ahead.predict(pixels_of(finetuned, table["path"][:5]), verbose=0)
    np.testing.assert_allclose(table["features"][:5], expected, atol=1e-3)


def pixels_of(finetuned, paths):
    root = finetuned.split.train.root
    return np.stack([decode_square((root / path).read_bytes(), 32) for path in paths]).astype(np.float32)


def test_a_run_gives_what_it_classifies_on_and_keeps_its_sides(run, finetuned, colours, tmp_path):
    done = export_features(colours, tmp_path / "run.npz", FeaturesSettings(run=str(run.path), seed=5))
    table = opened(done.files[0])
    model = keras.saving.load_model(run.path / "model.keras", compile=False)
    logits = model.get_layer("head_logits")
    ahead = keras.Model(model.input, logits.input)
    expected = ahead.predict(pixels_of(finetuned, table["path"][:5]), verbose=0)
    np.testing.assert_allclose(table["features"][:5], expected, atol=1e-3)
    sides = {path: side for side, part in finetuned.split.parts.items() for path in part.paths}
    assert [sides[path] for path in table["path"].tolist()] == table["split"].tolist()


def test_a_layer_by_name_is_averaged_over_the_picture(run, finetuned, colours, tmp_path):
    done = export_features(colours, tmp_path / "layer.npz", FeaturesSettings(run=str(run.path), layer="conv_pw_3_relu"))
    table = opened(done.files[0])
    model = keras.saving.load_model(run.path / "model.keras", compile=False)
    from tlkit.models.cut import topological_order

    output = next(tensor for layer, _, tensor in topological_order(model.output) if layer.name == "conv_pw_3_relu")
    maps = keras.Model(model.input, output).predict(pixels_of(finetuned, table["path"][:5]), verbose=0)
    np.testing.assert_allclose(table["features"][:5], maps.mean(axis=(1, 2)), atol=1e-3)


def test_a_layer_without_weights_below_it_is_its_own_networks(small, colours, tmp_path):
    networks = {"mobilenet_025": (-1, 1), "densenet121": (-2.2, 2.7)}  # what each makes of pixels from 0 to 255
    means = []
    for name, (least, most) in networks.items():
        settings = FeaturesSettings(backbone=name, weights="none", image_size=32, layer="preprocessing")
        table = opened(export_features(colours, tmp_path / f"{name}.npz", settings).files[0])
        assert least <= table["features"].min() <= table["features"].max() <= most
        means.append(table["features"].mean(axis=0))
    assert not np.allclose(*means, atol=0.05)


def test_csv_and_parquet_hold_the_same_and_what_was_learnt_lies_beside(small, colours, tmp_path, exported):
    settings = FeaturesSettings(**small, pca=5)
    (tmp_path / "p").mkdir()
    files = [tmp_path / "t.csv", tmp_path / "p" / "t.parquet", tmp_path / "t.npz"]
    written = [export_features(colours, file, settings) for file in files]
    with (tmp_path / "t.csv").open(newline="") as lines:
        by_csv = list(csv.DictReader(lines))
    by_parquet = parquet.read_table(files[1]).to_pylist()
    table = opened(tmp_path / "t.npz")
    for place, (one, other) in enumerate(zip(by_csv, by_parquet, strict=True)):
        values = [np.float32(one[f"feature_{column}"]) for column in range(5)]
        assert values == [other[f"feature_{column}"] for column in range(5)] == table["features"][place].tolist()
        for name in ("path", "class", "split"):
            assert one[name] == other[name] == table[name][place]
    assert [file.name for file in written[0].files] == ["t.csv", "t.learnt.npz"]
    learnt, full = opened(tmp_path / "t.learnt.npz"), opened(exported.files[0])["features"]
    np.testing.assert_allclose((full - learnt["mean"]) @ learnt["components"].T, table["features"], atol=1e-3)


def table_of(learnt):
    names = (["a/1.png", "b/2.png"], ["a", "b"], ["train", "validation"])
    return Table(names, np.array([[1, 2], [3, 4]], np.uint8), {"seed": 0}, learnt)


def test_what_was_learnt_is_written_before_the_codes_it_decodes(tmp_path):
    (tmp_path / "t.csv").mkdir()  # so that the table cannot be written
    with pytest.raises(OptionError):
        write_table(table_of({"centres": np.zeros((2, 5, 1), np.float32)}), tmp_path / "t.csv")
    assert opened(tmp_path / "t.learnt.npz")["centres"].shape == (2, 5, 1)


def test_learnt_arrays_of_another_table_are_in_the_way_only_where_some_are_learnt(tmp_path):
    (tmp_path / "t.learnt.npz").write_bytes(b"of another table")
    check_file(tmp_path / "t.csv", learns=False)
    assert write_table(table_of({}), tmp_path / "t.csv") == [tmp_path / "t.csv"]
    assert (tmp_path / "t.learnt.npz").read_bytes() == b"of another table"
    check_file(tmp_path / "t.npz", learns=True)  # which holds its own
    with pytest.raises(OptionError, match=r"t\.learnt\.npz' is already there"):
        check_file(tmp_path / "t.parquet", learns=True)


def test_components_are_learnt_from_training_images_alone(small, colours, tmp_path, exported):
    export_features(colours, tmp_path / "p.npz", FeaturesSettings(**small, pca=3))
    full, table = opened(exported.files[0]), opened(tmp_path / "p.npz")
    np.testing.assert_allclose(table["mean"], full["features"][full["split"] == "train"].mean(axis=0), atol=1e-4)


def test_codes_are_bytes(small, colours, tmp_path):
    done = export_features(colours, tmp_path / "q.npz", FeaturesSettings(**small, pca=8, pq=4))
    table = opened(done.files[0])
    assert table["codes"].dtype == np.uint8
    assert table["codes"].shape == (36, 4)
    assert "features" not in table
    assert set(done.neighbour) == {"features", "components", "codes"}
    assert done.neighbour["features"] > 0.5


def test_the_command(small, colours, tmp_path, run):
    options = [text for name, value in small.items() for text in (f"--{name.replace('_', '-')}", value)]
    out = tlkit("features", colours, *options, "-o", tmp_path / "f.csv").stdout
    assert "36 images" in out
    assert "f.csv" in out
    before = (tmp_path / "f.csv").read_bytes()
    assert "already there" in refused(2, "features", colours, *options, "-o", tmp_path / "f.csv")
    assert "would lie inside the images" in refused(2, "features", colours, *options, "-o", colours / "f.npz")
    assert not (colours / "f.npz").exists()
    assert (tmp_path / "f.csv").read_bytes() == before
    assert "does not end in .npz" in refused(2, "features", colours, *options, "-o", tmp_path / "f.txt")
    assert "is no folder" in refused(2, "features", colours, *options, "-o", tmp_path / "no" / "f.csv")
    said = refused(2, "features", colours, *options, "--layer", "conv_pw_3_rel", "-o", tmp_path / "g.csv")
    assert "did you mean conv_pw_3_relu" in said
    for mine in (("--image-size", "64"), ("--backbone", "resnet50"), ("--resize", "pad")):
        wrong = refused(2, "features", colours, "--run", run.path, *mine, "-o", tmp_path / "g.csv")
        assert f"{mine[0]} is {mine[1]}, but" in wrong
    assert [file.name for file in tmp_path.iterdir()] == ["f.csv"]


def test_only_a_network_has_layers(colours, tmp_path):
    from tlkit.settings.training import ClassicSettings
    from tlkit.training.classic import train_classic

    classic = train_classic(colours, tmp_path / "run", ClassicSettings(descriptor="colours", classifier="knn"))
    with pytest.raises(RunError, match="no network; give the run of one"):
        export_features(colours, tmp_path / "f.npz", FeaturesSettings(run=str(classic.run.path)))
