import numpy as np
import pytest

from tlkit.evaluation.metrics import (
    class_scores,
    confusion_matrix,
    macro_f1,
    top_k_accuracy,
    wilson_interval,
    worst_confusions,
)
from tlkit.evaluation.report import Report

SEEDS = range(6)


def random_case(seed):
    """Labels and probabilities of a random number of images and classes; some classes never occur."""
    random = np.random.default_rng(seed)
    classes = int(random.integers(2, 12))
    labels = random.integers(0, max(1, classes - seed % 3), int(random.integers(1, 200))).astype(np.int32)
    probabilities = random.dirichlet(np.ones(classes), len(labels)).astype(np.float32)
    return labels, probabilities


# the interval


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        (9, 10, 0.5958, 0.9821),
        (18, 20, 0.6990, 0.9721),
        (90, 100, 0.8256, 0.9448),
        (10, 10, 0.7225, 1),
        (0, 10, 0, 0.2775),
        (1, 2, 0.0945, 0.9055),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_the_published_one(correct, total, low, high):
    assert wilson_interval(correct, total) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("total", [1, 2, 7, 50, 1000, 10**7])
def test_the_interval_holds_the_share_and_stays_from_0_to_1(total):
    for correct in {0, 1, total // 3, total // 2, total - 1, total}:
        low, high = wilson_interval(correct, total)
        assert 0 <= low <= correct / total + 1e-12
        assert correct / total - 1e-12 <= high <= 1
        assert low < high


def test_the_interval_of_right_is_the_mirror_of_that_of_wrong():
    for correct in range(21):
        low, high = wilson_interval(correct, 20)
        assert wilson_interval(20 - correct, 20) == pytest.approx((1 - high, 1 - low))


def test_more_images_make_it_narrower():
    widths = [high - low for low, high in (wilson_interval(9 * n, 10 * n) for n in (1, 2, 5, 50, 500))]
    assert widths == sorted(widths, reverse=True)


def test_more_right_moves_it_up():
    bounds = [wilson_interval(correct, 30) for correct in range(31)]
    assert bounds == sorted(bounds)
    assert [high for _, high in bounds] == sorted(high for _, high in bounds)


def test_of_no_image_nothing_is_known():
    assert wilson_interval(0, 0) == (0, 1)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_it_covers_the_true_share_about_95_times_in_100(share):
    counts = np.random.default_rng(0).binomial(100, share, 20_000)
    bounds = {int(count): wilson_interval(int(count), 100) for count in set(counts.tolist())}
    covered = np.mean([bounds[count][0] <= share <= bounds[count][1] for count in counts.tolist()])
    assert 0.93 <= covered <= 0.97


# against scikit-learn


@pytest.mark.parametrize("seed", SEEDS)
def test_the_confusion_matrix_is_that_of_scikit_learn(seed):
    reference = pytest.importorskip("sklearn.metrics")
    labels, probabilities = random_case(seed)
    predicted = probabilities.argmax(axis=1)
    expected = reference.confusion_matrix(labels, predicted, labels=range(probabilities.shape[1]))
    assert np.array_equal(confusion_matrix(labels, predicted, probabilities.shape[1]), expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_macro_f1_is_that_of_scikit_learn(seed):
    reference = pytest.importorskip("sklearn.metrics")
    labels, probabilities = random_case(seed)
    predicted = probabilities.argmax(axis=1)
    found = macro_f1(confusion_matrix(labels, predicted, probabilities.shape[1]))
    assert found == pytest.approx(reference.f1_score(labels, predicted, average="macro", zero_division=0))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_scores_of_each_class_are_those_of_scikit_learn(seed):
    reference = pytest.importorskip("sklearn.metrics")
    labels, probabilities = random_case(seed)
    predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]
    scores = class_scores(confusion_matrix(labels, predicted, classes), tuple(map(str, range(classes))))
    found = np.array([(score.precision, score.recall, score.f1, score.support) for score in scores]).T
    expected = reference.precision_recall_fscore_support(labels, predicted, labels=range(classes), zero_division=0)
    assert np.allclose(found, np.array(expected))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [1, 2, 3, 50])
def test_the_top_k_accuracy_is_that_of_scikit_learn(seed, k):
    reference = pytest.importorskip("sklearn.metrics")
    labels, probabilities = random_case(seed)
    classes = probabilities.shape[1]
    if k >= classes:
        assert top_k_accuracy(probabilities, labels, k) == 1
    elif classes > 2:
        expected = reference.top_k_accuracy_score(labels, probabilities, k=k, labels=range(classes))
        assert top_k_accuracy(probabilities, labels, k) == pytest.approx(expected)


# by hand


def test_rows_are_true_and_columns_predicted():
    assert confusion_matrix(np.array([0, 0, 2]), np.array([1, 1, 0]), 3).tolist() == [[0, 2, 0], [0, 0, 0], [1, 0, 0]]


def test_the_matrix_counts_every_image_once():
    labels, probabilities = random_case(3)
    assert confusion_matrix(labels, probabilities.argmax(axis=1), probabilities.shape[1]).sum() == len(labels)


def test_many_classes_have_a_matrix_too():
    labels = np.arange(1000, dtype=np.int32)
    assert confusion_matrix(labels, labels, 1000).trace() == 1000


def test_a_class_that_never_occurs_counts_for_nothing():
    assert macro_f1(np.diag([5, 5, 0])) == 1
    assert macro_f1(np.zeros((2, 2), int)) == 0


def test_a_class_that_is_never_predicted_has_no_precision():
    (_, second) = class_scores(np.array([[3, 0], [2, 0]]), ("a", "b"))
    assert (second.precision, second.recall, second.f1, second.support) == (0, 0, 0, 2)


def test_of_equal_probabilities_the_first_in_label_order_counts():
    ties = np.full((3, 3), 1 / 3, np.float32)
    assert top_k_accuracy(ties, np.array([0, 1, 2]), 1) == pytest.approx(1 / 3)
    assert top_k_accuracy(ties, np.array([0, 1, 2]), 2) == pytest.approx(2 / 3)


def test_the_worst_confusions_come_first_and_right_answers_never():
    confusion = np.array([[90, 2, 0], [7, 10, 1], [0, 3, 5]])
    assert worst_confusions(confusion, ("a", "b", "c")) == [("b", "a", 7), ("c", "b", 3), ("a", "b", 2)]


def test_there_are_no_more_confusions_than_mistakes():
    assert worst_confusions(np.array([[3, 1], [0, 2]]), ("a", "b")) == [("a", "b", 1)]
    assert worst_confusions(np.eye(4, dtype=int), tuple("abcd")) == []


# a report


@pytest.mark.parametrize("seed", SEEDS)
def test_a_report_agrees_with_itself(seed):
    labels, probabilities = random_case(seed)
    report = Report(tuple(f"c{k}" for k in range(probabilities.shape[1])), labels, probabilities)
    assert report.accuracy == pytest.approx(np.mean(probabilities.argmax(axis=1) == labels))
    assert report.accuracy == pytest.approx(report.top_k(1))
    assert report.confusion.trace() == report.correct
    assert report.interval[0] <= report.accuracy <= report.interval[1]
    assert sum(report.share_of(label) for label in range(len(report.class_names))) == pytest.approx(1)
    assert report.as_json()["num_images"] == len(labels)
