"""FeatureExtractor: a scikit-learn transformer whose features are cached."""

from dataclasses import fields

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("sklearn")

import tlkit
from tlkit import FeatureExtractor


@pytest.fixture(scope="module")
def extractor(weights_file):
    return FeatureExtractor(backbone="mobilenet_025", weights=str(weights_file), image_size=32)


def test_features_are_those_of_the_command(extractor, samples, colors, tmp_path):
    files, _ = samples
    features = extractor.fit(files).transform(files)
    options = {name: getattr(extractor, name) for name in ("backbone", "weights", "image_size")}
    table = tlkit.export_features(colors, tmp_path / "f.npz", **options).table
    position = {path: row for row, path in enumerate(table.names[0])}
    rows = [position["/".join(file.replace("\\", "/").split("/")[-2:])] for file in files]
    assert features.dtype == np.float32
    assert np.array_equal(features, table.rows[rows])
    assert len(extractor.get_feature_names_out()) == features.shape[1]


def test_arrays_and_images_have_the_features_of_their_files(extractor, samples):
    files = samples[0][:5]
    images = [Image.open(file).convert("RGB") for file in files]
    expected = extractor.fit(files).transform(files)
    for given in (images, np.stack([np.asarray(image) for image in images]), np.array(files)):
        assert np.array_equal(extractor.fit_transform(given), expected)
    assert np.array_equal(extractor.transform([files[3], files[0], files[3]]), expected[[3, 0, 3]])


def test_deep_images_keep_their_gray_values(extractor):
    gray = np.linspace(0, 4000, 48 * 48).reshape(48, 48)
    images = [Image.fromarray(gray.astype(np.uint16)), Image.fromarray(gray.astype(np.int32))]
    images.append(Image.fromarray(gray.astype(np.float32)))
    features = extractor.fit_transform(images)
    assert np.allclose(features[0], features[1], atol=1e-2)
    assert np.abs(features[0] - features[2]).max() < np.abs(features[0]).max() / 10


def test_it_is_a_step_before_any_classifier(extractor, samples):
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = make_pipeline(clone(extractor), StandardScaler(), LogisticRegression())
    assert cross_val_score(pipeline, *samples, cv=2).min() > 0.7


def test_parameters_are_options_of_features():
    defaults = {item.name: item.default for item in fields(tlkit.FeaturesSettings)}
    parameters = FeatureExtractor().get_params()
    assert parameters.items() <= defaults.items()
    assert {"backbone", "run", "layer", "weights", "resize", "engine", "seed"} <= set(parameters)


def test_an_unreadable_sample_is_named(extractor, samples, tmp_path):
    (tmp_path / "no.png").write_text("text")
    with pytest.raises(tlkit.SamplesError, match=r"sample 1 of X '.*no.png' is "):
        extractor.fit(samples[0]).transform([samples[0][0], tmp_path / "no.png"])
