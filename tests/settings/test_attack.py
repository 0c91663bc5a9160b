"""Settings of `tlkit attack`."""

import pytest

from tlkit.errors import OptionError
from tlkit.settings.attack import AttackSettings


def test_epsilons_are_sorted_and_each_counts_once():
    assert AttackSettings(epsilon="8, 1,2,1").epsilons == (1, 2, 8)
    assert AttackSettings(epsilon="0.5,300", norm="l2").epsilons == (0.5, 300)


@pytest.mark.parametrize(
    ("epsilon", "words"),
    [
        ("1,x", "expected numbers"),
        ("", "expected numbers"),
        ("1.5", "whole numbers, or --norm l2"),
        ("256", "expected 0 to 255"),
        ("-1", "expected 0 to 255"),
        ("nan", "expected 0 to 255"),
    ],
)
def test_an_epsilon_that_no_file_can_have_is_refused(epsilon, words):
    with pytest.raises(OptionError, match=words):
        AttackSettings(epsilon=epsilon)
