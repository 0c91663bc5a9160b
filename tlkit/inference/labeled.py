"""Labeled images that a run is measured on: its own, or those of a folder, and what each is for the run."""

from collections.abc import Mapping
from dataclasses import dataclass

from tlkit.data.folder import ImageFolder
from tlkit.data.listing import FileEntry
from tlkit.data.reader import DataOptions, read_data
from tlkit.data.split import SUBSETS, TEST, TRAIN, VALIDATION
from tlkit.errors import DataError
from tlkit.runs.images import images_folder, rows_of_subset
from tlkit.runs.run import Run
from tlkit.utils.storage import Location

NEW, TRAINING = "new", "training"  # what an image is for a run, beside `VALIDATION`; its test images are new to it
NOT_COUNTED = {TRAINING: "the run was trained on it", VALIDATION: "it is a validation image of the run"}
CHANGED = "changed since the run was made"


@dataclass(frozen=True)
class LabeledFile:
    """An image with its class; its hash where that is known."""

    path: str
    file: Location
    label: int
    sha256: str = ""


@dataclass(frozen=True)
class LabeledImages:
    """The images of a run, or of a folder.

    Attributes:
        files: the images
        subset: of the run, or of the folder: "train", "validation", "test" or "all"
        kinds: what an image is for the run, by the hashes of its file and of its pixels; the others are new
        folder: that was read; None for the run's own images
    """

    files: tuple[LabeledFile, ...]
    subset: str
    kinds: Mapping[str, str]
    folder: ImageFolder | None = None

    @property
    def skipped(self) -> list[FileEntry]:
        """Files of the folder that cannot be used, each with its reason."""
        return list(self.folder.skipped) if self.folder else []

    def kind_of(self, sha256: str, digest: str) -> str:
        """Tell what an image is for the run, by the hashes of its file and of its pixels."""
        return self.kinds.get(sha256) or self.kinds.get(digest) or NEW


def labeled_images(run: Run, data: str | Location | None, options: DataOptions, split: str) -> LabeledImages:
    """Choose the images that a run is measured on.

    Args:
        run: a finished run
        data: a folder of classes, matched by name; the run's own images where it is None
        options: which image of the folder is which
        split: subset; "auto" for the run's validation images, and of a folder its test images, else its validation
            images, else all

    Raises:
        DataError
        OptionError
        RunError
    """
    names = run.manifest.class_names
    if data is None:
        return _own_images(run, names, split)
    folder = read_data(data, options, names)
    present = [subset for subset in (TEST, VALIDATION) if subset in folder.subsets]
    subset = (present or ["all"])[0] if split == "auto" else split
    if subset in SUBSETS and subset not in folder.subsets:
        raise DataError(f"'{folder.root}' has no {subset} folder; omit --split or use --split all.")
    files = tuple(
        LabeledFile(path, folder.root / path, label)
        for path, label, own in zip(folder.paths, folder.labels.tolist(), folder.subsets, strict=True)
        if subset in (own, "all")
    )
    return LabeledImages(files, subset, _kinds_of_images(run), folder)


def _own_images(run: Run, names: tuple[str, ...], split: str) -> LabeledImages:
    """Collect the images of the run's own `split.csv`."""
    subset = VALIDATION if split == "auto" else split
    root = images_folder(run, "give the folder of its images as DATA")
    rows = rows_of_subset(run, subset, "give a folder as DATA or another --split")
    label = {name: index for index, name in enumerate(names)}
    files = (LabeledFile(row["path"], root / row["path"], label[row["class"]], row["sha256"]) for row in rows)
    return LabeledImages(tuple(files), subset, {})


def _kinds_of_images(run: Run) -> dict[str, str]:
    """Find the subsets of the run's own images, by the hashes of their files and of their pixels."""
    kinds: dict[str, str] = {}
    rows = run.read_rows("split.csv")
    for subset, kind in ((VALIDATION, VALIDATION), (TRAIN, TRAINING)):
        kinds |= {row[name]: kind for row in rows if row["split"] == subset for name in ("sha256", "pixels")}
    return kinds
