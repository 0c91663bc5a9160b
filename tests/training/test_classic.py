"""The classic pipeline: the folder, split, run and commands of every training, without a network."""

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skimage")

from tests.cli.test_cli import refused, tlkit
from tests.making import encoded, noise
from tests.networks import use_keras_home
from tlkit.classic.descriptors import DESCRIPTORS, describe_sift, descriptor_sizes, find_descriptors
from tlkit.classic.pipeline import open_pipeline
from tlkit.errors import OptionError, RunError
from tlkit.inference.evaluate import evaluate
from tlkit.inference.predictor import Predictor, predict
from tlkit.runs.run import load_run
from tlkit.settings.training import ClassicSettings
from tlkit.training.classic import CLASSIC_FILE, resolve_classic, train_classic
from tlkit.training.resume import resume

PLAIN = ClassicSettings(descriptor="histogram", classifier="logistic")
LOCAL = ClassicSettings(descriptor="bow+colours", classifier="svm", pyramid=2, image_size=64)


@pytest.fixture(scope="module")
def done(colours, tmp_path_factory):
    return train_classic(colours, tmp_path_factory.mktemp("classic") / "run", PLAIN)


@pytest.fixture(scope="module")
def local(colours, tmp_path_factory):
    return train_classic(colours, tmp_path_factory.mktemp("local") / "run", LOCAL)


def test_colours_are_told_apart_and_the_run_is_like_any_other(done):
    assert done.metrics["accuracy"] == 1.0
    assert done.metrics["selected_on_validation"] is False
    assert done.metrics["cross_validated_accuracy"] == 1.0
    assert done.metrics["classifier_options"]["C"] > 0
    for name in (
        "split.csv",
        "metrics.json",
        "per_class.csv",
        "predictions_val.csv",
        CLASSIC_FILE,
        "DONE",
        "model.json",
    ):
        assert (done.run.path / name).exists()


@pytest.mark.parametrize("fixture", ["done", "local"])
def test_predict_says_what_was_written_while_training(fixture, request, colours):
    run = request.getfixturevalue(fixture)
    rows = list(run.run.read_rows("predictions_val.csv"))
    found = list(predict(run.run, [colours / row["path"] for row in rows]))
    assert [one.label for one in found] == [row["label"] for row in rows]
    written = np.array([[float(row[f"p_{name}"]) for name in run.split.train.class_names] for row in rows])
    np.testing.assert_allclose(np.stack([one.probabilities for one in found]), written, atol=1e-5)
    np.testing.assert_allclose(written.sum(axis=1), 1, atol=1e-5)


def test_evaluate_finds_the_same(local):
    assert evaluate(local.run.path).report.accuracy == local.report.accuracy


