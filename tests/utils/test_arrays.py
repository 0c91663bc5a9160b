"""Arrays of strangers: the archive, its names, sizes and headers are checked before any data is read."""

import io
import os
import struct
import zipfile

import numpy as np
import pytest

from tests.cli.commands import posix
from tlkit.utils import arrays as arrays_module
from tlkit.utils.arrays import ArrayHeader, check_shapes, open_arrays

GOOD = {
    "a": np.arange(12, dtype=np.float32).reshape(3, 4),
    "b/c": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "text": np.array('{"x": 1}'),
    "empty": np.zeros((0, 3)),
    "flag": np.array(True),
}


def archive(members, compression=zipfile.ZIP_DEFLATED):
    """The bytes of a zip file with these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as zipped:
        for name, content in members.items():
            zipped.writestr(name, content)
    return file.getvalue()


def npy(header, data=b""):
    """The bytes of an array with any header."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def read(tmp_path, content, max_bytes=1 << 20):
    (tmp_path / "file.npz").write_bytes(content)
    with open_arrays(tmp_path / "file.npz", max_bytes) as stored:
        return stored.read_all()


def refused(tmp_path, content, max_bytes=1 << 20):
    with pytest.raises(ValueError) as caught:
        read(tmp_path, content, max_bytes)
    assert type(caught.value) is ValueError
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    return str(caught.value)


@pytest.mark.parametrize("save", (np.savez, np.savez_compressed))
def test_open_arrays_reads_what_numpy_writes(save, tmp_path):
    file = io.BytesIO()
    save(file, **GOOD)
    found = read(tmp_path, file.getvalue())
    assert found.keys() == GOOD.keys()
    for name, array in GOOD.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    found["a"][0, 0] = 5  # it may be changed, as what NumPy reads


HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }"
HEADERS = {
    "promises too much": HEADER.replace("(3,)", "(8796093022208,)"),
    "promises more than numbers hold": HEADER.replace("(3,)", f"({2**62}, {2**62})"),
    "negative": HEADER.replace("(3,)", "(-3,)"),
    "a fraction": HEADER.replace("(3,)", "(3.0,)"),
    "true": HEADER.replace("(3,)", "(True, 3)").replace("<f4", "<f8"),
    "no tuple": HEADER.replace("(3,)", "3"),
    "64 dimensions": HEADER.replace("(3,)", "(" + "1," * 63 + "3)"),
    "an expression": HEADER.replace("(3,)", "(1+2,)"),
    "a call": HEADER.replace("(3,)", "(__import__('os').system('true'),)"),
    "half": HEADER[:20],
    "objects": HEADER.replace("<f4", "|O"),
    "a structure": HEADER.replace("'<f4'", "[('a', '<f4')]"),
    "bytes": HEADER.replace("<f4", "|V4"),
    "dates": HEADER.replace("<f4", "<M8[s]"),
    "no type": HEADER.replace("<f4", "what"),
    "deep": "(" * 5000,
    "long": HEADER + " " * 60_000,
}


def test_open_arrays_refuses_headers(tmp_path):
    assert read(tmp_path, archive({"a.npy": npy(HEADER, bytes(12))}))["a"].shape == (3,)
    for kind, header in HEADERS.items():
        assert refused(tmp_path, archive({"a.npy": npy(header, bytes(12))})), kind
    for content in (b"", b"\x93NUMPY", b"\x93NUMPY\x09\x00" + bytes(20), npy(HEADER), npy(HEADER, bytes(13))):
        assert refused(tmp_path, archive({"a.npy": content})), content


def test_open_arrays_refuses_names(tmp_path):
    content = npy(HEADER, bytes(12))
    for name in ("a.pkl", "a", "a b.npy", "x" * 300 + ".npy", "a\\b.npy"):
        assert refused(tmp_path, archive({name: content})), name
    with pytest.warns(UserWarning, match="Duplicate"):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as zipped:
            zipped.writestr("a.npy", content)
            zipped.writestr("a.npy", content)
    assert refused(tmp_path, file.getvalue())
    assert refused(tmp_path, archive({f"{number}.npy": b"" for number in range(10_001)}))
    assert refused(tmp_path, archive({"a.npy": content}, zipfile.ZIP_LZMA))


def test_open_arrays_refuses_what_unpacks_to_too_much(tmp_path, monkeypatch):
    zeros = archive({"a.npy": npy(HEADER.replace("3,", f"{1 << 18},"), bytes(1 << 20))})
    assert read(tmp_path, zeros, 2 << 20)["a"].shape == (1 << 18,)  # small enough that its ratio does not count
    assert "unpacks to more than expected" in refused(tmp_path, zeros, 1 << 20)
    monkeypatch.setattr(arrays_module, "SMALL_BYTES", 1 << 19)
    assert "unpacks to more than expected" in refused(tmp_path, zeros, 2 << 20)


def test_open_arrays_refuses_every_damage(tmp_path):
    file = io.BytesIO()
    np.savez_compressed(file, **GOOD, noise=np.random.default_rng(0).normal(size=500))
    content, random = file.getvalue(), np.random.default_rng(1)
    changed = 0
    for _ in range(400):
        damaged = bytearray(content)
        for position in random.integers(0, len(content), random.integers(1, 4)):
            damaged[position] = random.integers(0, 256)
        damaged = damaged[: random.integers(1, len(content))] if random.random() < 0.2 else damaged
        try:
            read(tmp_path, bytes(damaged))
        except ValueError as error:
            assert type(error) is ValueError
            changed += 1
    assert changed > 300


@posix
def test_open_arrays_opens_regular_files_only(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "link.npz").symlink_to("/dev/zero")
    for name in ("pipe.npz", "link.npz", "missing.npz"):
        with pytest.raises(OSError), open_arrays(tmp_path / name, 100):
            pass


def test_check_shapes_finds_what_does_not_fit():
    headers = {"rows": ArrayHeader((5, 3), np.dtype("f4")), "labels": ArrayHeader((5,), np.dtype("i8"))}
    expected = {"rows": "f rows values", "labels": "i rows"}
    sizes = {"values": 3}
    check_shapes(headers, expected, sizes)
    assert sizes == {"values": 3, "rows": 5}
    for name, header in (
        ("rows", ArrayHeader((5, 4), np.dtype("f4"))),
        ("rows", ArrayHeader((5, 3), np.dtype("i4"))),
        ("rows", ArrayHeader((15,), np.dtype("f4"))),
        ("labels", ArrayHeader((6,), np.dtype("i8"))),
        ("labels", ArrayHeader((5,), np.dtype("U3"))),
        ("more", ArrayHeader((5,), np.dtype("i8"))),
    ):
        with pytest.raises(ValueError, match="it is damaged: "):
            check_shapes(headers | {name: header}, expected, {"values": 3})
    with pytest.raises(ValueError, match="'labels' is missing"):
        check_shapes({"rows": headers["rows"]}, expected, {})
    with pytest.raises(ValueError, match="damaged"):
        check_shapes({"rows": ArrayHeader((0, 3), np.dtype("f4"))}, {"rows": "f rows values"}, {})
