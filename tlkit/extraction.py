"""What one pass over a folder leaves: its readable images, and features of each."""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from tlkit.data.augment import ViewMaker, Views
from tlkit.data.folder import ImageFolder
from tlkit.data.listing import Found
from tlkit.errors import ImageError
from tlkit.features import FeatureTable, KeptRows, Row
from tlkit.files import claim_cache
from tlkit.progress import Progress
from tlkit.reading import Lower, Outcome, Pass, kept, outcomes
from tlkit.workers import count_workers

HELD_BYTES = 256 << 20  # of features or pixels that are held in memory while they are learnt from


@dataclass(frozen=True)
class Extracted:
    """What one pass found.

    folder   the readable images, with their hashes and groups; the others are on its `left_out`
    table    the features of every image, by the hash of its file
    reused   images whose features an earlier run had kept
    views    what is kept of each image, None for the plain view alone
    """

    folder: ImageFolder
    table: FeatureTable
    reused: int
    views: ViewMaker | None = None

    def values(self, part: ImageFolder) -> np.ndarray:
        """The features of some of the images: (images, …), in their order."""
        return self.table.gather(part.sha256)

    def rows(self, part: ImageFolder) -> KeptRows | np.ndarray:
        """The same by position: in memory where they are few, else left on disk until they are asked for."""
        kept = KeptRows(self.table, part.sha256, self.views.count if isinstance(self.views, Views) else 0)
        if isinstance(self.views, Views) or not len(kept) or len(kept) * kept[:1].nbytes > HELD_BYTES:
            return kept
        return kept[:]


def extract(
    folder: ImageFolder,
    lower: Future[Lower],
    size: tuple[int, str],
    progress: Progress,
    views: ViewMaker | None = None,
    name: str = "",
) -> Extracted:
    """Read every image of a folder once and compute the features that are not kept yet.

    lower: the frozen network, perhaps still being prepared in another thread
    size: image size in pixels, and the resize mode
    views: what is made of each picture instead of the plain view; with `Views` each row is (views, …)
    name: what the pass is called where progress is shown
    raises: whatever preparing the lower network raised; OptionError where the cache folder is not tlkit's
    """
    with suppress(OSError):  # where it cannot be written, nothing is kept
        claim_cache()
    work = Pass(lower, *size, views)
    with (
        progress.stage(name or ("views" if views else "features"), len(folder), "images") as advance,
        ThreadPoolExecutor(count_workers()) as pool,
    ):
        try:
            found = list(kept(work, outcomes(pool, work, folder.files, advance)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return Extracted(_readable(folder, found), work.table_of(lower.result()), work.reused, views)


def _readable(folder: ImageFolder, outcomes: list[Outcome]) -> ImageFolder:
    """The images that could be read, with what identifies them; the others with their reasons."""
    rows = [row for row, outcome in enumerate(outcomes) if isinstance(outcome, Row)]
    problems = [
        Found(path, str(outcome))
        for path, outcome in zip(folder.paths, outcomes, strict=True)
        if isinstance(outcome, ImageError)
    ]
    found = [outcome for outcome in outcomes if isinstance(outcome, Row)]
    return (
        folder.pick(rows)
        .identified([(row.sha256, row.group) for row in found])
        .leave_out([*folder.left_out, *problems])
    )
