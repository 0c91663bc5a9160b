"""Checks of files: those that cannot be read, and images that are poor."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from tlkit.data.listing import HIDDEN
from tlkit.data.survey import brightest_values, sample_files
from tlkit.quality.base import CheckedData, Issue, Severity
from tlkit.utils.color import LUMA

MIN_SIDE = 64  # pixels of the shorter side; smaller images have lost what a network could see
MAX_ASPECT = 3.0  # of the longer to the shorter side; a central crop then leaves out two thirds
BLANK = 2.0  # gray levels, the standard deviation below which an image shows nothing
DARK, BRIGHT = 25, 235  # mean gray values, 0 to 255, below and above which hardly anything is looks
MAX_RANGE_RATIO = 8  # between the brightest values of two images of more than 8 bits; 12 and 16 bits have 16
BLURRED = 0.045  # sharpness by contrast; a Gaussian blur of 2 % of the longer side brings photos here


@dataclass(frozen=True)
class Unreadable:
    """Files that are not images, or damaged ones; one issue for each reason."""

    name: str = "unreadable"

    def find(self, data: CheckedData) -> list[Issue]:
        """List files by reason; hidden and system files are none of the user's."""
        by_reason = defaultdict[str, list[str]](list)
        for entry in data.folder.skipped:
            if entry.reason and entry.reason != HIDDEN:
                by_reason[entry.reason].append(entry.path)
        issues = []
        for reason, paths in sorted(by_reason.items(), key=lambda item: -len(item[1])):
            damaged = "damaged" in reason or "broken" in reason or "empty" in reason
            issues.append(
                Issue(
                    self.name,
                    "warning" if damaged else "info",
                    tuple(paths),
                    1.0,
                    f"{len(paths)} files are left out: {reason}.",
                    "Replace them by files that can be opened." if damaged else "Nothing, if they are not images.",
                )
            )
        return issues


@dataclass(frozen=True)
class ImageQuality:
    """Images that are blank, tiny, blurred, dark, bright or very long; one issue for each kind."""

    name: str = "image-quality"

    def find(self, data: CheckedData) -> list[Issue]:
        """List images by what is wrong with them."""
        looks = data.appearances
        gray = looks["color"] @ np.array(LUMA, np.float32)
        sides = np.stack([looks["width"], looks["height"]]).astype(np.float64)
        short, aspect = sides.min(axis=0), sides.max(axis=0) / np.maximum(sides.min(axis=0), 1)
        blank = looks["contrast"] < BLANK
        blurred = ~blank & (looks["sharpness"] < BLURRED * looks["contrast"])
        kinds: list[tuple[str, np.ndarray, str, Severity]] = [
            ("blank", blank, "Remove them: they show nothing.", "warning"),
            ("very dark", ~blank & (gray < DARK), "Take them again with more light.", "info"),
            ("very bright", ~blank & (gray > BRIGHT), "Check whether they are overexposed.", "info"),
            ("blurred", blurred, "Take them again, unless new images are blurred, too.", "info"),
            (f"smaller than {MIN_SIDE} pixels", short < MIN_SIDE, "Use larger originals, if there are any.", "info"),
            (
                *(f"more than {MAX_ASPECT:g} times as long as wide", aspect > MAX_ASPECT),
                *("A central crop leaves most of them out: use --resize pad.", "warning"),
            ),
        ]
        issues = []
        for words, holds, remedy, severity in kinds:
            positions = np.flatnonzero(holds).tolist()
            if positions:
                paths, fraction = data.sorted_paths(positions), len(positions) / len(data.folder)
                verb = "is" if len(positions) == 1 else "are"
                message = f"{len(positions)} of {len(data.folder)} images {verb} {words}, e.g. {paths[0]}."
                issues.append(Issue(self.name, severity, paths, fraction, message, remedy))
        return issues + self._varying_ranges(data)

    def _varying_ranges(self, data: CheckedData) -> list[Issue]:
        """Compare the gray values of images of more than 8 bits, of a sample."""
        survey = data.folder.survey
        values = brightest_values([*sample_files(survey.deep)]) if survey else []
        if len(values) < 2:
            return []
        (dark, low), (bright, high) = (choose(values, key=lambda item: item[1]) for choose in (min, max))
        if high <= MAX_RANGE_RATIO * max(low, 1):
            return []
        paths = tuple(file.relative_to(str(data.folder.root)).as_posix() for file in (dark, bright))
        message = f"gray values vary: the brightest is {low:,.10g} in {paths[0]}, but {high:,.10g} in {paths[1]}."
        remedy = "Check whether all images have the same number of bits; --gray-range sets one range for all."
        return [Issue(self.name, "warning", paths, 1 - low / high, message, remedy)]
