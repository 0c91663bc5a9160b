"""Climbs the ladder: makes rung after rung within the time there is, and leaves out what cannot be made."""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tlkit.comparison.beginning import accept, check_unchanged, requested
from tlkit.comparison.keeping import fingerprint, rung_key
from tlkit.comparison.making import Share, make_rung
from tlkit.comparison.measuring import Judged, Reading, baseline, command_of, judged_by, look_at, notes_of
from tlkit.comparison.rungs import Rung, baselines, build_ladder, missing
from tlkit.comparison.standing import Standing
from tlkit.data.folder import read_folder
from tlkit.durations import seconds_of
from tlkit.errors import TlkitError
from tlkit.files import claim_cache
from tlkit.progress import Progress, Silent
from tlkit.runs import Run, discard_run
from tlkit.settings import CompareSettings
from tlkit.training.diagnosis import FEW_IMAGES, few_images

WRITING = 5.0  # seconds for tables and the plot at the end
Tell = Callable[[str], None]


@dataclass
class Climb:
    """A comparison under way.

    run        its folder
    root       of the images
    images     their fingerprint
    tell       is given a line before each rung and after it
    end        when all should be done, on the monotonic clock
    judged     the validation images, once a rung was judged on them
    standings  of the rungs climbed
    blind      what answers without looking, asked for or not
    notes      what a person should know
    readings   seconds that reading the images took rungs of this ladder
    failure    why the last rung that was left out was
    """

    run: Run
    root: Path
    images: str
    progress: Progress
    tell: Tell
    end: float
    judged: Judged | None = None
    standings: list[Standing] = field(default_factory=list)
    blind: list[Standing] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    readings: dict[Reading, float] = field(default_factory=dict)
    failure: TlkitError | None = None


def climb(run: Run, progress: Progress | None = None, tell: Tell | None = None) -> Climb:
    """Train what is not there yet, and measure all of it.

    run: begun, perhaps stopped
    tell: is given a line before each rung, and one after it; an interrupt it raises ends the climb
    raises: DataError, RunError; OptionError where the cache folder is not tlkit's;
        where nothing could be trained, what the last rung failed for
    """
    started = time.monotonic()
    data, settings = requested(run)
    with suppress(OSError):  # where the cache cannot be written, nothing is kept
        claim_cache()  # at once, for a rung that is refused is left out
    folder = read_folder(data)
    progress, tell = progress or Silent(), tell or (lambda line: None)
    images = fingerprint(folder, progress)
    key = rung_key(images, settings)
    check_unchanged(run, key)
    ladder = build_ladder(settings)
    accept(run, key, [rung.name for rung in ladder])
    state = Climb(run, folder.root, images, progress, tell, started + _limit(settings), notes=missing())
    _climb_all(state, ladder)
    if state.judged is None:
        assert state.failure
        raise type(state.failure)(f"nothing could be trained: {state.notes[-1]}")
    state.blind = [baseline(rung, state.judged) for rung in baselines()]
    order = [rung.name for rung in ladder]
    asked = [standing for standing in state.blind if standing.name in order]
    state.standings = sorted([*asked, *state.standings], key=lambda standing: order.index(standing.name))
    if len(state.judged.paths) < FEW_IMAGES:
        state.notes.append(f"{few_images(len(state.judged.paths))}; more photos tell more than more rungs.")
    return state


def _limit(settings: CompareSettings) -> float:
    """Seconds for the rungs."""
    return seconds_of(settings.time_limit) - WRITING if settings.time_limit else math.inf


def _climb_all(state: Climb, ladder: list[Rung]) -> None:
    """The quick ones first, so that there are many where time is short; frozen networks so precede upper blocks."""
    rungs = sorted((rung for rung in ladder if rung.choose), key=lambda rung: rung.least)
    for place, rung in enumerate(rungs):
        state.tell(f"{place + 1} of {len(rungs)}: {rung.title}")
        _step(state, rung, rungs[place:])


def _step(state: Climb, rung: Rung, ahead: list[Rung]) -> None:
    """Climb one rung, or note why not.

    ahead: the rungs there are still to climb, this one first
    """
    assert rung.choose
    settings = rung.choose({standing.name: standing.accuracy for standing in state.standings})
    run = Run(state.run.path / rung.name)
    try:
        key, share = rung_key(state.images, settings), _share(state.end - time.monotonic(), ahead)
        make_rung(state.root, run.path, settings, key, share, state.progress)
    except Exception as error:  # whatever it was, other rungs may do
        _leave_out(state, rung, _in_a_sentence(error))
        return
    state.judged = state.judged or judged_by(run)
    state.notes += notes_of(rung, run)
    standing = look_at(rung, run, state.judged, command_of(settings, state.root), state.readings)
    state.standings.append(standing)
    state.tell(f"{standing.title}: {standing.accuracy:.3f}")


def _share(left: float, ahead: list[Rung]) -> Share:
    """What the first of the rungs ahead gets of the seconds left."""
    least = ahead[0].least
    return Share(max(least, left * least / sum(rung.least for rung in ahead)), left, least)


def _leave_out(state: Climb, rung: Rung, failure: TlkitError) -> None:
    state.failure = failure
    state.notes.append(f"{rung.name} was left out: {failure}")
    state.tell(state.notes[-1])  # before anything is removed: it may have been an interrupt that C code made an error
    discard_run(Run(state.run.path / rung.name))


def _in_a_sentence(error: Exception) -> TlkitError:
    """The same without its traceback, which holds on to memory."""
    if isinstance(error, TlkitError):
        return type(error)(str(error))
    lines = str(error).splitlines() or ["no reason given"]
    return TlkitError(f"something unexpected happened ({type(error).__name__}: {lines[0]}).")
