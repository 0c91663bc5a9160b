"""Tables of images: columns guessed and asked for, files found, rows left out with reasons."""

import json

import pytest

from tests.making import touch
from tlkit.data.reader import read_data
from tlkit.data.table import Columns, is_table, read_rows, read_table
from tlkit.errors import DataError, OptionError


def write(folder, name, text):
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def refused(error, function, *arguments):
    with pytest.raises(error) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    return str(caught.value)


def listed(table):
    return [(image.path, image.label) for image in table.images]


@pytest.fixture
def photos(tmp_path):
    return touch(tmp_path / "data", "a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4 x.jpg", "b/5.PNG")


def test_a_csv_with_usual_columns(photos):
    file = write(photos, "labels.csv", "filename,label\na/1.jpg,cat\nb/3.jpg,dog\n")
    table = read_table(file)
    assert listed(table) == [("a/1.jpg", "cat"), ("b/3.jpg", "dog")]
    assert (table.root, table.skipped) == (photos, ())
    assert table.notes == ("paths are from the column 'filename', labels from 'label'.",)


@pytest.mark.parametrize(
    ("header", "path", "label"),
    [
        ("image_id,breed", "image_id", "breed"),
        ("Image Path;Class Name", "Image Path", "Class Name"),
        ("id|diagnosis", "id", "diagnosis"),
        ("species,file", "file", "species"),
        ("file,whatever", "file", "whatever"),
    ],
)
def test_columns_are_guessed(photos, header, path, label):
    delimiter = next(mark for mark in ",;|" if mark in header)
    values = {path: "a/1.jpg", label: "cat"}
    row = delimiter.join(values[name] for name in header.split(delimiter))
    table = read_table(write(photos, "labels.csv", f"{header}\n{row}\n"))
    assert listed(table) == [("a/1.jpg", "cat")]
    assert f"'{path}', labels from '{label}'" in table.notes[0]


def test_an_odd_column_of_paths_is_known_by_its_files(photos):
    table = read_table(write(photos, "t.csv", "size,where,label\n3,a/1.jpg,cat\n4,b/3.jpg,dog\n"))
    assert listed(table) == [("a/1.jpg", "cat"), ("b/3.jpg", "dog")]


def test_columns_asked_for_win_and_must_be_there(photos):
    file = write(photos, "t.csv", "file,label,kind,set,patient\na/1.jpg,x,cat,Train,p1\nb/3.jpg,y,dog,valid,p2\n")
    table = read_table(file, None, Columns(label="kind", subset="set", group="patient"))
    assert [(image.label, image.subset, image.group) for image in table.images] == [
        ("cat", "train", "p1"),
        ("dog", "validation", "p2"),
    ]
    words = refused(OptionError, read_table, file, None, Columns(group="camera"))
    assert (
        words == f"--group-column is 'camera'; '{file}' has the columns 'file', 'label', 'kind', 'set' and 'patient'."
    )


def test_a_column_of_subsets_is_taken_where_it_holds_some(photos):
    rows = "a/1.jpg,cat,train\nb/3.jpg,dog,TEST\n"
    assert [image.subset for image in read_table(write(photos, "t.csv", f"path,label,split\n{rows}")).images] == [
        "train",
        "test",
    ]
    other = "a/1.jpg,cat,7\nb/3.jpg,dog,8\n"
    assert {image.subset for image in read_table(write(photos, "u.csv", f"path,label,split\n{other}")).images} == {""}


def test_unclear_columns_are_refused_with_the_way_out(photos):
    words = refused(OptionError, read_table, write(photos, "t.csv", "file,x,y2\na/1.jpg,1,2\n"))
    assert "which of them holds the labels is not clear. Name it with --label-column." in words
    words = refused(OptionError, read_table, write(photos, "u.csv", "p,q\nnowhere,1\n"))
    assert "Name it with --path-column." in words


def test_files_are_found_by_name_and_without_suffix(photos):
    file = write(photos.parent, "t.csv", "id,label\n1,cat\n3.jpg,dog\n4 x,dog\n5,cat\n")
    table = read_table(file, photos)
    assert listed(table) == [("a/1.jpg", "cat"), ("b/3.jpg", "dog"), ("b/4 x.jpg", "dog"), ("b/5.PNG", "cat")]


def test_rows_that_cannot_be_used_are_left_out_with_reasons(photos):
    touch(photos, "c/1.jpg")
    (photos.parent / "other.jpg").touch()
    rows = ["a/1.jpg,cat", "b/3.jpg,", "gone.jpg,cat", ",dog", "a/1.jpg,dog", "a/1.jpg,cat", "a/2.jpg,NaN"]
    rows += ["1,cat", "../other.jpg,cat", "b/4 x.jpg,dog", f"{'x' * 5000},cat"]
    table = read_table(write(photos, "t.csv", "path,label\n" + "\n".join(rows) + "\n"))
    assert listed(table) == [("a/1.jpg", "cat"), ("b/4 x.jpg", "dog")]
    assert [(entry.path[:12], entry.reason) for entry in table.skipped] == [
        ("b/3.jpg", "no label in the table"),
        ("gone.jpg", "no such file"),
        ("(no path)", "no path in the table"),
        ("a/1.jpg", "listed again as 'dog', after 'cat'"),
        ("a/2.jpg", "no label in the table"),
        ("1", "2 files have this name"),
        ("../other.jpg", "outside the folder of the images; give a folder above it as --images"),
        ("x" * 12, "no such file"),
    ]


