"""Labels and copies to look at, and what to do next, reasoned from the figures of a run."""

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.errors import OptionError
from tlkit.evaluation.report import Report
from tlkit.models.catalog import load_catalog
from tlkit.report.content import RunContent
from tlkit.report.html import percent
from tlkit.settings.base import typed_option
from tlkit.utils.storage import Location, as_location
from tlkit.utils.text import quote_names

MAX_STEPS = {"Data": 2, "Strategy": 2, "Backbone": 1, "Measure": 1}  # by topic, in this order
WIDE_INTERVAL = 0.1  # of an accuracy, above which models cannot be compared
RARE = 3  # times as many training images in the largest class as in a rare one
MIN_CONFUSIONS = 3  # of a pair of classes that is worth a look
MAX_COST = 8  # times the operations of the run's backbone, of one that is advised
MIN_GAIN = 2.0  # points of accuracy on ImageNet, of a backbone that is advised
NEAR_PERFECT = 0.99


@dataclass(frozen=True)
class Step:
    """Something to do next.

    Attributes:
        topic: "Measure", "Data", "Strategy", "Backbone" or "Use"
        reason: the figures that speak for it
        command: to type; "" where a person must look
        link: name of the section that shows what to look at; "" for none
    """

    topic: str
    action: str
    reason: str
    command: str = ""
    link: str = ""


@dataclass(frozen=True)
class CopyGroup:
    """Images that are the same or nearly the same.

    Attributes:
        paths: with the class and the subset of each
        kind: "equal" or "nearly equal"; classes differ if `conflict`
    """

    paths: tuple[tuple[str, str, str], ...]
    kind: str
    conflict: bool


def suspected_labels(report: Report) -> list[int]:
    """List images whose label may be wrong, those with the least probability of their own class first.

    An image is suspected if another class is at least as probable as it is, on average, for the images of that class:
    the rule of confident learning (Northcutt, Jiang & Chuang 2021, "Confident Learning", J. AI Research 70). The
    probabilities must be of images that the classifier was not trained on.
    """
    rows, predicted = np.arange(len(report.labels)), report.predicted
    own = report.probabilities[rows, report.labels]
    totals = np.bincount(report.labels, weights=own, minlength=len(report.class_names))
    usual = totals / np.maximum(np.bincount(report.labels, minlength=len(report.class_names)), 1)
    confident = report.probabilities[rows, predicted] >= usual[predicted]
    found = np.flatnonzero((predicted != report.labels) & confident)
    return [int(index) for index in found[np.argsort(own[found], kind="stable")]]


def copy_groups(content: RunContent) -> list[CopyGroup]:
    """List groups of equal and nearly equal images, those with different labels first."""
    subset = {row["path"]: row["split"] for row in content.split}
    conflicts, groups = defaultdict[str, list[Any]](list), defaultdict[str, list[Any]](list)
    for row in content.conflicts:
        conflicts[row["group"]].append((row["path"], row["class"], subset.get(row["path"], "")))
    conflicting = {row["path"] for row in content.conflicts}
    reasons = dict[str, str]()
    for row in content.split:
        reason = row.get("reason", "")
        if ("equal pixels" in reason or "near duplicate" in reason) and row["path"] not in conflicting:
            groups[row.get("group", "")].append((row["path"], row["class"], row["split"]))
            reasons[row.get("group", "")] = "nearly equal" if "near duplicate" in reason else "equal"
    found = [CopyGroup(tuple(paths), "equal", True) for paths in conflicts.values()]
    same = [CopyGroup(tuple(paths), reasons[key], False) for key, paths in groups.items() if len(paths) > 1]
    return found + sorted(same, key=lambda group: group.kind != "equal")


def next_steps(content: RunContent, num_suspects: int, copies: Sequence[CopyGroup]) -> list[Step]:
    """Choose what to do next: data first, then strategy, backbone and measurement; at the end how to use the run."""
    steps = [*_found_in_training(content), *_data_steps(content, num_suspects, copies), *_other_trainings(content)]
    steps += _measurements(content, steps)
    chosen = [step for topic, count in MAX_STEPS.items() for step in [s for s in steps if s.topic == topic][:count]]
    return [
        *chosen,
        Step(
            "Use", "Classify new images.", "", shlex.join(["tlkit", "predict", _from_here(content.run.path), "FOLDER"])
        ),
    ]


def _found_in_training(content: RunContent) -> Iterator[Step]:
    """Turn what the training found into steps; its command says what they are about."""
    for words, command in content.findings:
        finding, _, advice = words.partition(": ")
        topic = "Measure" if "--folds" in command else "Backbone" if "tlkit compare" in command else "Strategy"
        action, reason = (f"{_capitalized(finding)}.", _capitalized(advice)) if advice else (_capitalized(words), "")
        yield Step(topic, action, reason, command if content.run.is_own else "")  # a stranger's could do anything


