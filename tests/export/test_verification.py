"""The comparison of a file's answers with those of the run."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tlkit.data.image import ImageSpec
from tlkit.errors import GateError
from tlkit.export.images import RunImages
from tlkit.export.verification import Reference, compare_answers, measure_speeds, verify


def reference(probabilities, labels, golden=0):
    count = len(probabilities)
    names = tuple(f"{row}.png" for row in range(count))
    pixels = np.arange(count, dtype=np.uint8).reshape(count, 1, 1, 1)  # each image is its own number
    images = RunImages(names, np.array(labels), pixels, ())
    return Reference(golden, images, np.array(probabilities, np.float32))


def answering(probabilities):
    """A runtime that answers with these rows."""
    return lambda pixels: np.array(probabilities, np.float32)[pixels[:, 0, 0, 0]]


SURE = [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]]


def test_equal_answers_pass():
    found = verify(answering(SURE), reference(SURE, [0, 1, 0, 0], golden=1), "model.x", None)
    assert (found.num_golden, found.num_validation) == (1, 3)
    assert (found.max_difference, found.agreement, found.num_ties) == (0, 1, 0)
    assert found.accuracy_before == found.accuracy_after == pytest.approx(2 / 3)  # of the validation images
    assert found.accuracy_drop == 0


def test_a_probability_that_differs_names_its_image():
    changed = [row.copy() for row in SURE]
    changed[2] = [0.7002, 0.2998]
    with pytest.raises(GateError, match=r"model\.x does not answer .*'2\.png' differs most, by 0\.0002 .* 0\.0001 is"):
        verify(answering(changed), reference(SURE, [0, 1, 0, 0]), "model.x", None)


def test_either_class_of_a_near_tie_is_the_same_answer():
    tied, other = [[0.50002, 0.49998]], [[0.49999, 0.50001]]
    found = verify(answering(other), reference(tied, [0]), "model.x", None)
    assert (found.num_ties, found.agreement) == (1, 0)
    with pytest.raises(GateError):  # a difference of the classes that rounding does not make
        verify(answering([[0.4999, 0.5001]]), reference([[0.50015, 0.49985]], [0]), "model.x", None)


def test_a_quantized_file_may_lose_as_much_accuracy_as_allowed():
    labels = [0, 1] * 50
    right = [[0.8, 0.2], [0.2, 0.8]] * 50
    wrong = [row.copy() for row in right]
    wrong[0] = wrong[2] = [0.3, 0.7]
    found = verify(answering(wrong), reference(right, labels), "model.x", 0.02)
    assert (found.accuracy_before, found.accuracy_after, found.agreement) == (1, 0.98, 0.98)
    assert found.accuracy_drop == pytest.approx(0.02)
    assert found.accuracy_drop_ci95[0] < 0.02 < found.accuracy_drop_ci95[1]
    assert found.is_accuracy_tested
    with pytest.raises(
        GateError, match=r"loses 2\.0 points of accuracy .*--max-drop 1 allows: 100\.0 % before, 98\.0 %"
    ):
        verify(answering(wrong), reference(right, labels), "model.x", 0.01)


@pytest.mark.parametrize("answers", [[[np.nan, 0.1]] * 4, [[0.9]] * 4])
def test_what_are_no_probabilities_of_the_classes_fails(answers):
    for max_drop in (None, 1.0):
        with pytest.raises(GateError, match="not probabilities of shape"):
            verify(answering(answers), reference(SURE, [0, 1, 0, 0]), "model.x", max_drop)


def test_a_gain_is_a_negative_loss():
    found = compare_answers(reference([[0.4, 0.6]], [0]), np.array([[0.6, 0.4]]))
    assert found.accuracy_drop == -1


def test_speeds_are_measured_for_each_runtime():
    fast, slow = measure_speeds([lambda rows: rows, lambda rows: sum(range(200_000))], np.zeros((2, 1), np.uint8))
    assert fast > slow > 0


def whole_reference(folder, probabilities):
    """Images of several sizes, each of its own gray, for a file that resizes."""
    files = tuple(folder / f"{row}.png" for row in range(len(probabilities)))
    for row, file in enumerate(files):
        Image.new("RGB", (5 + row, 4), (row, row, row)).save(file)
    expected = reference(probabilities, [0] * len(probabilities))
    return replace(expected, images=replace(expected.images, files=files), whole=ImageSpec(4))


def test_a_file_that_resizes_gets_whole_images_one_by_one(tmp_path):
    expected, shapes = whole_reference(tmp_path, SURE), []

    def run(pixels):
        shapes.append(pixels.shape)
        return answering(SURE)(pixels)

    assert verify(run, expected, "model.x", None).median_difference == 0
    assert shapes == [(1, 4, 5 + row, 3) for row in range(len(SURE))]


def test_a_file_that_resizes_may_differ_a_little(tmp_path):
    expected = whole_reference(tmp_path, SURE)
    one = [row.copy() for row in SURE]
    one[0] = [0.75, 0.25]
    found = verify(answering(one), expected, "model.x", None)
    assert (found.median_difference, found.max_difference) == (0, pytest.approx(0.15))
    with pytest.raises(GateError, match=r"allowed are 0\.02 in the median \(found 0\.05\)"):
        verify(answering([[a + 0.05, b - 0.05] for a, b in SURE]), expected, "model.x", None)
    one[0] = [0.4, 0.6]
    with pytest.raises(GateError, match=r"'0\.png' differs most, by 0\.5 .* another class only where"):
        verify(answering(one), expected, "model.x", None)
