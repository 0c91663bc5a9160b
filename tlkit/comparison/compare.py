"""`tlkit compare`: the ladder climbed, and what it shows."""

from dataclasses import dataclass
from pathlib import Path

from tlkit.comparison.cache import reopen_comparison, start_comparison
from tlkit.comparison.recommendation import Recommendation, recommend
from tlkit.comparison.report import draw_comparison, write_comparison
from tlkit.comparison.results import CandidateResult
from tlkit.comparison.runner import ComparisonState, Tell, run_candidates
from tlkit.errors import TlkitError
from tlkit.runs.run import Run, delete_run, mark_done
from tlkit.settings.commands import CompareSettings
from tlkit.utils.progress import Progress

PICTURE = "compare.png"


@dataclass(frozen=True)
class Comparison:
    """A finished ladder.

    run         its folder; each rung's run is a folder in it
    standings   one per rung, from the lowest
    num_images  that all were judged on
    notes       what a person should know
    """

    run: Run
    standings: list[CandidateResult]
    num_images: int
    advice: Recommendation
    notes: list[str]


def compare(
    data: str | Path,
    output: str | Path | None = None,
    settings: CompareSettings | None = None,
    progress: Progress | None = None,
    tell: Tell | None = None,
) -> Comparison:
    """Train and measure a ladder of classifiers on a folder, from chance to upper blocks of a pretrained network.

    data: a folder with one subfolder per class, or with train/, val/ and test/ above them
    output: the folder to make; the next free `runs/compare-NNN` where it is None
    tell: is given a line before each rung, and one after it
    raises: DataError, ModelError, RunError, OptionError
    """
    run = start_comparison(data, output, settings or CompareSettings())
    try:
        return _finished(run_candidates(run, progress, tell))
    except (TlkitError, KeyboardInterrupt):
        if not any(path.is_dir() for path in run.path.iterdir()):
            delete_run(run)  # nothing was trained yet
        raise


def resume_comparison(path: str | Path, progress: Progress | None = None, tell: Tell | None = None) -> Comparison:
    """Go on with a comparison that was stopped.

    raises: as `compare`
    """
    return _finished(run_candidates(reopen_comparison(Path(path)), progress, tell))


def _finished(state: ComparisonState) -> Comparison:
    assert state.judged
    advice = recommend(state.standings, state.blind)
    num_images = len(state.judged.paths)
    title = f"{state.root.name}: {state.judged.num_classes} classes, {num_images} validation images"
    draw_comparison(state.standings, advice, title, state.run.path / PICTURE)
    write_comparison(state.run, state.standings, advice, state.notes)
    mark_done(state.run)
    return Comparison(state.run, state.standings, num_images, advice, state.notes)
