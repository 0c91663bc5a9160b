"""From a folder of images to a table of features: npz, parquet or csv."""

import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.classic.distances import nearest_neighbors
from tlkit.data.folder import read_folder
from tlkit.data.listing import count_reasons
from tlkit.data.split import Split, split_folder
from tlkit.engines.base import versions
from tlkit.errors import ModelError, OptionError
from tlkit.features.compress import Codec, fit_codec, require_packages_for
from tlkit.features.extract import Features, extract
from tlkit.features.extractor import build_extractor
from tlkit.features.layer import find_layer_output, resolve_features
from tlkit.runs.warm_start import previous_subsets
from tlkit.settings.commands import FeaturesSettings
from tlkit.utils.files import check_new_file, csv_writer, open_new, refuse_inside, write_new
from tlkit.utils.progress import Progress, Silent


@dataclass(frozen=True)
class FeatureExport:
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


NAME_COLUMNS = ("path", "class", "split")


@dataclass(frozen=True)
class Table:
    """One row per image.

    names   path, class and split of each image, as three lists
    rows    float32 (images, values), or uint8 (images, bytes) where they are codes
    facts   where they come from
    learnt  arrays that turn features into such rows, by name
    """

    names: tuple[list[str], list[str], list[str]]
    rows: np.ndarray
    facts: dict[str, Any]
    learnt: dict[str, np.ndarray]

    @property
    def kind(self) -> str:
        """What the rows are called."""
        return "codes" if self.rows.dtype == np.uint8 else "features"

    @property
    def columns(self) -> list[str]:
        """A name for each value of a row."""
        return [f"{self.kind[:-1]}_{place}" for place in range(self.rows.shape[1])]


def export_features(
    data: str | Path, output: str | Path, settings: FeaturesSettings | None = None, progress: Progress | None = None
) -> FeatureExport:
    """Write the features of every image of a folder, with its path, class and split.

    output: a new file that ends in .npz, .parquet or .csv
    raises: DataError, ModelError, RunError, OptionError
    """
    file, settings = Path(output), resolve_features(settings or FeaturesSettings())
    check_file(file, learns=bool(settings.pca or settings.pq))
    refuse_inside(Path(data), file)
    require_packages_for(settings.pca, settings.pq)
    extracted = _extract(data, settings, progress or Silent())
    shares = (settings.validation_split, settings.test_split)
    split = split_folder(extracted.folder, *shares, settings.seed, previous_subsets(settings))
    codec = fit_codec(_load(extracted, split.train), settings.pca, settings.pq, settings.seed)
    table = _table(extracted, split, codec, settings)
    left_out = count_reasons([*extracted.folder.left_out, *split.train.left_out])
    return FeatureExport(
        write_table(table, file), table.rows.shape, _neighbours(extracted, split, codec), split, left_out
    )


def _extract(data: str | Path, settings: FeaturesSettings, progress: Progress) -> Features:
    layer = find_layer_output(settings)
    folder = read_folder(data)
    with ThreadPoolExecutor(1) as background:
        lower = build_extractor(background, settings, layer.build, layer.source, layer.cut)
        return extract(folder, lower, (settings.image_size, settings.resize), progress)


def _table(extracted: Features, split: Split, codec: Codec, settings: FeaturesSettings) -> Table:
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


def _neighbours(extracted: Features, split: Split, codec: Codec) -> dict[str, float]:
    """What shortening costs: how often the nearest training image is of the same class."""
    train, validation = (_load(extracted, part) for part in (split.train, split.validation))
    labels = (split.train.labels, split.validation.labels)
    found = {"features": _nearest_accuracy(train, validation, *labels)}
    if codec.projection:
        train, validation = codec.project(train), codec.project(validation)
        found["components"] = _nearest_accuracy(train, validation, *labels)
    if codec.quantizer:  # of what is looked for everything is known
        found["codes"] = _nearest_accuracy(codec.quantizer.decode(codec.quantizer.encode(train)), validation, *labels)
    return found


def _nearest_accuracy(train: np.ndarray, validation: np.ndarray, train_labels: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(train_labels[nearest_neighbors(validation, train)] == labels))


def _load(extracted: Features, part: Any) -> np.ndarray:
    return extracted.values(part).astype(np.float32)


def check_file(file: Path, learns: bool) -> None:
    """Before anything is computed.

    learns: whether there will be learnt arrays, which a .csv or .parquet file cannot hold
    raises: OptionError, ModelError where a table cannot be written there
    """
    if file.suffix.lower() not in WRITERS:
        raise OptionError(f"'{file.name}' does not end in {', '.join(WRITERS)}; choose one of them.")
    for path in (file, codec_file(file)) if learns and not _holds_all(file) else (file,):
        check_new_file(path)
    if file.suffix.lower() == ".parquet" and not find_spec("pyarrow"):
        raise ModelError("a .parquet file needs pyarrow, which is not installed: pip install 'tlkit[parquet]'.")


def write_table(table: Table, file: Path) -> list[Path]:
    """Write a table, and beside one that cannot hold them the arrays that were learnt.

    returns: the files
    raises: OptionError where one is there already
    """
    beside = [] if _holds_all(file) or not table.learnt else [codec_file(file)]
    for path in beside:  # before the table: codes that nothing can decode are worth nothing
        write_new(path, _npz(table.learnt | {"facts": np.array(json.dumps(table.facts))}))
    WRITERS[file.suffix.lower()](table, file)
    return [file, *beside]


def codec_file(file: Path) -> Path:
    """Where the learnt arrays of a `.csv` or `.parquet` table lie."""
    return file.with_name(f"{file.stem}.learnt.npz")


def _holds_all(file: Path) -> bool:
    return file.suffix.lower() == ".npz"


def _write_npz(table: Table, file: Path) -> None:
    names = {name: np.array(values) for name, values in zip(NAME_COLUMNS, table.names, strict=True)}
    facts = {"facts": np.array(json.dumps(table.facts))}
    write_new(file, _npz({table.kind: table.rows} | names | facts | table.learnt))


def _write_csv(table: Table, file: Path) -> None:
    with open_new(file) as lines:
        writer = csv_writer(lines)
        writer.writerow([*NAME_COLUMNS, *table.columns])
        for *names, row in zip(*table.names, table.rows, strict=True):
            writer.writerow([*names, *map(str, row)])  # the shortest decimals that give the same float32


def _write_parquet(table: Table, file: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    names = [[_utf8(value) for value in values] for values in table.names]
    columns = dict(zip(NAME_COLUMNS, names, strict=True)) | dict(zip(table.columns, table.rows.T, strict=True))
    found = pyarrow.table(columns).replace_schema_metadata({"tlkit": json.dumps(table.facts)})
    buffer = io.BytesIO()
    parquet.write_table(found, buffer)
    write_new(file, buffer.getvalue())


WRITERS: dict[str, Callable[[Table, Path], None]] = {
    ".npz": _write_npz,
    ".parquet": _write_parquet,
    ".csv": _write_csv,
}


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _utf8(text: str) -> str:
    """A name that is not UTF-8 on disk with its bytes spelt out; Parquet has no other way."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
