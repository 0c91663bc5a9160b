"""The page of one run: what it is made of, in the order of its sections."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.data.listing import natural_key
from tlkit.evaluation.plots import confused_classes
from tlkit.evaluation.report import Report
from tlkit.report.charts import SIDE, WIDTH, curve_charts, reliability_chart, scatter_positions
from tlkit.report.content import RunContent, read_content
from tlkit.report.findings import CopyGroup, copy_groups, next_steps, suspected_labels
from tlkit.report.heat_maps import make_heat_maps
from tlkit.report.html import check_replaceable, render_page, replace_page
from tlkit.report.images import MAX_THUMBNAILS, Thumbnails, interleave, make_thumbnails
from tlkit.runs.manifest import REPORT_PAGE
from tlkit.runs.run import Run
from tlkit.utils.files import write_new
from tlkit.utils.progress import Progress, Silent
from tlkit.utils.storage import Location, is_folder
from tlkit.utils.text import escape_control_chars, format_duration
from tlkit.visualization.image_map import compute_map

MAX_WORST, MAX_UNSURE, MAX_SUSPECTS = 24, 12, 12  # images of a gallery
MAX_COPIES, MAX_IN_GROUP = 12, 6  # groups of copies that are shown, and images of each
MAX_MATRIX = 30  # classes of a confusion matrix
NUM_SHADES = 10  # of its cells
MAX_CLASSES = 40  # rows of the table of classes that are open
MAX_LISTED = 50  # files that were left out
MAP_WORDS = {
    "pca": "the two main components of its features",
    "tsne": "t-SNE of its features",
    "umap": "UMAP of its features",
}
NUM_COLORS = 8  # of classes on the map; with more classes one at a time is marked


@dataclass(frozen=True)
class WrittenPage:
    """A page that was written.

    Attributes:
        missing: why images have no thumbnail, by path
    """

    file: Path
    num_bytes: int
    num_thumbnails: int
    missing: Mapping[str, str]


def write_run_page(
    run: Run,
    output: Path | None = None,
    images: Location | None = None,
    map_method: str = "pca",
    progress: Progress | None = None,
) -> WrittenPage:
    """Write the page of a run.

    Args:
        output: a new file; `report.html` of the run, made again, where it is None
        images: folder of the images; the one that the run names where it is None, if this machine made the run
        map_method: of the map of the images: "pca", "tsne" or "umap"; the last two compute the features again

    Raises:
        RunError
        DataError: if a map is to be computed and the images are not where the training found them
        ModelError: if the package of the map's method is not installed
        OptionError: if the file exists, and is not a page of the run that tlkit wrote
        WriteError
    """
    if output is None:
        check_replaceable(run.path / REPORT_PAGE)
    content = read_content(run)
    if map_method != "pca":
        found = compute_map(run, map_method, 0, trust_model=False, progress=progress or Silent())
        rows = zip(found.paths, found.class_names, found.points.tolist(), strict=True)
        content = replace(content, map_method=map_method, points=[(path, name, x, y) for path, name, (x, y) in rows])
    page, thumbnails = make_page(content, images or (content.root if run.is_own else None))
    if output is None:
        replace_page(run.path / REPORT_PAGE, page)
    else:
        write_new(output, page)
    size = len(page.encode("utf-8", "surrogateescape"))
    return WrittenPage(output or run.path / REPORT_PAGE, size, len(thumbnails.uris), thumbnails.problems)


def make_page(content: RunContent, root: Location | None) -> tuple[str, Thumbnails]:
    """Make the HTML of a page, with the thumbnails that are in it.

    Args:
        root: folder of the images; None for a page without thumbnails
    """
    report = content.report
    suspects, copies = suspected_labels(report), copy_groups(content)
    worst = report.mistakes[:MAX_WORST]
    unsure = _unsure(report, set(worst))
    large = [*worst, *unsure, *suspects[:MAX_SUSPECTS]]
    paths = _chosen_paths(content, large, copies)
    pictured = make_thumbnails(root, *paths, content.sha256, content.run.manifest.image) if root else Thumbnails()
    heats = _heat_maps(content, root, [*worst, *unsure], pictured)
    index = {path: number for number, path in enumerate(dict.fromkeys([*paths[0], *paths[1]][:MAX_THUMBNAILS]))}
    cards = _Cards(content, index, heats)
    page = render_page(
        "page.html",
        run=content,
        network=network_of(content),
        day=f"{content.when.day} {content.when:%B %Y}",
        commonest=content.names.get(content.headline.commonest, content.headline.commonest),
        steps=next_steps(content, len(suspects), copies),
        has_heat=bool(heats),
        worst=cards.of(worst),
        num_wrong=len(report.mistakes),
        unsure=cards.of(unsure),
        suspects=cards.of(suspects[:MAX_SUSPECTS]),
        num_suspects=len(suspects),
        copies=[cards.of_group(group, MAX_IN_GROUP) for group in copies[:MAX_COPIES]],
        num_copies=len(copies),
        matrix=_matrix(content),
        classes=_class_rows(content),
        max_classes=MAX_CLASSES,
        reliability=reliability_chart(content.calibration),
        curves=curve_charts(content.history, content.best_epoch),
        map=_map(content, index),
        unknown=_unknown(content),
        left_out=_left_out(content),
        subsets=[(name, count) for name, count in Counter(row["split"] for row in content.split).items()],
        options=sorted(content.options.items()),
        missing=_missing(pictured, root, content.run.is_own),
        times=[(name, format_duration(value)) for name, value in content.seconds.items()],
        data=_script_data(content, index, pictured),
    )
    return page, pictured


def _heat_maps(
    content: RunContent, root: Location | None, positions: Sequence[int], pictured: Thumbnails
) -> dict[str, str]:
    """Draw the heat maps of images that have a thumbnail."""
    predicted, paths = content.report.predicted, content.paths
    wanted = {paths[position]: int(predicted[position]) for position in positions if paths[position] in pictured.uris}
    return make_heat_maps(content.run, root, wanted) if root and wanted else {}


def _unsure(report: Report, shown: set[int]) -> list[int]:
    """List the images with the lowest confidence that are not shown yet."""
    order = np.argsort(report.probabilities.max(axis=1), kind="stable")
    return [int(index) for index in order if int(index) not in shown][:MAX_UNSURE]


def _chosen_paths(
    content: RunContent, large: Sequence[int], copies: Sequence[CopyGroup]
) -> tuple[list[str], list[str]]:
    """Choose the images of the page, by the size of their thumbnails: those that sections name, then some of all."""
    report, paths = content.report, content.paths
    in_copies = [path for group in copies[:MAX_COPIES] for path, *_ in group.paths[:MAX_IN_GROUP]]
    mistakes = [paths[index] for index in report.mistakes]
    labels = range(len(report.class_names))
    of_classes = interleave([paths[index] for index in np.flatnonzero(report.labels == label)] for label in labels)
    mapped = [path for path, *_ in content.points]
    return [paths[index] for index in large], [*in_copies, *mistakes[: MAX_THUMBNAILS // 2], *mapped, *of_classes]


class _Cards:
    """Images as galleries show them."""

    def __init__(self, content: RunContent, index: Mapping[str, int], heats: Mapping[str, str]) -> None:
        self._content, self._index, self._heats = content, index, heats

    def of(self, positions: Iterable[int]) -> list[dict[str, Any]]:
        """Describe images of the report."""
        return [self._of_one(position) for position in positions]

    def _of_one(self, position: int) -> dict[str, Any]:
        content, report = self._content, self._content.report
        probabilities = report.probabilities[position]
        first, second = np.argsort(-probabilities, kind="stable")[:2].tolist()
        true = int(report.labels[position])
        return {
            "path": content.paths[position],
            "index": self._index.get(content.paths[position]),
            "heat": self._heats.get(content.paths[position], ""),
            "true": content.class_name(true),
            "predicted": content.class_name(first),
            "correct": first == true,
            "confidence": float(probabilities[first]),
            "second": content.class_name(second),
            "second_confidence": float(probabilities[second]),
            "own_confidence": float(probabilities[true]),
        }

    def of_group(self, group: CopyGroup, count: int) -> dict[str, Any]:
        """Describe a group of copies."""
        images = [
            {"path": path, "index": self._index.get(path), "class": self._content.names[name], "subset": subset}
            for path, name, subset in group.paths[:count]
        ]
        hidden = len(group.paths) - len(images)
        return {"kind": group.kind, "conflict": group.conflict, "images": images, "hidden": hidden}


def _matrix(content: RunContent) -> dict[str, Any]:
    """Describe the confusion matrix; of many classes those that are confused most."""
    report, confusion = content.report, content.report.confusion
    drawn = confused_classes(confusion, MAX_MATRIX)
    totals = confusion.sum(axis=1)
    wrong = confusion - np.diag(np.diag(confusion))
    fractions = confusion / np.maximum(1, totals[:, None])
    highest = max(1e-9, float((wrong / np.maximum(1, totals[:, None])).max()))  # of mistakes, which get all shades, too
    rows = []
    for true in drawn:
        cells = []
        for label in drawn:
            count = int(confusion[true, label])
            shade = int(np.ceil(NUM_SHADES * fractions[true, label] / (1 if true == label else highest) - 1e-9))
            cells.append({"true": true, "label": label, "count": count, "shade": shade, "correct": true == label})
        rows.append({"name": content.class_name(true), "total": int(totals[true]), "cells": cells})
    shown = wrong if wrong.any() else confusion
    first = divmod(int(np.argmax(shown)), len(report.class_names))
    return {
        "names": [content.class_name(label) for label in drawn],
        "rows": rows,
        "first": first,
        "hidden": len(report.class_names) - len(drawn),
        "table": content.table,
    }


def _class_rows(content: RunContent) -> list[dict[str, Any]]:
    """Describe every class, the one with the lowest recall first; those without images last."""
    trained = Counter(row["class"] for row in content.split if row["split"] in ("train", "all"))
    subsets = {name: Counter(row["class"] for row in content.split if row["split"] == name) for name in SUBSET_WORDS}
    rows = [
        {
            "name": content.class_name(label),
            "recall": score.recall,
            "found": round(score.recall * score.support),
            "precision": score.precision,
            "is_predicted": bool(content.report.confusion[:, label].any()),
            "support": score.support,
            "trained": trained[score.name],
            "subsets": [counts[score.name] for counts in subsets.values()],
        }
        for label, score in enumerate(content.report.scores)
    ]
    return sorted(rows, key=lambda row: (not row["support"], row["recall"], natural_key(row["name"])))


SUBSET_WORDS = ("train", "validation", "test")


def network_of(content: RunContent) -> str:
    """Name what was trained."""
    facts = content.facts
    named = facts["descriptor"] or facts["features"] or facts["backbone"] or getattr(content.settings, "model", "")
    return f"{named}, {facts['classifier']}" if facts["classifier"] else str(named)


def _unknown(content: RunContent) -> dict[str, Any] | None:
    """Describe what the answer "unknown" does to the validation images; None without a threshold."""
    counts = content.unknown["images"]
    if counts is None:
        return None
    measured = next(found for found in (content.headline, *content.others) if found.measured_on == "validation")
    total, answered, correct = counts["num_images"], counts["num_answered"], counts["num_correct"]
    wrong = total - measured.correct
    return {
        "total": total,
        "answered": answered,
        "accuracy": correct / max(1, answered),
        "rejected": total - answered,
        "rejected_wrong": wrong - (answered - correct),
    }


def _map(content: RunContent, index: Mapping[str, int]) -> dict[str, Any] | None:
    """Describe the map of the features; None where the run has none."""
    if not content.points:
        return None
    label = {name: number for number, name in enumerate(content.report.class_names)}
    wrong = {content.paths[position] for position in content.report.mistakes}
    positions = scatter_positions([(x, y) for _, _, x, y in content.points], WIDTH, SIDE)
    dots: list[dict[str, Any]] = [
        {"x": x, "y": y, "label": label[name], "index": index.get(path), "wrong": path in wrong}
        for (x, y), (path, name, _, _) in zip(positions, content.points, strict=True)
    ]
    dots.sort(key=lambda dot: (dot["wrong"], dot["index"] is not None))  # those drawn last are on top
    used = sorted({dot["label"] for dot in dots})
    names = [(number, content.class_name(number)) for number in used]
    return {
        "method": MAP_WORDS[content.map_method],
        "dots": dots,
        "names": names,
        "is_colored": len(content.shown_names) <= NUM_COLORS,
    }


def _left_out(content: RunContent) -> dict[str, Any]:
    reasons = Counter(row["reason"] for row in content.left_out)
    files = [(row["path"], row["reason"]) for row in content.left_out[:MAX_LISTED]]
    return {"reasons": reasons.most_common(), "files": files, "hidden": len(content.left_out) - len(files)}


def _missing(pictured: Thumbnails, root: Location | None, is_own: bool) -> dict[str, Any] | None:
    """Say why images have no thumbnail; None where each has one."""
    if root is None:
        words = "This machine did not make the run, and tlkit opens no folder that such a run names."
        return {"words": words, "files": []} if not is_own else None
    if not is_folder(root):
        return {"words": f"The images are not in {root} any more.", "files": []}
    if not pictured.problems:
        return None
    words = f"{len(pictured.problems)} images have no thumbnail."
    return {"words": words.replace("1 images have", "1 image has"), "files": list(pictured.problems.items())[:5]}


def _script_data(content: RunContent, index: Mapping[str, int], pictured: Thumbnails) -> dict[str, Any]:
    """Give what the script of the page reads: class names, and of each image its name, classes and thumbnail."""
    report, position = content.report, {path: number for number, path in enumerate(content.paths)}
    predicted, images = report.predicted, []
    for path in index:
        row = position.get(path)
        true, label, confidence = -1, -1, 0.0
        if row is not None:
            true, label = int(report.labels[row]), int(predicted[row])
            confidence = round(float(report.probabilities[row, label]), 4)
        images.append([escape_control_chars(path), true, label, confidence, pictured.uris.get(path, "")])
    return {"names": content.shown_names, "images": images}
