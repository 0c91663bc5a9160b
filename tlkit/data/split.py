"""Which images are for training, which for validation and test: without leaks, and stable."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tlkit.data.deal import SIDES, TEST, TRAIN, VALIDATION, deal_groups, members
from tlkit.data.folder import ImageFolder
from tlkit.data.listing import Found
from tlkit.errors import DataError

LEARNT = "the run this one starts from was trained on them"


@dataclass(frozen=True)
class Split:
    """Three folders that share no file and no duplicate group, with what a person should know."""

    train: ImageFolder
    validation: ImageFolder
    test: ImageFolder
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> dict[str, ImageFolder]:
        """The folders by the name of their side."""
        return {TRAIN: self.train, VALIDATION: self.validation, TEST: self.test}


def split_folder(
    folder: ImageFolder,
    validation_split: float = 0.2,
    test_split: float = 0.0,
    seed: int = 0,
    known: Mapping[str, str] | None = None,
) -> Split:
    """Deal the images of a folder whose files have been read, so that nothing leaks.

    A group of equal pixels goes where the hash of its pixels and the seed says, so adding a
    file moves no other. A class that would have no image on a side it could have one on gets
    its nearest group: the only exception. Sides the folder itself gives win, and copies of
    their images are dropped from training.

    known: the side each group was on in a run this one starts from: it keeps it; an image that
        was trained on there and is held out by the folder itself is dropped
    validation_split, test_split: expected fraction of the images, each in [0, 1), sum below 1
    raises: DataError where a class has no training image or nothing is left to validate on
    """
    given = {side for side in (VALIDATION, TEST) if side in folder.sides}
    shares = {VALIDATION: validation_split, TEST: test_split}
    sides = np.array([side if side in given else "" for side in folder.sides], dtype=object)
    known = known or {}
    copies = _copies(folder, sides) | _trained_on(folder, sides, known)
    sides[list(copies)] = "dropped"
    open_rows = np.flatnonzero(sides == "")
    wanted = {side: share for side, share in shares.items() if side not in given}
    sides[open_rows] = deal_groups(folder.pick(open_rows), wanted, seed, known)
    parts = {side: folder.pick(np.flatnonzero(sides == side)) for side in SIDES}
    dropped = [Found(folder.paths[row], reason) for row, reason in copies.items()]
    parts[TRAIN] = parts[TRAIN].leave_out(dropped)
    _require_images(parts)
    return Split(**parts, notes=(*_copy_notes(dropped), *_conflict_notes(folder), *_missing_notes(parts)))


def conflicts(folder: ImageFolder) -> list[tuple[str, ...]]:
    """Paths of equal images that stand under different labels, group by group."""
    labels = folder.labels.tolist()
    return [
        tuple(folder.paths[row] for row in rows)
        for rows in members(folder).values()
        if len({labels[row] for row in rows}) > 1
    ]


def _copies(folder: ImageFolder, sides: np.ndarray) -> dict[int, str]:
    """Positions of images to drop, with the held-out image each is a copy of."""
    originals: dict[str, str] = {}
    copies = {}
    for side in (TEST, VALIDATION, ""):
        rows = np.flatnonzero(sides == side).tolist()
        copies.update(
            {row: f"copy of {originals[folder.groups[row]]}" for row in rows if folder.groups[row] in originals}
        )
        if side:
            originals.update({folder.groups[row]: folder.paths[row] for row in rows})
    return copies


def _trained_on(folder: ImageFolder, sides: np.ndarray, known: Mapping[str, str]) -> dict[int, str]:
    """Positions of images the folder holds out, though the run this one starts from has learnt them."""
    rows = np.flatnonzero(sides != "").tolist()
    return {row: LEARNT for row in rows if known.get(folder.groups[row]) == TRAIN}


def _require_images(parts: dict[str, ImageFolder]) -> None:
    for name, count in zip(parts[TRAIN].class_names, parts[TRAIN].counts, strict=True):
        if count == 0:
            raise DataError(f"class '{name}' has no readable image to train on; add images of it or remove it.")
    if len(parts[VALIDATION]) == 0:
        raise DataError("no image is left to validate on; give at least one class two different images.")


def _copy_notes(dropped: list[Found]) -> list[str]:
    learnt = [found.path for found in dropped if found.problem == LEARNT]
    copies = [found.path for found in dropped if found.problem != LEARNT]
    notes = [f"{len(copies)} copies of held-out images were left out, such as {copies[0]}."] if copies else []
    if learnt:
        notes.append(f"{len(learnt)} held-out images were left out: {LEARNT}, such as {learnt[0]}.")
    return notes


def _conflict_notes(folder: ImageFolder) -> list[str]:
    found = conflicts(folder)
    if not found:
        return []
    return [f"{len(found)} identical images stand under different labels, such as {' = '.join(found[0])}."]


def _missing_notes(parts: dict[str, ImageFolder]) -> list[str]:
    names = parts[TRAIN].class_names
    sides = [side for side in (VALIDATION, TEST) if len(parts[side])]
    missing = {side: [names[k] for k, n in enumerate(parts[side].counts) if n == 0] for side in sides}
    return [f"no {side} image for: {', '.join(absent)}." for side, absent in missing.items() if absent]
