"""The recommended candidate: the best, or one of similar accuracy that costs less."""

from collections.abc import Sequence
from dataclasses import dataclass

from tlkit.comparison.results import CandidateResult, find_best, format_training_time
from tlkit.utils.text import format_duration

SIGNIFICANCE = 0.05  # a difference with a p value below this is significant
TOLERATED_LOSS = 0.01  # of accuracy, of a cheaper candidate
SAVING = 2.0  # a cheaper candidate trains at least this many times as fast


@dataclass(frozen=True)
class Recommendation:
    """The candidate to use, why, and the command that trains it by itself; its run is in the comparison.

    Attributes:
        name: of the candidate
        reason: why, in words
        command: that trains it by itself
    """

    name: str
    reason: str
    command: str


def describe_difference(result: CandidateResult, best: CandidateResult) -> str:
    """Say whether a candidate is significantly worse than the best, with p; "" for the best itself and for chance."""
    paired = result.compared_to(best)
    if paired is None:
        return ""
    p = f"(p {paired.p:.2g})" if paired.p >= 0.001 else "(p < 0.001)"
    return f"worse {p}" if paired.p < SIGNIFICANCE else f"similar {p}"


def recommend(results: Sequence[CandidateResult], baselines: Sequence[CandidateResult] = ()) -> Recommendation:
    """Choose the best candidate, or one that is as good and cheaper.

    Args:
        results: from the simplest candidate; at least one that was trained
        baselines: the best must be significantly better than these; they may be among the results
    """
    best = find_best([result for result in results if result.command])
    cheaper = [result for result in results if _is_as_good(result, best) and _is_cheaper(result, best)]
    chosen = find_best(cheaper) if cheaper else best
    return Recommendation(chosen.name, _reason(chosen, best, results, baselines), chosen.command)


def _is_as_good(result: CandidateResult, best: CandidateResult) -> bool:
    paired = result.compared_to(best)
    return paired is not None and paired.p >= SIGNIFICANCE and paired.difference >= -TOLERATED_LOSS


def _is_cheaper(result: CandidateResult, best: CandidateResult) -> bool:
    """Compare training times, as far as they are known; if the best leaves out some reading, the saving is only larger.

    What is much slower to use is not cheaper.
    """
    if result.features_cached or not (
        result.seconds and best.seconds and result.images_per_second and best.images_per_second
    ):
        return False
    return SAVING * result.seconds <= best.seconds and SAVING * result.images_per_second >= best.images_per_second


def _alternatives(best: CandidateResult, results: Sequence[CandidateResult]) -> str:
    """Say why the best itself is recommended, in a sentence."""
    as_good = [result for result in results if _is_as_good(result, best)]
    if not as_good:
        return _runner_up(best, results)
    if not best.seconds or any(result.features_cached or not result.seconds for result in as_good):
        return "How long some of the others take to train is not known."
    return "No model of similar accuracy trains twice as fast and predicts about as fast."


def _runner_up(best: CandidateResult, results: Sequence[CandidateResult]) -> str:
    """Name the next best candidate, where it is not significantly worse."""
    pairs = [(result, paired) for result in results if result.command and (paired := result.compared_to(best))]
    alike = [(result, paired) for result, paired in pairs if paired.p >= SIGNIFICANCE]
    if not alike:
        return "All others are significantly worse."
    next_best, paired = max(alike, key=lambda pair: pair[1].difference)
    return f"{_capitalized(_named(next_best))} is not significantly worse (p = {paired.p:.2f})."


def _is_better(baseline: CandidateResult, best: CandidateResult) -> bool:
    """Tell whether the best is significantly better than a baseline."""
    if paired := baseline.compared_to(best):
        return paired.p < SIGNIFICANCE and paired.difference < 0
    return best.interval is not None and best.interval[0] > baseline.accuracy


def _named(result: CandidateResult) -> str:
    return f"{result.title} ({100 * result.accuracy:.1f} %)"


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:] if text.startswith("the ") else text


def _reason(
    chosen: CandidateResult,
    best: CandidateResult,
    results: Sequence[CandidateResult],
    baselines: Sequence[CandidateResult],
) -> str:
    untrained = [*baselines, *(result for result in results if not result.command)]
    if alike := [result for result in untrained if not _is_better(result, best)]:
        nearest = find_best(alike)
        return (
            f"No recommendation: {_named(best)} is not significantly better than {_named(nearest)}. "
            "Check the labels or add images."
        )
    if chosen is best:
        return f"Use {_named(best)}. {_alternatives(best, results)}"
    paired = chosen.compared_to(best)
    assert paired and chosen.seconds and best.seconds
    return (
        f"Use {_named(chosen)}. It is not significantly worse than {_named(best)} (p = {paired.p:.2f}) "
        f"and trains in {format_duration(chosen.seconds)} instead of {format_training_time(best)}."
    )
