"""Files of vectors: what is read is what was written; what is damaged is refused."""

import hashlib

import numpy as np
import pytest

from tests.search.making import make_vectors, write
from tlkit.search import vectors as module
from tlkit.search.vectors import open_vectors, write_vectors


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_blocks_and_rows_are_what_was_written(tmp_path, dtype, monkeypatch):
    vectors = make_vectors(100)
    monkeypatch.setattr(module, "BLOCK_BYTES", 4 * 16 * 7)  # seven vectors
    file = write(vectors, tmp_path / "v.npy", dtype)
    stored = vectors.astype(dtype).astype(np.float32)
    assert [start for start, _ in file.blocks(8)] == list(range(8, 100, 7))
    np.testing.assert_array_equal(np.concatenate([block for _, block in file.blocks()]), stored)
    np.testing.assert_array_equal(file.rows(np.array([99, 0, 5, 5])), stored[[99, 0, 5, 5]])
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), vectors.astype(dtype))


def test_write_vectors_gives_the_hash_of_the_file_and_replaces_nothing(tmp_path):
    file = tmp_path / "v.npy"
    digest = write_vectors(file, [np.zeros((2, 3), np.float32)], (2, 3), "float32")
    assert digest == hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(FileExistsError):
        write_vectors(file, [], (0, 3), "float32")


def test_a_value_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match="does not fit float16"):
        write_vectors(tmp_path / "v.npy", [np.full((1, 2), 1e6)], (1, 2), "float16")


@pytest.mark.parametrize("damage", ["short", "long", "header", "empty", "flat", "objects", "fortran"])
def test_a_damaged_file_is_refused(tmp_path, damage):
    file = tmp_path / "v.npy"
    content = write(make_vectors(10), file).file.read_bytes()
    if damage in ("flat", "objects", "fortran"):
        arrays = {"flat": np.zeros(4, np.float32), "objects": np.array([[None]]), "fortran": np.zeros((3, 2)).T}
        np.save(file, arrays[damage], allow_pickle=True)
    else:
        changed = {"short": content[:-1], "long": content + b"x", "header": b"x" + content[1:], "empty": b""}
        file.write_bytes(changed[damage])
    with pytest.raises(ValueError, match="damaged|objects|magic string|allow_pickle"):
        open_vectors(file)


def test_a_file_that_is_cut_off_meanwhile_is_an_error(tmp_path):
    vectors = write(make_vectors(10), tmp_path / "v.npy")
    (tmp_path / "v.npy").write_bytes((tmp_path / "v.npy").read_bytes()[:-100])
    for read in (lambda: list(vectors.blocks()), lambda: vectors.rows(np.array([9]))):
        with pytest.raises(ValueError, match="cut off"):
            read()
