"""The figures of an attack."""

import numpy as np

from tlkit.inference.predictor import Prediction
from tlkit.robustness.attack_result import AttackedImage, AttackResult


def answer(label):
    probabilities = np.full(3, 0.1, np.float32)
    probabilities["abc".index(label)] = 0.8
    return Prediction("x", "ok", label, 0.8, probabilities=probabilities)


def test_figures_are_those_of_each_epsilon():
    by_epsilon = {
        epsilon: tuple(AttackedImage(f"{k}", 0, answer("a"), answer(after)) for k, after in enumerate(answers))
        for epsilon, answers in ((1.0, "aab"), (2.0, "bbc"))
    }
    result = AttackResult(("a", "b", "c"), "pgd", "linf", 20, "b", "new", True, by_epsilon)
    assert result.clean.accuracy == 1 and result.adversarial(1.0).num_correct == 2
    assert result.epsilon == 2 and result.adversarial().num_correct == 0 and result.num_reached == 2
    assert result.adversarial().confusion.tolist()[0] == [0, 2, 1]
