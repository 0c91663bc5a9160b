"""Look at a data set before training: one pass over the images, then every check."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tlkit.data.duplicates import find_near_duplicates, group_images
from tlkit.data.folder import ImageFolder
from tlkit.data.reader import DataOptions, read_data
from tlkit.data.survey import choose_pixels
from tlkit.features.copies import missing_backbone, read_with_backbone
from tlkit.quality.base import SEVERITIES, Check, CheckedData, Issue
from tlkit.quality.classes import ClassNames, Groups, Imbalance
from tlkit.quality.copies import ExactDuplicates, LabelConflicts, Leaks, NearDuplicatesCheck
from tlkit.quality.files import ImageQuality, Unreadable
from tlkit.quality.labels import LabelErrors, Outliers
from tlkit.quality.shortcuts import Shortcuts
from tlkit.settings.base import settings_or_options
from tlkit.settings.commands import CheckSettings
from tlkit.utils.progress import Progress, Silent
from tlkit.utils.storage import Location

CHECKS: tuple[Check, ...] = (  # in the order in which findings of one severity are listed
    *(Shortcuts(), LabelConflicts(), Leaks(), Unreadable(), Groups(), ImageQuality(), ClassNames(), Imbalance()),
    *(LabelErrors(), NearDuplicatesCheck(), ExactDuplicates(), Outliers()),
)
QUICK_CHECKS: tuple[Check, ...] = (Shortcuts(), ImageQuality())  # need no features, and say what no training says
NOTED_FRACTION = 0.05  # of images that are poor, from which a training says so


@dataclass(frozen=True)
class CheckResult:
    """The findings of `check`.

    Attributes:
        issues: the worst first
        folder: the readable images
        backbone: whose features were used; "" where none was
        notes: what a person should know of the data or of checks that were left out
    """

    issues: tuple[Issue, ...]
    folder: ImageFolder = field(repr=False)
    backbone: str
    notes: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """The number of issues of every check."""
        found = Counter(issue.check for issue in self.issues)
        return {check.name: found[check.name] for check in CHECKS}

    def as_json(self) -> dict[str, Any]:
        """Give the content of `tlkit check --json`."""
        issues = [{**asdict(issue), "paths": list(issue.paths)} for issue in self.issues]
        classes = dict(zip(self.folder.class_names, self.folder.class_counts, strict=True))
        facts = {"num_images": len(self.folder), "classes": classes, "backbone": self.backbone}
        return {"issues": issues, "counts": self.counts, **facts, "notes": list(self.notes)}


def check(
    data: str | Location, settings: CheckSettings | None = None, progress: Progress | None = None, **options: Any
) -> CheckResult:
    """Look for what makes classifiers bad: copies, leaks, wrong labels, shortcuts, poor images.

    Args:
        data: a folder or a table of images
        settings: the options; the defaults where it is None
        progress: shows the pass over the images
        options: fields of `CheckSettings`, in place of `settings`

    Returns:
        The findings, the worst first

    Raises:
        DataError, ModelError, OptionError
    """
    settings = settings_or_options(CheckSettings, settings, options, data=data)
    progress = progress or Silent()
    folder = read_data(data, DataOptions(**settings.data_options)).surveyed()
    settings = replace(settings, **choose_pixels(settings.resize, settings.gray_range, folder.survey))
    folder, features, backbone = read_with_backbone(folder, settings.backbone, settings.pixel_options, progress)
    notes = [] if backbone else [missing_backbone("no label errors, outliers or crops are looked for")]
    notes = [*folder.notes, *notes]
    with progress.stage("checking", len(CHECKS), "checks") as advance:
        near = find_near_duplicates(folder.appearances["thumbnail"], folder.digests)  # type: ignore[index]
        looked_at, issues = CheckedData(group_images(folder, near), near, features), list[Issue]()
        for one in CHECKS:
            issues += one.find(looked_at)
            advance(1)
    return CheckResult(tuple(worst_first(issues)), folder, backbone, tuple(notes))


def quick_check(folder: ImageFolder) -> list[str]:
    """Say in a line for each what a training should know that needs no features: shortcuts and poor images."""
    if folder.appearances is None:
        return []
    near = find_near_duplicates(folder.appearances["thumbnail"][:0], ())
    looked_at = CheckedData(folder, near)
    found = [issue for one in QUICK_CHECKS for issue in one.find(looked_at) if issue.severity != "info"]
    issues = [issue for issue in found if issue.score >= NOTED_FRACTION]
    return [f"{issue.message} {issue.remedy}" for issue in worst_first(issues)]


def worst_first(issues: Sequence[Issue]) -> list[Issue]:
    """Sort issues by severity, then by check; those of one check stay in their order."""
    order = {one.name: index for index, one in enumerate(CHECKS)}
    return sorted(issues, key=lambda issue: (SEVERITIES.index(issue.severity), order[issue.check]))
