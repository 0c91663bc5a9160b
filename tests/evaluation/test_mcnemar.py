"""Two classifiers on the same images."""

import numpy as np
import pytest

from tlkit.evaluation.metrics import mcnemar, sign_test


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (5, 5), (12, 3), (3, 12), (40, 61), (9000, 9100)])
def test_the_test_is_the_binomial_one(wins, losses):
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert sign_test(wins, losses) == pytest.approx(expected, rel=1e-9)


def test_only_images_that_one_got_right_count():
    first = np.array([True] * 80 + [False] * 20)
    second = np.array([True] * 70 + [False] * 30)
    found = mcnemar(first, second)
    assert found.difference == pytest.approx(0.1)
    assert found.p == pytest.approx(2 / 2**10)
    assert found.interval[0] < 0.1 < found.interval[1]
    assert found.interval[0] > 0


def test_the_other_way_round_is_the_opposite():
    random = np.random.default_rng(0)
    first, second = random.random(200) < 0.8, random.random(200) < 0.7
    one, other = mcnemar(first, second), mcnemar(second, first)
    assert one.difference == -other.difference
    assert one.p == other.p
    np.testing.assert_allclose(one.interval, [-other.interval[1], -other.interval[0]])


def test_equals_cannot_be_told_apart():
    right = np.array([True, False, True])
    found = mcnemar(right, right)
    assert (found.difference, found.p) == (0, 1)
    assert found.interval[0] < 0 < found.interval[1]


def test_the_interval_holds_what_it_promises():
    """95 % of them, within what 2,000 draws can tell: both classifiers equally good, errors half shared."""
    random, covered = np.random.default_rng(1), 0
    for _ in range(2000):
        shared = random.random(150) < 0.1
        first, second = (~shared & (random.random(150) > 0.1) for _ in range(2))
        low, high = mcnemar(first, second).interval
        covered += low <= 0 <= high
    assert 0.935 < covered / 2000 < 0.985


def test_the_test_rejects_equals_no_more_often_than_it_says():
    random = np.random.default_rng(2)
    found = [mcnemar(random.random(100) < 0.8, random.random(100) < 0.8).p for _ in range(2000)]
    assert np.mean(np.array(found) < 0.05) <= 0.05
