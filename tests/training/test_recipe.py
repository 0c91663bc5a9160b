"""The contract of every recipe, on one trained run each, and what metrics.json and model.json hold."""

import json

import numpy as np
import pytest

from tests.shared_runs import copy_run
from tests.training.stops import StoppedError, StopsAtStage, StopsInEpoch, assert_same_training
from tlkit.data.image import ImageSpec, decode_square
from tlkit.errors import RunError
from tlkit.settings.base import to_json
from tlkit.settings.training import settings_from
from tlkit.training.recipe import TrainingMetrics

NETWORKS = {"all": "finetuned", "lower": "blocks_result", "none": "adapted_result", "train": "scratch_result"}
CLASSIC = {"descriptor": "classic_result", "features": "deep_result"}
RECIPES = NETWORKS | CLASSIC


@pytest.fixture(params=RECIPES)
def result(request):
    """The result of one recipe; its run is shared and to be read only."""
    return request.getfixturevalue(RECIPES[request.param])


@pytest.fixture(params=NETWORKS)
def network_result(request):
    return request.getfixturevalue(NETWORKS[request.param])


def written_probabilities(run):
    """Of `predictions_val.csv`."""
    rows = run.read_rows("predictions_val.csv")
    return np.array([[float(row[name]) for name in row if name.startswith("p_")] for row in rows])


def rerun(run, path, progress=None):
    """Train again from the settings.json of a run."""
    from tlkit.training.resume import recipe_of
    from tlkit.training.session import run_training

    content = run.read_json("settings.json")
    return run_training(recipe_of(settings_from(content)), content["data"], path, progress)


# predicts what it reported


