"""What is special of classic classifiers: descriptors, vocabularies, candidates, a network's features."""

import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skimage")

from tests.making import encoded, noise
from tests.networks import use_keras_home
from tests.shared_runs import copy_run
from tests.training.stops import StoppedError
from tlkit.classic.descriptors import DESCRIPTORS, compute_sift, descriptor_sizes, find_descriptors
from tlkit.classic.pipeline import open_pipeline
from tlkit.errors import DataError, ModelError, OptionError, RunError
from tlkit.features import vectors
from tlkit.inference.predictor import Predictor, predict
from tlkit.runs.manifest import CLASSIC_MODEL
from tlkit.settings.training import ClassicSettings, settings_from
from tlkit.training import classic
from tlkit.training.classic import classic_recipe, train_classic
from tlkit.utils.progress import Silent

PLAIN = ClassicSettings(descriptor="histogram", classifier="logistic")
LOCAL = ClassicSettings(descriptor="bow+colors", classifier="svm", pyramid=2, image_size=64)


@pytest.fixture(scope="module")
def local(colors, tmp_path_factory):
    """The result of a training with a vocabulary and a pyramid."""
    return train_classic(colors, tmp_path_factory.mktemp("local") / "run", LOCAL)


class StageNames(Silent):
    def __init__(self):
        self.names = []

    def stage(self, name, total, unit):
        self.names.append(name)
        return super().stage(name, total, unit)


def assert_predicts_what_it_reported(result, colors):
    rows = result.run.read_rows("predictions_val.csv")
    predictions = predict(result.run, [colors / row["path"] for row in rows])
    assert [prediction.label for prediction in predictions] == [row["label"] for row in rows]


# what options mean


def test_classic_recipe_takes_sizes_of_descriptors_unless_one_is_asked_for():
    assert classic_recipe(PLAIN).settings.image_size == 128
    assert classic_recipe(ClassicSettings(descriptor="hog+lbp")).settings.image_size == 224
    recipe = classic_recipe(ClassicSettings(features="MobileNet_025"))
    assert (recipe.settings.features, recipe.settings.image_size, recipe.settings.engine) == (
        "mobilenet_025", 224, "litert"
    )  # fmt: skip
    assert recipe.command == "train"
    assert recipe.candidates == ("features",)
    assert classic_recipe(ClassicSettings(descriptor="auto")).candidates == classic.CANDIDATES


def test_classic_recipe_auto_needs_the_packages_of_all_it_compares(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ModelError, match="needs scikit-image, which is not installed"):
        classic_recipe(ClassicSettings(descriptor="auto"))


def test_classic_recipe_is_the_same_whatever_the_classes_and_the_time(colors):
    from tlkit.data.folder import read_folder

    recipe = classic_recipe(PLAIN)
    assert recipe.adapted_to(read_folder(colors)) == recipe
    assert recipe.with_time_limit(60) is recipe


def test_classic_recipe_refuses_what_means_nothing():
    refused = [
        ({"descriptor": "hog", "pyramid": 2}, "--pyramid has no effect with --descriptor hog; .* use --descriptor bow"),
        ({"descriptor": "hok"}, "'hok' is unknown. expected auto, pixels, colors, histogram"),
        ({"descriptor": "auto+hog"}, "auto cannot be combined"),
        ({"descriptor": "hog+hog"}, "each descriptor once"),
        ({"descriptor": "auto", "image_size": 128}, "--image-size has no effect with --descriptor auto"),
        ({"features": "mobilenet", "pyramid": 2}, "--pyramid has no effect with --features mobilenet"),
        ({"features": "mobilnet"}, "unknown backbone 'mobilnet'; did you mean mobilenet"),
        ({"descriptor": "hog", "image_size": 47}, "--image-size is 47; hog needs at least 48"),
        ({"descriptor": "bow", "image_size": 31}, "--image-size is 31; bow needs at least 32"),
        ({"descriptor": "colors+fisher", "image_size": 20}, "--image-size is 20; fisher needs at least 32"),
    ]
    for options, words in refused:
        with pytest.raises(OptionError, match=words):
            classic_recipe(ClassicSettings(**options))
    for options in ({}, {"descriptor": "hog", "features": "mobilenet"}):
        with pytest.raises(OptionError, match="either --descriptor"):
            ClassicSettings(**options)


