"""A cleaned copy of a data set, by links: the source stays as it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tlkit.data.folder import ImageFolder
from tlkit.data.sources.members import is_member
from tlkit.data.split import TEST, TRAIN, VALIDATION
from tlkit.errors import DataError
from tlkit.quality.base import Issue
from tlkit.utils.files import new_folder
from tlkit.utils.tables import csv_writer

ORDER = (TEST, VALIDATION, TRAIN, "")  # subsets, those first whose copy is kept
TABLE = "removed.csv"


def removals(issues: Sequence[Issue], folder: ImageFolder) -> dict[str, str]:
    """Choose what a cleaned copy leaves out: path and reason, only where no eye is needed.

    Of equal images of one class one is kept, and of an image in two subsets that of test or validation. Equal images
    with several labels are all left out, for which one is right is not known.
    """
    subset_of = dict(zip(folder.paths, folder.subsets, strict=True))
    removed = dict[str, str]()
    for issue in issues:
        if issue.score < 1 or issue.check not in ("exact-duplicates", "label-conflicts", "leaks"):
            continue
        if issue.check == "label-conflicts":
            removed |= dict.fromkeys(issue.paths, f"same image under two labels: {', '.join(issue.paths)}")
            continue
        kept, *others = sorted(issue.paths, key=lambda path: (ORDER.index(subset_of[path]), issue.paths.index(path)))
        removed |= {path: f"copy of {kept}" for path in others if path not in removed}
    return removed


def write_clean_copy(folder: ImageFolder, removed: Mapping[str, str], output: Path) -> int:
    """Make a folder of links to the images that are kept, by subset and class; give their number.

    `removed.csv` beside them lists what is left out and why, unreadable files included.

    Raises:
        OptionError: if `output` exists or cannot be made
        DataError: if links cannot be made there, or cannot lead to the images
    """
    if not isinstance(folder.root, Path) or any(map(is_member, folder.files[:1])):
        raise DataError(f"--fix makes links to images, but those of '{folder.root}' are not files of this machine.")
    reasons = {**{entry.path: entry.reason or "" for entry in folder.skipped}, **removed}
    kept = [position for position, path in enumerate(folder.paths) if path not in removed]
    with new_folder(output) as root:
        for position in kept:
            source = Path(str(folder.files[position])).resolve()
            parts = (folder.subsets[position], folder.class_names[int(folder.labels[position])])
            target = root.joinpath(*filter(None, parts)) / _free_name(folder.paths[position])
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                target.symlink_to(source)
            except OSError as error:
                raise DataError(f"'{output}' cannot hold links ({error.strerror}); choose another folder.") from None
        with (root / TABLE).open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv_writer(file)
            writer.writerow(("path", "reason"))
            writer.writerows(reasons.items())
    return len(kept)


def _free_name(path: str) -> str:
    """Write the path of an image as one name, so that two of one class have two names.

    >>> _free_name("cats/day 1/7.jpg")
    'cats__day 1__7.jpg'
    """
    return path.replace("/", "__")[-200:]
