"""Images that seem to show the same thing, by their file names: slices of a patient, bursts, frames, augmented copies.

A name is a hint and no proof, so images are grouped only if the user asks for it; a note reports the hint. Names of
cameras and plain numbering say nothing about relatives.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
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
            subsets count, and none of equal names, because every subset may be numbered from 1 on
    """
    paths, subsets = [path for path, _, _ in images], [subset for _, subset, _ in images]
    is_split = "validation" in subsets
    images_of_class = defaultdict[str, dict[int, PurePosixPath]](dict)
    for index, (path, subset, name) in enumerate(images):
        is_image = PurePosixPath(path).suffix.lower() in ("", *IMAGE_SUFFIXES)  # not the annotation of one
        if is_image and (is_split or subset != "test"):
            images_of_class[name][index] = _inside_class(path, name) if is_split else PurePosixPath(path)
    groups = [group for names in images_of_class.values() for group in _related(names)]
    if is_split:
        groups = [group for group in groups if len({subsets[index] for index in group}) > 1]
        groups = [group for group in groups if len({PurePosixPath(paths[index]).name for index in group}) == len(group)]
    if not groups or sum(map(len, groups)) < MIN_FRACTION * len(paths):
        return []
    first, second = (PurePosixPath(paths[index]).name for index in groups[0][:2])
    return [
        f"file names look grouped, such as '{first}' and '{second}': related images may be in training and in "
        "validation, and the accuracy may be too high. --group-regex keeps a group in one subset: give what the "
        "names of a group have in common, e.g. '(p\\d+)_' for p017_03.png."
    ]


def _inside_class(path: str, class_name: str) -> PurePosixPath:
    """Leave out the folder of the class and those above it, if it is in one: a patient may be in train/ and in val/."""
    parts = PurePosixPath(path).parts
    positions = [index for index, part in enumerate(parts[:-1]) if composed(part) == class_name]
    return PurePosixPath(*parts[positions[0] + 1 if positions else 0 :])


def _related(names: Mapping[int, PurePosixPath]) -> list[list[int]]:
    """Find groups of images of one class, by their paths; none if what is found looks like chance."""
    stems = {index: CHANGED_START.sub("", CHANGED_END.sub("", name.stem)) or name.stem for index, name in names.items()}
    known = set(stems.values())
    by_stem, by_number = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for index, name in names.items():
        original = NUMBERED_COPY.sub("", stems[index])
        stem = original if original in known else stems[index]
        by_stem[f"{name.parent}/{stem}"].append(index)
        if (match := INDEX.match(stem)) and re.search(r"\d", DATE.sub("", match[1])) and not CAMERA.fullmatch(stem):
            by_number[f"{name.parent}/{match[1]}"].append(index)
    copies = [group for group in by_stem.values() if len(group) > 1]
    numbered = [group for group in by_number.values() if len(group) > 1]
    is_typical = bool(by_number) and 2 <= median(map(len, by_number.values())) <= MAX_GROUP
    if not is_typical or sum(map(len, numbered)) < MIN_GROUPED * len(names):
        numbered = []
    bursts = _bursts(names)
    return next((groups for groups in (numbered, copies, bursts) if len(groups) >= MIN_GROUPS), [])


def _bursts(names: Mapping[int, PurePosixPath]) -> list[list[int]]:
    """Find images that were taken one right after the other, by the time in their names."""
    taken = sorted((seconds, index) for index, name in names.items() if (seconds := _seconds(name.stem)))
    groups, last = list[list[int]](), -float("inf")
    for seconds, index in taken:
        if seconds - last > BURST_SECONDS:
            groups.append([])
        groups[-1].append(index)
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
