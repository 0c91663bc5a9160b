"""The images of a run for Keras: the pixels that its training saw, before augmentation."""

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from tlkit.data.image import ImageSpec, decode_square
from tlkit.data.reader import images_root
from tlkit.data.sources.files import read_file
from tlkit.data.split import SUBSETS
from tlkit.errors import DataError, ImageError, OptionError
from tlkit.runs.images import SplitRun, images_folder, rows_of_subset
from tlkit.utils.parallel import count_workers, ordered_map
from tlkit.utils.storage import Location, is_folder


class RunDataset(keras.utils.PyDataset):  # type: ignore[misc]
    """Images of a run in batches, decoded when they are asked for.

    A batch is pixels, float32 (batch, size, size, 3), RGB from 0 to 255, and labels, int32 (batch,), positions in
    `class_names`.

    Attributes:
        class_names: in label order
        paths: of the images, in the order of the first epoch
        labels: int32 (images,), in the same order
    """

    def __init__(
        self, run: SplitRun, subset: str, batch_size: int, shuffle: bool, data: str | Location | None = None
    ) -> None:
        """Read the split of a run; no image is opened.

        Args:
            data: folder of the images, or their table; where the training found them if it is None

        Raises:
            RunError
            DataError
            OptionError
        """
        super().__init__()
        if subset not in (*SUBSETS, "all"):
            raise OptionError(f"the subset is {subset!r}; expected one of {', '.join(SUBSETS)}, all.")
        if batch_size < 1:
            raise OptionError(f"batch_size is {batch_size}; expected at least 1.")
        if data is None:
            root = images_folder(run, "pass the folder of its images: to_dataset(data=FOLDER)")
        elif not is_folder(root := images_root(data)):
            raise DataError(f"there is no folder '{root}'; expected the folder of the images of '{run.path}'.")
        rows = rows_of_subset(run, subset, f"choose another subset: {', '.join(SUBSETS)}, all")
        manifest = run.manifest
        self.class_names = manifest.class_names
        self._spec, self._root, self._batch_size, self._shuffle = manifest.image, root, batch_size, shuffle
        self._random = np.random.default_rng(0)
        label = {name: index for index, name in enumerate(self.class_names)}
        self._rows = [(row["path"], label[row["class"]], row["sha256"]) for row in rows]
        self._sort()

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of the images, relative to the folder of the run's images."""
        return tuple(path for path, _, _ in self._rows)

    @property
    def labels(self) -> np.ndarray:
        """The labels of the images: int32 (images,)."""
        return np.array([label for _, label, _ in self._rows], np.int32)

    def __len__(self) -> int:
        return math.ceil(len(self._rows) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self._rows[index * self._batch_size : (index + 1) * self._batch_size]
        if not rows:
            raise IndexError(index)
        with ThreadPoolExecutor(count_workers()) as pool:
            pixels = list(ordered_map(pool, lambda row: _pixels(self._root / row[0], row[2], self._spec), rows))
        return np.stack(pixels).astype(np.float32), np.array([label for _, label, _ in rows], np.int32)

    def on_epoch_end(self) -> None:
        """Draw another order, if the images are shuffled."""
        self._sort()

    def _sort(self) -> None:
        if self._shuffle:
            self._rows = [self._rows[position] for position in self._random.permutation(len(self._rows))]


def _pixels(file: Location, sha256: str, spec: ImageSpec) -> np.ndarray:
    """Decode an image; DataError if it is not the one that the run was made with"""
    try:
        data = read_file(file)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise DataError(f"'{file}' changed since the run was made; restore it or train again.")
        return decode_square(data, spec)
    except ImageError as error:
        raise DataError(f"'{file}' {error}; restore it or train again.") from None
