"""ImageClassifier: a scikit-learn classifier over paths, arrays and Pillow images."""

import inspect
import pickle
from dataclasses import fields

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("sklearn")

import tlkit
from tlkit import ImageClassifier


def opened(files):
    return [Image.open(file).convert("RGB") for file in files]


def test_parameters_are_the_options_of_finetune_with_their_defaults():
    from sklearn.base import clone

    classifier = ImageClassifier(dropout=0.3)
    settings = {item.name: item.default for item in fields(tlkit.FinetuneSettings)}
    parameters = classifier.get_params()
    assert parameters["runs"] is None
    assert {name: value for name, value in parameters.items() if name != "runs"}.items() <= (
        settings | {"dropout": 0.3}
    ).items()
    assert set(settings) - set(parameters) == {
        *("images", "path_column", "label_column", "split_column", "group_column", "label_regex", "group_regex"),
        *("folds", "seeds", "golden", "report", "plots"),
    }
    assert clone(classifier).get_params() == parameters
    assert classifier.set_params(dropout=0.7).dropout == 0.7
    assert inspect.signature(ImageClassifier).parameters["dropout"].default == settings["dropout"]
    assert "dropout (float): Dropout rate before the last layer." in ImageClassifier.__doc__
    with pytest.raises(TypeError, match="unknown parameter 'drop'; expected one of .*dropout"):
        ImageClassifier(drop=1)


def test_a_fitted_classifier_predicts_paths_arrays_images_and_bytes_alike(fitted, samples):
    files, labels = samples
    assert list(fitted.classes_) == ["blue", "green", "red"]
    probabilities = fitted.predict_proba(files)
    assert probabilities.shape == (36, 3)
    assert probabilities.dtype == np.float32
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert fitted.score(files, labels) > 0.9
    assert list(fitted.predict(files)) == [fitted.classes_[row.argmax()] for row in probabilities]
    images = opened(files)
    stacked = np.stack([np.asarray(image) for image in images])
    content = [open(file, "rb").read() for file in files]  # noqa: PTH123, SIM115
    for given in (images, stacked, list(stacked), content, np.array(files), np.array(files)[:, None]):
        assert np.array_equal(fitted.predict_proba(given), probabilities)
    assert np.array_equal(fitted.predict_proba(files[::-1]), probabilities[::-1])


def test_its_run_is_a_run_of_tlkit(fitted, samples):
    files, _ = samples
    predictions = list(tlkit.predict(fitted.run_, files))
    assert np.array_equal(np.stack([row.probabilities for row in predictions]), fitted.predict_proba(files))
    assert fitted.metrics_.num_train + fitted.metrics_.num_validation == 36
    assert not (fitted.run_.path / "report.html").exists()
    assert not (fitted.run_.path / "golden.json").exists()
    assert not (fitted.run_.path / "plots").exists()


def test_features_have_a_row_per_sample_and_names(fitted, samples):
    features = fitted.transform(samples[0])
    assert features.shape == (36, len(fitted.get_feature_names_out()))
    assert features.dtype == np.float32
    assert fitted.get_feature_names_out()[0] == "imageclassifier0"


def test_a_pickle_holds_the_run_and_its_folder_goes_with_the_estimator(fitted, samples):
    copied = pickle.loads(pickle.dumps(fitted))
    folder = copied.run_.path
    assert folder != fitted.run_.path
    assert np.array_equal(copied.predict_proba(samples[0]), fitted.predict_proba(samples[0]))
    del copied
    assert not folder.exists()
    assert fitted.run_.path.exists()


def test_what_cannot_be_samples_is_a_value_error_with_one_sentence(fitted, tmp_path):
    (tmp_path / "no.png").write_text("text")
    for given, words in (
        ("a.png", r"X is of type str; expected a list or array of paths"),
        (None, r"X is of type NoneType"),
        ([], r"X has 0 samples"),
        (np.zeros((3, 4)), r"sample 0 of X is an array float64 \(4,\)"),
        ([1, 2], r"sample 0 of X is of type int"),
        ([str(tmp_path / "missing.png")], r"sample 0 of X '.*missing.png' does not exist"),
        ([tmp_path / "no.png"], r"sample 0 of X '.*no.png' is "),
    ):
        for method in (fitted.predict, fitted.predict_proba, fitted.transform):
            with pytest.raises(ValueError, match=words) as caught:
                method(given)
            assert isinstance(caught.value, tlkit.SamplesError)


def test_a_closed_image_is_a_sentence(fitted, small, samples):
    files, labels = samples
    closed = opened(files[:1])
    closed[0].close()
    unread = Image.open(files[0])  # its file was closed before a pixel was read
    unread.close()
    for given in (closed, [unread]):
        for method in (fitted.predict, fitted.transform):
            with pytest.raises(tlkit.SamplesError, match=r"^sample 0 of X is a closed image\.$"):
                method(given)
        with pytest.raises(tlkit.SamplesError, match=r"^sample 35 of X is a closed image\.$"):
            ImageClassifier(**small).fit([*files[1:], *given], labels)
        (found,) = tlkit.predict(fitted.run_, given)
        assert (found.status, found.error) == ("error", "is a closed image")


