import numpy as np
import pytest

from tlkit.evaluation.metrics import (
    class_scores,
    compare_scores,
    confusion_matrix,
    difference_interval,
    macro_f1,
    mcnemar,
    mean_interval,
    sign_test,
    top_k_accuracy,
    wilson_interval,
    worst_confusions,
)


def random_case(seed):
    """Labels and probabilities of a random number of images and classes; some classes never occur."""
    random = np.random.default_rng(seed)
    classes = int(random.integers(2, 12))
    labels = random.integers(0, max(1, classes - seed % 3), int(random.integers(1, 200))).astype(np.int32)
    probabilities = random.dirichlet(np.ones(classes), len(labels)).astype(np.float32)
    return labels, probabilities


CASES = [random_case(seed) for seed in range(6)]


# Wilson's interval


def test_wilson_interval_is_the_published_one():
    published = [
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
    ]
    for correct, total, low, high in published:
        assert wilson_interval(correct, total) == pytest.approx((low, high), abs=5e-5), (correct, total)


def test_difference_interval_is_that_of_the_published_tables():
    published = [  # Newcombe 1998 (Stat. Med. 17:873), table II, method 10
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
    ]
    for first, second, low, high in published:
        assert difference_interval(first, second) == pytest.approx((low, high), abs=6e-5), (first, second)


def test_difference_interval_swapped_is_mirrored_and_narrows_with_images():
    low, high = difference_interval((90, 100), (80, 100))
    assert difference_interval((80, 100), (90, 100)) == pytest.approx((-high, -low))
    narrow = difference_interval((9000, 10_000), (8000, 10_000))
    assert low < narrow[0] < 0.1 < narrow[1] < high


def test_wilson_interval_holds_the_proportion_and_stays_from_0_to_1():
    for total in (1, 2, 7, 50, 1000, 10**7):
        for correct in {0, 1, total // 3, total // 2, total - 1, total}:
            low, high = wilson_interval(correct, total)
            assert 0 <= low <= correct / total + 1e-12
            assert correct / total - 1e-12 <= high <= 1
            assert low < high


def test_wilson_interval_of_errors_is_the_mirror_of_that_of_correct_images():
    for correct in range(21):
        low, high = wilson_interval(correct, 20)
        assert wilson_interval(20 - correct, 20) == pytest.approx((1 - high, 1 - low))


def test_wilson_interval_of_more_images_is_narrower():
    widths = [high - low for low, high in (wilson_interval(9 * n, 10 * n) for n in (1, 2, 5, 50, 500))]
    assert widths == sorted(widths, reverse=True)


def test_wilson_interval_of_more_correct_images_is_higher():
    bounds = [wilson_interval(correct, 30) for correct in range(31)]
    assert bounds == sorted(bounds)
    assert [high for _, high in bounds] == sorted(high for _, high in bounds)


def test_wilson_interval_of_no_image_is_everything():
    assert wilson_interval(0, 0) == (0, 1)


def test_wilson_interval_covers_the_true_proportion_about_95_times_in_100():
    for proportion in (0.5, 0.8, 0.95):
        counts = np.random.default_rng(0).binomial(100, proportion, 20_000)
        bounds = {int(count): wilson_interval(int(count), 100) for count in set(counts.tolist())}
        covered = np.mean([bounds[count][0] <= proportion <= bounds[count][1] for count in counts.tolist()])
        assert 0.93 <= covered <= 0.97


# against scikit-learn


def test_confusion_matrix_is_that_of_scikit_learn():
    reference = pytest.importorskip("sklearn.metrics")
    for labels, probabilities in CASES:
        predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]
        expected = reference.confusion_matrix(labels, predicted, labels=range(classes))
        assert np.array_equal(confusion_matrix(labels, predicted, classes), expected)


def test_macro_f1_is_that_of_scikit_learn():
    reference = pytest.importorskip("sklearn.metrics")
    for labels, probabilities in CASES:
        predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]
        expected = reference.f1_score(labels, predicted, average="macro", zero_division=0)
        assert macro_f1(confusion_matrix(labels, predicted, classes)) == pytest.approx(expected)


def test_class_scores_are_those_of_scikit_learn():
    reference = pytest.importorskip("sklearn.metrics")
    for labels, probabilities in CASES:
        predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]
        scores = class_scores(confusion_matrix(labels, predicted, classes), tuple(map(str, range(classes))))
        columns = np.array([(score.precision, score.recall, score.f1, score.support) for score in scores]).T
        expected = reference.precision_recall_fscore_support(labels, predicted, labels=range(classes), zero_division=0)
        assert np.allclose(columns, np.array(expected))