def test_train_classic_refuses_before_anything_is_made(colors, tmp_path):
    with pytest.raises(OptionError, match="hog needs at least 48"):
        train_classic(colors, tmp_path / "run", ClassicSettings(descriptor="hog", image_size=47))
    assert not (tmp_path / "run").exists()


def test_descriptor_sizes_one_has_size_asked_for_and_several_at_most_that():
    hog, both = find_descriptors("hog"), find_descriptors("hog+lbp")
    assert [descriptor_sizes(hog, size) for size in (0, 128, 224)] == [(96,), (128,), (224,)]
    assert [descriptor_sizes(both, size) for size in (0, 64, 128, 224)] == [(96, 224), (64, 64), (96, 128), (96, 224)]


def test_descriptors_describe_their_smallest_image():
    described = {name: row.compute(noise(row.min_size, row.min_size)) for name, row in DESCRIPTORS.items()}
    assert [name for name, values in described.items() if not values.size or not np.isfinite(values).all()] == []


# what is learnt


def test_train_classic_tells_colors_apart_in_folds_and_validation(classic_result):
    metrics = classic_result.metrics
    assert metrics.accuracy == metrics.figures["cross_validated_accuracy"] == 1.0
    assert metrics.figures["classifier_options"]["C"] > 0
    assert "too uncertain to compare models" in metrics.diagnosis[0]["words"]


def test_classic_file_is_arrays_and_json(classic_run):
    with np.load(classic_run.path / CLASSIC_MODEL, allow_pickle=False) as stored:
        assert all(stored[name].dtype != object for name in stored.files)


def test_open_pipeline_damaged_file_is_refused(classic_run, tmp_path):
    (tmp_path / CLASSIC_MODEL).write_bytes((classic_run.path / CLASSIC_MODEL).read_bytes()[:-50])
    with pytest.raises(ValueError, match="damaged"):
        open_pipeline(tmp_path / CLASSIC_MODEL)


