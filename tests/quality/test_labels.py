"""Wrong labels are suspected first; the closed formula equals leaving out by hand."""

import numpy as np
import pytest

from tests.quality.making import looked_at, photos
from tlkit.features.neighbors import unit_rows
from tlkit.quality.labels import PENALTY, LabelErrors, Outliers, leave_one_out_scores


@pytest.mark.parametrize("shape", [(30, 5), (12, 40)])
def test_leave_one_out_scores_equal_fits_without_each_image(shape):
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=shape).astype(np.float32), rng.integers(0, 3, shape[0])
    found = leave_one_out_scores(features, labels, 3)
    columns, targets = unit_rows(features).astype(float) * np.sqrt(shape[1]), np.eye(3)[labels]
    means = targets.mean(axis=0)
    for index in range(shape[0]):
        rest = np.arange(shape[0]) != index
        kept = columns[rest]
        weights = np.linalg.solve(kept.T @ kept + PENALTY * np.eye(shape[1]), kept.T @ (targets - means)[rest])
        assert found[index] == pytest.approx(means + columns[index] @ weights, abs=1e-4)


def test_flipped_labels_come_first(tmp_path):
    photos(tmp_path, {"a": 30, "b": 30})
    data = looked_at(tmp_path)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 20)).astype(np.float32)
    features[:, :5] += 2.0 * data.folder.labels[:, None]
    wrong = data.folder.labels.copy()
    wrong[[3, 40]] = 1 - wrong[[3, 40]]
    object.__setattr__(data.folder, "labels", wrong)
    issues = LabelErrors().find(looked_at_with(data, features))
    assert {issue.paths[0] for issue in issues[:2]} == {data.folder.paths[3], data.folder.paths[40]}
    assert issues[0].score >= issues[1].score > 0
    assert "looks like 'a'; its label is 'b'" in next(
        issue.message for issue in issues if issue.paths[0] == data.folder.paths[3]
    )
    assert LabelErrors().find(data) == []


def looked_at_with(data, features):
    return type(data)(data.folder, data.near, features)


def test_an_image_far_from_all_others_is_an_outlier(tmp_path):
    photos(tmp_path, {"a": 20, "b": 20})
    data = looked_at(tmp_path)
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(40, 3)) @ rng.normal(size=(3, 60))).astype(np.float32)
    features[7] = 3 * rng.normal(size=60)
    [issue] = Outliers().find(looked_at_with(data, features))
    assert issue.paths == (data.folder.paths[7],)
    assert Outliers().find(looked_at_with(data, np.ones((40, 6), np.float32))) == []
