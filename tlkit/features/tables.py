"""Features as a table with a row per image: npz, parquet, csv."""

import io
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import IO, Any

import numpy as np

from tlkit.errors import OptionError, require
from tlkit.features.compress import Codec
from tlkit.features.stored import StoredFeatures
from tlkit.utils.storage import Location, check_new_location, open_new_location
from tlkit.utils.tables import table_writer

NAME_COLUMNS = ("path", "class", "split")
BLOCK_ROWS = 8192  # that are read and shortened at a time; 42 MB of 1,280 values


@dataclass(frozen=True)
class Table:
    """One row per image; its values are read when they are asked for.

    Attributes:
        names: path, class and split of each image, as three lists
        features: as the network gives them: (images, values)
        facts: where they come from
        codec: turns features into rows
    """

    names: tuple[Sequence[str], Sequence[str], Sequence[str]]
    features: StoredFeatures | np.ndarray
    facts: dict[str, Any]
    codec: Codec = field(default_factory=Codec)

    def __len__(self) -> int:
        return len(self.names[0])

    @cached_property
    def rows(self) -> np.ndarray:
        """All rows: float32 (images, values), or uint8 (images, bytes) where they are codes."""
        rows = np.empty((len(self), self.num_values), np.uint8 if self.codec.quantizer else np.float32)
        for start in range(0, len(self), BLOCK_ROWS):
            rows[start : start + BLOCK_ROWS] = self._encode(slice(start, start + BLOCK_ROWS))
        return rows

    @cached_property
    def num_values(self) -> int:
        """The number of values of a row."""
        return int(self._encode(slice(0, 1)).shape[1])

    @property
    def kind(self) -> str:
        """Name of the rows."""
        return "codes" if self.codec.quantizer else "features"

    @property
    def columns(self) -> list[str]:
        """A name for each value of a row."""
        return [f"{self.kind[:-1]}_{index}" for index in range(self.num_values)]

    def part(self, start: int, stop: int) -> "Table":
        """Take some of the images, with their features in memory."""
        paths, classes, subsets = (column[start:stop] for column in self.names)
        return replace(self, names=(paths, classes, subsets), features=self.features[start:stop])

    def _encode(self, positions: slice) -> np.ndarray:
        rows = self.codec.project(self.features[positions].astype(np.float32))
        return self.codec.quantizer.encode(rows) if self.codec.quantizer else rows


def check_file(file: Location, has_codec: bool) -> None:
    """Check that a table can be written, before anything is computed.

    Args:
        has_codec: whether there will be the arrays of a codec, which a .csv or .parquet file cannot hold

    Raises:
        OptionError
        ModelError: if it cannot
        StorageError
    """
    check_new_location(file)
    if file.suffix.lower() not in WRITERS:
        raise OptionError(
            f"'{file.name}' has an unknown ending; choose a name with -o that ends in {', '.join(WRITERS)}, or in / "
            "for a folder of shards."
        )
    if has_codec and not _holds_all(file):
        check_new_location(codec_file(file))
    if file.suffix.lower() == ".parquet":
        require("pyarrow", "parquet", "a .parquet file")


def write_table(table: Table, file: Location, csv_dialect: str = "plain") -> list[Location]:
    """Write a table, and beside one that cannot hold them the arrays of its codec.

    Args:
        csv_dialect: of a .csv file, "plain" or "excel"

    Returns:
        The files

    Raises:
        OptionError: if one is there already
        WriteError
        StorageError
    """
    ending, arrays = file.suffix.lower(), table.codec.arrays()
    beside = [] if _holds_all(file) or not arrays else [codec_file(file)]
    with ExitStack() as stack:  # neither file is left where the other cannot be written; the table is the last one
        content = stack.enter_context(open_new_location(file, "w" if ending == ".csv" else "wb"))
        for path in beside:
            stack.enter_context(open_new_location(path, "wb")).write(npz(arrays | {"facts": as_array(table.facts)}))
        WRITERS[ending](table, content, csv_dialect)
    return [file, *beside]


def codec_file(file: Location) -> Location:
    """Give the path of the arrays of a codec, beside a `.csv` or `.parquet` table."""
    return file.parent / f"{file.stem}.learnt.npz"


def _holds_all(file: Location) -> bool:
    return file.suffix.lower() == ".npz"


def _write_npz(table: Table, file: IO[bytes], _: str) -> None:
    names = {name: np.array(values) for name, values in zip(NAME_COLUMNS, table.names, strict=True)}
    file.write(npz({table.kind: table.rows} | names | {"facts": as_array(table.facts)} | table.codec.arrays()))


def _write_csv(table: Table, file: IO[str], csv_dialect: str) -> None:
    writer = table_writer(file, csv_dialect)
    writer.writerow([*NAME_COLUMNS, *table.columns])
    for *names, row in zip(*table.names, table.rows, strict=True):
        writer.writerow([*names, *row])  # the shortest decimals that give the same float32


def write_parquet(table: Table, file: IO[bytes], _: str = "", **options: Any) -> None:
    """Write the rows as one column of lists of equal length, beside the names.

    Args:
        options: of `pyarrow.parquet.write_table`
    """
    import pyarrow
    from pyarrow import parquet

    names = [[_utf8(value) for value in values] for values in table.names]
    rows = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(table.rows.ravel()), table.rows.shape[1])
    columns = dict(zip(NAME_COLUMNS, names, strict=True)) | {table.kind: rows}
    content = pyarrow.table(columns).replace_schema_metadata({"tlkit": json.dumps(table.facts)})
    parquet.write_table(content, file, **options)


WRITERS: dict[str, Callable[[Table, IO[Any], str], None]] = {  # the last argument is the dialect of a .csv
    ".npz": _write_npz,
    ".parquet": write_parquet,
    ".csv": _write_csv,
}


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    """Pack arrays as the bytes of a .npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def as_array(facts: dict[str, Any]) -> np.ndarray:
    """Give facts as an array of one text, as a .npz file holds them."""
    return np.array(json.dumps(facts))


def _utf8(text: str) -> str:
    """Write the bytes of a name that is not UTF-8 as escapes, because Parquet holds UTF-8 only."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
