"""From a folder of images to a table of features."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tlkit.cache.hash_table import as_hashes
from tlkit.classic.distances import nearest_neighbors
from tlkit.data.duplicates import conflict_notes
from tlkit.data.image import ImageSpec
from tlkit.data.listing import FileEntry
from tlkit.data.reader import DataOptions, read_data
from tlkit.data.split import Split, split_folder
from tlkit.data.survey import choose_pixels, pixel_notes
from tlkit.distributed.shard_folder import ShardFolder, names_folder
from tlkit.engines.base import EngineSpec, choose_engine, versions
from tlkit.errors import OptionError
from tlkit.features.compress import Codec, fit_codec, require_packages_for
from tlkit.features.extract import Features, extract
from tlkit.features.extractor import ExtractorSpec, build_extractor
from tlkit.features.layer import LayerOutput, backbone_layer, run_layer
from tlkit.features.stored import StoredFeatures
from tlkit.features.table_shards import open_table_folder, stored_codec, write_table_shards
from tlkit.features.tables import BLOCK_ROWS, NAME_COLUMNS, Table, check_file, write_table
from tlkit.models.backbones import check_size, find_backbone
from tlkit.models.sources import PretrainedBackbone, absolute_weights
from tlkit.runs.run import Run, load_run
from tlkit.runs.trust import check_network
from tlkit.runs.warm_start import previous_run
from tlkit.settings.base import option_name, settings_or_options, to_json
from tlkit.settings.commands import FeaturesSettings
from tlkit.settings.search import IndexSettings
from tlkit.utils.progress import Progress, Silent
from tlkit.utils.storage import Location, as_location, refuse_inside
from tlkit.utils.tables import data_frame

if TYPE_CHECKING:
    import pandas

NetworkSettings = TypeVar("NetworkSettings", FeaturesSettings, IndexSettings)
Form = Callable[[np.ndarray], np.ndarray]
MAX_QUERIES = 5000  # validation images whose nearest training image is looked for
NETWORK_OPTIONS = ("backbone", "weights", "image_size", "resize", "gray_range")  # a run has its own
SPLIT_OPTIONS = ("seed", "validation_split", "test_split", "max_megapixels")  # as the run's unless they are given


@dataclass(frozen=True)
class FeatureExport:
    """The result of `tlkit features`.

    Attributes:
        files: that were written, or the folder of shards
        shape: of the table: images, values
        nearest_neighbor_accuracy: fraction of the validation images whose nearest training image is of their class: by
            the features as they are, and by what they were compressed to
        split: the subsets of the images
        skipped: files that are not in the table, each with its reason
        notes: what a person should know
        table: what was written; its values are read from the cache when they are asked for
    """

    files: list[Location]
    shape: tuple[int, int]
    nearest_neighbor_accuracy: dict[str, float]
    split: Split = field(repr=False)
    skipped: tuple[FileEntry, ...] = field(repr=False)
    notes: tuple[str, ...] = field(repr=False)
    table: Table = field(repr=False)

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
    output: str | Location,
    settings: FeaturesSettings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> FeatureExport:
    """Write the features of every image of a folder, with its path, class and split.

    Args:
        data: a folder or a table of images
        output: a new file that ends in .npz, .parquet or .csv; or text with / at its end: a folder of parquet shards,
            which the same call continues after an interruption; both may be URIs of an object store
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
    progress, file = progress or Silent(), as_location(output)
    shards = _check_output(data, output, settings)
    require_packages_for(settings.pca, settings.pq)
    folder = read_data(data, DataOptions(**settings.data_options)).surveyed()
    settings = replace(settings, **choose_pixels(settings.resize, settings.gray_range, folder.survey))
    image = ImageSpec(settings.image_size, **settings.pixel_options)
    engine = EngineSpec(settings.engine, settings.precision)
    with ThreadPoolExecutor(1) as background:
        spec = ExtractorSpec(image, engine, layer.cut)
        extractor = build_extractor(background, layer.build, layer.identity, spec, layer.source)
        features = extract(folder, extractor, image, progress).grouped()
    split = _split(features, settings)
    codec = stored_codec(shards, split.train.sha256, partial(_fit, features, split, settings))
    table = _table(features, split, codec, settings)
    accuracies = _nearest_accuracies(features, split, codec)
    if shards:
        about = {"data": str(data), "features": extractor.result().key.digest, "nearest_neighbor_accuracy": accuracies}
        write_table_shards(table, shards, about, progress)
    files = [file] if shards else write_table(table, file, settings.csv_dialect)
    skipped = (*features.folder.skipped, *split.train.skipped)
    notes = (*features.folder.notes, *pixel_notes(folder.survey, image), *split.notes, *conflict_notes(features.folder))
    notes += _query_notes(len(split.validation))
    return FeatureExport(files, (len(table), table.num_values), accuracies, split, skipped, notes, table)


