"""A table of rows as a file: `.npz`, `.parquet` or `.csv`, whole or absent."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.errors import ModelError, OptionError
from tlkit.files import check_new_file, csv_writer, open_new, write_new

NAMES = ("path", "class", "split")


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


def check_file(file: Path, learns: bool) -> None:
    """Before anything is computed.

    learns: whether there will be learnt arrays, which a .csv or .parquet file cannot hold
    raises: OptionError, ModelError where a table cannot be written there
    """
    if file.suffix.lower() not in WRITERS:
        raise OptionError(f"'{file.name}' does not end in {', '.join(WRITERS)}; choose one of them.")
    for path in (file, learnt_file(file)) if learns and not _holds_all(file) else (file,):
        check_new_file(path)
    if file.suffix.lower() == ".parquet" and not find_spec("pyarrow"):
        raise ModelError("a .parquet file needs pyarrow, which is not installed: pip install 'tlkit[parquet]'.")


def write_table(table: Table, file: Path) -> list[Path]:
    """Write a table, and beside one that cannot hold them the arrays that were learnt.

    returns: the files
    raises: OptionError where one is there already
    """
    beside = [] if _holds_all(file) or not table.learnt else [learnt_file(file)]
    for path in beside:  # before the table: codes that nothing can decode are worth nothing
        write_new(path, _npz(table.learnt | {"facts": np.array(json.dumps(table.facts))}))
    WRITERS[file.suffix.lower()](table, file)
    return [file, *beside]


def learnt_file(file: Path) -> Path:
    """Where the learnt arrays of a `.csv` or `.parquet` table lie."""
    return file.with_name(f"{file.stem}.learnt.npz")


def _holds_all(file: Path) -> bool:
    return file.suffix.lower() == ".npz"


def _write_npz(table: Table, file: Path) -> None:
    names = {name: np.array(values) for name, values in zip(NAMES, table.names, strict=True)}
    facts = {"facts": np.array(json.dumps(table.facts))}
    write_new(file, _npz({table.kind: table.rows} | names | facts | table.learnt))


def _write_csv(table: Table, file: Path) -> None:
    with open_new(file) as lines:
        writer = csv_writer(lines)
        writer.writerow([*NAMES, *table.columns])
        for *names, row in zip(*table.names, table.rows, strict=True):
            writer.writerow([*names, *map(str, row)])  # the shortest decimals that give the same float32


def _write_parquet(table: Table, file: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    names = [[_utf8(value) for value in values] for values in table.names]
    columns = dict(zip(NAMES, names, strict=True)) | dict(zip(table.columns, table.rows.T, strict=True))
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