def test_top_k_accuracy_is_that_of_scikit_learn():
    reference = pytest.importorskip("sklearn.metrics")
    compared = 0
    for labels, probabilities in CASES:
        classes = probabilities.shape[1]
        for k in (1, 2, 3, 50):
            if k >= classes:
                assert top_k_accuracy(probabilities, labels, k) == 1
            elif classes > 2:
                expected = reference.top_k_accuracy_score(labels, probabilities, k=k, labels=range(classes))
                assert top_k_accuracy(probabilities, labels, k) == pytest.approx(expected)
                compared += 1
    assert compared >= 6


# computed manually


def test_confusion_matrix_rows_are_true_and_columns_predicted():
    assert confusion_matrix(np.array([0, 0, 2]), np.array([1, 1, 0]), 3).tolist() == [[0, 2, 0], [0, 0, 0], [1, 0, 0]]


def test_confusion_matrix_counts_every_image_once():
    for labels, probabilities in CASES:
        assert confusion_matrix(labels, probabilities.argmax(axis=1), probabilities.shape[1]).sum() == len(labels)


def test_confusion_matrix_of_int32_labels_holds_many_classes():
    labels = np.arange(1000, dtype=np.int32)
    assert confusion_matrix(labels, labels, 1000).trace() == 1000


def test_macro_f1_leaves_out_a_class_that_never_occurs():
    assert macro_f1(np.diag([5, 5, 0])) == 1
    assert macro_f1(np.zeros((2, 2), int)) == 0


def test_class_scores_of_a_class_that_is_never_predicted_are_0():
    (_, second) = class_scores(np.array([[3, 0], [2, 0]]), ("a", "b"))
    assert (second.precision, second.recall, second.f1, second.support) == (0, 0, 0, 2)


def test_top_k_accuracy_counts_ties_in_label_order():
    ties = np.full((3, 3), 1 / 3, np.float32)
    assert top_k_accuracy(ties, np.array([0, 1, 2]), 1) == pytest.approx(1 / 3)
    assert top_k_accuracy(ties, np.array([0, 1, 2]), 2) == pytest.approx(2 / 3)


def test_worst_confusions_are_mistakes_only_the_most_frequent_first():
    confusion = np.array([[90, 2, 0], [7, 10, 1], [0, 3, 5]])
    assert worst_confusions(confusion, ("a", "b", "c")) == [("b", "a", 7), ("c", "b", 3), ("a", "b", 2)]
    assert worst_confusions(confusion, ("a", "b", "c"), 1) == [("b", "a", 7)]
    assert worst_confusions(np.array([[3, 1], [0, 2]]), ("a", "b")) == [("a", "b", 1)]
    assert worst_confusions(np.eye(4, dtype=int), tuple("abcd")) == []


# two classifiers on the same images


def test_sign_test_is_the_binomial_test():
    stats = pytest.importorskip("scipy.stats")
    for wins, losses in ((0, 0), (1, 0), (5, 5), (12, 3), (3, 12), (40, 61), (9000, 9100)):
        expected = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
        assert sign_test(wins, losses) == pytest.approx(expected, rel=1e-9), (wins, losses)


def test_mcnemar_counts_only_images_that_one_classifier_got_right():
    first = np.array([True] * 80 + [False] * 20)
    second = np.array([True] * 70 + [False] * 30)
    comparison = mcnemar(first, second)
    assert comparison.difference == pytest.approx(0.1)
    assert comparison.p == pytest.approx(2 / 2**10)
    assert 0 < comparison.interval[0] < 0.1 < comparison.interval[1]


def test_mcnemar_the_other_way_round_is_the_opposite():
    random = np.random.default_rng(0)
    first, second = random.random(200) < 0.8, random.random(200) < 0.7
    forward, backward = mcnemar(first, second), mcnemar(second, first)
    assert forward.difference == -backward.difference
    assert forward.p == backward.p
    np.testing.assert_allclose(forward.interval, [-backward.interval[1], -backward.interval[0]])


def test_mcnemar_of_equal_classifiers_finds_no_difference():
    correct = np.array([True, False, True])
    comparison = mcnemar(correct, correct)
    assert (comparison.difference, comparison.p) == (0, 1)
    assert comparison.interval[0] < 0 < comparison.interval[1]


