"""One pass over labeled images: what counts, and that copies are classified as predict does."""

import shutil
import zlib

import numpy as np
import pytest
from PIL import Image

from tlkit import Predictor, evaluate, measure_robustness
from tlkit.data.image import decode_square
from tlkit.data.listing import count_reasons
from tlkit.errors import DataError, OptionError
from tlkit.inference.labeled import NOT_COUNTED
from tlkit.robustness.corruptions import corrupt


def test_copies_of_the_runs_own_images_are_answered_as_predict_does(finetuned_run, colors):
    measured = measure_robustness(finetuned_run, corruptions="gaussian-noise,shift", severities="2,5", seed=3)
    own = evaluate(finetuned_run)
    assert measured.clean.num_correct == own.report.num_correct
    assert measured.undamaged.confidence == pytest.approx(own.report.probabilities.max(axis=1), abs=1e-6)
    assert (measured.counted, measured.num_available, measured.skipped) == ("validation", 6, ())
    predictor, spec = Predictor(finetuned_run), finetuned_run.manifest.image
    rows = [row for row in finetuned_run.read_rows("split.csv") if row["split"] == "validation"]
    for (name, severity), answers in measured.corrupted.items():
        squares = []
        for row in rows:
            rng = np.random.default_rng((3, zlib.crc32(name.encode()), int(row["sha256"][:16], 16)))
            square = decode_square((colors / row["path"]).read_bytes(), spec)
            squares.append(corrupt(square, name, severity, rng))
        probabilities = predictor.classify(predictor.network.extract(np.stack(squares)))
        assert answers.predicted.tolist() == probabilities.argmax(axis=1).tolist()
        assert answers.confidence == pytest.approx(probabilities.max(axis=1), abs=1e-6)


def test_rows_do_not_depend_on_what_else_is_measured(finetuned_run):
    everything = measure_robustness(finetuned_run)
    assert len(everything.rows) == 13 * 5 and list(everything.copies) == ["mirrored", "shifted", "encoded again"]
    some = measure_robustness(finetuned_run, corruptions="occlusion,jpeg", severities="4")
    for key, answers in some.corrupted.items():
        assert np.array_equal(answers.predicted, everything.corrupted[key].predicted)
        assert answers.confidence == pytest.approx(everything.corrupted[key].confidence, abs=1e-6)
    assert np.mean([row.accuracy for row in everything.rows]) == pytest.approx(everything.corruption_mean)
    assert everything.corruption_mean < everything.clean.accuracy


def test_of_a_folder_images_count_that_are_new(finetuned_run, colors, tmp_path):
    data = shutil.copytree(colors, tmp_path / "data")
    (data / "red" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    own = measure_robustness(finetuned_run, data, corruptions="jpeg", severities="1")
    assert (own.counted, len(own.labels)) == ("validation", 6)
    assert count_reasons(own.skipped)[NOT_COUNTED["training"]] == 30 and len(own.skipped) == 31
    for number in range(3):
        Image.new("RGB", (48, 48), (60, 90, 200 + number)).save(data / "blue" / f"new{number}.png")
    new = measure_robustness(finetuned_run, data, corruptions="jpeg", severities="1")
    assert (new.counted, len(new.labels), set(new.labels)) == ("new", 3, {0})
    assert count_reasons(new.skipped)[NOT_COUNTED["validation"]] == 6
    with pytest.raises(DataError, match="no image to measure: 1 were left out, e.g. '.*/0.png': the run was trained"):
        training = next(row["path"] for row in finetuned_run.read_rows("split.csv") if row["split"] == "train")
        (tmp_path / "old" / training.split("/")[0]).mkdir(parents=True)
        shutil.copy(colors / training, tmp_path / "old" / training.split("/")[0] / "0.png")
        measure_robustness(finetuned_run, tmp_path / "old", corruptions="jpeg")


def test_a_few_images_are_drawn_by_the_seed(finetuned_run):
    draws = [
        measure_robustness(finetuned_run, max_images=3, seed=seed, corruptions="jpeg", severities="1")
        for seed in (0, 0, 1, 2)
    ]
    assert [len(draw.labels) for draw in draws] == [3] * 4 and draws[0].num_available == 6
    assert np.array_equal(draws[0].undamaged.confidence, draws[1].undamaged.confidence)
    assert len({tuple(draw.undamaged.confidence) for draw in draws}) > 1


def test_classic_runs_are_measured(classic_run):
    measured = measure_robustness(classic_run, corruptions="grayscale,brightness", severities="5")
    assert measured.clean.accuracy == evaluate(classic_run).report.accuracy
    assert measured.means["grayscale"] < measured.clean.accuracy  # a histogram of colors has nothing else


def test_corruptions_and_severities_that_do_not_exist_are_refused(finetuned_run):
    for options, message in (
        (
            {"corruptions": "jpeg,fog"},
            "--corruptions is 'jpeg,fog', but 'fog' in it is none; expected some of ",
        ),
        ({"corruptions": ","}, "--corruptions is ',', but it names none"),
        ({"severities": "0,6"}, "--severities is '0,6'; expected whole numbers from 1 to 5, e.g. 1,3,5."),
        ({"severities": ""}, "--severities is ''; expected"),
    ):
        with pytest.raises(OptionError, match=message):
            measure_robustness(finetuned_run, **options)
