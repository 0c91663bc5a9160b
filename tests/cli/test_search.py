"""`tlkit search`: what it prints, writes and refuses."""

import csv
import io
import json
import shutil

import pytest
from PIL import Image

from tests.cli.commands import refused, tlkit


@pytest.fixture(scope="module")
def made(colors, tmp_path_factory):
    """An index of the colors by their pixels, and what the command said."""
    path = tmp_path_factory.mktemp("search") / "colors.index"
    done = tlkit("search", "index", colors, "-o", path, "--descriptor", "pixels", "--seed", "1")
    assert done.exit_code == 0, done.output
    return path, done.stdout


def test_index_says_what_it_holds_and_how_to_ask(made):
    path, out = made
    assert out.startswith("36 images indexed\n")
    assert "pixels, 768 values, cosine distance" in out
    assert "flat: every image is compared" in out
    assert "tlkit search query" in out
    assert "already exists" in refused(2, "search", "index", path.parent, "-o", path)


def test_query_prints_a_table_csv_json_and_a_sheet(made, colors, tmp_path):
    path, _ = made
    ask = ("search", "query", path, colors / "red" / "0.png", "-k", "3")
    table = tlkit(*ask, "--format", "table").stdout
    assert "red/0.png       red       0.000" in table
    rows = list(csv.DictReader(io.StringIO(tlkit(*ask).stdout)))
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    content = json.loads(tlkit(*ask, "--json").stdout)
    assert [match["path"] for match in content[0]["matches"]] == [row["path"] for row in rows]
    assert tlkit(*ask, "-o", tmp_path / "a.json").stdout == f"file        {tmp_path / 'a.json'}\n"
    assert json.loads((tmp_path / "a.json").read_text()) == content
    assert tlkit(*ask, "-o", tmp_path / "a.png").exit_code == 0
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.width > 300
    for name in ("a.png", "a.txt"):
        refused(2, *ask, "-o", tmp_path / name)
    assert "leave out --format" in refused(2, *ask, "-o", tmp_path / "b.png", "--format", "json")


def test_a_query_that_cannot_be_read_is_a_row_and_exit_code_6(made, colors):
    done = tlkit("search", "query", made[0], "missing.png", colors / "red" / "0.png", "-k", "1")
    assert done.exit_code == 6
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert rows[0]["error"]
    assert rows[1]["path"] == "red/0.png"


def test_evaluate_prints_figures_with_counts(made):
    out = tlkit("search", "evaluate", made[0]).stdout
    assert out.startswith("precision@5  100.0 %  (180 of 180 found images)\n")
    assert "36 queries among 36 images" in out
    content = json.loads(tlkit("search", "evaluate", made[0], "--json", "--precision-k", "3").stdout)
    assert content["precision_at_3"] == 1.0
    assert content["recall_at_10"] == pytest.approx(10 / 11, abs=1e-6)
    assert content["map"] == 1.0
    assert set(content["classes"]) == {"red", "green", "blue"}


def test_add_remove_and_info(colors, tmp_path):
    path = tmp_path / "i"
    tlkit("search", "index", colors, "-o", path, "--descriptor", "histogram")
    assert tlkit("search", "remove", path, "red/*").stdout.startswith("12 images removed  24 are in the index\n")
    assert json.loads(tlkit("search", "info", path, "--json").stdout)["classes"] == {"blue": 12, "green": 12}
    assert tlkit("search", "add", path, colors).stdout.startswith("12 images added  36 are in the index\n")
    assert "files       all are what was written" in tlkit("search", "info", path).stdout
    assert tlkit("search", "remove", path, "red/0.png").stdout.startswith("1 image removed  35 are in the index\n")
    file = next(path.glob("vectors-*"))
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert "its SHA-256 differs" in refused(4, "search", "info", path)
    assert "tlkit search index DATA" in refused(4, "search", "query", colors, "x.png")


def test_near_lists_copies(colors, tmp_path):
    shutil.copytree(colors, tmp_path / "data")
    shutil.copy(colors / "red" / "0.png", tmp_path / "data" / "blue" / "copy.png")
    ask = ("search", "near", tmp_path / "data", "--backbone", "none")
    out = tlkit(*ask).stdout
    assert out.startswith("0 pairs of near duplicates, 1 set of equal images  37 images\n")
    assert "equal       blue/copy.png, red/0.png" in out
    assert json.loads(tlkit(*ask, "--json").stdout)["equal"] == [["blue/copy.png", "red/0.png"]]
