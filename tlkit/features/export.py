"""From a folder of images to a table of features: npz, parquet or csv."""

import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tlkit.classic.distances import nearest_neighbors
from tlkit.data.duplicates import conflict_notes
from tlkit.data.folder import ImageFolder
from tlkit.data.image import ImageSpec
from tlkit.data.listing import FileEntry
from tlkit.data.reader import DataOptions, read_data
from tlkit.data.split import Split, split_folder
from tlkit.data.survey import choose_pixels, pixel_notes
from tlkit.engines.base import EngineSpec, choose_engine, versions
from tlkit.errors import OptionError, require
from tlkit.features.compress import Codec, fit_codec, require_packages_for
from tlkit.features.extract import Features, extract
from tlkit.features.extractor import ExtractorSpec, build_extractor
from tlkit.features.layer import LayerOutput, backbone_layer, run_layer
from tlkit.models.backbones import check_size, find_backbone
from tlkit.models.sources import PretrainedBackbone, absolute_weights
from tlkit.runs.run import Run, load_run
from tlkit.runs.trust import check_network
from tlkit.runs.warm_start import previous_run
from tlkit.settings.base import option_name, settings_or_options, to_json
from tlkit.settings.commands import FeaturesSettings
from tlkit.settings.search import IndexSettings
from tlkit.utils.files import check_new_file, open_new, write_new
from tlkit.utils.progress import Progress, Silent
from tlkit.utils.storage import Location, refuse_inside
from tlkit.utils.tables import data_frame, table_writer

if TYPE_CHECKING:
    import pandas

NetworkSettings = TypeVar("NetworkSettings", FeaturesSettings, IndexSettings)
NAME_COLUMNS = ("path", "class", "split")
NETWORK_OPTIONS = ("backbone", "weights", "image_size", "resize", "gray_range")  # a run has its own
SPLIT_OPTIONS = ("seed", "validation_split", "test_split", "max_megapixels")  # as the run's unless they are given


@dataclass(frozen=True)
class FeatureExport:
    """The result of `tlkit features`.

    Attributes:
        files: that were written
        shape: of the table: images, values
        nearest_neighbor_accuracy: fraction of the validation images whose nearest training image is of their class: by
            the features as they are, and by what they were compressed to
        split: the subsets of the images
        skipped: files that are not in the table, each with its reason
        notes: what a person should know
        table: what was written
    """

    files: list[Path]
    shape: tuple[int, int]
    nearest_neighbor_accuracy: dict[str, float]
    split: Split = field(repr=False)
    skipped: tuple[FileEntry, ...] = field(repr=False)
    notes: tuple[str, ...] = field(repr=False)
    table: "Table" = field(repr=False)

    def to_pandas(self) -> "pandas.DataFrame":
        """Make a data frame of the table: path, class, split, and one column per value.

        Raises:
            ModelError: if pandas is not installed
        """
        frame = data_frame(self.table.columns, self.table.rows)
        for index, (name, values) in enumerate(zip(NAME_COLUMNS, self.table.names, strict=True)):
            frame.insert(index, name, values)
        return frame


