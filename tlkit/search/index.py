"""An index on disk: one folder of data files, whole or absent, which may come from a stranger.

`index.json` names the files of one generation by the key of their content, with the size and the hash of each. A change
writes the files of the next generation beside them and then replaces `index.json`; those of the last generation are
removed. Nothing is pickled. FAISS reads its file in C++, so it gets only a file that this machine wrote, whose hash is
checked; without it every vector is compared, which finds the same and takes longer.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tlkit.data.appearance import SIDE
from tlkit.errors import RunError
from tlkit.features.compress import Codec, Projection
from tlkit.runs.ledger import is_recorded
from tlkit.runs.manifest import SHA256, is_name
from tlkit.search.approximate import KINDS, has_faiss, read_faiss
from tlkit.search.metrics import unit_length
from tlkit.search.records import ImageRecord, RecordFile, open_records
from tlkit.search.source import STORED
from tlkit.search.vector_search import VectorSearch
from tlkit.search.vectors import VectorFile, open_vectors
from tlkit.utils.arrays import check_shapes, open_arrays
from tlkit.utils.files import TEMPORARY, Owned
from tlkit.utils.reading import open_regular, read_regular, sha256_regular
from tlkit.utils.storage import is_folder

Opened = TypeVar("Opened")
FORMAT_VERSION = 1
FACTS = "index.json"
ENDINGS = {"images": ".jsonl", "vectors": ".npy", "thumbnails": ".npy", "codec": ".npz", "faiss": ".index"}
REQUIRED, KEY = ("images", "vectors", "thumbnails"), r"[0-9a-f]{16}"
NAME = "|".join(rf"{stem}-{KEY}\{ending}" for stem, ending in ENDINGS.items())
INDEX_FILES = Owned(re.compile(rf"index\.json|{NAME}|{TEMPORARY.pattern}"), re.compile(r"(?!)"))
METRICS = ("cosine", "euclidean")
MAX_FACTS_BYTES, MAX_IMAGES, MAX_NUM_VALUES, MAX_ROOTS = 16_000_000, 100_000_000, 1_000_000, 1000
MAX_FAISS_BYTES, MAX_CODEC_BYTES = 8_000_000_000, 2_000_000_000
CHECKED_BYTES = 512_000_000  # of a file up to which its hash is checked whenever the index is opened


@dataclass(frozen=True)
class IndexFacts:
    """The content of `index.json`.

    Attributes:
        key: of the content, which names the files
        kind: one of `approximate.KINDS`
        metric: "cosine" or "euclidean"
        num_values: of a vector
        code_bytes, seed: that the index was made with
        source: what makes features of images, as `ImageSource.stored` gives it
        feature_key: the key of what makes them, which the network of a query must have, too
        roots: folders that the paths of images are relative to
        files: size in bytes and SHA-256 of each file of the generation, by its name
    """

    key: str
    kind: str
    metric: str
    num_images: int
    num_values: int
    code_bytes: int
    seed: int
    source: dict[str, Any]
    feature_key: str
    roots: tuple[str, ...]
    files: dict[str, tuple[int, str]]

    @property
    def shape(self) -> tuple[int, int]:
        """Images, values."""
        return self.num_images, self.num_values

    def name(self, stem: str) -> str:
        """Name a file of the generation: "images", "vectors", "thumbnails", "codec" or "faiss"."""
        return f"{stem}-{self.key}{ENDINGS[stem]}"

    def as_json(self) -> dict[str, Any]:
        """Give the content of the file."""
        return {"format": FORMAT_VERSION, **asdict(self)}


@dataclass(frozen=True)
class Index:
    """An index of images; `open_index` opens it.

    Attributes:
        path: of its folder
        facts: what it says of itself
    """

    path: Path
    facts: IndexFacts

    def __len__(self) -> int:
        return self.facts.num_images

    @cached_property
    def is_own(self) -> bool:
        """True if this machine made it."""
        try:
            return is_recorded(sha256_regular(self.path / FACTS, MAX_FACTS_BYTES))
        except OSError:
            return False

    @property
    def uses_faiss(self) -> bool:
        """True if FAISS searches it: its file is there, of this machine, and FAISS is installed."""
        return self.facts.kind != "flat" and self.is_own and has_faiss()

    @cached_property
    def images(self) -> RecordFile:
        """The images, in the order of the vectors."""
        return self._opened("images", lambda file: open_records(file, len(self), len(self.facts.roots)))

    def records(self) -> Iterator[ImageRecord]:
        """Read the record of every image.

        Raises:
            RunError: if the index is damaged
        """
        with damage_of(self.path / self.facts.name("images")):
            yield from self.images

    @cached_property
    def vectors(self) -> VectorFile:
        """The vectors."""
        return self._opened("vectors", lambda file: _with_shape(open_vectors(file), self.facts.shape))

    @cached_property
    def thumbnails(self) -> VectorFile:
        """The thumbnail of each image, by which duplicates are found."""
        return self._opened("thumbnails", lambda file: _with_shape(open_vectors(file), (len(self), SIDE * SIDE)))

    @cached_property
    def codec(self) -> Codec:
        """The projection to principal components, if there is one."""
        if self.facts.name("codec") not in self.facts.files:
            return Codec()
        return self._opened("codec", lambda file: _read_codec(file, self.facts.num_values))

    @cached_property
    def faiss_index(self) -> Any:
        """The index of FAISS; None where every vector is compared."""
        if not self.uses_faiss:
            return None
        self._check_hash(self.facts.name("faiss"))
        file = self.path / self.facts.name("faiss")
        with damage_of(file), open_regular(file, MAX_FAISS_BYTES) as opened:
            return read_faiss(opened, self.facts.shape)

    def embed(self, features: np.ndarray) -> np.ndarray:
        """Turn features into vectors of the index: float32 (images, values).

        Args:
            features: of the index's network or descriptor: float (images, values)
        """
        return embed(features, self.codec, self.facts.metric)

    def nearest(self, vectors: np.ndarray, count: int, rerank: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest images of each vector, the nearest first.

        Args:
            vectors: as `embed` gives them
            count: of images for each
            rerank: candidates of FAISS whose exact distances are computed

        Returns:
            positions int64, -1 where too few are found, and distances float64, each (vectors, count)

        Raises:
            RunError: if the index is damaged
        """
        with damage_of(self.path / self.facts.name("vectors")):
            search = VectorSearch(self.vectors, self.faiss_index)
            positions, squared = search.nearest(vectors, count, rerank)
        is_cosine = self.facts.metric == "cosine"
        squared = np.maximum(squared.astype(np.float64), 0)
        return positions, squared / 2 if is_cosine else np.sqrt(squared)

    def check_files(self) -> None:
        """Check the hash of every file, also of large ones.

        Raises:
            RunError
        """
        for name in self.facts.files:
            self._check_hash(name)

    def _check_hash(self, name: str) -> None:
        size, expected = self.facts.files[name]
        try:
            found = sha256_regular(self.path / name, size)
        except OSError as error:
            raise damaged(self.path / name, _reason(error)) from None
        if found != expected:
            raise damaged(self.path / name, "its SHA-256 differs")

    def _opened(self, stem: str, read: Callable[[Path], Opened]) -> Opened:
        name = self.facts.name(stem)
        if self.facts.files[name][0] <= CHECKED_BYTES:
            self._check_hash(name)
        with damage_of(self.path / name):
            return read(self.path / name)