def test_what_cannot_be_labels_is_refused_before_any_work(small, samples):
    from sklearn.exceptions import NotFittedError

    files, labels = samples
    classifier = ImageClassifier(**small)
    for given, words in (
        (labels[:-1], "inconsistent numbers of samples"),
        (["red"] * 36, "y has one class, red; expected two classes or more"),
        (["", "red"] * 18, "a label of y is empty"),
        (np.linspace(0, 1, 36), "continuous"),
        (["red", "blue", None] * 12, "y mixes labels of type NoneType and str; expected all texts or all numbers"),
        (np.array(["red", 1] * 18, object), "y mixes labels of type int and str"),
        ([["red", "blue"]] * 36, "y should be a 1d array"),
        (None, "y should be a 1d array"),
    ):
        with pytest.raises(tlkit.SamplesError, match=words):
            classifier.fit(files, given)
    with pytest.raises(tlkit.SamplesError, match="inconsistent numbers"):
        classifier.fit(files, labels, groups=["a"])
    with pytest.raises(tlkit.OptionError, match="--dropout is 2"):
        classifier.set_params(dropout=2).fit(files, labels)
    with pytest.raises(NotFittedError):
        classifier.predict(files)


@pytest.mark.slow
def test_the_order_of_the_samples_has_no_effect_and_groups_stay_in_one_subset(small, samples):
    files, labels = samples
    order = np.random.default_rng(0).permutation(36)
    images = opened(files)
    groups = [f"g{index // 4}" for index in range(36)]
    fits = [
        ImageClassifier(**small).fit(given, np.array(labels)[chosen], groups=np.array(groups)[chosen])
        for given, chosen in (
            (images, np.arange(36)),
            ([images[index] for index in order], order),
            (np.stack([np.asarray(images[index]) for index in order]), order),
        )
    ]
    expected = fits[0].predict_proba(files)
    for other in fits[1:]:
        assert np.array_equal(other.predict_proba(files), expected)
    group_of = {}
    rows = fits[0].run_.read_rows("split.csv")
    assert len(rows) == 36
    for row in rows:
        group_of.setdefault(row["group"], set()).add(row["split"])
    assert len(group_of) == 9
    assert all(len(subsets) == 1 for subsets in group_of.values())


@pytest.mark.slow
def test_numbers_and_truth_values_are_labels_too(small, samples):
    files, labels = samples
    numbers = np.array([{"blue": 10, "green": 2, "red": -1}[label] for label in labels])
    fitted = ImageClassifier(**small).fit(files, numbers)
    assert fitted.classes_.tolist() == [-1, 2, 10]
    assert fitted.predict(files).dtype == numbers.dtype
    assert fitted.score(files, numbers) > 0.9
    fitted = ImageClassifier(**small).fit(files, numbers > 0)
    assert fitted.score(files, numbers > 0) > 0.9


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TensorFlow, which `pytest.warns` gives again
def test_unreadable_samples_are_left_out_with_a_warning(small, samples, tmp_path):
    files, labels = samples
    (tmp_path / "no.png").write_text("text")
    with pytest.warns(UserWarning, match=r"1 of 37 samples were left out, e.g. .*no.png: is text, not an image"):
        fitted = ImageClassifier(**small).fit([*files, tmp_path / "no.png"], [*labels, "red"])
    assert fitted.score(files, labels) > 0.9


@pytest.mark.slow
def test_runs_are_kept_where_a_folder_is_given(small, samples, tmp_path):
    classifier = ImageClassifier(**small, runs=tmp_path / "runs")
    first = classifier.fit(*samples).run_.path
    second = classifier.fit(*samples).run_.path
    assert [first.name, second.name] == ["finetune-001", "finetune-002"]
    del classifier
    assert (first / "report.html").exists()
    assert (first / "golden.json").exists()
    assert tlkit.load_run(second).manifest.class_names == ("blue", "green", "red")


@pytest.mark.slow
def test_it_works_in_searches_pipelines_and_calibration(small, samples, monkeypatch):
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import VotingClassifier
    from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
    from sklearn.pipeline import Pipeline

    files, labels = samples
    search = GridSearchCV(ImageClassifier(**small), {"dropout": [0.2, 0.6]}, cv=2).fit(files, labels)
    assert search.best_score_ > 0.6
    assert search.predict(files[:2]).shape == (2,)
    steps = Pipeline([("classifier", ImageClassifier(**small))]).set_params(classifier__dropout=0.1)
    assert steps.fit(files, labels).score(files, labels) > 0.9
    calibrated = CalibratedClassifierCV(ImageClassifier(**small), cv=2).fit(files, labels)
    assert calibrated.predict_proba(files).shape == (36, 3)
    groups = np.array([f"g{index % 6}" for index in range(36)])
    scores = cross_val_score(
        ImageClassifier(**small), files, labels, groups=groups, cv=GroupKFold(2), params={"groups": groups}
    )
    assert scores.min() > 0.6
    voting = VotingClassifier([("a", ImageClassifier(**small)), ("b", ImageClassifier(**small, seed=1))], voting="soft")
    assert voting.fit(np.array(files), labels).score(np.array(files), labels) > 0.9
