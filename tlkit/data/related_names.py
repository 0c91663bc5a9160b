"""Images that seem to show the same thing, by their file names: slices of a patient, bursts, frames, augmented copies.

Images are not grouped yet, so relatives may be in two subsets, and a note says so. Names of cameras and plain numbering
say nothing about relatives.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from pathlib import PurePosixPath
from statistics import median

from tlkit.data.layout import IMAGE_SUFFIXES, composed

MIN_GROUPS = 3  # of a class, to be no coincidence
MIN_FRACTION = 0.1  # of all images that have relatives, above which there is a note
MIN_GROUPED = 0.5  # of the images of a class, where a number of the name is taken for that of a patient or a video
MAX_GROUP = 60  # images of the typical group; larger ones are rather parts of a download
BURST_SECONDS, MIN_BURST = 1, 3  # between two images of a burst; images of one

CHANGES = (  # made of an image by people or programs
    r"aug(?:mented|mentation)?|copy|copie|kopie|edit(?:ed)?|[hv]?flip(?:ped)?|mirror(?:ed)?|rot(?:at(?:e|ed|ion))?"
    r"|nois[ey]|blur(?:red|ry)?|bright(?:ness|er|ened)?|dark(?:er|ened)?|contrast|zoom(?:ed)?|shift(?:ed)?|shear(?:ed)?"
    r"|crop(?:ped)?|resized?|scaled?|gray|grey|orig(?:inal)?|hdr|burst|cover|transformed|masks?|seg(?:mentation)?"
)
CHANGED_END = re.compile(rf"(?:[ _.\-]+(?:{CHANGES})[ _.\-]*\d*|\.rf\.[0-9a-f]+)+$", re.IGNORECASE)
NUMBERED_COPY = re.compile(r"[ _.\-]*\(\d+\)$")
CHANGED_START = re.compile(rf"^(?:copy of|{CHANGES})[ _.\-]+(?=.)", re.IGNORECASE)
INDEX = re.compile(r"^(.*?)(?<!\d)\d{1,6}[a-z]?$", re.IGNORECASE | re.DOTALL)  # what comes before the last number
DATE = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)(?:[\-_.]\d\d[\-_.]\d\d)?|(?<!\d)(?:19|20)\d{6}(?:\d{4,9})?(?!\d)")
TIME = re.compile(r"(?<!\d)((?:19|20)\d\d)\D?(\d\d)\D?(\d\d)(?:\D{0,4})(\d\d)\D?(\d\d)\D?(\d\d)(?=\d{3}(?!\d)|(?!\d))")
EPOCH = datetime(1970, 1, 1)
CAMERA = re.compile(r"1\d\d[_\-]\d{4}")  # its folder and a number


def related_notes(images: Sequence[tuple[str, str, str]]) -> list[str]:
    """Say that images may have relatives in another subset, if file names look like it.

    Args:
        images: path, subset and class of each; if the folder itself has validation images, only relatives in two
            subsets count
    """
    paths, subsets = [path for path, _, _ in images], [subset for _, subset, _ in images]
    images_of_class = defaultdict[str, list[int]](list)
    for index, (path, _, name) in enumerate(images):
        if PurePosixPath(path).suffix.lower() in ("", *IMAGE_SUFFIXES):  # not the annotation of an image
            images_of_class[name].append(index)
    groups = [
        group
        for name, indices in images_of_class.items()
        for group in _related([_inside_class(paths[index], name) for index in indices], indices)
    ]
    if "validation" in subsets:
        groups = [group for group in groups if len({subsets[index] for index in group}) > 1]
    if not groups or sum(map(len, groups)) < MIN_FRACTION * len(paths):
        return []
    first, second = (PurePosixPath(paths[index]).name for index in groups[0][:2])
    return [
        f"file names look grouped, such as '{first}' and '{second}': related images may be in training and in "
        "validation, and the accuracy may be too high. Put all images of a group into train/, or all into val/."
    ]


def _inside_class(path: str, class_name: str) -> PurePosixPath:
    """Leave out the folder of the class and those above it: a patient may be in train/ and in val/."""
    parts = PurePosixPath(path).parts
    positions = [index for index, part in enumerate(parts[:-1]) if composed(part) == class_name]
    return PurePosixPath(*parts[positions[0] + 1 :])


def _related(names: Sequence[PurePosixPath], images: Sequence[int]) -> list[list[int]]:
    """Find groups of images of one class, by their paths in it; none if what is found looks like chance."""
    stems = [CHANGED_START.sub("", CHANGED_END.sub("", name.stem)) or name.stem for name in names]
    known = set(stems)
    stems = [original if (original := NUMBERED_COPY.sub("", stem)) in known else stem for stem in stems]
    by_stem, by_number = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for name, stem, image in zip(names, stems, images, strict=True):
        by_stem[f"{name.parent}/{stem}"].append(image)
        if (match := INDEX.match(stem)) and re.search(r"\d", DATE.sub("", match[1])) and not CAMERA.fullmatch(stem):
            by_number[f"{name.parent}/{match[1]}"].append(image)
    copies = [group for group in by_stem.values() if len(group) > 1]
    numbered = [group for group in by_number.values() if len(group) > 1]
    is_typical = bool(by_number) and 2 <= median(map(len, by_number.values())) <= MAX_GROUP
    if not is_typical or sum(map(len, numbered)) < MIN_GROUPED * len(images):
        numbered = []
    bursts = _bursts([name.stem for name in names], images)
    return next((groups for groups in (numbered, copies, bursts) if len(groups) >= MIN_GROUPS), [])


def _bursts(stems: Sequence[str], images: Sequence[int]) -> list[list[int]]:
    """Find images that were taken one right after the other, by the time in their names."""
    taken = sorted((seconds, image) for stem, image in zip(stems, images, strict=True) if (seconds := _seconds(stem)))
    groups, last = list[list[int]](), -float("inf")
    for seconds, image in taken:
        if seconds - last > BURST_SECONDS:
            groups.append([])
        groups[-1].append(image)
        last = seconds
    return [group for group in groups if len(group) >= MIN_BURST]


def _seconds(stem: str) -> float:
    """Read the time in a name; 0 where there is none."""
    match = TIME.search(stem)
    try:
        taken = datetime.strptime("".join(match.groups()), "%Y%m%d%H%M%S") if match else EPOCH
        return (taken - EPOCH).total_seconds()
    except ValueError:  # it is not a time
        return 0.0