def test_predict_broken_file_is_error_row(classic_run, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    (row,) = predict(classic_run, tmp_path / "broken.jpg")
    assert row.status == "error"


def test_predict_awkward_files_get_the_rows_that_a_network_gives(classic_run, finetuned_run, shared_data):
    folder = shared_data / "awkward" / "images"
    ours, theirs = (
        [(row.path, row.status, row.error) for row in predict(run, folder)] for run in (classic_run, finetuned_run)
    )
    assert ours == theirs
    assert len(ours) == 48
    assert {status for _, status, _ in ours} == {"ok", "error"}


def test_classic_run_cannot_be_opened_as_a_network(classic_run):
    with pytest.raises(OptionError, match="--engine keras cannot run .*, which was trained for classic"):
        Predictor(classic_run, engine="keras")
    with pytest.raises(RunError, match="contains a classic classifier"):
        classic_run.network_file()


# pixels


def test_pixels_with_principal_components_predict_what_they_reported(colors, tmp_path):
    result = train_classic(colors, tmp_path / "run", ClassicSettings(descriptor="pixels", classifier="knn", pca=4))
    pipeline = open_pipeline(result.run.path / CLASSIC_MODEL)
    assert pipeline.descriptors.sizes == (16,)
    assert pipeline.classifier.scaler.components.shape == (4, 16 * 16 * 3)
    assert result.metrics.accuracy == 1.0
    assert_predicts_what_it_reported(result, colors)


def test_pixels_of_another_size_are_computed_anew(colors, tmp_path):
    reused = []
    for number, size in enumerate((12, 12, 20)):
        settings = ClassicSettings(descriptor="pixels", classifier="knn", image_size=size)
        reused.append(train_classic(colors, tmp_path / str(number), settings).metrics.features_reused)
    assert reused[0] == reused[2] == 0 < reused[1]


# local descriptors


@pytest.mark.training
def test_local_descriptors_predict_what_they_reported(local, colors):
    assert_predicts_what_it_reported(local, colors)


@pytest.mark.training
def test_local_descriptors_second_run_computes_nothing_and_is_the_same(local, colors, tmp_path):
    again = train_classic(colors, tmp_path / "run", LOCAL)
    assert again.metrics.features_reused == len(again.split.train) + len(again.split.validation)
    first, second = (open_pipeline(result.run.path / CLASSIC_MODEL).classifier for result in (local, again))
    for name in first.arrays:
        np.testing.assert_array_equal(first.arrays[name], second.arrays[name])


def test_vocabulary_is_fitted_on_training_images_alone(local, colors, tmp_path, monkeypatch):
    given = []

    def keep(name, patches, seed):
        given.append(patches)
        raise StoppedError

    monkeypatch.setattr(vectors, "fit_vocabulary", keep)
    with pytest.raises(StoppedError):
        train_classic(colors, tmp_path / "run", LOCAL)
    per_image = len(compute_sift(np.zeros((64, 64, 3), np.uint8)))
    assert len(given[0]) == per_image * len(local.split.train)


@pytest.mark.training
@pytest.mark.parametrize("descriptor", ["bow", "fisher"])
@pytest.mark.parametrize("num_textured", [0, 1])
def test_images_without_texture_are_refused_and_one_with_texture_is_enough(descriptor, num_textured, tmp_path):
    for name, shade in (("a", 40), ("b", 200)):
        (tmp_path / "flat" / name).mkdir(parents=True)
        for number in range(9):
            image = np.full((40, 40, 3), shade + number, np.uint8)
            image[12:28, 12:20] += np.uint8(50 * (number < num_textured))
            (tmp_path / "flat" / name / f"{number}.png").write_bytes(encoded(image))
    settings = ClassicSettings(descriptor=descriptor, image_size=32)
    if not num_textured:
        with pytest.raises(DataError, match=f"all 14 training images have the same values of {descriptor}"):
            train_classic(tmp_path / "flat", tmp_path / "run", settings)
        return
    result = train_classic(tmp_path / "flat", tmp_path / "run", settings)
    assert np.isfinite(result.report.probabilities).all()


def test_vectors_that_memory_does_not_hold_are_refused(colors, tmp_path, monkeypatch):
    monkeypatch.setattr(vectors, "MAX_VECTOR_BYTES", 1e5)
    with pytest.raises(OptionError, match="2,566 features of 30 images .* use a smaller --pyramid"):
        train_classic(colors, tmp_path / "run", LOCAL)
    assert not (tmp_path / "run").exists()


@pytest.mark.training
def test_few_images_are_enough(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "few" / name).mkdir(parents=True)
        for number in range(2):
            image = noise(32, 32, seed=number + 10 * (name == "b"))
            (tmp_path / "few" / name / f"{number}.png").write_bytes(encoded(image))
    result = train_classic(tmp_path / "few", tmp_path / "run", PLAIN)
    assert result.metrics.figures["cross_validated_accuracy"] is None


# --descriptor auto


def test_auto_candidates_are_descriptors():
    assert all(find_descriptors(name) for name in classic.CANDIDATES)


@pytest.mark.slow
@pytest.mark.training
def test_auto_fits_vocabulary_once_and_has_a_pyramid_where_something_is_local(colors, tmp_path, monkeypatch):
    fitted, fit, candidates = [], vectors.fit_vocabulary, ("hog", "fisher+hog", "fisher+histogram")
    monkeypatch.setattr(classic, "CANDIDATES", candidates)
    monkeypatch.setattr(vectors, "fit_vocabulary", lambda *parts: fitted.append(parts[0]) or fit(*parts))
    result = train_classic(colors, tmp_path / "run", ClassicSettings(descriptor="auto", pyramid=2))
    assert fitted == ["fisher"]
    assert tuple(result.metrics.advice["tried"]) == candidates
    content = result.run.read_json("model.json")
    names = tuple(content["descriptor"].split("+"))
    assert open_pipeline(result.run.path / CLASSIC_MODEL).descriptors.descriptors == names
    assert content["pyramid"] == (2 if "fisher" in names else 1)
    assert_predicts_what_it_reported(result, colors)


@pytest.mark.training
def test_auto_takes_best_in_folds_of_training_images(colors, tmp_path, monkeypatch):
    monkeypatch.setattr(classic, "CANDIDATES", ("hog", "histogram"))
    result = train_classic(colors, tmp_path / "run", ClassicSettings(descriptor="auto"))
    tried = result.metrics.advice["tried"]
    assert set(tried) == {"hog", "histogram"}
    assert tried["histogram"] > tried["hog"]  # noise has no edges
    assert result.run.read_json("model.json")["descriptor"] == "histogram"
    assert result.metrics.figures["cross_validated_accuracy"] == tried["histogram"]
    assert "histogram has the best cross-validated accuracy" in result.metrics.advice["reason"]
    (row,) = predict(result.run, colors / "red" / "0.png")
    assert row.label == "red"


@pytest.mark.training
def test_auto_tries_no_other_where_the_first_is_sufficient(tmp_path, monkeypatch):
    for number in range(12):
        for name, turned in (("across", False), ("down", True)):
            stripes = np.repeat(noise(1, 48, seed=number), 48, axis=0)
            file = tmp_path / "stripes" / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encoded(stripes.swapaxes(0, 1) if turned else stripes))
    monkeypatch.setattr(classic, "CANDIDATES", ("hog", "histogram"))
    screen = StageNames()
    result = train_classic(tmp_path / "stripes", tmp_path / "run", ClassicSettings(descriptor="auto"), screen)
    advice = result.run.read_json("metrics.json")["advice"]
    assert advice["tried"] == {"hog": 1.0}
    assert (
        advice["reason"] == "hog 100.0 % in folds of the training images; no other descriptors can be a point better."
    )
    assert screen.names.count("hog") == screen.names.count("folds") == 1
    assert "histogram" not in screen.names
    assert open_pipeline(result.run.path / CLASSIC_MODEL).descriptors.sizes == (DESCRIPTORS["hog"].image_size,)
    assert_predicts_what_it_reported(result, tmp_path / "stripes")