def export_features(
    data: str | Location,
    output: str | Path,
    settings: FeaturesSettings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> FeatureExport:
    """Write the features of every image of a folder, with its path, class and split.

    Args:
        data: a folder or a table of images
        output: a new file that ends in .npz, .parquet or .csv
        settings: the options; the defaults where it is None
        progress: shows what is done; nothing is shown where it is None
        options: fields of `FeaturesSettings`, in place of `settings`

    Returns:
        What was written; its table has one row per image

    Raises:
        DataError
        ModelError
        RunError
        OptionError
    """
    settings, layer = resolve_layer(settings_or_options(FeaturesSettings, settings, options, data=data, output=output))
    file = Path(output)
    check_file(file, has_codec=bool(settings.pca or settings.pq))
    if settings.csv_dialect != "plain" and file.suffix.lower() != ".csv":
        raise OptionError(
            f"--csv-dialect is {settings.csv_dialect}, but '{file.name}' is not a .csv file; leave it out."
        )
    refuse_inside(data, file)
    require_packages_for(settings.pca, settings.pq)
    folder = read_data(data, DataOptions(**settings.data_options)).surveyed()
    settings = replace(settings, **choose_pixels(settings.resize, settings.gray_range, folder.survey))
    image = ImageSpec(settings.image_size, **settings.pixel_options)
    engine = EngineSpec(settings.engine, settings.precision)
    with ThreadPoolExecutor(1) as background:
        spec = ExtractorSpec(image, engine, layer.cut)
        extractor = build_extractor(background, layer.build, layer.identity, spec, layer.source)
        features = extract(folder, extractor, image, progress or Silent()).grouped()
    subsets = previous_run(settings.run).subsets() if settings.run else {}
    fractions = settings.validation_split, settings.test_split
    split = split_folder(features.folder, *fractions, settings.seed, subsets)
    codec = fit_codec(_load(features, split.train), settings.pca, settings.pq, settings.seed)
    table = _table(features, split, codec, settings)
    skipped = (*features.folder.skipped, *split.train.skipped)
    files = write_table(table, file, settings.csv_dialect)
    notes = (*features.folder.notes, *pixel_notes(folder.survey, image), *split.notes, *conflict_notes(features.folder))
    accuracies = _nearest_accuracies(features, split, codec)
    return FeatureExport(files, table.rows.shape, accuracies, split, skipped, notes, table)


def resolve_layer(settings: NetworkSettings) -> tuple[NetworkSettings, LayerOutput]:
    """Replace every "choose for me", and find the output that is asked for.

    Raises:
        OptionError
        ModelError
        RunError
    """
    engine: Any = choose_engine(settings.engine, settings.precision)
    settings = replace(settings, weights=absolute_weights(settings.weights))
    if settings.run:
        run = load_run(settings.run)
        layer = run_layer(run, settings.layer, settings.trust_model)
        return replace(_with_options_of(run, settings), engine=engine), layer
    row = find_backbone(settings.backbone)
    size = settings.image_size or row.image_size
    check_size(row, size)
    source = PretrainedBackbone(row, settings.weights, size, settings.seed)
    settings = replace(settings, engine=engine, backbone=row.name, image_size=size)
    return settings, backbone_layer(source, settings.layer)


def _with_options_of(run: Run, settings: NetworkSettings) -> NetworkSettings:
    """Take what is the run's own from it; OptionError where something else was asked for."""
    check_network(run, settings.trust_model)
    defaults = {item.name: item.default for item in fields(settings)}
    theirs = run.read_settings()
    for name in NETWORK_OPTIONS:
        if (asked := getattr(settings, name)) not in (defaults[name], theirs.get(name)):
            raise OptionError(
                f"{option_name(name)} is {asked}, but '{settings.run}' has {theirs.get(name, 'none')}; omit it."
            )
    split = {
        name: theirs[name] for name in SPLIT_OPTIONS if getattr(settings, name) == defaults[name] and name in theirs
    }
    own = {name: theirs[name] for name in ("image_size", "resize", "gray_range")}
    return replace(settings, **own, **split)


@dataclass(frozen=True)
class Table:
    """One row per image.

    Attributes:
        names: path, class and split of each image, as three lists
        rows: float32 (images, values), or uint8 (images, bytes) where they are codes
        facts: where they come from
        codec: arrays that turn features into such rows, by name
    """

    names: tuple[list[str], list[str], list[str]]
    rows: np.ndarray
    facts: dict[str, Any]
    codec: dict[str, np.ndarray]

    @property
    def kind(self) -> str:
        """Name of the rows."""
        return "codes" if self.rows.dtype == np.uint8 else "features"

    @property
    def columns(self) -> list[str]:
        """A name for each value of a row."""
        return [f"{self.kind[:-1]}_{index}" for index in range(self.rows.shape[1])]


def _table(features: Features, split: Split, codec: Codec, settings: FeaturesSettings) -> Table:
    """List the images of all subsets, in the order of their paths."""
    entries = [
        (path, images.class_names[label], subset, sha256)
        for subset, images in split.subsets.items()
        for path, label, sha256 in zip(images.paths, images.labels.tolist(), images.sha256, strict=True)
    ]
    paths, classes, subsets, digests = (list(column) for column in zip(*sorted(entries), strict=True))
    rows = codec.project(features.store.gather(digests).astype(np.float32))
    rows = codec.quantizer.encode(rows) if codec.quantizer else rows
    facts = {"class_names": list(split.train.class_names), "versions": versions(settings.engine), **to_json(settings)}
    return Table((paths, classes, subsets), rows, facts, codec.arrays())


def _nearest_accuracies(features: Features, split: Split, codec: Codec) -> dict[str, float]:
    """Measure the cost of compression: how often the nearest training image is of the same class."""
    train, validation = _load(features, split.train), _load(features, split.validation)

    def accuracy(train: np.ndarray, validation: np.ndarray) -> float:
        """Measure the accuracy of the nearest neighbor."""
        nearest = nearest_neighbors(validation, train)
        return float(np.mean(split.train.labels[nearest] == split.validation.labels))

    accuracies = {"features": accuracy(train, validation)}
    if codec.projection:
        train, validation = codec.project(train), codec.project(validation)
        accuracies["components"] = accuracy(train, validation)
    if codec.quantizer:  # the query is not quantized
        accuracies["codes"] = accuracy(codec.quantizer.decode(codec.quantizer.encode(train)), validation)
    return accuracies


def _load(features: Features, images: ImageFolder) -> np.ndarray:
    return features.load(images).astype(np.float32)


def check_file(file: Path, has_codec: bool) -> None:
    """Check that a table can be written, before anything is computed.

    Args:
        has_codec: whether there will be the arrays of a codec, which a .csv or .parquet file cannot hold

    Raises:
        OptionError
        ModelError: if it cannot
    """
    if file.suffix.lower() not in WRITERS:
        raise OptionError(f"'{file.name}' has an unknown ending; expected one of {', '.join(WRITERS)}.")
    for path in (file, codec_file(file)) if has_codec and not _holds_all(file) else (file,):
        check_new_file(path)
    if file.suffix.lower() == ".parquet":
        require("pyarrow", "parquet", "a .parquet file")


def write_table(table: Table, file: Path, csv_dialect: str = "plain") -> list[Path]:
    """Write a table, and beside one that cannot hold them the arrays of its codec.

    Args:
        csv_dialect: of a .csv file, "plain" or "excel"

    Returns:
        The files

    Raises:
        OptionError: if one is there already
    """
    beside = [] if _holds_all(file) or not table.codec else [codec_file(file)]
    with ExitStack() as stack:  # neither file is left where the other cannot be written
        for path in beside:
            codec = stack.enter_context(open_new(path, "wb"))
            codec.write(_npz(table.codec | {"facts": np.array(json.dumps(table.facts))}))
        WRITERS[file.suffix.lower()](table, file, csv_dialect)
    return [file, *beside]


def codec_file(file: Path) -> Path:
    """Give the path of the arrays of a codec, beside a `.csv` or `.parquet` table."""
    return file.with_name(f"{file.stem}.learnt.npz")


def _holds_all(file: Path) -> bool:
    return file.suffix.lower() == ".npz"


def _write_npz(table: Table, file: Path, _: str) -> None:
    names = {name: np.array(values) for name, values in zip(NAME_COLUMNS, table.names, strict=True)}
    facts = {"facts": np.array(json.dumps(table.facts))}
    write_new(file, _npz({table.kind: table.rows} | names | facts | table.codec))


def _write_csv(table: Table, file: Path, csv_dialect: str) -> None:
    with open_new(file) as lines:
        writer = table_writer(lines, csv_dialect)
        writer.writerow([*NAME_COLUMNS, *table.columns])
        for *names, row in zip(*table.names, table.rows, strict=True):
            writer.writerow([*names, *row])  # the shortest decimals that give the same float32


def _write_parquet(table: Table, file: Path, _: str) -> None:
    import pyarrow
    from pyarrow import parquet

    names = [[_utf8(value) for value in values] for values in table.names]
    rows = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(table.rows.ravel()), table.rows.shape[1])
    columns = dict(zip(NAME_COLUMNS, names, strict=True)) | {table.kind: rows}
    content = pyarrow.table(columns).replace_schema_metadata({"tlkit": json.dumps(table.facts)})
    buffer = io.BytesIO()
    parquet.write_table(content, buffer)
    write_new(file, buffer.getvalue())


WRITERS: dict[str, Callable[[Table, Path, str], None]] = {  # the last argument is the dialect of a .csv
    ".npz": _write_npz,
    ".parquet": _write_parquet,
    ".csv": _write_csv,
}


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _utf8(text: str) -> str:
    """Write the bytes of a name that is not UTF-8 as escapes, because Parquet holds UTF-8 only."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
