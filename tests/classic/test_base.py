import numpy as np

from tlkit.classic.base import softmax


def test_softmax_of_large_scores_does_not_overflow():
    np.testing.assert_allclose(softmax(np.array([[1000.0, 1000.0, -1000.0]])), [[0.5, 0.5, 0]])


def test_softmax_of_logarithms_gives_the_fractions_back():
    fractions = np.array([[0.2, 0.3, 0.5], [0.9, 0.05, 0.05]])
    np.testing.assert_allclose(softmax(np.log(fractions) + 7), fractions)