def test_a_broken_file_is_an_error_row(done, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    (row,) = predict(done.run, tmp_path / "broken.jpg")
    assert row.status == "error"


def test_a_class_list_that_does_not_fit_is_found_out(done, colours, tmp_path):
    copy = shutil.copytree(done.run.path, tmp_path / "copy")
    facts = json.loads((copy / "model.json").read_text(encoding="utf-8"))
    names = facts["class_names"]
    (copy / "model.json").write_text(json.dumps(facts | {"class_names": names[1:]}), encoding="utf-8")
    said = rf"names {len(names) - 1} classes in model.json, but what it predicts with knows {len(names)}"
    with pytest.raises(RunError, match=said):
        list(predict(copy, colours / "red" / "0.png"))
    assert "classes in model.json" in refused(4, "predict", copy, colours / "red" / "0.png")


def test_too_few_images_to_judge_by_are_told(done):
    assert "too few images to validate on" in done.metrics["diagnosis"][0]["words"]


def test_odd_files_get_the_rows_that_a_network_gives_them(done, finetuned, shared_data):
    odd = shared_data / "awkward" / "images"
    ours, theirs = (
        [(one.path, one.status, one.error) for one in predict(run, odd)] for run in (done.run, finetuned.run)
    )
    assert ours == theirs
    assert len(ours) == 48
    assert {status for _, status, _ in ours} == {"ok", "error"}


def test_what_is_kept_is_arrays_and_json(done):
    with np.load(done.run.path / CLASSIC_FILE, allow_pickle=False) as stored:
        assert all(stored[name].dtype != object for name in stored.files)


def test_a_second_run_describes_nothing_anew_and_is_the_same(local, colours, tmp_path):
    again = train_classic(colours, tmp_path / "run", LOCAL)
    assert again.metrics["features_reused"] == len(again.split.train) + len(again.split.validation)
    first, second = (open_pipeline(run.run.path / CLASSIC_FILE).decider for run in (local, again))
    for name in first.kept:
        np.testing.assert_array_equal(first.kept[name], second.kept[name])


def test_a_vocabulary_is_learnt_from_training_images_alone(local, colours, tmp_path, monkeypatch):
    from tlkit.features import vectors as by_hand

    seen = []

    def keep(name, patches, seed):
        seen.append(patches)
        stop()

    monkeypatch.setattr(by_hand, "learn_vocabulary", keep)
    with pytest.raises(StoppedError):
        train_classic(colours, tmp_path / "run", LOCAL)
    patches = len(describe_sift(np.zeros((64, 64, 3), np.uint8)))
    assert len(seen[0]) == patches * len(local.split.train)


class StoppedError(Exception):
    """Stands for a crash."""


def stop():
    raise StoppedError


def test_a_stopped_run_goes_on(colours, tmp_path, monkeypatch, done):
    from tlkit.training import classic as candidates

    with monkeypatch.context() as patch, pytest.raises(StoppedError):
        patch.setattr(candidates, "fit_chosen", lambda *parts: stop())
        train_classic(colours, tmp_path / "run", PLAIN)
    again = resume(tmp_path / "run")
    assert again.metrics["accuracy"] == done.metrics["accuracy"]


def test_a_damaged_file_is_found_out(done, colours, tmp_path):
    import shutil

    copy = shutil.copytree(done.run.path, tmp_path / "copy")
    (copy / CLASSIC_FILE).write_bytes((copy / CLASSIC_FILE).read_bytes()[:-50])
    with pytest.raises(RunError, match="not what the run wrote"):
        Predictor(load_run(copy))
    with pytest.raises(ValueError, match="damaged"):
        open_pipeline(copy / CLASSIC_FILE)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"descriptor": "hog", "image_size": 47}, "--image-size is 47; hog needs at least 48"),
        ({"descriptor": "bow", "image_size": 31}, "--image-size is 31; bow needs at least 32"),
        ({"descriptor": "colours+fisher", "image_size": 20}, "--image-size is 20; fisher needs at least 32"),
        ({"descriptor": "auto", "image_size": 128}, "--descriptor auto has its own"),
    ],
)
def test_sizes_that_cannot_be_are_refused_at_once(options, said, colours, tmp_path):
    with pytest.raises(OptionError, match=said):
        train_classic(colours, tmp_path / "run", ClassicSettings(**options))
    assert not (tmp_path / "run").exists()


def test_one_descriptor_has_the_size_asked_for_and_several_at_most_that():
    hog, both = find_descriptors("hog"), find_descriptors("hog+lbp")
    assert [descriptor_sizes(hog, size) for size in (0, 128, 224)] == [(96,), (128,), (224,)]
    assert [descriptor_sizes(both, size) for size in (0, 64, 128, 224)] == [(96, 224), (64, 64), (96, 128), (96, 224)]


@pytest.mark.parametrize("row", DESCRIPTORS.values(), ids=lambda row: row.name)
def test_the_least_size_can_be_described(row):
    values = row.describe(noise(row.least_size, row.least_size))
    assert values.size
    assert np.isfinite(values).all()


@pytest.mark.parametrize("descriptor", ["bow", "fisher"])
@pytest.mark.parametrize("textured", [0, 1])
def test_pictures_without_texture_end_no_training(descriptor, textured, tmp_path):
    for name, shade in (("a", 40), ("b", 200)):
        (tmp_path / "flat" / name).mkdir(parents=True)
        for number in range(9):
            picture = np.full((40, 40, 3), shade + number, np.uint8)
            picture[12:28, 12:20] += np.uint8(50 * (number < textured))
            (tmp_path / "flat" / name / f"{number}.png").write_bytes(encoded(picture))
    settings = ClassicSettings(descriptor=descriptor, image_size=32)
    found = train_classic(tmp_path / "flat", tmp_path / "run", settings)
    assert np.isfinite(found.report.probabilities).all()


def test_descriptions_that_memory_does_not_hold_are_refused(colours, tmp_path, monkeypatch):
    from tlkit.features import vectors as by_hand

    monkeypatch.setattr(by_hand, "MAX_VECTOR_BYTES", 1e5)
    with pytest.raises(OptionError, match="2,566 values for each of 29 images .* take fewer levels of --pyramid"):
        train_classic(colours, tmp_path / "run", LOCAL)
    assert not (tmp_path / "run").exists()


def test_auto_describes_and_learns_a_vocabulary_once(colours, tmp_path, monkeypatch):
    from tlkit.features import vectors as by_hand
    from tlkit.training import classic

    learnt = []
    learn = by_hand.learn_vocabulary
    monkeypatch.setattr(classic, "CANDIDATES", ("hog", "fisher+hog", "fisher+histogram"))
    monkeypatch.setattr(by_hand, "learn_vocabulary", lambda *parts: learnt.append(parts[0]) or learn(*parts))
    found = train_classic(colours, tmp_path / "run", ClassicSettings(descriptor="auto"))
    assert learnt == ["fisher"]
    chosen = found.run.read_json("model.json")["descriptor"]
    assert open_pipeline(found.run.path / CLASSIC_FILE).describer.descriptors == tuple(chosen.split("+"))
    rows = list(found.run.read_rows("predictions_val.csv"))
    assert [one.label for one in predict(found.run, [colours / row["path"] for row in rows])] == [
        row["label"] for row in rows
    ]