@pytest.mark.training
def test_auto_with_too_few_images_for_folds_says_so(colors, tmp_path, monkeypatch):
    for name in ("red", "blue"):
        (tmp_path / "few" / name).mkdir(parents=True)
        for file in sorted((colors / name).glob("*.png"))[:2]:
            shutil.copy(file, tmp_path / "few" / name)
    monkeypatch.setattr(classic, "CANDIDATES", ("hog", "histogram"))
    result = train_classic(tmp_path / "few", tmp_path / "run", ClassicSettings(descriptor="auto"))
    advice = result.run.read_json("metrics.json")["advice"]
    assert advice["tried"] == {"hog": None, "histogram": None}
    assert (
        advice["reason"]
        == "too few images to cross-validate descriptors; using histogram, which has the most features."
    )


# the features of a network


def test_deep_features_tell_classes_apart(deep_result):
    train = deep_result.split.train
    predicted = [row.label for row in predict(deep_result.run, train.files)]
    assert np.mean(np.array(predicted) == np.array(train.class_names)[train.labels]) > 0.8


@pytest.mark.training
def test_deep_features_are_those_of_finetune_and_reduced_by_pca(deep_result, colors, tmp_path):
    settings = settings_from(deep_result.run.read_json("settings.json"))
    again = train_classic(colors, tmp_path / "run", replace(settings, classifier="naive-bayes", pca=4))
    assert open_pipeline(again.run.path / CLASSIC_MODEL).classifier.scaler.components.shape[0] == 4
    with pytest.raises(OptionError, match="--pca is 5000; expected at most [0-9]+ for"):
        train_classic(colors, tmp_path / "more", replace(settings, pca=5000))
    assert not (tmp_path / "more").exists()


@pytest.mark.training
def test_deep_features_are_cached_for_finetune(deep_result, colors, tmp_path):
    from tlkit.training.finetune import finetune

    settings = settings_from(deep_result.run.read_json("settings.json"))
    train_classic(colors, tmp_path / "run", settings)  # in the cache of this process
    options = {"backbone": settings.features, "weights": settings.weights, "image_size": 32}
    head = finetune(colors, tmp_path / "head", freeze="all", epochs=1, hidden="0", **options)
    assert head.metrics.features_reused == 36


@pytest.mark.training
def test_deep_features_keras_alone_is_enough(deep_result, colors, tmp_path):
    settings = settings_from(deep_result.run.read_json("settings.json"))
    result = train_classic(colors, tmp_path / "run", replace(settings, engine="keras"))
    assert (result.run.path / "engine" / "lower.keras").exists()
    np.testing.assert_allclose(result.report.probabilities, deep_result.report.probabilities, atol=1e-3)
    (row,) = predict(result.run, colors / "red" / "0.png")
    assert row.label == "red"
    with pytest.raises(OptionError, match="--engine keras cannot run .*, which was trained for litert"):
        Predictor(deep_result.run, engine="keras")


