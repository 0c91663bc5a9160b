"""Checks of classes: their sizes, their names, and groups of related images."""

from dataclasses import dataclass

from tlkit.data.related_names import related_notes
from tlkit.quality.base import CheckedData, Issue
from tlkit.utils.text import lookalike_names, quote_names

FEW_IMAGES = 20  # of a class, below which its accuracy says hardly anything
IMBALANCE = 10  # times as many images in the largest class as in the smallest


@dataclass(frozen=True)
class Imbalance:
    """Classes that are small, by themselves or beside others."""

    name: str = "imbalance"

    def find(self, data: CheckedData) -> list[Issue]:
        """List the small classes, then the ratio of the largest to the smallest."""
        names, counts = data.folder.class_names, data.folder.class_counts
        small = sorted((count, name) for name, count in zip(names, counts, strict=True) if count < FEW_IMAGES)
        issues = [
            Issue(
                self.name,
                "warning",
                (),
                1 - count / FEW_IMAGES,
                f"'{name}' has {count} images.",
                f"Add images until it has {FEW_IMAGES} or more, or leave the class out.",
            )
            for count, name in small
        ]
        commonest, rarest = max(counts), min(counts)
        if rarest and commonest >= IMBALANCE * rarest:
            message = (
                f"'{names[counts.index(commonest)]}' has {commonest} images, '{names[counts.index(rarest)]}' {rarest}."
            )
            remedy = "Add images of rare classes, or train with --class-weight balanced."
            issues.append(Issue(self.name, "info", (), 1 - rarest / commonest, message, remedy))
        return issues


@dataclass(frozen=True)
class ClassNames:
    """Names of classes that differ by case, blanks or accents only; one issue for each set."""

    name: str = "class-names"

    def find(self, data: CheckedData) -> list[Issue]:
        """List sets of names that look alike."""
        return [
            Issue(
                self.name,
                "warning",
                (),
                1.0,
                f"the class names {quote_names(names, 6)} look alike.",
                "Merge their folders if they mean the same.",
            )
            for names in lookalike_names(data.folder.class_names)
        ]


@dataclass(frozen=True)
class Groups:
    """Images that belong together: as options say, or as their names hint."""

    name: str = "groups"

    def find(self, data: CheckedData) -> list[Issue]:
        """Count the groups asked for; where none are, say what names look grouped."""
        folder = data.folder
        groups = {group for group in folder.related if group}
        if groups:
            message = f"{len(groups)} groups of images belong together."
            return [Issue(self.name, "info", (), 0.0, message, "Nothing: a group stays in one subset.")]
        names = [folder.class_names[label] for label in folder.labels.tolist()]
        hints = related_notes(list(zip(folder.paths, folder.subsets, names, strict=True)))
        remedy = "Give --group-regex or --group-column, here and in training."
        return [Issue(self.name, "warning", (), 0.5, hint, remedy) for hint in hints]
