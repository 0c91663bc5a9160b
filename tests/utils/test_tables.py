"""Tables in the forms that other programs take."""

import csv
import io
import os
import subprocess
import sys

import numpy as np
import pytest

from tlkit.errors import OptionError
from tlkit.utils import tables
from tlkit.utils.tables import FORMULA_STARTS, SheetWriter, data_frame, table_writer, valid_unicode

SAMPLE = [["a;b", 0.5, -3, None], ['q"uote', np.float32(0.1), 1e-06, "x"], ["new\nline", 1.0, 0, "ü 花"]]

WITHOUT = """
import sys
sys.meta_path.insert(0, type("Hide", (), {"find_spec": staticmethod(lambda name, *_: None)})())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *args: None if name == "pandas" else found(name, *args)
import tlkit.errors, tlkit.utils.tables as tables
tlkit.errors.find_spec = importlib.util.find_spec
try:
    tables.data_frame(["a"], [[1]])
except tlkit.errors.ModelError as error:
    print(error)
"""


def test_table_writer_of_plain_csv_changes_no_text():
    file = io.StringIO()
    table_writer(file).writerows([["=1+1", "-2", 0.5], ["a,b", None, np.float32(0.1)]])
    assert file.getvalue() == '=1+1,-2,0.5\n"a,b",,0.1\n'


def test_table_writer_of_excel_has_a_mark_semicolons_and_decimal_commas():
    file = io.StringIO()
    table_writer(file, "excel").writerows(SAMPLE)
    text = file.getvalue()
    assert text.startswith("\ufeff")
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=";"))
    assert rows == [["a;b", "0,5", "-3", ""], ['q"uote', "0,1", "1e-06", "x"], ["new\nline", "1,0", "0", "ü 花"]]
    assert text.count("\r\n") == 3


def test_table_writer_of_excel_neutralizes_what_would_be_computed_and_nothing_else():
    for start in FORMULA_STARTS:
        file = io.StringIO()
        table_writer(file, "excel").writerow([f"{start}1+1", "a=1", -1.5])
        (row,) = csv.reader(io.StringIO(file.getvalue().removeprefix("\ufeff"), newline=""), delimiter=";")
        assert row == [f"'{start}1+1", "a=1", "-1,5"]


def test_valid_unicode_spells_out_bytes_that_are_none():
    assert valid_unicode(os.fsdecode(b"caf\xe9 \xc3\xbc")) == "caf\\xe9 ü"


def test_sheet_writer_keeps_text_as_text_and_numbers_as_numbers(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    formulas = [f"{start}1+1" for start in ("=", "+", "-", "@")]
    with (tmp_path / "x.xlsx").open("wb") as file:
        writer = SheetWriter(file, ["path", "value"], (40,), ("0.0%", "0.0%"))
        for text in (*formulas, "\t=1", "a\x1bb", os.fsdecode(b"caf\xe9"), "花", "x" * 40_000):
            writer.writerow([text, 0.25])
        writer.writerow([None, 3])
        writer.close()
    sheet = openpyxl.load_workbook(tmp_path / "x.xlsx").active
    cells = [cell for (cell,) in sheet.iter_rows(min_row=2, max_col=1)]
    assert [cell.value for cell in cells[:8]] == [*formulas, "\\t=1", "a\\x1bb", "caf\\udce9", "花"]
    assert {cell.data_type for cell in cells[:9]} == {"s"}
    assert [cell.quotePrefix for cell in cells[:4]] == [True] * 4
    assert len(cells[8].value) == tables.MAX_CELL
    assert sheet["B2"].value == 0.25
    assert sheet["B2"].number_format == "0.0%"
    assert sheet["B11"].value == 3
    assert sheet.freeze_panes == "A2"


def test_sheet_writer_refuses_more_rows_than_a_sheet_has(monkeypatch):
    pytest.importorskip("openpyxl")
    monkeypatch.setattr(tables, "MAX_SHEET_ROWS", 2)
    writer = SheetWriter(io.BytesIO(), ["a"], (), ("0",))
    writer.writerow([1])
    with pytest.raises(OptionError, match=r"write a \.csv file"):
        writer.writerow([2])


def test_data_frame_has_columns_and_rows():
    pytest.importorskip("pandas")
    frame = data_frame(("a", "b"), [[1, "x"], [2, None]])
    assert frame["a"].tolist() == [1, 2]
    assert frame["b"].isna().tolist() == [False, True]


def test_data_frame_without_pandas_says_what_to_install():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    assert done.stdout == "to_pandas() needs pandas, which is not installed: pip install 'tlkit[pandas]'.\n"
