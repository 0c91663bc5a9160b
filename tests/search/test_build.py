"""Indexes made of images, with images added and removed; what an interruption leaves."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.commands import posix
from tests.search.making import brute_force
from tlkit.errors import DataError, OptionError, RunError
from tlkit.search import build, generation
from tlkit.search.build import add_images, index_images, remove_images
from tlkit.search.generation import changing
from tlkit.search.index import open_index
from tlkit.settings.search import IndexSettings


def paths(index):
    return [record.path for record in index.images]


def names(folder):
    return sorted(file.name for file in Path(folder).iterdir())


def test_an_index_holds_every_image_with_its_class_subset_and_pixels(colors, pixel_index):
    assert len(pixel_index) == 36
    assert pixel_index.facts.kind == "flat"
    assert pixel_index.facts.num_values == 16 * 16 * 3
    for record in pixel_index.images:
        assert record.path.startswith(f"{record.label}/")
        assert record.subset in ("train", "validation")
    stored = pixel_index.vectors.rows(np.arange(36))
    np.testing.assert_allclose(np.linalg.norm(stored, axis=1), 1, rtol=1e-5)
    with Image.open(colors / pixel_index.images.read([7])[0].path) as image:
        small = np.asarray(image.resize((16, 16), Image.Resampling.BOX), np.float32).ravel()
    assert small @ stored[7] / np.linalg.norm(small) > 0.99


def test_search_in_the_index_is_brute_force(pixel_index):
    vectors = pixel_index.vectors.rows(np.arange(36))
    positions, distances = pixel_index.nearest(vectors, 36)
    expected, squared = brute_force(vectors, vectors, 36)
    np.testing.assert_array_equal(positions, expected)
    np.testing.assert_allclose(distances, squared / 2, atol=1e-12)


def test_euclidean_distances_are_those_of_the_features(colors, tmp_path):
    index = index_images(colors, tmp_path / "i", descriptor="histogram", metric="euclidean").index
    vectors = index.vectors.rows(np.arange(36))
    _, distances = index.nearest(vectors[:3], 5)
    np.testing.assert_allclose(distances**2, brute_force(vectors, vectors[:3], 5)[1], rtol=1e-9, atol=1e-12)


def test_principal_components_are_fitted_and_kept(colors, tmp_path):
    pytest.importorskip("sklearn")
    index = index_images(colors, tmp_path / "i", descriptor="pixels", pca=5).index
    assert index.facts.num_values == 5
    again = open_index(tmp_path / "i")
    np.testing.assert_array_equal(again.codec.projection.components, index.codec.projection.components)
    assert again.codec.projection.components.shape == (5, 768)


def test_the_same_images_make_the_same_files(colors, pixel_index, tmp_path):
    other = index_images(colors, tmp_path / "other", descriptor="pixels", seed=1).index
    assert other.facts.key == pixel_index.facts.key
    assert other.facts.files == pixel_index.facts.files


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_what_is_added_is_found_and_what_is_removed_is_not(colors, tmp_path, kind):
    if kind != "flat":
        pytest.importorskip("faiss")
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(colors, first)
    shutil.move(first / "red", second / "red")
    (second / "blue").mkdir()
    shutil.move(first / "blue" / "0.png", second / "blue" / "0.png")
    index_images(first, tmp_path / "i", descriptor="pixels", index=kind)
    change = add_images(tmp_path / "i", second)
    assert (change.num_added, change.num_removed, len(change.index)) == (13, 0, 36)
    assert change.index.facts.roots == (str(first), str(second))
    assert add_images(tmp_path / "i", second).num_added == 0
    vectors = change.index.vectors.rows(np.arange(36))
    np.testing.assert_array_equal(change.index.nearest(vectors, 1)[0].ravel(), np.arange(36))
    change = remove_images(tmp_path / "i", ["red/*", "blue/0.png"])
    assert (change.num_removed, len(change.index)) == (13, 23)
    assert not any(path.startswith("red/") for path in paths(change.index))
    vectors = change.index.vectors.rows(np.arange(23))
    np.testing.assert_array_equal(change.index.nearest(vectors, 1)[0].ravel(), np.arange(23))
    assert len(names(tmp_path / "i")) == (4 if kind == "flat" else 5)  # nothing of the last generations
    assert (second / "red" / "0.png").exists()


def test_a_file_that_changed_replaces_its_old_self(colors, tmp_path):
    shutil.copytree(colors, tmp_path / "data")
    index_images(tmp_path / "data", tmp_path / "i", descriptor="pixels")
    Image.new("RGB", (48, 48), "white").save(tmp_path / "data" / "red" / "3.png")
    change = add_images(tmp_path / "i", tmp_path / "data")
    assert (change.num_added, change.num_removed, len(change.index)) == (1, 1, 36)
    assert paths(change.index)[-1] == "red/3.png"


def test_groups_join_old_and_new_duplicates(colors, tmp_path):
    index_images(colors, tmp_path / "i", descriptor="pixels")
    (tmp_path / "more" / "red").mkdir(parents=True)
    (tmp_path / "more" / "blue").mkdir()
    with Image.open(colors / "red" / "0.png") as image:
        image.save(tmp_path / "more" / "red" / "copy.bmp")
    shutil.copy(colors / "blue" / "1.png", tmp_path / "more" / "blue" / "1.png")
    index = add_images(tmp_path / "i", tmp_path / "more").index
    group = {(record.root, record.path): record.group for record in index.images}
    assert group[0, "red/0.png"] == group[1, "red/copy.bmp"]
    assert len(set(group.values())) == 36


def test_images_without_classes(colors, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(colors / "red", folder)
    (folder / "notes.txt").write_text("no image")
    change = index_images(folder, tmp_path / "i", descriptor="pixels", labels=False)
    assert len(change.index) == 12
    assert [entry.path for entry in change.skipped] == ["notes.txt"]
    assert {record.label for record in change.index.images} == {""}
    with pytest.raises(DataError, match="--no-labels"):
        index_images(folder, tmp_path / "j", descriptor="pixels")
    with pytest.raises(DataError, match="is not a folder"):
        index_images(tmp_path / "i" / "no", tmp_path / "j", labels=False)


def test_what_cannot_be_indexed_leaves_nothing(colors, tmp_path):
    for options, error in (
        ({"descriptor": "bow"}, OptionError),
        ({"descriptor": "nonsense"}, OptionError),
        ({"descriptor": "pixels", "index": "pq"}, OptionError),
        ({"backbone": "nonsense"}, OptionError),
        ({"run": "nowhere"}, RunError),
    ):
        with pytest.raises(error):
            index_images(colors, tmp_path / "i", **options)
    with pytest.raises(OptionError, match="inside the image folder"):
        index_images(colors, colors / "i", descriptor="pixels")
    with pytest.raises(OptionError, match="give one of them"):
        IndexSettings(descriptor="pixels", run="latest")
    assert names(tmp_path) == []


@pytest.mark.parametrize("point", ["write_records", "write_vectors", "write_facts", "record_run"])
def test_an_interrupted_change_leaves_the_index_as_it_was(own_copy, monkeypatch, point):
    before = {file.name: file.read_bytes() for file in own_copy.iterdir()}

    def fail(*args, **options):
        """Interrupt, as Ctrl-C does."""
        raise KeyboardInterrupt

    module = build if point == "write_facts" else generation
    monkeypatch.setattr(module, point, fail)
    with pytest.raises(KeyboardInterrupt):
        remove_images(own_copy, ["red/*"])
    monkeypatch.undo()
    if point in ("write_records", "write_vectors"):
        assert {file.name: file.read_bytes() for file in own_copy.iterdir()} == before
    index = open_index(own_copy)
    index.check_files()
    assert len(index) in (36, 24)
    remove_images(own_copy, ["green/*"])  # what the interruption left is removed, too
    assert len(names(own_copy)) == 4


def test_changes_that_mean_nothing_are_refused(own_copy):
    with pytest.raises(DataError, match="'nothing/0.png'"):
        remove_images(own_copy, ["red/0.png", "nothing/0.png"])
    with pytest.raises(DataError, match="would be left; remove the folder instead"):
        remove_images(own_copy, ["*"])
    assert len(open_index(own_copy)) == 36


def test_an_index_of_another_machine_is_not_changed(foreign_copy, colors):
    for change in (lambda: remove_images(foreign_copy, ["red/*"]), lambda: add_images(foreign_copy, colors)):
        with pytest.raises(RunError, match="was not made on this machine"):
            change()


def test_a_change_meanwhile_by_another_command_is_refused(own_copy, monkeypatch):
    rewrite = build._rewrite

    def slow(*arguments):
        """Let another command finish first."""
        monkeypatch.setattr(build, "_rewrite", rewrite)
        remove_images(own_copy, ["green/0.png"])
        return rewrite(*arguments)

    monkeypatch.setattr(build, "_rewrite", slow)
    with pytest.raises(OptionError, match="another command changed"):
        remove_images(own_copy, ["red/*"])
    assert len(open_index(own_copy)) == 35
    open_index(own_copy).check_files()


@posix
def test_two_changes_at_once_leave_a_whole_index(own_copy):
    with changing(own_copy), pytest.raises(OptionError, match="another command is changing"):
        remove_images(own_copy, ["red/*"])
    assert remove_images(own_copy, ["red/*"]).num_removed == 12  # the lock has ended


def test_a_damaged_record_is_named_when_all_are_read(own_copy, monkeypatch):
    monkeypatch.setattr("tlkit.search.index.CHECKED_BYTES", 10)  # as of a large index
    file = next(own_copy.glob("images-*"))
    file.write_bytes(file.read_bytes().replace(b'"red/3.png"', b'"../3.png" '))
    with pytest.raises(RunError, match="outside its folder"):
        list(open_index(own_copy).records())
    with pytest.raises(RunError, match="outside its folder"):
        remove_images(own_copy, ["blue/*"])
