"""The images of an index: lines that come back as they were, and lines that do not."""

import pytest

from tlkit.search.records import ImageRecord, open_records, write_records


def record(path, **values):
    return ImageRecord(
        **{"path": path, "root": 0, "label": "cat", "subset": "train", "sha256": "1" * 64, "digest": "2"}
        | {"related": "", "group": "2"}
        | values
    )


ODD = ("a/b.png", "line\nbreak.png", "ünï.png", "\udcff.png", 'quote".png', "a" * 3000)


def test_records_come_back_in_any_order(tmp_path):
    records = [record(path) for path in ODD]
    write_records(tmp_path / "r.jsonl", records)
    opened = open_records(tmp_path / "r.jsonl", len(ODD), 1)
    assert list(opened) == records
    assert opened.read([5, 0, 0]) == [records[5], records[0], records[0]]
    assert len(opened) == len(ODD)


@pytest.mark.parametrize(
    "line",
    [b"{}\n", b"[]\n", b"x\n", b"\xff\n", b"[" * 5000 + b"\n", b'{"path": 1}\n'],
)
def test_a_line_that_describes_no_image_is_refused(tmp_path, line):
    (tmp_path / "r.jsonl").write_bytes(line)
    opened = open_records(tmp_path / "r.jsonl", 1, 1)
    for read in (lambda: list(opened), lambda: opened.read([0])):
        with pytest.raises(ValueError, match="describes no image"):
            read()


def test_paths_that_lead_out_and_unknown_folders_are_refused(tmp_path):
    for number, bad in enumerate(
        (
            record("../x"),
            record("/etc/x"),
            record("a", root=1),
            record("a", root=-1),
            record("a", root="0"),
            record("a", label=None),
        )
    ):
        file = tmp_path / f"{number}.jsonl"
        write_records(file, [bad])
        with pytest.raises(ValueError, match="it is damaged"):
            open_records(file, 1, 1).read([0])


def test_a_file_with_more_or_fewer_lines_is_refused(tmp_path):
    write_records(tmp_path / "r.jsonl", [record("a")] * 3)
    content = (tmp_path / "r.jsonl").read_bytes()
    for count, data in ((2, content), (4, content), (3, content[:-1]), (3, b""), (1, b"x" * 70_000 + b"\n")):
        (tmp_path / "r.jsonl").write_bytes(data)
        with pytest.raises(ValueError, match="lines for"):
            open_records(tmp_path / "r.jsonl", count, 1)