def open_index(path: str | Path) -> Index:
    """Open an index, and check its `index.json` and the sizes of its files.

    Args:
        path: its folder

    Returns:
        The index, whose files are checked when they are read

    Raises:
        RunError: if there is no index, or it is damaged
    """
    path = Path(path)
    if not is_folder(path):
        raise RunError(f"there is no index '{path}'; `tlkit search index DATA -o {path}` makes one.")
    try:
        content = json.loads(read_regular(path / FACTS, MAX_FACTS_BYTES), parse_constant=_refuse_constant)
    except FileNotFoundError:
        raise RunError(
            f"'{path}' is not an index (it has no {FACTS}); `tlkit search index DATA -o FOLDER` makes one."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path / FACTS, _reason(error)) from None
    facts = parse_facts(content, path / FACTS)
    for name, (size, _) in facts.files.items():
        try:
            found = (path / name).lstat().st_size
        except OSError as error:
            raise damaged(path / name, _reason(error)) from None
        if found != size:
            raise damaged(path / name, f"it has {found:,} bytes instead of {size:,}")
    return Index(path, facts)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}; expected a number")


def parse_facts(content: Any, file: Path) -> IndexFacts:
    """Check the content of an `index.json`.

    Raises:
        RunError
    """
    if isinstance(content, dict) and content.get("format") != FORMAT_VERSION:
        raise RunError(f"'{file}' was written by another version of tlkit; index the images again.")
    for name, (expected, accepts) in FIELDS.items():
        if not isinstance(content, dict) or name not in content or not accepts(content[name]):
            raise damaged(file, f"{name} is not {expected}")
    values = {item.name: content[item.name] for item in fields(IndexFacts)}
    files = {name: (size, digest) for name, (size, digest) in content["files"].items()}
    facts = IndexFacts(**{**values, "roots": tuple(content["roots"]), "files": files})
    stems = {*REQUIRED, *(["faiss"] if facts.kind != "flat" else [])}
    expected_names = {facts.name(stem) for stem in stems}
    if set(files) - {facts.name("codec")} != expected_names:
        raise damaged(file, "it does not name the files of the index")
    return facts


