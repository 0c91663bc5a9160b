"""Features in two dimensions, and the map of a run."""

import csv
import io

import numpy as np
import pytest

from tests.shared_runs import copy_run
from tests.test_hostile_runs import rehash
from tlkit.errors import ModelError, OptionError, RunError
from tlkit.features import projection
from tlkit.features.projection import MAX_IMAGES, map_positions, project, read_map


def two_clouds(count=40, length=20, seed=0):
    random = np.random.default_rng(seed)
    return np.concatenate([random.normal(0, 1, (count, length)), random.normal(6, 1, (count, length))])


def gap_over_spread(points):
    """The distance of the centers of the two halves, in deviations of the wider half."""
    halves = np.split(points, 2)
    return np.linalg.norm(halves[0].mean(axis=0) - halves[1].mean(axis=0)) / max(
        half.std(axis=0).max() for half in halves
    )


def test_pca_keeps_the_distances_of_points_in_a_plane():
    random = np.random.default_rng(1)
    plane, _ = np.linalg.qr(random.normal(0, 1, (30, 2)))
    points = random.normal(0, [5, 1], (25, 2))
    found = project(points @ plane.T + 3)
    assert (found.shape, found.dtype) == ((25, 2), np.float32)
    before, after = (np.linalg.norm(values[:, None] - values, axis=-1) for values in (points, found))
    np.testing.assert_allclose(before, after, atol=1e-4)
    assert found[:, 0].std() > found[:, 1].std()
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-4)


def test_pca_agrees_with_scikit_learn_up_to_the_sign():
    decomposition = pytest.importorskip("sklearn.decomposition")
    values = two_clouds()
    theirs = decomposition.PCA(2, svd_solver="full").fit_transform(values)
    np.testing.assert_allclose(np.abs(project(values)), np.abs(theirs), rtol=1e-4, atol=1e-5)


def test_pca_has_the_same_signs_for_images_in_any_order():
    values = two_clouds()
    order = np.random.default_rng(2).permutation(len(values))
    np.testing.assert_allclose(project(values[order]), project(values)[order], atol=1e-4)


@pytest.mark.parametrize("method", ["pca", "tsne", "umap"])
def test_two_clouds_are_apart(method):
    if method != "pca":
        pytest.importorskip({"tsne": "sklearn", "umap": "umap"}[method])
    values = two_clouds()
    points = project(values, method, seed=3)
    assert (points.shape, points.dtype) == ((80, 2), np.float32)
    assert gap_over_spread(points) > 4
    assert gap_over_spread(np.random.default_rng(0).permutation(points)) < 1
    np.testing.assert_array_equal(points, project(values, method, seed=3))


@pytest.mark.parametrize("method", ["pca", "tsne", "umap"])
@pytest.mark.parametrize("shape", [(0, 5), (1, 5), (2, 5), (3, 2, 2), (6, 1), (5, 4)])
def test_few_images_and_few_values_have_a_map(method, shape):
    if method != "pca":
        pytest.importorskip({"tsne": "sklearn", "umap": "umap"}[method])
    for values in (np.ones(shape), np.random.default_rng(0).normal(0, 1, shape)):
        points = project(values, method)
        assert points.shape == (shape[0], 2)
        assert np.isfinite(points).all()


def test_unknown_method_and_missing_package_are_refused(monkeypatch):
    with pytest.raises(OptionError, match="the method is 'lle'; expected one of pca, tsne, umap"):
        project(np.ones((4, 2)), "lle")
    monkeypatch.setattr("tlkit.errors.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"t-SNE map needs scikit-learn.*pip install 'tlkit\[classic\]'"):
        project(np.ones((4, 2)), "tsne")
    with pytest.raises(ModelError, match=r"UMAP map needs umap-learn.*pip install 'tlkit\[umap\]'"):
        project(np.ones((4, 2)), "umap")
    assert project(np.ones((4, 2))).shape == (4, 2)


def test_map_takes_images_evenly():
    for count in (0, 1, 499, 500, 501, 12_345):
        positions = map_positions(count)
        assert len(positions) == len(set(positions)) == min(count, MAX_IMAGES)
        assert len(set(np.diff(positions).tolist())) <= 2  # as near to equal as whole numbers allow
        assert set(positions[[0, -1]] if count else ()) <= {0, count - 1}


@pytest.mark.parametrize("fixture", ["finetuned_run", "blocks_run", "scratch_run", "classic_run"])
def test_every_run_has_the_map_of_its_validation_images(fixture, request):
    run = request.getfixturevalue(fixture)
    validation = [(row["path"], row["class"]) for row in run.read_rows("split.csv") if row["split"] == "validation"]
    found = read_map(run)
    assert list(zip(found.paths, found.class_names, strict=True)) == validation
    assert (found.points.shape, found.points.dtype) == ((6, 2), np.float32)
    np.testing.assert_allclose(found.points.mean(axis=0), 0, atol=1e-3 * np.abs(found.points).max())


def test_map_is_the_pca_of_the_features_that_the_saved_network_computes(finetuned_run, colors):
    from tlkit.inference.inputs import NamedInput
    from tlkit.inference.network import open_network

    found = read_map(finetuned_run)
    image = finetuned_run.manifest.image
    decoded = [NamedInput(path, colors / path).decode(image, identify=False).pixels for path in found.paths]
    points = project(open_network(finetuned_run).extract(np.stack(decoded)))
    np.testing.assert_allclose(points, found.points, rtol=1e-3, atol=1e-4 * np.abs(points).max())


def write_point(run, x):
    rows = list(csv.reader(io.StringIO((run.path / "map.csv").read_text(), newline="")))
    rows[1][2] = x
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    (run.path / "map.csv").write_text(text.getvalue())
    rehash(run, "map.csv")


@pytest.mark.parametrize("x", ["left", "nan", "inf", "", "1e999", "9" * 5000])
def test_map_with_a_point_that_is_no_number_is_refused(x, finetuned_run, tmp_path):
    run = copy_run(finetuned_run, tmp_path)
    write_point(run, x)
    with pytest.raises(RunError, match=r"map.csv' is damaged \(.*\); restore it or train again"):
        read_map(run)


def test_map_of_too_many_rows_is_refused(finetuned_run, tmp_path, monkeypatch):
    monkeypatch.setattr(projection, "MAX_IMAGES", 5)
    with pytest.raises(RunError, match="more than 5 rows"):
        read_map(finetuned_run)
