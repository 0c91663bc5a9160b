import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tlkit.data.folder import read_folder

ROOT = Path(__file__).parents[1] / "sample_data"
SCENES = ROOT / "beach_desert"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(ROOT / "make_samples.py"))


@pytest.fixture(scope="module")
def folder():
    return read_folder(SCENES)


def load(path):
    with Image.open(path) as image:
        return image.convert("RGB")


def two_commonest_colors(image):
    """Red, green and blue of the commonest color, then of the next, of the 8 that fit the image best."""
    reduced = image.quantize(8)
    palette = np.reshape(reduced.getpalette(), (-1, 3))
    (_, first), (_, second), *_ = sorted(reduced.getcolors(), reverse=True)
    return np.concatenate([palette[first], palette[second]])


def grain(image):
    """Measure the change from pixel to pixel in each of 12 bands of rows, downwards and to the right."""
    gray = np.asarray(image.convert("L"), float)
    steps = [np.abs(np.diff(gray, axis=axis, append=np.take(gray, [-1], axis))).mean(1) for axis in (0, 1)]
    return np.concatenate([step.reshape(12, -1).mean(1) for step in steps])


def accuracy_left_out(features, labels):
    """Fraction of the images whose label a logistic regression tells that has not seen them, in ten folds."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    right = 0
    for fold in range(10):
        held = np.arange(len(labels)) % 10 == fold
        scaler = preprocessing.StandardScaler().fit(features[~held])
        rule = linear_model.LogisticRegression(C=0.3).fit(scaler.transform(features[~held]), labels[~held])
        right += (rule.predict(scaler.transform(features[held])) == labels[held]).sum()
    return right / len(labels)


def nearest_left_out(features, labels):
    """Fraction of the images whose nearest other image has the same label."""
    distance = np.linalg.norm(features[:, None] - features[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    return (labels[distance.argmin(1)] == labels).mean()


def features_of(folder, describe):
    return np.array([describe(load(folder.root / path)) for path in folder.paths], float)


def test_scenes_are_40_of_each_class(folder):
    assert folder.class_names == ("beach", "desert")
    assert list(folder.class_counts) == [40, 40]
    assert not folder.skipped


def test_scenes_are_small_jpegs_and_no_two_are_alike(folder):
    files = [folder.root / path for path in folder.paths]
    assert {load(file).size for file in files} == {(128, 96)}
    assert len({file.read_bytes() for file in files}) == 80
    assert sum(file.stat().st_size for file in files) < 1_000_000


@pytest.mark.parametrize("name", ["beach", "desert"])
def test_draw_scene_draws_the_same_pixels_every_time(script, name):
    first, second = (np.asarray(script["draw_scene"](name, 3)) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_scenes_are_what_draw_scene_draws(script):
    for name in ("beach", "desert"):
        for number in range(0, 40, 7):
            drawn = np.asarray(script["draw_scene"](name, number), float)
            kept = np.asarray(load(SCENES / name / f"{name}_{number + 1:02}.jpg"), float)
            assert np.abs(drawn - kept).mean() < 6  # JPEG and other versions of Pillow


def test_scenes_are_not_told_apart_by_their_two_commonest_colors(folder):
    colors = features_of(folder, two_commonest_colors)
    assert nearest_left_out(colors, folder.labels) < 0.9
    assert accuracy_left_out(colors, folder.labels) < 0.9


def test_scenes_are_told_apart_without_any_color(folder):
    assert accuracy_left_out(features_of(folder, grain), folder.labels) > 0.8
