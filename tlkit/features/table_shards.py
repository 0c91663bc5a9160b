"""The table of features as a folder of parquet shards, each with the rows of some thousand images."""

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tlkit.cache.hash_table import as_hashes
from tlkit.distributed.shard_folder import ShardFolder, ShardRow, shard_name
from tlkit.engines.base import versions
from tlkit.errors import OptionError, require
from tlkit.features import tables
from tlkit.features.compress import Codec, codec_of
from tlkit.features.stored import StoredFeatures
from tlkit.features.tables import Table, as_array, npz, write_parquet
from tlkit.runs.run import MAX_JSON_BYTES, load_run
from tlkit.settings.base import to_json
from tlkit.settings.commands import FeaturesSettings
from tlkit.utils.arrays import ERRORS, open_arrays
from tlkit.utils.files import sha256_text
from tlkit.utils.parallel import count_workers, ordered_map
from tlkit.utils.progress import Advance, Progress
from tlkit.utils.reading import sha256_regular
from tlkit.utils.storage import Location

SHARDS_FORMAT = 1  # of a folder
CODEC_FILE = "_learnt.npz"  # the arrays of the codec
MAX_CODEC_BYTES = 1 << 30
MAX_THREADS = 4  # that write shards, each with the rows of one
CHANGES_NO_ROW = ("csv_dialect", "trust_model", "run")


def open_table_folder(output: Location, settings: FeaturesSettings) -> ShardFolder:
    """Open the folder that the shards of a command are written into, and check it.

    Args:
        settings: with every "choose for me" replaced that does not depend on the images

    Raises:
        OptionError: as `ShardFolder.find` does
        ModelError: if pyarrow is not installed
        StorageError
    """
    require("pyarrow", "parquet", "a folder of shards")
    used = versions(settings.engine)
    del used["python"]  # it computes nothing here
    options = {name: value for name, value in to_json(settings).items() if name not in CHANGES_NO_ROW}
    model = sha256_regular(load_run(settings.run).path / "model.json", MAX_JSON_BYTES) if settings.run else ""
    form = {"format": SHARDS_FORMAT, "block_size": tables.BLOCK_ROWS, "versions": used, "model": model}
    folder = ShardFolder(output, form | options, (CODEC_FILE,) if settings.pca or settings.pq else ())
    folder.find()
    return folder


def stored_codec(folder: ShardFolder | None, train: Sequence[str], fit: Callable[[], Codec]) -> Codec:
    """Take the codec that is in the folder, or fit one and put it there: all shards have the codes of one codec.

    Args:
        folder: None where there is none, and the codec is fitted
        train: hashes of the training images

    Raises:
        OptionError: if the one that is there is damaged, or was fitted on other images; and what `fit` raises
        WriteError
        StorageError
    """
    if not (folder and folder.beside):
        return fit()
    fitted_on = hashlib.sha256(as_hashes(train).tobytes()).hexdigest()
    if CODEC_FILE not in folder.names():
        codec = fit()
        folder.start()
        folder.write(CODEC_FILE, npz(codec.arrays() | {"facts": as_array({"fitted_on": fitted_on})}))
    try:
        with open_arrays(folder.read(CODEC_FILE), MAX_CODEC_BYTES) as stored:
            arrays = stored.read_all()
        facts, codec = json.loads(str(arrays.pop("facts"))), codec_of(arrays)
    except (OSError, ValueError, *ERRORS) as error:
        raise folder.damage(CODEC_FILE, error) from None
    if facts.get("fitted_on") != fitted_on:
        raise OptionError(
            f"'{folder}' was started with other training images: the list of inputs has changed since the command was "
            "started; choose another folder with -o."
        )
    return codec


@dataclass(frozen=True)
class RowBlock:
    """Some images, whose rows become one shard.

    Attributes:
        file: name of the shard
        start, stop: positions in the table
    """

    file: str
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def cut_into_blocks(table: Table, key: str) -> list[RowBlock]:
    """Cut a table into blocks of equal size.

    Args:
        key: all that rows depend on but their images
    """
    assert isinstance(table.features, StoredFeatures)
    blocks, hashes = list[RowBlock](), table.features.hashes
    for start in range(0, len(table), tables.BLOCK_ROWS):
        stop = min(start + tables.BLOCK_ROWS, len(table))
        names = [list(column[start:stop]) for column in table.names]
        blocks.append(RowBlock(shard_name(len(blocks), key, names, hashes[start:stop].tobytes().hex()), start, stop))
    return blocks


def write_table_shards(table: Table, folder: ShardFolder, about: dict[str, Any], progress: Progress) -> None:
    """Write the rows that are not there yet, and complete the folder.

    Args:
        about: what the manifest has beside the command; "features" is the key of the features

    Raises:
        OptionError: as `ShardFolder.fill` does
        WriteError
        StorageError
    """
    arrays = table.codec.arrays()
    codec = sha256_text(*(f"{name} {arrays[name].shape} {arrays[name].tobytes().hex()}" for name in sorted(arrays)))
    key = sha256_text(json.dumps(folder.command), about["features"], json.dumps(table.facts["class_names"]), codec)

    def write_block(block: RowBlock) -> ShardRow:
        """Write one shard."""
        content = io.BytesIO()
        write_parquet(table.part(block.start, block.stop), content, write_page_checksum=True)
        return folder.add(block.file, content.getvalue())

    def write(missing: Iterator[RowBlock], advance: Advance) -> Iterator[ShardRow]:
        """Write shards, with the rows of a few in memory."""
        with ThreadPoolExecutor(threads := min(MAX_THREADS, count_workers())) as pool:
            for row in ordered_map(pool, write_block, missing, ahead=threads):
                yield row
                advance(row.rows)

    blocks = cut_into_blocks(table, key)
    folder.complete(about, folder.fill(blocks, write, progress, "table"))
