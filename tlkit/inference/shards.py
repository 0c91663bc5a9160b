"""Predictions as a folder of parquet shards, one per block of inputs; the same command continues it after a kill.

A shard's name holds the number of its block and a hash of the run, the options and the inputs of the block. So a shard
that is there is the one that this command would write.
"""

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from tlkit.distributed.workers import current_workers, note_work
from tlkit.engines.base import versions
from tlkit.errors import OptionError, RunError, require
from tlkit.inference.counts import Counts
from tlkit.inference.inputs import NamedInput
from tlkit.inference.predictor import Prediction, Predictor
from tlkit.inference.shard_folder import ShardFolder
from tlkit.inference.sorting import with_min_confidence
from tlkit.inference.tables import ParquetWriter, PredictionColumns
from tlkit.runs.run import MAX_JSON_BYTES, Run, load_run
from tlkit.utils.files import writing
from tlkit.utils.parallel import CHUNK, count_workers, in_chunks, ordered_map, single_threaded_blas
from tlkit.utils.progress import Advance, Progress
from tlkit.utils.reading import sha256_regular
from tlkit.utils.storage import Location, as_location, is_remote
from tlkit.utils.text import quote_names

SHARDS_VERSION = 1  # of the form of a folder
BLOCK_SIZES = 128, 1024  # inputs of a shard, at least and at most: seconds of work, so that a kill costs little
NUM_BLOCKS = 256  # where they are fewer, blocks are smaller, so that many workers have something to do
COUNTS = "tlkit.counts"  # in a shard's metadata


@dataclass(frozen=True)
class PredictSpec:
    """All that the rows of shards depend on, but their inputs; each process that classifies blocks gets it.

    Attributes:
        run: folder of the run
        model: SHA-256 of its `model.json`, which has the hashes of its other files
        output: folder of the shards
        root: folder that relative paths start from
        versions: of the packages that numbers depend on
        block_size: inputs of a shard; 0 until it is known how many inputs there are
    """

    run: str
    model: str
    output: Location
    root: str
    versions: dict[str, str]
    engine: str = "auto"
    top_k: int = 1
    probs: bool = False
    scores: bool = False
    unknown: bool | None = None
    min_confidence: float = 0.0
    skip_unreadable: bool = False
    trust_model: bool = False
    block_size: int = 0

    def as_json(self) -> dict[str, Any]:
        """Give what every process that writes into one folder must have in common."""
        same = {"format": SHARDS_VERSION, "block_size": 0} | asdict(self)  # names of shards depend on this order
        for name in ("run", "output", "root", "trust_model"):  # a run that has moved is the same by its hash
            del same[name]
        return same


@dataclass(frozen=True)
class InputBlock:
    """A list of inputs that become one shard.

    Attributes:
        file: name of the shard
        inputs: paths, as the rows name them
    """

    file: str
    inputs: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class ShardRow:
    """A finished shard in short: name, SHA-256, number of rows, and counts as `Counts.as_json` gives them."""

    file: str
    sha256: str
    rows: int
    counts: dict[str, Any]


def describe_command(run: Run, output: Location, **options: Any) -> PredictSpec:
    """Say what the shards of a run depend on; a folder that was started keeps the size of its blocks.

    Args:
        options: of `PredictSpec`

    Raises:
        RunError
        StorageError
        ModelError: if pyarrow is not installed
    """
    require("pyarrow", "parquet", "a folder of shards")
    engine = options.get("engine", "auto")
    used = versions(run.manifest.engine if engine == "auto" else engine)
    del used["python"]  # it computes nothing here
    root = ""
    with suppress(FileNotFoundError):  # the current folder was removed
        root = str(Path.cwd())
    output = output.absolute() if isinstance(output, Path) else output
    options["block_size"] = ShardFolder(output).block_size()
    return PredictSpec(str(run.path.absolute()), _hash_model(run), output, root, used, **options)


def _hash_model(run: Run) -> str:
    return sha256_regular(run.path / "model.json", MAX_JSON_BYTES)


