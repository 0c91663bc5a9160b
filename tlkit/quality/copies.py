"""Checks of copies: equal images, near duplicates, one image with two labels, copies across subsets.

Copies are found by pixels (`data/duplicates.py`) and, where features of a backbone are there, crops by features
(`crops.py`).
"""

from dataclasses import dataclass
from itertools import combinations

from tlkit.data.duplicates import equal_sets
from tlkit.data.listing import natural_key
from tlkit.quality.base import CheckedData, Issue

MAX_PAIRS_OF_SET = 10  # of equal images that are listed as pairs


@dataclass(frozen=True)
class ExactDuplicates:
    """Equal images of one class; one issue for each set."""

    name: str = "exact-duplicates"

    def find(self, data: CheckedData) -> list[Issue]:
        """List sets of equal images, the largest first."""
        issues = []
        for positions in equal_sets(data.folder):
            if len({data.class_of(position) for position in positions}) == 1:
                paths = data.sorted_paths(positions)
                message = f"{len(paths)} files are the same image: {paths[0]} and {paths[1]}."
                issues.append(Issue(self.name, "info", paths, 1.0, message, "Keep one of them."))
        return sorted(issues, key=lambda issue: -len(issue.paths))


@dataclass(frozen=True)
class NearDuplicatesCheck:
    """Images of one class that are nearly the same; one issue for each pair."""

    name: str = "near-duplicates"

    def find(self, data: CheckedData) -> list[Issue]:
        """List pairs, the most alike first."""
        issues = []
        for pair in data.near_pairs:
            if data.class_of(pair.first) == data.class_of(pair.second):
                first, second = data.sorted_paths([pair.first, pair.second])
                message = f"{first} and {second} are nearly the same image."
                remedy = "Keep one of them, or keep both in one subset; tlkit does so where pixels tell."
                issues.append(Issue(self.name, "info", (first, second), pair.score, message, remedy))
        if data.near.series:
            paths = data.sorted_paths(data.near.series)
            message = f"{len(paths)} images look nearly alike, as those of a fixed camera do, e.g. {paths[0]}."
            remedy = "If some show the same thing, keep those in one subset with --group-regex."
            issues.append(Issue(self.name, "warning", paths, 1.0, message, remedy))
        return issues


@dataclass(frozen=True)
class LabelConflicts:
    """One image with two labels, as it is or nearly so; one issue for each pair."""

    name: str = "label-conflicts"

    def find(self, data: CheckedData) -> list[Issue]:
        """List equal images first, then near duplicates."""
        issues = []
        for positions in equal_sets(data.folder):
            if len({data.class_of(position) for position in positions}) > 1:
                paths = data.sorted_paths(positions)
                names = sorted({data.class_of(position) for position in positions}, key=natural_key)
                message = f"{' and '.join(paths[:2])} are the same image, with the labels {' and '.join(names)}."
                issues.append(Issue(self.name, "error", paths, 1.0, message, "Remove the wrong one."))
        for pair in data.near_pairs:
            if data.class_of(pair.first) != data.class_of(pair.second):
                first, second = data.sorted_paths([pair.first, pair.second])
                message = f"{first} and {second} are nearly the same image, with two labels."
                issues.append(
                    Issue(self.name, "warning", (first, second), pair.score, message, "Check which label is right.")
                )
        return issues


@dataclass(frozen=True)
class Leaks:
    """One image in two subsets that the folder itself gives; one issue for each pair."""

    name: str = "leaks"

    def find(self, data: CheckedData) -> list[Issue]:
        """List equal images first, then near duplicates."""
        subsets, pairs = data.folder.subsets, list[tuple[int, int, float]]()
        if len(set(subsets)) < 2:
            return []
        for positions in equal_sets(data.folder):
            pairs += [(*pair, 1.0) for pair in list(combinations(positions, 2))[:MAX_PAIRS_OF_SET]]
        pairs += [(pair.first, pair.second, pair.score) for pair in data.near_pairs]
        issues = []
        for first, second, score in pairs:
            if subsets[first] != subsets[second]:
                what = "the same image" if score == 1.0 else "nearly the same image"
                paths = data.sorted_paths([first, second])
                message = f"{paths[0]} and {paths[1]} are {what}, in two subsets."
                remedy = "Remove the one in training; a training of tlkit leaves it out."
                issues.append(Issue(self.name, "error", paths, score, message, remedy))
        return issues
