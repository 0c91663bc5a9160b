"""The images of a run for Keras."""

import shutil

import numpy as np
import pytest

import tlkit
from tests.shared_runs import copy_foreign_run
from tlkit.data.image import decode_square
from tlkit.data.sources.files import read_file


def test_a_dataset_has_the_pixels_that_training_saw_and_labels(finetuned_run, colors):
    dataset = finetuned_run.to_dataset("validation", batch_size=4)
    assert [len(labels) for _, labels in (dataset[0], dataset[1])] == [4, 2]
    assert len(dataset) == 2
    pixels = np.concatenate([dataset[0][0], dataset[1][0]])
    spec = finetuned_run.manifest.image
    expected = np.stack([decode_square(read_file(colors / path), spec) for path in dataset.paths])
    assert pixels.dtype == np.float32
    assert np.array_equal(pixels, expected)
    names = finetuned_run.manifest.class_names
    assert [names[label] for label in dataset.labels] == [path.split("/")[0] for path in dataset.paths]
    assert np.array_equal(np.concatenate([dataset[0][1], dataset[1][1]]), dataset.labels)
    assert dataset.labels.dtype == np.int32
    rows = finetuned_run.read_rows("predictions_val.csv")
    assert list(dataset.paths) == [row["path"] for row in rows]
    with pytest.raises(IndexError):
        dataset[2]


def test_every_subset_is_a_dataset_and_all_are_the_run(finetuned_run):
    train, everything = finetuned_run.to_dataset("train"), finetuned_run.to_dataset("all")
    validation = finetuned_run.to_dataset()
    assert set(train.paths) | set(validation.paths) == set(everything.paths)
    assert len(everything.paths) == 36
    shuffled = finetuned_run.to_dataset("all", shuffle=True)
    first = shuffled.paths
    shuffled.on_epoch_end()
    assert len({first, shuffled.paths, everything.paths}) == 3
    assert set(first) == set(shuffled.paths) == set(everything.paths)


def test_keras_evaluates_the_model_on_the_dataset(finetuned_run):
    model = tlkit.keras_model(finetuned_run)
    validation = finetuned_run.to_dataset("validation", batch_size=4)
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    _, accuracy = model.evaluate(validation, verbose=0)
    assert accuracy == pytest.approx(finetuned_run.read_json("metrics.json")["accuracy"])
    files = [finetuned_run.read_settings()["data"] + "/" + path for path in validation.paths]
    predictions = tlkit.predict(finetuned_run, files)
    expected = np.stack([prediction.probabilities for prediction in predictions])
    assert finetuned_run.manifest.temperature == 1  # of so few images, none is fitted
    assert np.allclose(model.predict(validation, verbose=0), expected, atol=1e-4)


def test_what_is_not_there_is_one_sentence(finetuned_run, classic_run, tmp_path):
    with pytest.raises(tlkit.OptionError, match="the subset is 'val'; expected one of train, validation, test, all"):
        finetuned_run.to_dataset("val")
    with pytest.raises(tlkit.OptionError, match="batch_size is 0"):
        finetuned_run.to_dataset(batch_size=0)
    with pytest.raises(
        tlkit.DataError, match="has no test images; choose another subset: train, validation, test, all"
    ):
        finetuned_run.to_dataset("test")
    foreign = copy_foreign_run(finetuned_run, tmp_path)
    with pytest.raises(tlkit.RunError, match=r"was not made on this machine.* pass .*: to_dataset\(data=FOLDER\)"):
        foreign.to_dataset()
    with pytest.raises(tlkit.DataError, match="there is no folder '.*moved'; expected the folder of the images of"):
        foreign.to_dataset(data=tmp_path / "moved")
    with pytest.raises(tlkit.RunError, match="add --trust-model"):
        tlkit.keras_model(foreign)
    with pytest.raises(tlkit.RunError, match="contains a classic classifier"):
        tlkit.keras_model(classic_run.path)


def test_images_that_moved_are_opened_in_the_folder_that_is_passed(finetuned_run, colors, tmp_path):
    moved = shutil.copytree(colors, tmp_path / "moved")
    foreign = copy_foreign_run(finetuned_run, tmp_path)
    here, there = finetuned_run.to_dataset(batch_size=6), foreign.to_dataset(batch_size=6, data=moved)
    assert there.paths == here.paths
    for expected, found in zip(here[0], there[0], strict=True):
        assert np.array_equal(found, expected)
    (moved / there.paths[0]).write_bytes((colors / there.paths[1]).read_bytes())
    with pytest.raises(tlkit.DataError, match=r"moved.*changed since the run was made"):
        there[0]


@pytest.mark.slow
def test_a_changed_image_is_refused(colors, weights_file, tmp_path):
    data = shutil.copytree(colors, tmp_path / "data")
    options = {"backbone": "mobilenet_025", "weights": str(weights_file), "freeze": "all", "image_size": 32}
    run = tlkit.finetune(data, tmp_path / "run", **options, hidden="0", epochs=1).run
    dataset = run.to_dataset("all", batch_size=1)
    shutil.copy(data / "red" / "1.png", data / dataset.paths[0])
    with pytest.raises(tlkit.DataError, match="changed since the run was made"):
        dataset[0]
    (data / dataset.paths[1]).unlink()
    with pytest.raises(tlkit.DataError, match="does not exist"):
        dataset[1]
