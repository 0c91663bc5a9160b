"""Predictions as a folder of parquet shards, one per block of inputs."""

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

from tlkit.distributed.shard_folder import COUNTS, ShardFolder, ShardRow, shard_name
from tlkit.distributed.workers import current_workers, note_work
from tlkit.engines.base import versions
from tlkit.errors import RunError, require
from tlkit.inference.counts import Counts
from tlkit.inference.inputs import NamedInput
from tlkit.inference.predictor import Prediction, Predictor
from tlkit.inference.sorting import with_min_confidence
from tlkit.inference.tables import ParquetWriter, PredictionColumns
from tlkit.runs.run import MAX_JSON_BYTES, Run, load_run
from tlkit.utils.files import writing
from tlkit.utils.parallel import CHUNK, count_workers, in_chunks, ordered_map, single_threaded_blas
from tlkit.utils.progress import Advance, Progress
from tlkit.utils.reading import sha256_regular
from tlkit.utils.storage import Location, as_location, is_remote

SHARDS_VERSION = 1  # of the form of a folder
BLOCK_SIZES = 128, 1024  # inputs of a shard, at least and at most: seconds of work, so that a kill costs little
NUM_BLOCKS = 256  # where they are fewer, blocks are smaller, so that many workers have something to do


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

    @property
    def folder(self) -> ShardFolder:
        """The folder that the shards are written into."""
        return ShardFolder(self.output, self.as_json())


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
    options["block_size"] = ShardFolder(output, {}).block_size()
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
            yield InputBlock(shard_name(number, key, start, block), tuple(block))


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
        return self._spec.folder.add(block.file, content.getvalue())

    def _named(self, block: InputBlock) -> Iterator[NamedInput]:
        return (NamedInput(path, self._find(path)) for path in block.inputs)

    def _find(self, path: str) -> Location:
        location = as_location(path)
        return Path(self._spec.root, location) if isinstance(location, Path) else location


def write_shards(blocks: BlockList, progress: Progress, predictor: Predictor) -> Counts:
    """Classify all blocks whose shards are not there yet, and complete the folder.

    Args:
        blocks: at least one
        predictor: of this run with these options

    Raises:
        OptionError: as `ShardFolder.fill` does
        RunError
        WriteError
    """
    spec, counts, rows = blocks.spec, Counts(), list[ShardRow]()

    def classify(missing: Iterator[InputBlock], advance: Advance) -> Iterator[ShardRow]:
        """Classify blocks in this process, or on workers."""
        workers = current_workers()
        if not workers:
            yield from PredictBlock(spec, predictor, advance).each(missing)
            return
        for row in workers.map(PredictBlock, spec, missing):
            yield row
            advance(row.counts["inputs"])
            progress.waiting(workers.describe("images"))
        note_work(workers, progress)

    for row in spec.folder.fill(blocks, classify, progress, "shards"):
        if not row.counts:
            raise spec.folder.damage(row.file, "it has no counts")
        counts.merge(row.counts)
        rows.append(replace(row, counts={}))  # which are long where there are many classes
    counted = counts.as_json()
    del counted["first_error"]  # depends on what was there
    spec.folder.complete({"run": spec.run} | counted, rows)
    return counts