def test_auto_has_a_pyramid_where_there_is_something_local(colours, tmp_path, monkeypatch):
    from tlkit.training import classic

    monkeypatch.setattr(classic, "CANDIDATES", ("hog", "fisher+hog"))
    found = train_classic(colours, tmp_path / "run", ClassicSettings(descriptor="auto", pyramid=2))
    assert set(found.metrics["advice"]["tried"]) == {"hog", "fisher+hog"}


@pytest.mark.parametrize("options", [{"descriptor": "hog", "classifier": "knn"}, {"features": "mobilenet_025"}])
def test_it_can_be_run_again_from_its_settings(options, colours, tmp_path, weights_file):
    if "features" in options:
        options |= {"weights": str(weights_file), "image_size": 32, "pca": 4}
    once = train_classic(colours, tmp_path / "once", ClassicSettings(**options, seed=3))
    tlkit("train", colours, "--config", once.run.path / "settings.json", "-o", tmp_path / "again")
    ours, theirs = ((tmp_path / name / "predictions_val.csv").read_bytes() for name in ("once", "again"))
    assert ours == theirs
    mixed = ("--config", once.run.path / "settings.json", "--model", "linear")
    assert "--model has no meaning with" in refused(2, "train", colours, *mixed)


def test_what_needs_a_network_is_refused(done, colours):
    with pytest.raises(OptionError, match="was made for classic, --engine keras cannot run it"):
        Predictor(done.run, engine="keras")
    for command in (("summary",), ("finetune", colours, "--from")):
        assert "holds a classifier that is no network" in refused(4, *command, done.run.path)


def test_few_images_are_enough(colours, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "few" / name).mkdir(parents=True)
        for number in range(2):
            picture = noise(32, 32, seed=number + 10 * (name == "b"))
            (tmp_path / "few" / name / f"{number}.png").write_bytes(encoded(picture))
    found = train_classic(tmp_path / "few", tmp_path / "run", PLAIN)
    assert found.metrics["cross_validated_accuracy"] is None


def test_sizes_are_the_descriptors_own_unless_one_is_asked_for():
    assert resolve_classic(PLAIN).image_size == 128
    assert resolve_classic(ClassicSettings(descriptor="hog+lbp")).image_size == 224
    with pytest.raises(OptionError, match="needs a local descriptor"):
        resolve_classic(ClassicSettings(descriptor="hog", pyramid=2))
    with pytest.raises(OptionError, match="there is no 'hok'. expected auto, colours, histogram"):
        resolve_classic(ClassicSettings(descriptor="hok"))
    with pytest.raises(OptionError, match="auto chooses among several by itself: give it alone"):
        resolve_classic(ClassicSettings(descriptor="auto+hog"))
    with pytest.raises(OptionError, match="each descriptor once"):
        resolve_classic(ClassicSettings(descriptor="hog+hog"))


def test_the_command(colours, tmp_path):
    lines = tlkit("train", colours, "-o", tmp_path / "run", "--descriptor", "colours", "--classifier", "knn").stdout
    assert "nothing was chosen on these images" in lines
    assert "--epochs has no meaning with --descriptor" in refused(
        2, "train", colours, "--descriptor", "hog", "--epochs", "3"
    )
    assert "--epochs has no meaning with --features" in refused(2, "train", colours, "--features", "x", "--epochs", "3")
    assert "--engine has no meaning" in refused(2, "train", colours, "--descriptor", "hog", "--engine", "keras")
    assert "--classifier needs --descriptor" in refused(2, "train", colours, "--classifier", "knn")


@pytest.fixture(scope="module")
def deep(colours, weights_file, tmp_path_factory):
    return train_classic(colours, tmp_path_factory.mktemp("deep") / "run", deep_settings(weights_file))


def deep_settings(weights_file, **others):
    return ClassicSettings(features="mobilenet_025", weights=str(weights_file), image_size=32, **others)


def test_a_networks_features_are_told_apart_and_predicted_as_measured(deep, colours):
    part = deep.split.train
    learnt = [one.label for one in predict(deep.run, part.files)]  # random weights: what is learnt holds here only
    assert np.mean(np.array(learnt) == np.array(part.class_names)[part.labels]) > 0.8
    rows = list(deep.run.read_rows("predictions_val.csv"))
    found = list(predict(deep.run, [colours / row["path"] for row in rows]))
    written = np.array([[float(row[f"p_{name}"]) for name in deep.split.train.class_names] for row in rows])
    np.testing.assert_allclose(np.stack([one.probabilities for one in found]), written, atol=1e-4)
    assert evaluate(deep.run.path).report.accuracy == deep.report.accuracy


