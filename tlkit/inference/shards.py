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
from dataclasses import asdict, dataclass
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
BLOCK_SIZE = 1024  # inputs of a shard: seconds of work, so that a kill costs little
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

    def as_json(self) -> dict[str, Any]:
        """Give what every process that writes into one folder must have in common."""
        same = asdict(self)
        for name in ("run", "output", "root", "trust_model"):  # a run that has moved is the same by its hash
            del same[name]
        return {"format": SHARDS_VERSION, "block_size": BLOCK_SIZE} | same


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
    """Say what the shards of a run depend on.

    Args:
        options: of `PredictSpec`

    Raises:
        RunError
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
    return PredictSpec(str(run.path.absolute()), _hash_model(run), output, root, used, **options)


def _hash_model(run: Run) -> str:
    return sha256_regular(run.path / "model.json", MAX_JSON_BYTES)


class BlockList:
    """Blocks of inputs in their order, listed once into a file without a name: memory does not grow with them.

    Attributes:
        num_inputs: of all blocks
        num_blocks: how many there are
    """

    def __init__(self, inputs: Iterable[Any], spec: PredictSpec) -> None:
        """List all inputs.

        Args:
            inputs: paths

        Raises:
            WriteError
        """
        self.num_inputs = self.num_blocks = 0
        key = json.dumps(spec.as_json())
        with writing(tempfile.gettempdir()):
            self._file = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it lives as long as the list
            for block in in_chunks(map(str, inputs), BLOCK_SIZE):
                start = "" if all(os.path.isabs(path) or is_remote(path) for path in block) else spec.root  # noqa: PTH117
                digest = hashlib.sha256(json.dumps([key, start, block]).encode()).hexdigest()
                file = f"part-{self.num_blocks:06d}-{digest[:16]}.parquet"
                self._file.write(json.dumps([file, block]) + "\n")
                self.num_inputs, self.num_blocks = self.num_inputs + len(block), self.num_blocks + 1
            self._file.flush()

    def __enter__(self) -> "BlockList":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[InputBlock]:
        self._file.seek(0)
        for line in self._file:
            file, inputs = json.loads(line)
            yield InputBlock(file, tuple(inputs))


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
        content, counts = io.BytesIO(), Counts()
        writer = ParquetWriter(content, self._columns)
        for prediction in with_min_confidence(self._classify(block), self._spec.min_confidence):
            counts.add(prediction)
            if not (self._spec.skip_unreadable and prediction.status == "error"):
                writer.write(prediction)
        writer.describe({COUNTS: json.dumps(counts.as_json())})
        writer.close()
        return _describe_shard(block.file, ShardFolder(self._spec.output).write(block.file, content.getvalue()))

    def _classify(self, block: InputBlock) -> Iterator[Prediction]:
        named = (NamedInput(path, self._find(path)) for path in block.inputs)
        with single_threaded_blas():
            for predictions in ordered_map(self._pool, self._predictor.predict_chunk, in_chunks(named, CHUNK)):
                yield from predictions
                self._advance(len(predictions))

    def _find(self, path: str) -> Location:
        location = as_location(path)
        return Path(self._spec.root, location) if isinstance(location, Path) else location


def _describe_shard(file: str, content: bytes) -> ShardRow:
    """Read what a shard says of itself; ValueError or OSError if it is damaged"""
    from pyarrow import BufferReader, parquet

    metadata = parquet.read_metadata(BufferReader(content))
    counts = json.loads((metadata.metadata or {})[COUNTS.encode()])
    return ShardRow(file, hashlib.sha256(content).hexdigest(), metadata.num_rows, counts)


def write_shards(spec: PredictSpec, blocks: BlockList, progress: Progress, predictor: Predictor) -> Counts:
    """Classify all blocks whose shards are not there yet, and complete the folder.

    Args:
        blocks: at least one
        predictor: of this run with these options

    Raises:
        OptionError: as `ShardFolder.find` does, and if the inputs are not those that the folder was started with
        RunError
        WriteError
    """
    folder, counts = ShardFolder(spec.output), Counts()
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
            shards += [_take(row, counts) for row in map(PredictBlock(spec, predictor, advance), missing)]
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
