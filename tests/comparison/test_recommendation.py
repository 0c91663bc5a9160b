"""What to take, and how the ladder is shown."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tlkit.comparison.recommendation import recommend
from tlkit.comparison.report import draw_comparison, table_lines
from tlkit.comparison.results import CandidateResult, find_best
from tlkit.evaluation.metrics import wilson_interval

IMAGES = 400


def standing(name, correct, seconds=10.0, rate=100.0, kind="pretrained", command="tlkit train x"):
    right = np.arange(IMAGES) < correct
    figures = {"seconds": seconds, "rate": rate, "size": 1_500_000} if command else {}
    interval = wilson_interval(correct, IMAGES)
    return CandidateResult(name, f"the {name}", kind, correct / IMAGES, interval, right, command=command, **figures)


MAJORITY = standing("majority", 100, kind="baseline", command="")


def test_the_best_is_taken_where_nothing_is_as_good():
    found = recommend([MAJORITY, standing("small", 300), standing("large", 380, seconds=1000)])
    assert found.name == "large"
    assert "0.950" in found.reason


def test_as_good_and_cheaper_is_taken_instead():
    found = recommend([MAJORITY, standing("small", 378), standing("large", 380, seconds=1000)])
    assert found.name == "small"
    assert "not told from the large's 0.950 (p = 0.50)" in found.reason
    assert "in 10 s instead of 16 min 40 s" in found.reason


@pytest.mark.parametrize(
    "small",
    [
        standing("small", 378, seconds=600),  # hardly cheaper
        standing("small", 378, rate=20),  # much slower to use
        standing("small", 374),  # more than a point worse, though it may be chance
        replace(standing("small", 378), seconds=None),  # nobody knows, for it was stopped in between
        replace(standing("small", 378), reused=True),  # images had been read for it before
    ],
)
def test_else_it_is_not(small):
    assert recommend([MAJORITY, small, standing("large", 380, seconds=1000)]).name == "large"


def test_a_time_that_leaves_reading_out_is_no_saving_but_may_be_what_is_saved():
    found = recommend([MAJORITY, standing("small", 378), replace(standing("large", 380, seconds=1000), reused=True)])
    assert found.name == "small"
    assert "in 10 s instead of ≥ 16 min 40 s" in found.reason


def test_the_better_of_two_cheap_ones():
    ladder = [MAJORITY, standing("least", 378, seconds=1), standing("small", 379), standing("large", 380, seconds=1000)]
    assert recommend(ladder).name == "small"


def test_nothing_is_learnt_where_guessing_is_as_good():
    found = recommend([MAJORITY, standing("large", 104)])
    assert "nothing yet" in found.reason
    assert "cannot be told from the majority" in found.reason
    assert found.command


def test_any_class_at_random_is_a_rung_to_be_told_from():
    """Where the commonest class of the training images is rare among those judged on, chance is the better guess."""
    chance, rare = (
        CandidateResult("chance", "any class at random", "baseline", 0.5),
        standing("majority", 20, command=""),
    )
    assert "cannot be told from any class at random (0.500)" in recommend([chance, rare, standing("large", 210)]).reason
    assert "nothing yet" not in recommend([chance, rare, standing("large", 240)]).reason


def test_what_is_worse_than_not_looking_is_not_taken():
    found = recommend([standing("majority", 340, kind="baseline", command=""), standing("large", 280)])
    assert "nothing yet" in found.reason


def test_the_reason_is_the_one_there_is():
    best, slow = standing("large", 380, seconds=1000), standing("small", 378, rate=20)
    assert "nothing else here is as good" in recommend([MAJORITY, standing("small", 300), best]).reason
    assert "not much slower to use" in recommend([MAJORITY, slow, best]).reason
    for unknown in ({"seconds": None}, {"reused": True}):
        assert "is not known" in recommend([MAJORITY, replace(slow, **unknown), best]).reason


def test_what_only_looks_worse_is_named():
    """A point and a half of 400 images, from 26 that only one gets right and 20 that only the other does, is little."""
    small = replace(standing("small", 374), right=np.arange(IMAGES) >= 26)
    reason = recommend([MAJORITY, small, standing("large", 380)]).reason
    assert reason == "the large: 0.950, though the small's 0.935 is not told from it (p = 0.46)"


def test_what_answers_without_looking_counts_though_it_was_not_asked_for():
    assert "nothing yet" not in recommend([standing("large", 104)]).reason
    assert "cannot be told from the majority" in recommend([standing("large", 104)], [MAJORITY]).reason
    assert "nothing yet" not in recommend([standing("large", 300)], [MAJORITY]).reason


def test_equals_are_ranked_from_the_lowest():
    assert find_best([standing("low", 300), standing("high", 300)]).name == "low"


def test_the_table_shows_every_rung_and_marks_the_best():
    chance = CandidateResult("chance", "any class", "baseline", 0.25)
    lines = table_lines([chance, MAJORITY, standing("small", 300), replace(standing("large", 380), selected=True)])
    assert len(lines) == 5
    assert len({line.index("0.") for line in lines[1:]}) == 1  # in columns
    assert "best" in lines[4]
    assert "0.950*" in lines[4]
    assert "-20.0 points" in lines[3]
    assert "< 0.001" in lines[3]
    assert lines[1].split() == ["any", "class", "0.250"]


def test_the_picture_is_drawn_whatever_the_names(tmp_path):
    ladder = [MAJORITY, standing("small $x$ \x1b", 3), standing("x" * 60, 400)]
    draw_comparison(ladder, recommend(ladder), "photos_of $things$", tmp_path / "ladder.png")
    with Image.open(tmp_path / "ladder.png") as picture:
        colours = picture.convert("RGB").getcolors(1 << 24)
        assert picture.width > 1000
    assert len(colours) > 50
