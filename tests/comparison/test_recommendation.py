"""What to take."""

from dataclasses import replace

import numpy as np
import pytest

from tlkit.comparison.recommendation import recommend
from tlkit.comparison.results import CandidateResult
from tlkit.evaluation.metrics import wilson_interval

NUM_IMAGES = 400


def result(name, num_correct, seconds=10.0, images_per_second=100.0, kind="pretrained", command="tlkit train x"):
    correct = np.arange(NUM_IMAGES) < num_correct
    figures = {"seconds": seconds, "images_per_second": images_per_second, "num_bytes": 1_500_000} if command else {}
    interval = wilson_interval(num_correct, NUM_IMAGES)
    accuracy = num_correct / NUM_IMAGES
    return CandidateResult(name, f"the {name}", kind, accuracy, interval, correct, command=command, **figures)


MAJORITY = result("majority", 100, kind="baseline", command="")


def test_recommend_nothing_as_good_takes_the_best():
    recommendation = recommend([MAJORITY, result("small", 300), result("large", 380, seconds=1000)])
    assert recommendation.name == "large"
    assert "95.0 %" in recommendation.reason


def test_recommend_as_good_and_cheaper_takes_that():
    recommendation = recommend([MAJORITY, result("small", 378), result("large", 380, seconds=1000)])
    assert recommendation.name == "small"
    assert "not significantly worse than the large (95.0 %) (p = 0.50)" in recommendation.reason
    assert "in 10 s instead of 16 min 40 s" in recommendation.reason


@pytest.mark.parametrize(
    "small",
    [
        result("small", 378, seconds=600),  # hardly cheaper
        result("small", 378, images_per_second=20),  # much slower to use
        result("small", 374),  # more than a point worse, though it may be chance
        replace(result("small", 378), seconds=None),  # nobody knows, for it was stopped in between
        replace(result("small", 378), features_cached=True),  # images had been read for it before
    ],
)
def test_recommend_not_as_good_or_not_cheaper_takes_the_best(small):
    assert recommend([MAJORITY, small, result("large", 380, seconds=1000)]).name == "large"


def test_recommend_time_without_reading_is_no_saving_but_may_be_what_is_saved():
    recommendation = recommend(
        [MAJORITY, result("small", 378), replace(result("large", 380, seconds=1000), features_cached=True)]
    )
    assert recommendation.name == "small"
    assert "in 10 s instead of ≥ 16 min 40 s" in recommendation.reason


def test_recommend_two_cheap_ones_takes_the_better():
    results = [MAJORITY, result("least", 378, seconds=1), result("small", 379), result("large", 380, seconds=1000)]
    assert recommend(results).name == "small"


def test_recommend_guessing_as_good_says_that_nothing_is_learnt():
    recommendation = recommend([MAJORITY, result("large", 104)])
    assert "No recommendation" in recommendation.reason
    assert "not significantly better than the majority" in recommendation.reason
    assert recommendation.command


def test_recommend_chance_must_be_told_from_the_best():
    """Where the commonest class of the training images is rare among those judged on, chance is the better guess."""
    chance, rare = (
        CandidateResult("chance", "any class at random", "baseline", 0.5),
        result("majority", 20, command=""),
    )
    assert (
        "not significantly better than any class at random (50.0 %)"
        in recommend([chance, rare, result("large", 210)]).reason
    )
    assert "No recommendation" not in recommend([chance, rare, result("large", 240)]).reason


def test_recommend_worse_than_a_baseline_says_that_nothing_is_learnt():
    recommendation = recommend([result("majority", 340, kind="baseline", command=""), result("large", 280)])
    assert "No recommendation" in recommendation.reason


def test_recommend_reason_says_why_the_best_is_taken():
    best, slow = result("large", 380, seconds=1000), result("small", 378, images_per_second=20)
    assert "All others are significantly worse" in recommend([MAJORITY, result("small", 300), best]).reason
    assert "predicts about as fast" in recommend([MAJORITY, slow, best]).reason
    for unknown in ({"seconds": None}, {"features_cached": True}):
        assert "is not known" in recommend([MAJORITY, replace(slow, **unknown), best]).reason


def test_recommend_reason_names_what_only_looks_worse():
    """A point and a half of 400 images, from 26 that only one gets right and 20 that only the other does, is little."""
    small = replace(result("small", 374), correct=np.arange(NUM_IMAGES) >= 26)
    reason = recommend([MAJORITY, small, result("large", 380)]).reason
    assert reason == "Use the large (95.0 %). The small (93.5 %) is not significantly worse (p = 0.46)."


def test_recommend_baselines_count_though_not_asked_for():
    assert "No recommendation" not in recommend([result("large", 104)]).reason
    assert "not significantly better than the majority" in recommend([result("large", 104)], [MAJORITY]).reason
    assert "No recommendation" not in recommend([result("large", 300)], [MAJORITY]).reason
