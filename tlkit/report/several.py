"""The page that compares several runs: accuracies, differences on the same images, settings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.evaluation.metrics import PairedComparison, macro_f1, mcnemar
from tlkit.report.content import RunContent, read_content
from tlkit.report.html import render_page
from tlkit.report.images import Thumbnails, make_thumbnails
from tlkit.report.page import WrittenPage, network_of
from tlkit.report.robustness import describe_robustness, measure_runs
from tlkit.runs.run import Run
from tlkit.utils.files import check_new_file, write_new
from tlkit.utils.progress import Progress
from tlkit.utils.storage import Location
from tlkit.utils.text import distinct_names, escape_control_chars, format_duration, quote_names

MAX_IMAGES = 36  # that runs disagree on
MAX_HARD = 18  # that no run classifies correctly
SIGNIFICANT = 0.05  # p-value, from which runs are called similar


@dataclass(frozen=True)
class Compared:
    """A run beside others.

    Attributes:
        order: of its images, so that they are in the same order as those of the other runs of its group
        key: what its images are: their hashes and labels; equal for runs on the same images
        to_best: compared with the most accurate run on the same images; None for that run itself
        is_best: whether other runs are compared with it
    """

    content: RunContent
    name: str
    order: np.ndarray
    key: tuple[Any, ...]
    to_best: PairedComparison | None = None
    is_best: bool = False

    @property
    def correct(self) -> np.ndarray:
        """Images that are classified correctly, in the common order: bool (images,)."""
        report = self.content.report
        correct: np.ndarray = report.predicted == report.labels
        return np.asarray(correct[self.order], bool)


def write_page_of_runs(
    runs: Sequence[Run], output: Path, images: Location | None = None, measure: Progress | None = None
) -> WrittenPage:
    """Write a page that compares runs.

    Args:
        output: a new file
        images: folder of the images; that which a run of this machine names where it is None
        measure: shows how the robustness of the runs is measured; None for a page without it

    Raises:
        DataError: if there is no image to measure
        RunError
        ModelError
        OptionError: if the file exists
    """
    check_new_file(output)
    compared = compare_contents([read_content(run) for run in runs])
    group = _main_group(compared)
    num_wrong = np.sum([~run.correct for run in group], axis=0)
    disputed = np.flatnonzero((num_wrong > 0) & (num_wrong < len(group)))
    disputed = disputed[np.argsort(-num_wrong[disputed], kind="stable")].tolist()
    hard = np.flatnonzero(num_wrong == len(group)).tolist()
    shown = [*disputed[:MAX_IMAGES], *hard[:MAX_HARD]]
    pictured, index = _thumbnails(group, shown, images)
    page = render_page(
        "several.html",
        rows=[_row(run, _axis_start(compared)) for run in compared],
        start=_axis_start(compared),
        verdict=_verdict(compared),
        robustness=_robustness(compared, images, measure) if measure else None,
        differing=_differing(compared),
        group=[run.name for run in group],
        num_images=len(group[0].order) if group else 0,
        disputed=[_card(group, image, index) for image in disputed[:MAX_IMAGES]],
        num_disputed=len(disputed),
        hard=[_card(group, image, index) for image in hard[:MAX_HARD]],
        num_hard=len(hard),
        data={
            "names": [],
            "images": [[escape_control_chars(path), -1, -1, 0, pictured.uris.get(path, "")] for path in index],
        },
    )
    write_new(output, page)
    size = len(page.encode("utf-8", "surrogateescape"))
    return WrittenPage(output, size, len(pictured.uris), pictured.problems)


def _robustness(compared: Sequence[Compared], images: Location | None, progress: Progress) -> dict[str, Any]:
    return describe_robustness(measure_runs([(run.name, run.content) for run in compared], images, progress))


def compare_contents(contents: Sequence[RunContent]) -> list[Compared]:
    """Compare runs with the most accurate one on the same images; the most accurate run first.

    McNemar's test is only of runs that classified the same images: the same files, with the same labels.
    """
    names = _names(contents)
    compared = []
    for content, name in zip(contents, names, strict=True):
        classes = content.report.class_names
        keys = [
            (content.sha256.get(path, path), classes[label])
            for path, label in zip(content.paths, content.report.labels.tolist(), strict=True)
        ]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        compared.append(Compared(content, name, np.array(order, int), tuple(keys[position] for position in order)))
    compared.sort(key=lambda run: (-run.content.headline.value, run.name))
    return [_beside_best(run, [other for other in compared if other.key == run.key]) for run in compared]


def _beside_best(run: Compared, group: Sequence[Compared]) -> Compared:
    """Compare a run with the most accurate one of its group."""
    best = max(group, key=lambda other: int(other.correct.sum()))
    if run is best:
        return replace(run, is_best=len(group) > 1)
    return replace(run, to_best=mcnemar(run.correct, best.correct))


def _names(contents: Sequence[RunContent]) -> list[str]:
    """Name runs by their folders, or by their paths where two have the same name."""
    names = [content.name for content in contents]
    paths = [str(content.run.path) for content in contents]
    return distinct_names([path if names.count(name) > 1 else name for name, path in zip(names, paths, strict=True)])


def _main_group(compared: Sequence[Compared]) -> list[Compared]:
    """Give the runs on the same images that are most; the first of equally many."""
    groups = [[other for other in compared if other.key == run.key] for run in compared]
    return max(groups, key=len)


def _row(run: Compared, start: float) -> dict[str, Any]:
    content, paired, headline = run.content, run.to_best, run.content.headline
    return {
        "name": run.name,
        "network": network_of(content),
        "strategy": content.facts["freeze"] and f"freeze {content.facts['freeze']}",
        "accuracy": headline,
        "positions": [(bound - start) / (1 - start) for bound in (headline.low, headline.value, headline.high)],
        "macro_f1": macro_f1(content.report.confusion),
        "seconds": content.seconds.get("total", 0.0),
        "duration": format_duration(content.seconds.get("total", 0.0)),
        "is_best": run.is_best,
        "difference": paired and paired.difference,
        "points": paired and f"{100 * paired.difference:+.1f} points".replace("-", "−"),
        "p": paired and _p_words(paired.p),
        "trained": sum(row["split"] in ("train", "all") for row in content.split),
    }


def _p_words(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def _verdict(compared: Sequence[Compared]) -> str:
    """Say which runs may be as good as the best one."""
    tested = [run for run in compared if run.to_best]
    if not compared[0].is_best or not tested:
        return ""
    equal = [run.name for run in tested if run.to_best and run.to_best.p >= SIGNIFICANT]
    if not equal:
        return "On the same images, it is significantly better than every other run."
    return f"On the same images, it is not significantly better than {quote_names(equal)}."


def _axis_start(compared: Sequence[Compared]) -> float:
    """Choose where the axis of accuracies starts: at a tenth below all intervals."""
    return math.floor(10 * min(run.content.headline.low for run in compared)) / 10


def _differing(compared: Sequence[Compared]) -> list[tuple[str, list[str]]]:
    """List what was asked for differently: options that a run has changed, with the value of each run."""
    options = [
        {"command": run.content.command.split()[1], "data": str(run.content.data)} | dict(run.content.options)
        for run in compared
    ]
    changed = dict.fromkeys(name for run in compared for name in run.content.changed)
    rows = [(name, [str(found.get(name, "–")) for found in options]) for name in ("command", "data", *changed)]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def _thumbnails(
    group: Sequence[Compared], shown: Sequence[int], images: Location | None
) -> tuple[Thumbnails, dict[str, int]]:
    """Make the thumbnails of images, from the folder of the first run that this machine made."""
    own = next((run for run in group if run.content.run.is_own), None)
    source = own or group[0]
    root = images or (own.content.root if own else None)
    paths = list(dict.fromkeys(_path(source, image) for image in shown))
    index = {path: number for number, path in enumerate(paths)}
    if root is None:
        return Thumbnails(), index
    return make_thumbnails(root, paths, [], source.content.sha256, source.content.run.manifest.image), index


def _path(run: Compared, image: int) -> str:
    return run.content.paths[int(run.order[image])]


def _card(group: Sequence[Compared], image: int, index: Mapping[str, int]) -> dict[str, Any]:
    """Describe an image with the answer of each run.

    Args:
        image: its position in the common order
    """
    first, answers = group[0], []
    for run in group:
        report, row = run.content.report, int(run.order[image])
        label = int(report.predicted[row])
        answers.append(
            {
                "run": run.name,
                "predicted": run.content.class_name(label),
                "correct": label == int(report.labels[row]),
                "confidence": float(report.probabilities[row, label]),
            }
        )
    true = first.content.class_name(int(first.content.report.labels[int(first.order[image])]))
    paths = [_path(run, image) for run in group]
    path = next((found for found in paths if found in index), paths[0])
    return {"path": path, "index": index.get(path), "true": true, "answers": answers}
