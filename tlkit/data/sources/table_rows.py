"""The rows of a table as text: csv, tsv, jsonl or parquet, on disk or in an object store."""

import csv
import io
import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

from tlkit.data.listing import describe_special_file
from tlkit.errors import DataError, require
from tlkit.utils.locations import SCHEMES
from tlkit.utils.storage import Location, RemotePath, open_stored, read_bytes

MAX_TABLE_BYTES = 1 << 30
START_BYTES = 1 << 14  # of a table, which are enough to know what it lists
BUCKET = re.compile(rf"""\b(?:{"|".join(SCHEMES)})://[^/\s,;"']+(?=/)""")


def read_rows(file: Location) -> tuple[list[str], list[dict[str, str]]]:
    """Read a table as text: its columns, and one dictionary per row.

    Raises:
        DataError: if it is no such table
        ModelError: if the package for it is missing
    """
    try:
        if isinstance(file, Path):
            if reason := describe_special_file(file.stat().st_mode):
                raise DataError(f"'{file}' is {reason}; expected a table of images, such as labels.csv.")
            if file.stat().st_size > MAX_TABLE_BYTES:
                raise DataError(f"'{file}' is larger than 1 GB; expected a table of paths and labels.")
        if file.suffix.lower() == ".parquet":
            return _read_parquet(file)
        text = read_bytes(file, MAX_TABLE_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"'{file}' cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError as error:
        raise DataError(f"'{file}' is not UTF-8 text (byte {error.start}); save the table as UTF-8.") from None
    if file.suffix.lower() in (".jsonl", ".ndjson"):
        return _read_jsonl(file, text)
    return _read_csv(file, text)


def bucket_named_in(file: Location) -> RemotePath | None:
    """Find the bucket whose images a table lists by URIs, from its start; None where it lists paths.

    Raises:
        OSError, StorageError
    """
    with open_stored(file) as opened:
        if file.suffix.lower() == ".parquet":
            start = _first_row(file, opened)
        else:
            start = opened.read(START_BYTES).decode("utf-8", "replace")
    found = BUCKET.search(start)
    return RemotePath(found[0]) if found else None


def _first_row(file: Location, opened: BinaryIO) -> str:
    require("pyarrow", "parquet", f"'{file}'")
    import pyarrow
    from pyarrow import parquet, types

    try:
        table = parquet.ParquetFile(opened)
        texts = [field.name for field in table.schema_arrow if types.is_string(field.type)]
        rows = next(table.iter_batches(batch_size=1, columns=texts)).to_pylist() if texts else []
    except (pyarrow.ArrowException, StopIteration):
        return ""
    return "\n".join(text or "" for text in rows[0].values()) if rows else ""


def _read_csv(file: Location, text: str) -> tuple[list[str], list[dict[str, str]]]:
    header = text.split("\n", 1)[0]
    delimiter = "\t" if file.suffix.lower() == ".tsv" else max(",;\t|", key=header.count)
    try:
        names, *lines = [line for line in csv.reader(io.StringIO(text), delimiter=delimiter, strict=True) if line]
    except ValueError:
        raise DataError(f"'{file}' is empty; expected a header and one row per image.") from None
    except csv.Error as error:
        raise DataError(f"'{file}' cannot be read as a table ({error}).") from None
    names = [name.strip() for name in names]
    if duplicates := [name for name, count in Counter(names).items() if count > 1 and name]:
        raise DataError(f"'{file}' has two columns called '{duplicates[0]}'; rename one of them.")
    for number, line in enumerate(lines, 2):
        if len(line) > len(names):
            raise DataError(f"'{file}' has {len(line)} values in row {number}, but {len(names)} columns.")
    return names, [dict(zip(names, [*line, *[""] * (len(names) - len(line))], strict=True)) for line in lines]


def _read_jsonl(file: Location, text: str) -> tuple[list[str], list[dict[str, str]]]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise DataError(f"'{file}' has no JSON object in line {number}; expected one per line.")
        rows.append({name: as_text(value) for name, value in content.items()})
    return list(dict.fromkeys(name for row in rows for name in row)), rows


def _read_parquet(file: Location) -> tuple[list[str], list[dict[str, str]]]:
    require("pyarrow", "parquet", f"'{file}'")
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(file if isinstance(file, Path) else io.BytesIO(read_bytes(file, MAX_TABLE_BYTES)))
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"'{file}' cannot be read as parquet ({reason}).") from None
    rows = [{name: as_text(value) for name, value in row.items()} for row in table.to_pylist()]
    return list(table.column_names), rows


def as_text(value: Any) -> str:
    """Write a value of a table as text; "" for what is missing.

    >>> as_text(3.0), as_text(None), as_text(float("nan")), as_text(["cat"]), as_text(True)
    ('3', '', '', 'cat', 'True')
    """
    if isinstance(value, list) and len(value) == 1:
        return as_text(value[0])
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
