"""Tables in the forms that other programs take."""

import subprocess
import sys

import pytest

from tlkit.utils.tables import data_frame

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


def test_data_frame_has_columns_and_rows():
    pytest.importorskip("pandas")
    frame = data_frame(("a", "b"), [[1, "x"], [2, None]])
    assert frame["a"].tolist() == [1, 2]
    assert frame["b"].isna().tolist() == [False, True]


def test_data_frame_without_pandas_says_what_to_install():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    assert done.stdout == "to_pandas() needs pandas, which is not installed: pip install 'tlkit[pandas]'.\n"
