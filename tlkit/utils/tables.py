"""Tables in the forms that other programs take: csv, csv and xlsx for spreadsheets, data frames."""

import csv
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any, Literal

from tlkit.errors import OptionError, require
from tlkit.utils.text import escape_control_chars

if TYPE_CHECKING:
    import pandas

CsvDialect = Literal["plain", "excel"]
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet computes a cell that starts so
MAX_SHEET_ROWS = 1_048_576  # of an .xlsx file
MAX_CELL = 32_767  # characters of an .xlsx cell


def csv_writer(file: IO[str]) -> Any:
    """Make a `csv.writer` of lines ending in LF that also quotes a lone CR (before Python 3.13 it does not)."""
    return csv.writer(_LineFeeds(file), lineterminator="\r\n")


class _LineFeeds:
    """A file that takes lines ending in CR LF and writes them ending in LF."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, line: str) -> int:
        """Write one line."""
        return self._file.write(line.removesuffix("\r\n") + "\n")


def table_writer(file: IO[str], dialect: str = "plain") -> Any:
    """Make a writer of csv rows, with the methods of `csv.writer`.

    Args:
        dialect: "plain" has commas and lines ending in LF, and changes no text. "excel" is for spreadsheets where the
            decimal sign is a comma: a byte order mark, semicolons, 0,5 for 0.5, lines ending in CR LF, and an
            apostrophe before text that the spreadsheet would compute.
    """
    return csv_writer(file) if dialect == "plain" else _ExcelCsv(file)


class _ExcelCsv:
    def __init__(self, file: IO[str]) -> None:
        file.write("\ufeff")
        self._writer = csv.writer(file, delimiter=";", lineterminator="\r\n")

    def writerow(self, row: Iterable[Any]) -> None:
        """Write one row."""
        self._writer.writerow([_excel_cell(value) for value in row])

    def writerows(self, rows: Iterable[Iterable[Any]]) -> None:
        """Write rows."""
        for row in rows:
            self.writerow(row)


def _excel_cell(value: Any) -> str:
    """Write a value as a cell of the dialect.

    >>> _excel_cell(0.5), _excel_cell("=1+1"), _excel_cell(-3), _excel_cell(None)
    ('0,5', "'=1+1", '-3', '')
    """
    if isinstance(value, str):
        text = valid_unicode(value)
        return f"'{text}" if text.startswith(FORMULA_STARTS) else text
    return "" if value is None else str(value).replace(".", ",")


class SheetWriter:
    """Writer of an .xlsx file: a header and rows. Text is kept as text, also where it looks like a formula.

    Raises:
        ModelError: if openpyxl is not installed
    """

    def __init__(self, file: IO[bytes], columns: Sequence[str], widths: Sequence[int], formats: Sequence[str]) -> None:
        """Start a sheet.

        Args:
            widths: of the first columns, in characters
            formats: of the fractions of each column, as Excel writes them, such as "0.0%"
        """
        require("openpyxl", "xlsx", "an .xlsx file")
        from openpyxl import Workbook

        self._file, self._formats, self._num_rows = file, formats, 0
        self._book = Workbook(write_only=True)
        self._sheet = self._book.create_sheet("tlkit")
        self._sheet.freeze_panes = "A2"
        for letter, width in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", widths, strict=False):
            self._sheet.column_dimensions[letter].width = width
        self.writerow(columns)

    def writerow(self, row: Iterable[Any]) -> None:
        """Write one row.

        Raises:
            OptionError: if the file is full
        """
        self._num_rows += 1
        if self._num_rows > MAX_SHEET_ROWS:
            self._sheet.close()  # else openpyxl complains when it is forgotten
            raise OptionError(f"an .xlsx file holds {MAX_SHEET_ROWS:,} rows, and there are more; write a .csv file.")
        self._sheet.append([self._cell(value, style) for value, style in zip(row, self._formats, strict=True)])

    def close(self) -> None:
        """Write the file."""
        self._book.save(self._file)

    def _cell(self, value: Any, number_format: str) -> Any:
        from openpyxl.cell import WriteOnlyCell

        if isinstance(value, str):
            cell = WriteOnlyCell(self._sheet, escape_control_chars(value)[:MAX_CELL])
            cell.data_type = "s"  # openpyxl takes "=1+1" for a formula
            cell.quotePrefix = value.startswith(FORMULA_STARTS)  # so that it stays text when it is edited
            return cell
        cell = WriteOnlyCell(self._sheet, value)
        if isinstance(value, float):
            cell.number_format = number_format
        return cell


def valid_unicode(text: str) -> str:
    """Spell out the bytes of a name that is not UTF-8 on disk."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def data_frame(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> "pandas.DataFrame":
    """Make a pandas data frame, with columns also where there is no row.

    Raises:
        ModelError: if pandas is not installed
    """
    require("pandas", "pandas", "to_pandas()")
    import pandas

    return pandas.DataFrame(list(rows), columns=list(columns))
