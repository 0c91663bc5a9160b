"""Images of a run: those that an exported file is checked with, and those that int8 takes its ranges from."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from tlkit.data.decode import open_upright, to_rgb
from tlkit.data.image import ImageSpec, decode_square
from tlkit.data.reader import images_root
from tlkit.data.sources.files import read_file
from tlkit.data.sources.members import shard_of
from tlkit.errors import DataError, ImageError
from tlkit.inference.golden import GOLDEN, has_golden
from tlkit.runs.run import Run
from tlkit.utils.parallel import count_workers, ordered_map
from tlkit.utils.storage import Location, exists, is_folder

FULL_SIZE = 1 << 16  # no JPEG has a longer side
MAX_PIXEL_BYTES = 256 << 20  # of images in memory


@dataclass(frozen=True)
class RunImages:
    """Decoded images of a run.

    Attributes:
        names: paths relative to DATA, or to the run for golden samples
        labels: int (images,)
        pixels: uint8 (images, size, size, 3)
        files: where they are
    """

    names: tuple[str, ...]
    labels: np.ndarray = field(repr=False)
    pixels: np.ndarray = field(repr=False)
    files: tuple[Location, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.names)

    def joined(self, others: "RunImages") -> "RunImages":
        """Put other images after these."""
        labels, pixels = np.append(self.labels, others.labels), np.concatenate([self.pixels, others.pixels])
        return RunImages(self.names + others.names, labels, pixels, self.files + others.files)


def find_root(run: Run, data: str) -> tuple[Location | None, str]:
    """Find the folder of a run's images.

    Args:
        data: DATA where it has moved; "" for the one of the run

    Returns:
        The folder, or None; and the reason why it is None

    Raises:
        DataError: if `data` is not there
    """
    if data:
        if not exists(data):
            raise DataError(f"--data '{data}' does not exist; expected the images of the run.")
        return images_root(data), ""
    if not run.is_own:
        return None, "the run was not made on this machine, and tlkit opens no folder that it names"
    request = run.read_settings()
    root = images_root(request["data"], request.get("images", ""))
    return (root, "") if is_folder(root) else (None, f"the images of the run are not in '{root}' any more")


def read_subset(run: Run, root: Location, subset: str, count: int) -> tuple[RunImages, int]:
    """Read images of a run that are unchanged, spread evenly over those of a subset that are there.

    Args:
        subset: of split.csv
        count: the number of images, if the subset has as many and they fit in memory

    Returns:
        The images, and their number where none is missing or changed
    """
    rows = [row for row in run.read_rows("split.csv") if row["split"] == subset]
    spec, names = run.manifest.image, run.manifest.class_names
    wanted = min(len(rows), count, MAX_PIXEL_BYTES // (3 * spec.size**2))
    rows = [row for row in rows if exists(shard_of(root / row["path"]))]
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), wanted)).round().astype(int)
    rows = [rows[position] for position in chosen]

    def read(row: dict[str, str]) -> np.ndarray | None:
        """Decode an image; None where it has changed or cannot be read."""
        try:
            content = read_file(root / row["path"])
            return decode_square(content, spec) if hashlib.sha256(content).hexdigest() == row["sha256"] else None
        except ImageError:
            return None

    with ThreadPoolExecutor(count_workers()) as pool:
        decoded = zip(rows, ordered_map(pool, read, rows), strict=True)
        kept = [(row, pixels) for row, pixels in decoded if pixels is not None]
    label = {name: index for index, name in enumerate(names)}
    images = _collect(
        [row["path"] for row, _ in kept],
        [label[row["class"]] for row, _ in kept],
        [pixels for _, pixels in kept],
        [root / row["path"] for row, _ in kept],
        spec.size,
    )
    return images, wanted


def read_golden(run: Run) -> RunImages:
    """Read the golden samples of a run; none where it has none.

    Raises:
        RunError
    """
    samples = run.read_json(GOLDEN)["samples"] if has_golden(run) else []
    files = [run.checked_file(sample["file"]) for sample in samples]
    label = {name: index for index, name in enumerate(run.manifest.class_names)}
    spec = run.manifest.image
    pixels = [decode_square(read_file(file), spec) for file in files]
    names = [str(sample["file"]) for sample in samples]
    return _collect(names, [label[sample["class"]] for sample in samples], pixels, files, spec.size)


def whole_pixels(file: Location, spec: ImageSpec) -> np.ndarray:
    """Decode an image at full size, as a client does: uint8 (height, width, 3).

    Raises:
        ImageError
    """
    upright = open_upright(read_file(file), FULL_SIZE, spec.max_megapixels)
    return np.asarray(to_rgb(upright, spec.gray_range))


def _collect(
    names: Sequence[str], labels: Sequence[int], pixels: Sequence[np.ndarray], files: Sequence[Location], size: int
) -> RunImages:
    stacked = np.stack(pixels) if pixels else np.zeros((0, size, size, 3), np.uint8)
    return RunImages(tuple(names), np.array(labels, int), stacked, tuple(files))