def test_mcnemar_interval_covers_the_difference_about_95_times_in_100():
    """Within what 2,000 draws can tell: both classifiers equally good, half of their errors shared."""
    random, covered = np.random.default_rng(1), 0
    for _ in range(2000):
        shared = random.random(150) < 0.1
        first, second = (~shared & (random.random(150) > 0.1) for _ in range(2))
        low, high = mcnemar(first, second).interval
        covered += low <= 0 <= high
    assert 0.935 < covered / 2000 < 0.985


def test_mcnemar_rejects_equal_classifiers_no_more_often_than_its_level():
    random = np.random.default_rng(2)
    p_values = [mcnemar(random.random(100) < 0.8, random.random(100) < 0.8).p for _ in range(2000)]
    assert np.mean(np.array(p_values) < 0.05) <= 0.05


# coverage; `python benchmarks/intervals.py` has more cells and draws


def covered(intervals, truth):
    return np.mean([low - 1e-12 <= truth <= high + 1e-12 for low, high in intervals])


def test_wilson_interval_covers_accuracies_93_to_97_times_in_100_on_average():
    random = np.random.default_rng(0)
    cells = {
        (total, accuracy): covered(
            [wilson_interval(int(correct), total) for correct in random.binomial(total, accuracy, 2000)], accuracy
        )
        for total in (20, 50, 100, 500)
        for accuracy in (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
    }
    assert 0.93 < np.mean(list(cells.values())) < 0.97
    assert {cell: value for cell, value in cells.items() if value < 0.91} == {}


def test_wilson_interval_covers_recalls_of_classes_of_random_size():
    random = np.random.default_rng(1)
    cells = []
    for mean, recall in ((5, 0.5), (10, 0.8), (20, 0.9), (50, 0.95)):
        supports = [int(support) for support in random.binomial(10 * mean, 0.1, 2000) if support]
        intervals = [wilson_interval(int(random.binomial(support, recall)), support) for support in supports]
        cells.append(covered(intervals, recall))
    assert 0.93 < np.mean(cells) < 0.97
    assert min(cells) > 0.91


def test_mcnemar_interval_covers_differences_93_to_97_times_in_100_on_average():
    random = np.random.default_rng(2)
    cells = []
    for total, only_first, only_second in ((50, 0.2, 0.2), (100, 0.1, 0.05), (200, 0.15, 0.05), (500, 0.05, 0.02)):
        intervals = []
        for _ in range(1000):
            draws = random.random(total)
            first, second = draws < only_first, (draws >= only_first) & (draws < only_first + only_second)
            intervals.append(mcnemar(first, second).interval)
        cells.append(covered(intervals, only_first - only_second))
    assert 0.93 < np.mean(cells) < 0.97
    assert min(cells) > 0.92


# scores of the same images


def test_compare_scores_of_zeros_and_ones_is_mcnemars_test():
    random = np.random.default_rng(0)
    first, second = random.random(80) < 0.8, random.random(80) < 0.65
    exact, drawn = mcnemar(first, second), compare_scores(first.astype(float), second.astype(float))
    assert (drawn.difference, drawn.interval) == (
        pytest.approx(exact.difference),
        pytest.approx(exact.interval),
    )
    assert drawn.p == pytest.approx(exact.p, abs=0.005)


def test_compare_scores_rejects_equal_conditions_in_one_of_twenty_cases(monkeypatch):
    monkeypatch.setattr("tlkit.evaluation.metrics.NUM_PERMUTATIONS", 1999)
    random = np.random.default_rng(1)
    p_values = []
    for _ in range(300):
        scores = random.integers(0, 6, (2, 40)) / 5
        p_values.append(compare_scores(*scores).p)
    assert 0.02 < np.mean(np.array(p_values) < 0.05) < 0.09


def test_compare_scores_of_equal_scores_finds_no_difference():
    same = compare_scores(np.full(10, 0.4), np.full(10, 0.4))
    assert (same.difference, same.p) == (0.0, 1.0) and same.interval[0] == -same.interval[1] < 0


def test_mean_interval_is_narrower_where_the_scores_are_alike():
    alike, apart = mean_interval(np.full(100, 0.6)), mean_interval(np.repeat([1.0, 0.0], (60, 40)))
    assert alike[0] < 0.6 < alike[1] and apart[0] < 0.6 < apart[1]
    assert np.ptp(alike) < 0.5 * np.ptp(apart)
