"""The images of a run, where its training found them."""

from pathlib import Path
from typing import Any, Protocol

from tlkit.data.reader import images_root
from tlkit.errors import DataError, RunError
from tlkit.runs.manifest import Manifest
from tlkit.utils.storage import Location, is_folder


class SplitRun(Protocol):
    """The part of a `Run` that knows its images."""

    @property
    def path(self) -> Path:
        """Its folder."""

    @property
    def is_own(self) -> bool:
        """True if this machine made it."""

    @property
    def manifest(self) -> Manifest:
        """The content of `model.json`."""

    def read_settings(self) -> dict[str, Any]:
        """Read `settings.json`."""

    def read_rows(self, name: str) -> list[dict[str, str]]:
        """Read one of its tables."""


def images_folder(run: SplitRun, remedy: str) -> Location:
    """Give the folder of a run's images, as its training had it.

    Args:
        remedy: what to do where it cannot be used, the end of the sentence

    Raises:
        RunError: if this machine did not make the run
        DataError: if the images have moved
    """
    if not run.is_own:
        raise RunError(f"'{run.path}' was not made on this machine, and tlkit opens no folder that it names; {remedy}.")
    request = run.read_settings()
    root = images_root(request["data"], request.get("images", ""))
    if not is_folder(root):
        raise DataError(f"the images of '{run.path}' are not in '{root}' any more; {remedy}.")
    return root


def rows_of_subset(run: SplitRun, subset: str, remedy: str) -> list[dict[str, str]]:
    """Read the rows of `split.csv` of a subset, or of "all".

    Args:
        remedy: what to do where there are none, the end of the sentence

    Raises:
        RunError: if the table is damaged
        DataError: if the run has no such images
    """
    rows = [row for row in run.read_rows("split.csv") if subset in (row["split"], "all")]
    if not rows:
        raise DataError(f"'{run.path}' has no {subset} images; {remedy}.")
    return rows
