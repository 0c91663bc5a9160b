"""`tlkit compare`: the ladder climbed, and what it shows."""

from dataclasses import dataclass
from pathlib import Path

from tlkit.comparison.advice import Advice, advise
from tlkit.comparison.beginning import reopen, start
from tlkit.comparison.climb import Climb, Tell, climb
from tlkit.comparison.plot import draw_ladder
from tlkit.comparison.standing import Standing
from tlkit.comparison.tables import write_comparison
from tlkit.errors import TlkitError
from tlkit.progress import Progress
from tlkit.runs import Run, close_run, discard_run
from tlkit.settings import CompareSettings

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
    standings: list[Standing]
    num_images: int
    advice: Advice
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
    run = start(data, output, settings or CompareSettings())
    try:
        return _finished(climb(run, progress, tell))
    except (TlkitError, KeyboardInterrupt):
        if not any(path.is_dir() for path in run.path.iterdir()):
            discard_run(run)  # nothing was trained yet
        raise


def resume_comparison(path: str | Path, progress: Progress | None = None, tell: Tell | None = None) -> Comparison:
    """Go on with a comparison that was stopped.

    raises: as `compare`
    """
    return _finished(climb(reopen(Path(path)), progress, tell))


def _finished(state: Climb) -> Comparison:
    assert state.judged
    advice = advise(state.standings, state.blind)
    num_images = len(state.judged.paths)
    title = f"{state.root.name}: {state.judged.num_classes} classes, {num_images} validation images"
    draw_ladder(state.standings, advice, title, state.run.path / PICTURE)
    write_comparison(state.run, state.standings, advice, state.notes)
    close_run(state.run)
    return Comparison(state.run, state.standings, num_images, advice, state.notes)
