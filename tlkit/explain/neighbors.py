"""The training images that are nearest in feature space."""

import numpy as np

from tlkit.data.reader import images_root
from tlkit.evaluation.rejection import UnknownDetector, choose_references, normalize_rows, order_by_hash
from tlkit.explain.base import Neighbor
from tlkit.runs.run import Run


class TrainingNeighbors:
    """The references of a run, with their names.

    Attributes:
        root: the folder that their paths are relative to; None if this machine did not make the run, since no folder
            that it names is opened
    """

    def __init__(self, run: Run, detector: UnknownDetector) -> None:
        """Find which training images the references are; none where the run has no such list.

        Raises:
            RunError
        """
        request = run.read_settings()
        self.root = images_root(request["data"], request.get("images", "")) if run.is_own else None
        self._references = detector.references
        train = [row for row in run.read_rows("split.csv") if row["split"] == "train"]
        number = {name: index for index, name in enumerate(run.manifest.class_names)}
        labels = np.array([number[row["class"]] for row in train], int)
        order = order_by_hash([row["sha256"] for row in train])
        chosen = choose_references(labels, order, self._references.shape[1])
        self._images: list[tuple[str, str]] = [
            (train[index]["path"], train[index]["class"]) for index in chosen.tolist()
        ]

    def nearest(self, features: np.ndarray, count: int) -> tuple[Neighbor, ...]:
        """Find the nearest training images, the nearest first.

        Args:
            features: of one image, float32 (1, …)
        """
        if len(self._images) != len(self._references):
            return ()
        distances = 1 - (normalize_rows(features) @ self._references.T)[0]
        order = np.argsort(distances, kind="stable")[:count]
        rounded = [round(max(0.0, float(distance)), 6) for distance in distances]
        nearest = [(*self._images[index], rounded[index]) for index in order.tolist()]
        return tuple(Neighbor(path, label, distance) for path, label, distance in nearest)
