"""`tlkit compare`: candidates trained on the same images, and the one to take."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlkit.comparison.cache import read_request
from tlkit.comparison.candidates import build_candidates
from tlkit.comparison.recommendation import Recommendation, recommend
from tlkit.comparison.report import (
    COLUMNS,
    draw_comparison,
    result_rows,
    write_candidates_page,
    write_comparison,
)
from tlkit.comparison.results import CandidateResult, format_speed, format_training_time
from tlkit.comparison.runner import ComparisonState, run_candidates
from tlkit.data.reader import DataOptions, absolute_request, images_root, read_data
from tlkit.errors import OptionError, RunError, TlkitError
from tlkit.models.keras_setup import require_keras
from tlkit.report.compared import ComparedImages
from tlkit.runs.manifest import COMPARISON_PAGE
from tlkit.runs.run import Run, command_of, create_run, delete_run, mark_done
from tlkit.runs.unfinished import reopen_run
from tlkit.settings.base import settings_or_options, to_json
from tlkit.settings.commands import CompareSettings
from tlkit.utils.html import html_bar, html_card, html_facts, html_table
from tlkit.utils.progress import Progress
from tlkit.utils.storage import Location, refuse_inside
from tlkit.utils.tables import data_frame

if TYPE_CHECKING:
    import pandas

PLOT_FILE = "compare.png"


@dataclass(frozen=True)
class Comparison:
    """A finished comparison.

    Attributes:
        run: its folder; each candidate's run is a folder in it
        results: one per candidate, from the simplest
        num_images: validation images, the same for all
        recommendation: the candidate to take, and why
        notes: what a person should know
    """

    run: Run
    results: list[CandidateResult] = field(repr=False)
    num_images: int
    recommendation: Recommendation
    notes: list[str] = field(repr=False)

    def to_pandas(self) -> "pandas.DataFrame":
        """Make a data frame with the columns of compare.csv, one row per candidate, from the simplest.

        Raises:
            ModelError: if pandas is not installed
        """
        return data_frame(COLUMNS, result_rows(self.results))

    def _repr_html_(self) -> str:
        rows = []
        for result in self.results:
            interval = " to ".join(f"{100 * bound:.1f}" for bound in result.interval or ())
            star = "★" if result.name == self.recommendation.name else ""
            accuracy = html_bar(result.accuracy, f"{100 * result.accuracy:.1f} %")
            costs = (format_training_time(result), format_speed(result))
            rows.append((star, result.title, accuracy, interval and f"{interval} %", *costs))
        header = ("", "model", "accuracy", "interval (95 %)", "training", "images/s")
        facts = html_facts([("run", self.run.path), ("images", f"{self.num_images:,} validation images")])
        reason = html_facts([("advice", self.recommendation.reason)])
        return html_card("Comparison", facts, html_table(header, rows, "models"), reason)


def compare(
    data: str | Location,
    output: str | Path | None = None,
    settings: CompareSettings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Comparison:
    """Train and measure classifiers on a folder, from chance to upper blocks of a pretrained network.

    Args:
        data: a folder with one subfolder per class, or with train/, val/ and test/ above them
        output: the folder to make; the next free `runs/compare-NNN` where it is None
        settings: the options; the defaults where it is None
        progress: gets a transient note before each candidate, and one after it
        options: fields of `CompareSettings`, in place of `settings`

    Returns:
        The result of each candidate, and the one to take

    Raises:
        DataError
        ModelError
        RunError
        OptionError
    """
    run = start_comparison(
        data, output, settings_or_options(CompareSettings, settings, options, data=data, output=output)
    )
    try:
        return _finish(run_candidates(run, progress))
    except (TlkitError, KeyboardInterrupt):
        if not any(path.is_dir() for path in run.path.iterdir()):
            delete_run(run)  # nothing was trained yet
        raise


def resume_comparison(path: str | Path, progress: Progress | None = None) -> Comparison:
    """Continue a comparison that was stopped.

    Args:
        path: the folder of the comparison
        progress: shows what is done; nothing is shown where it is None

    Returns:
        What the comparison would have given without the stop

    Raises:
        TlkitError: as `compare`
    """
    run = reopen_run(Path(path))
    if (command := command_of(run)) != "compare":
        raise RunError(f"'{path}' is not a comparison; `tlkit {command} --resume {path}` continues it.")
    return _finish(run_candidates(run, progress))


def start_comparison(data: str | Location, output: str | Path | None, settings: CompareSettings) -> Run:
    """Make the folder of a comparison.

    Raises:
        DataError
        ModelError: if Keras is not installed
        OptionError
        RunError
    """
    require_keras("`tlkit compare`")
    read_data(data, DataOptions(**settings.data_options))  # refuses what is no data
    if not any(candidate.make_settings for candidate in build_candidates(settings)):
        raise OptionError("--only has baselines only; add a trained model, e.g. linear.")
    refuse_inside(data, output or "runs")
    run = create_run(Path(output) if output else None, "compare")
    run.write_json(
        "settings.json", {"command": "compare", **to_json(settings), **absolute_request(data, settings.images)}
    )
    return run


def _finish(state: ComparisonState) -> Comparison:
    assert state.validation_set
    recommendation = recommend(state.results, state.baselines)
    num_images = len(state.validation_set.paths)
    title = f"{state.data.name}: {state.validation_set.num_classes} classes, {num_images} validation images"
    draw_comparison(state.results, recommendation, title, state.run.path / PLOT_FILE)
    data, settings = read_request(state.run)
    if settings.report:
        images = ComparedImages(data.name, images_root(data, settings.images))
        try:
            write_candidates_page(state.run, state.results, recommendation, state.notes, images)
        except Exception as error:  # of the disk, of an image, or of this program: the comparison is worth more
            reason = str(error).rstrip(".") or type(error).__name__
            state.notes.append(f"{COMPARISON_PAGE} was not written ({reason}).")
    write_comparison(state.run, state.results, recommendation, state.notes)
    mark_done(state.run)
    return Comparison(state.run, state.results, num_images, recommendation, state.notes)
