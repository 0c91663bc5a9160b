"""The images of a run, where its training found them."""

from pathlib import Path
from typing import Any, Protocol

from tlkit.data.reader import images_root
from tlkit.errors import DataError, RunError
from tlkit.runs.manifest import Manifest
from tlkit.utils.files import is_folder


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


def own_images(run: SplitRun, subset: str) -> tuple[Path, list[dict[str, str]]]:
    """Give the folder of a run's images, and the rows of `split.csv` of a subset, or of "all".

    Raises:
        RunError: if this machine did not make the run
        DataError: if the images have moved, or the run has none of the subset
    """
    if not run.is_own:
        raise RunError(
            f"'{run.path}' was not made on this machine, and tlkit opens no folder that it names; "
            "give the folder of its images as DATA."
        )
    request = run.read_settings()
    root = images_root(Path(request["data"]), request.get("images", ""))
    if not is_folder(root):
        raise DataError(f"the images of '{run.path}' are not in '{root}' any more; give their folder as DATA.")
    rows = [row for row in run.read_rows("split.csv") if subset in (row["split"], "all")]
    if not rows:
        raise DataError(f"'{run.path}' has no {subset} images; give a folder as DATA or another --split.")
    return root, rows
