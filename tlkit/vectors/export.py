"""From a folder of images to a table of features: one pass, the split of every training, and a file."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.data.folder import read_folder
from tlkit.data.listing import count_reasons
from tlkit.data.split import Split, split_folder
from tlkit.engines.engine import versions
from tlkit.extraction import Extracted, extract
from tlkit.files import refuse_inside
from tlkit.progress import Progress, Silent
from tlkit.settings import FeaturesSettings
from tlkit.shallow.distances import find_nearest
from tlkit.training.former import former_sides
from tlkit.training.lower import lower_from
from tlkit.vectors.codes import Codec, learn_codec, require
from tlkit.vectors.layer import find_layer, resolve_features
from tlkit.vectors.table import Table, check_file, write_table


@dataclass(frozen=True)
class Exported:
    """What `tlkit features` leaves.

    files      that were written
    shape      of the table: images, values
    neighbour  share of the validation images whose nearest training image is of their class: by the features
               as they are, and by what they were made into
    left_out   how many images are not in the table, by the reason
    """

    files: list[Path]
    shape: tuple[int, int]
    neighbour: dict[str, float]
    split: Split
    left_out: dict[str, int]


def export_features(
    data: str | Path, output: str | Path, settings: FeaturesSettings | None = None, progress: Progress | None = None
) -> Exported:
    """Write the features of every image of a folder, with its path, class and split.

    output: a new file that ends in .npz, .parquet or .csv
    raises: DataError, ModelError, RunError, OptionError
    """
    file, settings = Path(output), resolve_features(settings or FeaturesSettings())
    check_file(file, learns=bool(settings.pca or settings.pq))
    refuse_inside(Path(data), file)
    require(settings.pca, settings.pq)
    extracted = _extract(data, settings, progress or Silent())
    shares = (settings.validation_split, settings.test_split)
    split = split_folder(extracted.folder, *shares, settings.seed, former_sides(settings))
    codec = learn_codec(_values(extracted, split.train), settings.pca, settings.pq, settings.seed)
    table = _table(extracted, split, codec, settings)
    left_out = count_reasons([*extracted.folder.left_out, *split.train.left_out])
    return Exported(write_table(table, file), table.rows.shape, _neighbours(extracted, split, codec), split, left_out)


def _extract(data: str | Path, settings: FeaturesSettings, progress: Progress) -> Extracted:
    layer = find_layer(settings)
    folder = read_folder(data)
    with ThreadPoolExecutor(1) as background:
        lower = lower_from(background, settings, layer.build, layer.source, layer.cut)
        return extract(folder, lower, (settings.image_size, settings.resize), progress)


def _table(extracted: Extracted, split: Split, codec: Codec, settings: FeaturesSettings) -> Table:
    """The images of all sides, in the order of their paths."""
    found = [
        (path, part.class_names[label], side, sha256)
        for side, part in split.parts.items()
        for path, label, sha256 in zip(part.paths, part.labels.tolist(), part.sha256, strict=True)
    ]
    paths, classes, sides, digests = (list(column) for column in zip(*sorted(found), strict=True))
    rows = codec.project(extracted.table.gather(digests).astype(np.float32))
    rows = codec.quantizer.encode(rows) if codec.quantizer else rows
    return Table((paths, classes, sides), rows, _facts(settings, split), codec.arrays())


def _facts(settings: FeaturesSettings, split: Split) -> dict[str, Any]:
    return {"class_names": list(split.train.class_names), "versions": versions(settings.engine), **asdict(settings)}


def _neighbours(extracted: Extracted, split: Split, codec: Codec) -> dict[str, float]:
    """What shortening costs: how often the nearest training image is of the same class."""
    train, validation = (_values(extracted, part) for part in (split.train, split.validation))
    labels = (split.train.labels, split.validation.labels)
    found = {"features": _nearest_accuracy(train, validation, *labels)}
    if codec.projection:
        train, validation = codec.project(train), codec.project(validation)
        found["components"] = _nearest_accuracy(train, validation, *labels)
    if codec.quantizer:  # of what is looked for everything is known
        found["codes"] = _nearest_accuracy(codec.quantizer.decode(codec.quantizer.encode(train)), validation, *labels)
    return found


def _nearest_accuracy(train: np.ndarray, validation: np.ndarray, train_labels: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(train_labels[find_nearest(validation, train)] == labels))


def _values(extracted: Extracted, part: Any) -> np.ndarray:
    return extracted.values(part).astype(np.float32)