def test_windows_and_absolute_paths_are_understood(photos):
    file = write(photos, "t.csv", f"path,label\na\\1.jpg,cat\n{photos / 'b' / '3.jpg'},dog\na/../a/2.jpg,cat\n")
    assert [image.path for image in read_table(file).images] == ["a/1.jpg", "b/3.jpg", "a/2.jpg"]


def test_a_table_without_any_of_its_images_says_where_it_looked(photos):
    file = write(photos, "t.csv", "path,label\nx/9.jpg,cat\n")
    words = refused(DataError, read_table, file)
    assert f"lists 1 images, but none of them is in '{photos}', e.g. 'x/9.jpg'" in words
    assert "--images" in words
    assert "not a folder" in refused(OptionError, read_table, file, photos / "nowhere")


def test_jsonl_tsv_and_parquet_hold_the_same(photos):
    rows = [{"path": "a/1.jpg", "label": 0, "note": None}, {"path": "b/3.jpg", "label": 1.0, "note": "x"}]
    lines = write(photos, "t.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n")
    tabs = write(photos, "t.tsv", "path\tlabel\na/1.jpg\t0\nb/3.jpg\t1\n")
    expected = [("a/1.jpg", "0"), ("b/3.jpg", "1")]
    assert listed(read_table(lines)) == listed(read_table(tabs)) == expected
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows), photos / "t.parquet")
    assert listed(read_table(photos / "t.parquet")) == expected


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"path,label\n", "has no rows"),
        ("t.csv", b"path,path\na,b\n", "two columns called 'path'"),
        ("t.csv", b"path,label\na/1.jpg,cat,dog\n", "has 3 values in row 2, but 2 columns"),
        ("t.csv", b"path,label\n\xff\xfe,cat\n", "is not UTF-8 text (byte 11)"),
        ("t.jsonl", b"[1]\n", "has no JSON object in line 1"),
        ("t.parquet", b"PAR1 no", "cannot be read as parquet"),
    ],
)
def test_broken_tables_are_refused(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    assert words in refused(DataError, read_table, tmp_path / name)


def test_a_byte_order_mark_and_quotes_are_read(tmp_path):
    file = tmp_path / "t.csv"
    file.write_bytes('\ufeffpath,label\r\n"a, b.jpg","x ""y"""\r\n'.encode())
    rows = read_rows(file)
    assert (rows.names, list(rows)) == (["path", "label"], [{"path": "a, b.jpg", "label": 'x "y"'}])


def test_a_column_that_names_groups_is_offered(photos):
    table = read_table(write(photos, "t.csv", "path,label,Patient ID\na/1.jpg,cat,3\nb/3.jpg,dog,4\n"))
    assert "--group-column 'Patient ID' keeps" in table.notes[1]


def test_is_table(tmp_path):
    names = ["x.csv", "x.TSV", "x.jsonl", "x.parquet", "x.xlsx", "x.json", "x"]
    assert [name for name in names if is_table(tmp_path / name)] == names[:4]


def test_rows_are_made_when_they_are_asked_for_and_forgotten_when_they_are_taken(tmp_path):
    lines = [f'{number}.jpg,{"ant" if number % 2 else "bee"},"two\nlines"' for number in range(1000)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,text,more", *lines]) + "\n")
    rows = read_rows(tmp_path / "labels.csv")
    expected = [
        {"path": f"{number}.jpg", "label": "ant" if number % 2 else "bee", "text": "two\nlines", "more": ""}
        for number in range(1000)
    ]
    assert (len(rows), list(rows), rows[3:5], rows[-1]) == (1000, expected, expected[3:5], expected[-1])
    assert rows[1]["label"] is rows[3]["label"]
    assert list(rows.taken()) == expected
    assert len(rows) == 0


def test_a_table_of_very_many_images_has_the_notes_of_a_small_one(tmp_path, monkeypatch):
    monkeypatch.setattr("tlkit.data.reader.MAX_NAMED", 200)
    monkeypatch.setattr("tlkit.data.reader.NEIGHBORS", 20)
    for pattern, is_noted in (("p{}_{}.jpg", True), ("{}{}.jpg", False)):
        rows = [
            f"s3://b/{name}/{pattern.format(patient, slice_number)},{name}"
            for name in ("ill", "well")
            for patient in range(100)
            for slice_number in range(10)
        ]
        (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]))
        notes = read_data(tmp_path / "labels.csv").notes
        assert any("file names look grouped" in note for note in notes) == is_noted, pattern