def choose_block_size(num_inputs: int) -> int:
    """Choose how many inputs a shard has; never by the workers, because a command with others may continue a folder.

    >>> choose_block_size(3_000), choose_block_size(100_000), choose_block_size(10_000_000)
    (128, 391, 1024)
    """
    minimum, maximum = BLOCK_SIZES
    return min(maximum, max(minimum, -(-num_inputs // NUM_BLOCKS)))


class BlockList:
    """Blocks of inputs in their order, listed once into a file without a name: memory does not grow with them.

    Attributes:
        num_inputs: of all blocks
        num_blocks: how many there are
        spec: what their shards depend on, with the size of blocks
    """

    def __init__(self, inputs: Iterable[Any], spec: PredictSpec) -> None:
        """List all inputs.

        Args:
            inputs: paths

        Raises:
            WriteError
        """
        self.num_inputs = 0
        with writing(tempfile.gettempdir()):
            self._file = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it lives as long as the list
            for path in map(str, inputs):
                self._file.write(json.dumps(path) + "\n")
                self.num_inputs += 1
            self._file.flush()
        size = spec.block_size or choose_block_size(self.num_inputs)
        self.spec, self.num_blocks = replace(spec, block_size=size), -(-self.num_inputs // size)

    def __enter__(self) -> "BlockList":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[InputBlock]:
        self._file.seek(0)
        key = json.dumps(self.spec.as_json())
        for number, block in enumerate(in_chunks(map(json.loads, self._file), self.spec.block_size)):
            start = "" if all(os.path.isabs(path) or is_remote(path) for path in block) else self.spec.root  # noqa: PTH117
            digest = hashlib.sha256(json.dumps([key, start, block]).encode()).hexdigest()
            yield InputBlock(f"part-{number:06d}-{digest[:16]}.parquet", tuple(block))


class PredictBlock:
    """Classification of blocks, each into its shard; made once in each process that does it."""

    def __init__(
        self, spec: PredictSpec, predictor: Predictor | None = None, advance: Advance = lambda count: None
    ) -> None:
        """Open the run.

        Args:
            predictor: of this run with these options, where one is open
            advance: is called with the number of images just classified

        Raises:
            RunError: also if the run is not the one that the command started with
            ModelError
            OptionError
        """
        run = load_run(spec.run)
        if _hash_model(run) != spec.model:
            raise RunError(f"'{run.path}' is not the run that this command started with; restore it.")
        self._spec, self._advance = spec, advance
        self._predictor = predictor or Predictor(run, spec.engine, spec.top_k, spec.unknown, spec.trust_model)
        names, top_k = run.manifest.class_names, self._predictor.top_k
        self._columns = PredictionColumns(names, top_k, spec.probs, spec.scores)
        self._pool = ThreadPoolExecutor(count_workers())

    def __call__(self, block: InputBlock) -> ShardRow:
        """Classify a block and write its shard; another process that does the same writes an equal one.

        Raises:
            RunError
            WriteError
        """
        (row,) = self.each([block])
        return row

    def each(self, blocks: Iterable[InputBlock]) -> Iterator[ShardRow]:
        """Do so with one block after the other; threads begin the next one while the last images of one are computed.

        Raises:
            RunError
            WriteError
        """
        parts = ((block, chunk) for block in blocks for chunk in in_chunks(self._named(block), CHUNK))
        with single_threaded_blas():
            for block, done in groupby(ordered_map(self._pool, self._classify, parts), itemgetter(0)):
                yield self._write(block, (predictions for _, predictions in done))

    def _classify(self, part: tuple[InputBlock, list[NamedInput]]) -> tuple[InputBlock, list[Prediction]]:
        block, chunk = part
        return block, self._predictor.predict_chunk(chunk)

    def _write(self, block: InputBlock, chunks: Iterable[list[Prediction]]) -> ShardRow:
        content, counts = io.BytesIO(), Counts()
        writer = ParquetWriter(content, self._columns)
        for predictions in chunks:
            for prediction in with_min_confidence(predictions, self._spec.min_confidence):
                counts.add(prediction)
                if not (self._spec.skip_unreadable and prediction.status == "error"):
                    writer.write(prediction)
            self._advance(len(predictions))
        writer.describe({COUNTS: json.dumps(counts.as_json())})
        writer.close()
        return _describe_shard(block.file, ShardFolder(self._spec.output).write(block.file, content.getvalue()))

    def _named(self, block: InputBlock) -> Iterator[NamedInput]:
        return (NamedInput(path, self._find(path)) for path in block.inputs)

    def _find(self, path: str) -> Location:
        location = as_location(path)
        return Path(self._spec.root, location) if isinstance(location, Path) else location


def _describe_shard(file: str, content: bytes) -> ShardRow:
    """Read what a shard says of itself; ValueError or OSError if it is damaged"""
    from pyarrow import BufferReader, parquet

    metadata = parquet.read_metadata(BufferReader(content))
    counts = json.loads((metadata.metadata or {})[COUNTS.encode()])
    return ShardRow(file, hashlib.sha256(content).hexdigest(), metadata.num_rows, counts)


def write_shards(blocks: BlockList, progress: Progress, predictor: Predictor) -> Counts:
    """Classify all blocks whose shards are not there yet, and complete the folder.

    Args:
        blocks: at least one
        predictor: of this run with these options

    Raises:
        OptionError: as `ShardFolder.find` does, and if the inputs are not those that the folder was started with
        RunError
        WriteError
    """
    spec, counts = blocks.spec, Counts()
    folder = ShardFolder(spec.output)
    finished = folder.find(spec.as_json())
    if others := sorted(finished.difference(block.file for block in blocks)):
        raise OptionError(
            f"'{folder}' has shards of other inputs ({quote_names(others)}): the list of inputs has changed since the "
            "command was started; choose another folder with -o."
        )
    folder.start(spec.as_json())
    progress.run_started(Path(str(folder)))
    if finished:
        progress.note(f"continues: {len(finished):,} of {blocks.num_blocks:,} shards are there")
    shards = [_take(_read_shard(folder, name), counts) for name in sorted(finished)]
    missing, workers = (block for block in blocks if block.file not in finished), current_workers()
    with progress.stage("shards", blocks.num_inputs - counts.num_rows, "images") as advance:
        if workers:
            for row in workers.map(PredictBlock, spec, missing):
                shards.append(_take(row, counts))
                advance(row.counts["inputs"])
                progress.waiting(workers.describe("images"))
            note_work(workers, progress)
        else:
            shards += [_take(row, counts) for row in PredictBlock(spec, predictor, advance).each(missing)]
    counted = counts.as_json()
    del counted["first_error"]  # depends on what was there
    shards.sort(key=lambda shard: str(shard["file"]))
    rows = {"rows": sum(shard["rows"] for shard in shards)}
    folder.complete({"run": spec.run} | spec.as_json() | rows | counted | {"shards": shards})
    return counts


def _take(row: ShardRow, counts: Counts) -> dict[str, Any]:
    """Count a shard's rows; return what the manifest says of it, which is short where there are many classes."""
    counts.merge(row.counts)
    return {"file": row.file, "sha256": row.sha256, "rows": row.rows}


def _read_shard(folder: ShardFolder, name: str) -> ShardRow:
    try:
        return _describe_shard(name, folder.read(name))
    except (OSError, ValueError, KeyError) as error:
        raise OptionError(
            f"'{folder.location / name}' is damaged ({error}); remove this file and repeat the command."
        ) from None