# real photos


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.parametrize(
    ("images", "options", "least"),
    [
        ("sign_digits", {"descriptor": "pixels"}, 0.87),
        ("sign_digits", {"descriptor": "hog"}, 0.90),
        ("trashnet", {"descriptor": "fisher+histogram"}, 0.84),
        ("trashnet", {"features": "mobilenet_v2"}, 0.86),
        ("trashnet", {"features": "mobilenet_v2", "pca": 128}, 0.845),
    ],
    ids=lambda value: "+".join(map(str, value.values())) if isinstance(value, dict) else str(value),
)
def test_train_classic_real_photos_are_told_apart(images, options, least, shared_data, tmp_path, monkeypatch):
    """docs/results.md has the figures of several seeds; one image of trashnet's 510 is 0.002."""
    use_keras_home(monkeypatch, shared_data / "keras_home")
    result = train_classic(shared_data / "images" / images, tmp_path / "run", ClassicSettings(**options))
    assert result.report.accuracy >= least


# the command


def command(*arguments):
    """What a command prints and how it ends, in this process."""
    from click.testing import CliRunner

    from tlkit.cli import main

    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(code, *arguments):
    """The error of a command that ends with this exit code."""
    result = command(*arguments)
    assert result.exit_code == code, result.stderr
    return result.stderr.removeprefix("Error: ").rstrip("\n")


@pytest.mark.training
def test_train_command_takes_a_classic_settings_json(colors, classic_run, tmp_path):
    config = ("--config", classic_run.path / "settings.json")
    result = command("train", colors, *config, "-o", tmp_path / "again")
    assert result.exit_code == 0, result.stderr
    assert "optimistic" not in result.stdout
    ours, theirs = ((path / "predictions_val.csv").read_bytes() for path in (tmp_path / "again", classic_run.path))
    assert ours == theirs
    assert "--model has no effect with" in refused(2, "train", colors, *config, "--model", "linear")


def test_train_command_refuses_options_without_meaning(colors):
    options = {
        "--epochs has no effect with --descriptor": ("--descriptor", "hog", "--epochs", "3"),
        "--epochs has no effect with --features": ("--features", "x", "--epochs", "3"),
        "--engine has no effect": ("--descriptor", "hog", "--engine", "keras"),
        "--classifier has no effect with --model lenet5_relu; leave it out, or use --descriptor": (
            "--classifier",
            "knn",
        ),
    }
    errors = {words: refused(2, "train", colors, *arguments) for words, arguments in options.items()}
    assert [(words, error) for words, error in errors.items() if words not in error] == []


def test_commands_that_need_a_network_are_refused(classic_run, colors):
    for arguments in (("summary",), ("finetune", colors, "--from")):
        assert "contains a classic classifier" in refused(4, *arguments, classic_run.path)


def test_predict_command_refuses_class_names_of_another_number(classic_run, colors, tmp_path):
    run = copy_run(classic_run, tmp_path)
    content = run.read_json("model.json")
    run.write_json("model.json", content | {"class_names": content["class_names"][1:]})
    assert "but its model has" in refused(4, "predict", run.path, colors / "red" / "0.png")


# images that show nothing


@pytest.fixture
def blank(tmp_path):
    """Two classes of blank images: shades of red and of blue."""
    for name, shift in (("red", 0), ("blue", 2)):
        (tmp_path / "blank" / name).mkdir(parents=True)
        for number in range(8):
            color = np.roll(np.array([200 - number, 20, 30], np.uint8), shift)
            (tmp_path / "blank" / name / f"{number}.png").write_bytes(encoded(np.full((40, 40, 3), color, np.uint8)))
    return tmp_path / "blank"


@pytest.mark.training
@pytest.mark.parametrize("classifier", ["naive-bayes", "logistic"])
@pytest.mark.parametrize("descriptor", ["hog", "haralick", "hog+lbp"])
def test_blank_images_show_nothing_to_a_descriptor_of_shapes(descriptor, classifier, blank, tmp_path):
    settings = ClassicSettings(descriptor=descriptor, classifier=classifier)
    with pytest.raises(
        DataError, match=rf"classes cannot be distinguished: all 12 .* of {descriptor.replace('+', '.')}; check"
    ):
        train_classic(blank, tmp_path / "run", settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.training
def test_auto_passes_by_descriptors_to_which_all_images_are_the_same(blank, tmp_path):
    result = train_classic(blank, tmp_path / "run", ClassicSettings(descriptor="auto", classifier="naive-bayes"))
    assert result.report.accuracy == 1
    assert "hog" not in result.metrics.advice["tried"]
    assert all("histogram" in name for name in result.metrics.advice["tried"])