def test_its_features_are_those_of_finetune(deep, finetuned, colours, weights_file, tmp_path):
    again = train_classic(colours, tmp_path / "run", deep_settings(weights_file, classifier="naive-bayes", pca=4))
    assert again.metrics["features_reused"] == 36
    assert open_pipeline(again.run.path / CLASSIC_FILE).decider.scaling.components.shape[0] == 4
    assert again.split.validation.paths == finetuned.split.validation.paths
    with pytest.raises(OptionError, match="--pca is 5000; [0-9]+ training images"):
        train_classic(colours, tmp_path / "more", deep_settings(weights_file, pca=5000))
    assert not (tmp_path / "more").exists()


def test_keras_alone_is_enough(deep, colours, weights_file, tmp_path):
    slow = train_classic(colours, tmp_path / "run", deep_settings(weights_file, engine="keras"))
    assert (slow.run.path / "engine" / "lower.keras").exists()
    np.testing.assert_allclose(slow.report.probabilities, deep.report.probabilities, atol=1e-3)
    (one,) = predict(slow.run, colours / "red" / "0.png")
    assert one.label == "red"
    with pytest.raises(OptionError, match="was made for litert, --engine keras cannot run it"):
        Predictor(deep.run, engine="keras")


def test_either_descriptors_or_features():
    with pytest.raises(OptionError, match="either --descriptor"):
        ClassicSettings()
    with pytest.raises(OptionError, match="either --descriptor"):
        ClassicSettings(descriptor="hog", features="mobilenet")
    with pytest.raises(OptionError, match="needs --descriptor bow or fisher"):
        resolve_classic(ClassicSettings(features="mobilenet", pyramid=2))
    with pytest.raises(OptionError, match="there is no backbone 'mobilnet'; did you mean mobilenet"):
        resolve_classic(ClassicSettings(features="mobilnet"))


def test_auto_takes_the_best_in_folds_of_the_training_images(colours, tmp_path, monkeypatch):
    from tlkit.training import classic

    assert all(find_descriptors(name) for name in classic.CANDIDATES)
    monkeypatch.setattr(classic, "CANDIDATES", ("hog", "histogram"))
    found = train_classic(colours, tmp_path / "run", ClassicSettings(descriptor="auto"))
    tried = found.metrics["advice"]["tried"]
    assert set(tried) == {"hog", "histogram"}
    assert tried["histogram"] > tried["hog"]  # noise has no edges
    assert found.run.read_json("model.json")["descriptor"] == "histogram"
    assert found.metrics["cross_validated_accuracy"] == tried["histogram"]
    seconds = found.metrics["seconds"]
    assert sum(seconds.values()) - seconds["total"] == pytest.approx(seconds["total"], abs=1)
    assert "histogram was the best in folds" in found.metrics["advice"]["reason"]
    (one,) = predict(found.run, colours / "red" / "0.png")
    assert one.label == "red"


def test_auto_with_too_few_images_for_folds_says_so(colours, tmp_path, monkeypatch):
    from tlkit.training import classic

    for name in ("red", "blue"):
        (tmp_path / "few" / name).mkdir(parents=True)
        for file in sorted((colours / name).glob("*.png"))[:2]:
            shutil.copy(file, tmp_path / "few" / name)
    monkeypatch.setattr(classic, "CANDIDATES", ("hog", "histogram"))
    found = train_classic(tmp_path / "few", tmp_path / "run", ClassicSettings(descriptor="auto"))
    advice = found.run.read_json("metrics.json")["advice"]
    assert advice["tried"] == {"hog": None, "histogram": None}
    assert advice["reason"] == "too few images to compare descriptors in folds: histogram, the fullest, was taken"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("images", "options", "least"),
    [
        ("sign_digits", {"descriptor": "hog"}, 0.90),
        ("trashnet", {"descriptor": "fisher+histogram"}, 0.84),
        ("trashnet", {"features": "mobilenet_v2"}, 0.86),
        ("trashnet", {"features": "mobilenet_v2", "pca": 128}, 0.845),
    ],
    ids=lambda value: "+".join(map(str, value.values())) if isinstance(value, dict) else str(value),
)
def test_real_photos_are_told_apart(images, options, least, shared_data, tmp_path, monkeypatch):
    """docs/results.md has the figures of several seeds; one image of trashnet's 510 is 0.002."""
    use_keras_home(monkeypatch, shared_data / "keras_home")
    done = train_classic(shared_data / "images" / images, tmp_path / "run", ClassicSettings(**options))
    assert done.report.accuracy >= least
