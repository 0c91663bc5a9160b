"""What to take: the best rung, or one as good that costs less."""

from collections.abc import Sequence
from dataclasses import dataclass

from tlkit.comparison.results import CandidateResult, find_best, format_training_time
from tlkit.utils.text import format_duration

SIGNIFICANCE = 0.05  # a difference less likely than this by chance is one
TOLERATED_LOSS = 0.01  # of accuracy: what a cheaper rung may be worse by
SAVING = 2.0  # times: a rung is cheaper that is trained in less than the time divided by this


@dataclass(frozen=True)
class Recommendation:
    """The rung to take, why, and what to type."""

    name: str
    reason: str
    command: str


def recommend(standings: Sequence[CandidateResult], blind: Sequence[CandidateResult] = ()) -> Recommendation:
    """The best rung, or one that is as good and cheaper.

    standings: from the lowest rung; at least one that was trained
    blind: what answers without looking, which the best must be told from, among the standings or not
    """
    best = find_best([standing for standing in standings if standing.command])
    cheaper = [standing for standing in standings if _is_as_good(standing, best) and _is_cheaper(standing, best)]
    taken = find_best(cheaper) if cheaper else best
    return Recommendation(taken.name, _reason(taken, best, standings, blind), taken.command)


def _is_as_good(standing: CandidateResult, best: CandidateResult) -> bool:
    paired = standing.against(best)
    return paired is not None and paired.p >= SIGNIFICANCE and paired.difference >= -TOLERATED_LOSS


def _is_cheaper(standing: CandidateResult, best: CandidateResult) -> bool:
    """To train, as far as is known, and not much slower to use; that the best left out some reading would only help."""
    if standing.reused or not (standing.seconds and best.seconds and standing.rate and best.rate):
        return False
    return SAVING * standing.seconds <= best.seconds and SAVING * standing.rate >= best.rate


def _alternatives(best: CandidateResult, standings: Sequence[CandidateResult]) -> str:
    """Why the best itself is taken, as the end of a sentence."""
    as_good = [standing for standing in standings if _is_as_good(standing, best)]
    if not as_good:
        return _runner_up(best, standings)
    if not best.seconds or any(standing.reused or not standing.seconds for standing in as_good):
        return "and what others need to be trained is not known of all"
    return "and nothing as good is both twice as quick to train and not much slower to use"


def _runner_up(best: CandidateResult, standings: Sequence[CandidateResult]) -> str:
    """Which other rung these images cannot tell from the best, though it looks worse."""
    pairs = [(standing, paired) for standing in standings if standing.command and (paired := standing.against(best))]
    alike = [(standing, paired) for standing, paired in pairs if paired.p >= SIGNIFICANCE]
    if not alike:
        return "and nothing else here is as good"
    next_best, paired = max(alike, key=lambda pair: pair[1].difference)
    return f"though {next_best.title}'s {next_best.accuracy:.3f} is not told from it (p = {paired.p:.2f})"


def _is_told(blind: CandidateResult, best: CandidateResult) -> bool:
    """Whether the best is better than what answers without looking, by more than chance may give."""
    if paired := blind.against(best):
        return paired.p < SIGNIFICANCE and paired.difference < 0
    return best.interval is not None and best.interval[0] > blind.accuracy


def _reason(
    taken: CandidateResult,
    best: CandidateResult,
    standings: Sequence[CandidateResult],
    blind: Sequence[CandidateResult],
) -> str:
    unlearnt = [*blind, *(standing for standing in standings if not standing.command)]
    if alike := [standing for standing in unlearnt if not _is_told(standing, best)]:
        nearest = find_best(alike)
        return (
            f"nothing yet: with these images {best.title} ({best.accuracy:.3f}) cannot be told from {nearest.title} "
            f"({nearest.accuracy:.3f}); check the labels, or collect more"
        )
    if taken is best:
        return f"{best.title}: {best.accuracy:.3f}, {_alternatives(best, standings)}"
    paired = taken.against(best)
    assert paired and taken.seconds and best.seconds
    return (
        f"{taken.title}: {taken.accuracy:.3f}, not told from {best.title}'s {best.accuracy:.3f} (p = {paired.p:.2f}), "
        f"and trained in {format_duration(taken.seconds)} instead of {format_training_time(best)}"
    )