def _check_output(data: str | Location, output: str | Location, settings: FeaturesSettings) -> ShardFolder | None:
    """Check what can be checked before the images are read; give the folder, where one is asked for."""
    location = as_location(output)
    if settings.csv_dialect != "plain" and (location.suffix.lower() != ".csv" or names_folder(output)):
        raise OptionError(
            f"--csv-dialect is {settings.csv_dialect}, but '{location.name}' is not a .csv file; leave it out."
        )
    if names_folder(output):
        refuse_inside(data, location)
        return open_table_folder(location, settings)
    check_file(location, has_codec=bool(settings.pca or settings.pq))
    refuse_inside(data, location)
    return None


def _split(features: Features, settings: FeaturesSettings) -> Split:
    """Split as a training does, or as the run did that the network is of."""
    subsets = previous_run(settings.run).subsets() if settings.run else {}
    return split_folder(features.folder, settings.validation_split, settings.test_split, settings.seed, subsets)


def _fit(features: Features, split: Split, settings: FeaturesSettings) -> Codec:
    """Fit what shortens features, if that is asked for, on all training images, in memory."""
    if not (settings.pca or settings.pq):
        return Codec()
    return fit_codec(features.load(split.train).astype(np.float32), settings.pca, settings.pq, settings.seed)


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


def _table(features: Features, split: Split, codec: Codec, settings: FeaturesSettings) -> Table:
    """List the images of all subsets, in the order of their paths."""
    subsets = {subset: images for subset, images in split.subsets.items() if len(images)}
    paths = [path for images in subsets.values() for path in images.paths]
    classes = [images.class_names[label] for images in subsets.values() for label in images.labels.tolist()]
    names = [subset for subset, images in subsets.items() for _ in range(len(images))]
    hashes = np.concatenate([as_hashes(images.sha256) for images in subsets.values()])
    order = sorted(range(len(paths)), key=paths.__getitem__)
    columns = [[column[index] for index in order] for column in (paths, classes, names)]
    facts = {"class_names": list(split.train.class_names), "versions": versions(settings.engine), **to_json(settings)}
    return Table((columns[0], columns[1], columns[2]), StoredFeatures(features.store, hashes[order]), facts, codec)


def _nearest_accuracies(features: Features, split: Split, codec: Codec) -> dict[str, float]:
    """Measure the cost of compression: how often the nearest training image is of the same class.

    Training images are read in blocks, and of many validation images some are asked about.
    """
    forms: dict[str, tuple[Form, Form]] = {"features": (_unchanged, _unchanged)}  # of a query, of a training image
    if codec.projection:
        forms["components"] = codec.project, codec.project
    if quantizer := codec.quantizer:  # the query is not quantized
        forms["codes"] = codec.project, lambda rows: quantizer.decode(quantizer.encode(codec.project(rows)))
    asked = _choose_queries(len(split.validation))
    rows = features.store.gather(as_hashes(split.validation.sha256)[asked]).astype(np.float32)
    train = StoredFeatures(features.store, split.train.sha256)
    best = {name: np.full(len(rows), np.inf) for name in forms}
    answers = {name: np.zeros(len(rows), np.int64) for name in forms}
    for start in range(0, len(train), BLOCK_ROWS):
        block = train[start : start + BLOCK_ROWS].astype(np.float32)
        for name, (of_query, of_train) in forms.items():
            values, others = of_query(rows), of_train(block)
            nearest = nearest_neighbors(values, others)
            distances = np.sum((values - others[nearest]) ** 2, axis=1)
            is_closer = distances < best[name]
            best[name][is_closer] = distances[is_closer]
            answers[name][is_closer] = start + nearest[is_closer]
    labels = split.validation.labels[asked]
    return {name: float(np.mean(split.train.labels[answers[name]] == labels)) for name in forms}


def _choose_queries(count: int) -> np.ndarray:
    """Choose the validation images whose nearest training image is looked for: all, or some of many."""
    return np.arange(count) if count <= MAX_QUERIES else np.linspace(0, count - 1, MAX_QUERIES).astype(np.int64)


def _query_notes(count: int) -> tuple[str, ...]:
    if count <= MAX_QUERIES:
        return ()
    return (f"nearest training images were looked for of {MAX_QUERIES:,} of {count:,} validation images.",)


def _unchanged(rows: np.ndarray) -> np.ndarray:
    return rows