@contextmanager
def damage_of(file: Path) -> Iterator[None]:
    """Say which file of an index is damaged, or cannot be read.

    Raises:
        RunError
    """
    try:
        yield
    except (OSError, ValueError) as error:
        raise damaged(file, _reason(error)) from None


def damaged(file: Path, reason: str) -> RunError:
    """Make the error of a file of an index that cannot be used."""
    return RunError(f"'{file}' cannot be used ({reason.removeprefix('it is damaged: ')}); index the images again.")


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "it is missing; if another command has just changed the index, repeat this one"
    return str(getattr(error, "strerror", None) or error)


def embed(features: np.ndarray, codec: Codec, metric: str) -> np.ndarray:
    """Turn features into vectors: projected, and of length 1 for cosine distances: float32 (images, values)."""
    projected = codec.project(features.astype(np.float32))
    return unit_length(projected).astype(np.float32) if metric == "cosine" else projected


def _with_shape(vectors: VectorFile, shape: tuple[int, int]) -> VectorFile:
    if vectors.shape != shape:
        raise ValueError(f"it holds {vectors.shape[0]:,} rows of {vectors.shape[1]:,} values")
    return vectors


def _read_codec(file: Path, num_values: int) -> Codec:
    with open_arrays(file, MAX_CODEC_BYTES) as stored:
        shapes = {"mean": "f values", "components": "f components values", "explained": "f components"}
        check_shapes(stored.headers, shapes, {"components": num_values})
        return Codec(Projection(**stored.read_all()))


def _is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _are_files(value: Any) -> bool:
    """Tell whether these are sizes and hashes of files that an index has."""
    if not isinstance(value, dict) or len(value) > len(ENDINGS):
        return False
    are_pairs = all(isinstance(pair, list) and len(pair) == 2 for pair in value.values())
    return are_pairs and all(
        re.fullmatch(NAME, name)
        and _is_whole(size, 0, 1 << 50)
        and isinstance(digest, str)
        and SHA256.fullmatch(digest)
        for name, (size, digest) in value.items()
    )


FIELDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "key": ("a key", lambda value: isinstance(value, str) and re.fullmatch(KEY, value) is not None),
    "kind": (f"one of {', '.join(KINDS)}", lambda value: isinstance(value, str) and value in KINDS),
    "metric": (f"one of {', '.join(METRICS)}", lambda value: isinstance(value, str) and value in METRICS),
    "num_images": (f"a number from 1 to {MAX_IMAGES:,}", lambda value: _is_whole(value, 1, MAX_IMAGES)),
    "num_values": (f"a number from 1 to {MAX_NUM_VALUES:,}", lambda value: _is_whole(value, 1, MAX_NUM_VALUES)),
    "code_bytes": ("a number from 1 to 256", lambda value: _is_whole(value, 1, 256)),
    "seed": ("a whole number", lambda value: _is_whole(value, 0, 2**31 - 1)),
    "source": ("an object of settings", lambda value: isinstance(value, dict) and set(value) == set(STORED)),
    "feature_key": ("a hash", lambda value: isinstance(value, str) and SHA256.fullmatch(value) is not None),
    "roots": (
        "a list of folders",
        lambda value: isinstance(value, list) and 1 <= len(value) <= MAX_ROOTS and all(map(is_name, value)),
    ),
    "files": ("an object with the size and the SHA-256 of each file", _are_files),
}