def test_predict_validation_images_equals_predictions_val(result, colors):
    from tlkit.inference.predictor import predict

    rows = result.run.read_rows("predictions_val.csv")
    predictions = list(predict(result.run, [colors / row["path"] for row in rows]))
    assert [prediction.label for prediction in predictions] == [row["label"] for row in rows]
    written = written_probabilities(result.run)
    np.testing.assert_allclose([prediction.probabilities for prediction in predictions], written, atol=1e-5)
    np.testing.assert_allclose(written.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(written, result.report.probabilities, rtol=1e-6, atol=1e-9)


def test_evaluate_validation_images_equals_report(result):
    from tlkit.inference.evaluate import evaluate

    assert evaluate(result.run.path).report.accuracy == result.report.accuracy == result.metrics.accuracy


def test_saved_network_predicts_in_plain_keras_what_run_reports(network_result, colors):
    import keras

    run, size = network_result.run, network_result.run.manifest.image.size
    files = [colors / row["path"] for row in run.read_rows("predictions_val.csv")]
    pixels = np.stack([decode_square(file.read_bytes(), ImageSpec(size)) for file in files]).astype(np.float32)
    predicted = keras.models.load_model(run.path / "model.keras").predict(pixels, verbose=0)
    np.testing.assert_allclose(predicted, written_probabilities(run), atol=1e-4)


# runs again from its settings


@pytest.mark.training
@pytest.mark.parametrize(
    "recipe", [pytest.param(name, marks=[pytest.mark.slow] * (name in ("lower", "none"))) for name in RECIPES]
)
def test_rerun_from_settings_json_gives_same_classifier(recipe, request, tmp_path):
    """Of the two slow ones the test of resuming says the same: it starts from settings.json, too."""
    result = request.getfixturevalue(RECIPES[recipe])
    again = rerun(result.run, tmp_path / "run")
    assert_same_training(again.run, result.run)
    assert again.run.read_json("settings.json") == result.run.read_json("settings.json")


def test_settings_json_is_resolved_and_says_command_and_data(result, colors):
    from tlkit.training.resume import recipe_of

    content = result.run.read_json("settings.json")
    settings = settings_from(content)
    recipe = recipe_of(settings)
    assert recipe.settings == settings
    assert recipe.command == content["command"] == ("finetune" if "backbone" in content else "train")
    written = json.loads(json.dumps(to_json(settings)))
    assert content == {"command": recipe.command, "data": str(colors.resolve())} | written
    assert content["image_size"] > 0
    open_options = {name for name, value in content.items() if value == "auto"}
    without_meaning = {"engine"} if content.get("descriptor") else set()
    if content.get("freeze") != "lower":
        without_meaning |= {"upper_precision"}
    assert open_options <= {"cut", "gray_range", "hidden"} | without_meaning  # these mean the same every time


# resumes to the same result


def stops_of(result):
    """In how many epochs a training can be stopped; a classic one at two stages."""
    epochs = [row for row in result.history if row["epoch"] > 0]
    return [StopsInEpoch(count) for count in range(1, len(epochs))] or [StopsAtStage("folds"), StopsAtStage("fit")]


def assert_resumes_to_same(result, path, stops):
    """Train again from settings.json, stopped as often as there are stops, and compare."""
    from tlkit.training.resume import resume

    with pytest.raises(StoppedError):
        rerun(result.run, path, stops[0])
    for stop in stops[1:]:
        with pytest.raises(StoppedError):
            resume(path, stop)
    assert (path / "UNFINISHED").exists()
    resumed = resume(path)
    assert_same_training(resumed.run, result.run)
    assert (path / "DONE").exists()
    assert not list(path.glob("checkpoint*"))
    histories = [[{**row, "seconds": 0} for row in each.history] for each in (resumed, result)]
    assert str(histories[0]) == str(histories[1])  # as text, for NaN is not equal to itself


@pytest.mark.training
def test_resume_after_stops_in_first_and_last_epoch_gives_same_classifier(result, tmp_path, monkeypatch):
    monkeypatch.setattr("tlkit.training.loop.checkpoint.SECONDS_BETWEEN", 0.0)
    first, *_, last = stops_of(result)
    if result.history:
        last = StopsInEpoch(last.left - 1)  # the first epoch was trained before the first stop
    assert_resumes_to_same(result, tmp_path / "run", [first, last])


@pytest.mark.slow
@pytest.mark.training
def test_resume_after_stop_in_any_epoch_gives_same_classifier(network_result, tmp_path, monkeypatch):
    monkeypatch.setattr("tlkit.training.loop.checkpoint.SECONDS_BETWEEN", 0.0)
    for number, stop in enumerate([StopsInEpoch(0), *stops_of(network_result)]):
        assert_resumes_to_same(network_result, tmp_path / f"run-{number}", [stop])


# refuses what is damaged


def test_predict_refuses_damaged_or_missing_file(result, tmp_path, colors):
    from tlkit.inference.predictor import predict

    for stage in result.run.manifest.stages:
        run = copy_run(result.run, tmp_path / stage.file.replace("/", "-"))
        file = run.path / stage.file
        file.write_bytes(file.read_bytes()[:-50])
        with pytest.raises(RunError, match=r"not the file that the run wrote"):
            list(predict(run, colors / "red" / "0.png"))
        file.unlink()
        with pytest.raises(RunError, match=r"is missing"):
            list(predict(run, colors / "red" / "0.png"))


def test_predict_refuses_class_names_of_another_number(result, tmp_path, colors):
    from tlkit.inference.predictor import predict

    run = copy_run(result.run, tmp_path)
    content = run.read_json("model.json")
    run.write_json("model.json", content | {"class_names": content["class_names"][1:]})
    with pytest.raises(RunError, match=r"has 2 classes, but its model has 3"):
        list(predict(run, colors / "red" / "0.png"))


# metrics.json

METRICS = {
    "accuracy",
    "accuracy_ci95",
    "advice",
    "baseline_accuracy",
    "baseline_class",
    "beats_baseline",
    "calibration",
    "diagnosis",
    "features_reused",
    "folds",
    "forecast",
    "headline",
    "left_out",
    "macro_f1",
    "notes",
    "num_test",
    "num_train",
    "num_validation",
    "seconds",
    "seeds",
    "selected_on_validation",
    "test",
    "unknown",
}
NETWORK_METRICS = METRICS | {"best_epoch", "epochs"}
CLASSIC_METRICS = METRICS | {"classifier", "classifier_options", "cross_validated_accuracy"}


def is_network(result):
    return bool(result.history)


def test_metrics_json_has_its_keys(result):
    content = result.run.read_json("metrics.json")
    assert content.keys() == (NETWORK_METRICS if is_network(result) else CLASSIC_METRICS)
    assert content["selected_on_validation"] is is_network(result)


def test_training_metrics_round_trip_is_equal(result):
    content = result.run.read_json("metrics.json")
    metrics = TrainingMetrics.from_json(content)
    assert metrics == result.metrics
    assert metrics.figures.keys() == content.keys() - METRICS
    assert json.loads(json.dumps(metrics.as_json())) == content
    assert isinstance(metrics.accuracy_ci95, tuple)


def test_training_metrics_without_a_key_is_refused(classic_run):
    content = classic_run.read_json("metrics.json")
    for name in METRICS:
        with pytest.raises(KeyError):
            TrainingMetrics.from_json({key: value for key, value in content.items() if key != name})


# model.json

MANIFEST = {
    "class_names",
    "decode_version",
    "engine",
    "format",
    "gray_range",
    "image_size",
    "max_megapixels",
    "precision",
    "resize",
    "sha256",
    "stages",
    "versions",
    "weights",
    "temperature",
    "unknown",
}
STAGES = {
    "all": [("engine/lower.tflite", "litert"), ("engine/head.tflite", "litert")],
    "lower": [(f"engine/{name}.tflite", "litert") for name in ("lower", "upper", "head")],
    "none": [("engine/upper.tflite", "litert"), ("engine/head.tflite", "litert")],
    "train": [("engine/upper.tflite", "litert"), ("engine/head.tflite", "litert")],
    "descriptor": [("classic.npz", "classic")],
    "features": [("engine/lower.tflite", "litert"), ("classic.npz", "classic")],
}


def test_model_json_has_its_keys(result):
    network, classic = {"backbone", "cut", "freeze", "head"}, {"classifier", "descriptor", "features", "pca", "pyramid"}
    content = result.run.read_json("model.json")
    assert content.keys() == MANIFEST | (network if is_network(result) else classic)
    assert content["format"] == 5
    assert {"tlkit", "keras", "tensorflow", content["engine"]} <= content["versions"].keys()
    if is_network(result):
        assert content["head"].keys() == {"dropout", "batch_norm", "hidden", "l1", "l2"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_model_json_stages_name_file_engine_and_precision(recipe, request):
    run = request.getfixturevalue(RECIPES[recipe]).run
    stages = [{"file": file, "engine": engine, "precision": "float32"} for file, engine in STAGES[recipe]]
    assert run.read_json("model.json")["stages"] == stages
    assert [(stage.file, stage.engine) for stage in run.manifest.stages] == STAGES[recipe]