def _data_steps(content: RunContent, num_suspects: int, copies: Sequence[CopyGroup]) -> Iterator[Step]:
    report, names = content.report, content.shown_names
    has_learned = content.headline.low > content.headline.baseline
    num_suspects = num_suspects if has_learned else 0  # what a classifier that learned nothing suspects is chance
    num_conflicts = sum(group.conflict for group in copies)
    if num_suspects or num_conflicts:
        parts = [f"{num_suspects} images look like another class"] * bool(num_suspects)
        parts += [f"{num_conflicts} groups of equal images have different labels"] * bool(num_conflicts)
        reason = f"{' and '.join(parts)}. Correct what is wrong, and train again."
        yield Step("Data", "Check the labels.", reason.replace("1 images look", "1 image looks"), link="labels")
    if has_learned:
        yield from _confused_pair(report, names)
    counts = Counter(row["class"] for row in content.split if row["split"] != "validation")
    sizes = [counts[name] for name in report.class_names]
    rare = [index for index in np.argsort(sizes, kind="stable") if RARE * sizes[index] <= max(sizes)]
    if rare:
        commonest = int(np.argmax(sizes))
        reason = (
            f"'{names[rare[0]]}' has {sizes[rare[0]]} training images, '{names[commonest]}' has {sizes[commonest]}. "
            "A classifier is as good at a class as its images are many and varied."
        )
        yield Step(
            "Data", f"Add photos of {quote_names([names[index] for index in rare[:3]])}.", reason, link="classes"
        )


def _confused_pair(report: Report, names: Sequence[str]) -> Iterator[Step]:
    """Name the pair that is confused most; of two classes every mistake is between them."""
    pairs = np.triu(report.confusion + report.confusion.T, 1)
    first, second = divmod(int(np.argmax(pairs)), len(names))
    if len(names) > 2 and (count := int(pairs[first, second])) >= MIN_CONFUSIONS:
        reason = (
            f"{count} of {len(report.mistakes)} mistakes are between these two. More photos of both help most, in "
            "other places and other light."
        )
        action = f"Add photos of '{names[first]}' and '{names[second]}'."
        yield Step("Data", action, reason, link="confusion")


def _other_trainings(content: RunContent) -> Iterator[Step]:
    """Advise another strategy, and another backbone, where the accuracy leaves room."""
    high = content.headline.high
    if high >= NEAR_PERFECT and content.headline.value >= NEAR_PERFECT:
        return
    if content.chosen:
        yield Step("Strategy", "The strategy was measured and chosen.", content.chosen)
    elif content.facts["freeze"] == "all":
        reason = "Only the head was trained. --freeze auto measures whether deeper training pays before it trains."
        yield Step("Strategy", "Let tlkit measure deeper training.", reason, _again(content, freeze="auto"))
    if backbone := content.facts["backbone"]:
        yield from _better_backbones(content, str(backbone))
    else:
        reason = "A pretrained network needs far fewer images than one that is trained from nothing."
        command = shlex.join(["tlkit", "finetune", _from_here(content.data)])
        yield Step("Backbone", "Try a pretrained network.", reason, command)


def _better_backbones(content: RunContent, name: str) -> Iterator[Step]:
    """Name the backbone with the best accuracy on ImageNet that does not cost much more."""
    entries = {entry.name: entry for entry in load_catalog() if entry.command == "finetune" and entry.top1}
    if name not in entries or content.changed.get("from_run"):
        return
    own = entries[name]
    able = [entry for entry in entries.values() if entry.multiply_adds <= MAX_COST * own.multiply_adds]
    best = max(able, key=lambda entry: entry.top1 or 0)
    if (gain := (best.top1 or 0) - (own.top1 or 0)) < MIN_GAIN:
        return
    cost = best.multiply_adds / own.multiply_adds
    reason = (
        f"On ImageNet it is {gain:.0f} points better than {name}, for {cost:.1f} times the operations. "
        "tlkit report RUN RUN2 then tells whether that pays on these images."
    )
    yield Step("Backbone", f"Try {best.name}.", reason, _again(content, backbone=best.name))


def _measurements(content: RunContent, steps: Sequence[Step]) -> Iterator[Step]:
    headline = content.headline
    if headline.measured_on != "validation" or any(step.topic == "Measure" for step in steps):
        return
    width = headline.high - headline.low
    if width > WIDE_INTERVAL and hasattr(content.settings, "folds"):
        reason = (
            f"The interval is {100 * width:.0f} points wide, because only {headline.total} images were held out. "
            "Cross-validation measures on every image."
        )
        yield Step("Measure", "Measure on every image.", reason, _again(content, folds=5))
    elif content.selected_on_validation:
        reason = f"The best epoch was selected on the same images, so {percent(headline.value)} is slightly optimistic."
        yield Step("Measure", "Hold out a test set.", reason, _again(content, test_split=0.15))


def _again(content: RunContent, **changes: Any) -> str:
    """Write the command of the run with some options changed; "" where they do not go together."""
    request, options = content.run.read_settings(), list[str]()
    try:
        replace(content.settings, **changes)
    except (OptionError, TypeError):
        return ""
    for name, value in changes.items():
        options += [typed_option(name, value), str(value)]
    data, config = _from_here(as_location(request["data"])), _from_here(content.run.path / "settings.json")
    return shlex.join(["tlkit", request["command"], data, "--config", config, *options])


def _from_here(path: Location) -> str:
    """Write a path as it is typed in the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]
