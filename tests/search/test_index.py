"""What is read of an index that is damaged, too large, or of another machine."""

import json
import os

import numpy as np
import pytest

from tlkit.errors import RunError
from tlkit.search import index as module
from tlkit.search.index import FIELDS, open_index


def use(path):
    """Read everything."""
    index = open_index(path)
    vectors = index.vectors.rows(np.arange(2))
    index.nearest(vectors, 3)
    list(index.images)
    list(index.thumbnails.blocks())
    return index.codec


@pytest.mark.parametrize("stem", ["images", "vectors", "thumbnails"])
@pytest.mark.parametrize("damage", ["bit", "short", "long", "missing", "folder", "pipe", "link"])
def test_a_damaged_file_is_named_in_one_sentence(own_copy, stem, damage, tmp_path):
    file = next(own_copy.glob(f"{stem}-*"))
    content = file.read_bytes()
    file.unlink()
    if damage == "bit":
        file.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    elif damage in ("short", "long"):
        file.write_bytes(content[:-5] if damage == "short" else content + b"x")
    elif damage == "folder":
        file.mkdir()
    elif damage == "pipe":
        os.mkfifo(file)
    elif damage == "link":
        (tmp_path / "elsewhere").write_bytes(content)
        file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError) as error:
        use(own_copy)
    assert str(file) in str(error.value)
    assert str(error.value).endswith("; index the images again.")


@pytest.mark.parametrize("name", FIELDS)
def test_impossible_facts_are_refused(own_copy, name):
    facts = json.loads((own_copy / "index.json").read_text())
    for value in (None, -1, 10**30, "x", [], {}, [[]], {"a": 1}, True, "../../etc/passwd"):
        (own_copy / "index.json").write_text(json.dumps(facts | {name: value}))
        with pytest.raises(RunError, match=r"index\.json|index the images again"):
            use(own_copy)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"[" * 100_000, b"\xff", b'{"format": 99}', b"null", b'{"seed": NaN}']
)
def test_what_is_no_json_of_an_index_is_refused(own_copy, content):
    (own_copy / "index.json").write_bytes(content)
    with pytest.raises(RunError, match="index the images again"):
        open_index(own_copy)


def test_what_is_no_index_is_refused(tmp_path, colors):
    for path in (tmp_path / "nothing", tmp_path, colors, colors / "red" / "0.png"):
        with pytest.raises(RunError, match="tlkit search index DATA"):
            open_index(path)


def test_a_file_that_is_too_large_is_refused(own_copy, monkeypatch):
    monkeypatch.setattr(module, "MAX_FACTS_BYTES", 100)
    with pytest.raises(RunError, match="it is larger than"):
        open_index(own_copy)


def test_check_files_reads_also_what_is_too_large_to_be_read_always(own_copy, monkeypatch):
    monkeypatch.setattr(module, "CHECKED_BYTES", 10)
    file = next(own_copy.glob("vectors-*"))
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    use(own_copy)
    with pytest.raises(RunError, match="its SHA-256 differs"):
        open_index(own_copy).check_files()


def test_faiss_opens_no_file_of_another_machine(colors, tmp_path, monkeypatch):
    pytest.importorskip("faiss")
    from tlkit.search.build import index_images

    index = index_images(colors, tmp_path / "i", descriptor="pixels", index="ivf").index
    vectors = index.vectors.rows(np.arange(36))
    assert index.faiss_index.ntotal == 36
    with (tmp_path / "i" / "index.json").open("a") as file:
        file.write(" ")

    def fail(*args):
        """Tell that the file was opened."""
        raise AssertionError(args)

    monkeypatch.setattr(module, "read_faiss", fail)
    foreign = open_index(tmp_path / "i")
    assert not foreign.uses_faiss
    assert foreign.faiss_index is None
    np.testing.assert_array_equal(foreign.nearest(vectors, 1)[0].ravel(), np.arange(36))
