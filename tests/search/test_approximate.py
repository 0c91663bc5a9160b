"""Indexes of FAISS: which is chosen, that each finds what is near, and that a file gives it back."""

import io

import numpy as np
import pytest

pytest.importorskip("faiss")

from tests.search.making import brute_force, make_vectors, write
from tlkit.errors import OptionError
from tlkit.search.approximate import (
    KINDS,
    check_kind,
    choose_kind,
    fill_index,
    nearest_candidates,
    plan_index,
    read_faiss,
    train_index,
    write_faiss,
)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_every_kind_finds_what_is_near_and_comes_back_from_its_file(tmp_path, kind):
    vectors = make_vectors()
    file = write(vectors, tmp_path / "v.npy")
    index, added = train_index(kind, file, 4, 0), []
    fill_index(index, file, 0, added.append)
    assert sum(added) == index.ntotal == len(vectors)
    queries = make_vectors(20, seed=0)
    found, _ = nearest_candidates(index, queries, 100)
    expected, _ = brute_force(vectors, queries, 10)
    assert np.mean([np.isin(best, row).mean() for best, row in zip(expected, found, strict=True)]) > 0.8
    written = io.BytesIO()
    write_faiss(index, written)
    back = read_faiss(io.BufferedReader(io.BytesIO(written.getvalue())), vectors.shape)
    np.testing.assert_array_equal(nearest_candidates(back, queries, 100)[0], found)


@pytest.mark.parametrize("kind", ["ivf", "pq", "opq-ivf-pq"])
def test_the_same_seed_gives_the_same_index(tmp_path, kind):
    file, found = write(make_vectors(), tmp_path / "v.npy"), []
    for _ in range(2):
        index = train_index(kind, file, 4, 7)
        fill_index(index, file, 0, lambda count: None)
        found.append(nearest_candidates(index, make_vectors(20), 10)[0])
    np.testing.assert_array_equal(*found)


def test_a_file_that_is_no_such_index_is_refused(tmp_path):
    file = write(make_vectors(), tmp_path / "v.npy")
    index = train_index("ivf", file, 4, 0)
    fill_index(index, file, 0, lambda count: None)
    written = io.BytesIO()
    write_faiss(index, written)
    for content, shape in (
        (b"", (700, 16)),
        (b"abcd" * 10, (700, 16)),
        (written.getvalue()[:200], (700, 16)),
        (written.getvalue(), (701, 16)),
    ):
        with pytest.raises(ValueError, match="it is damaged"):
            read_faiss(io.BufferedReader(io.BytesIO(content)), shape)


def test_the_kind_is_chosen_by_memory():
    assert choose_kind((1_000_000, 1280), False) == "flat"  # without FAISS
    kinds = [choose_kind((count, 1280), True) for count in (1, 52_428, 52_429, 419_430, 419_431)]
    assert kinds == ["flat", "flat", "ivf", "ivf", "opq-ivf-pq"]


def test_a_plan_fits_small_data_and_its_sample_fits_memory():
    for kind in KINDS[1:]:
        for count in (256, 3000, 10_000_000):
            plan = plan_index(kind, (count, 1280), 32)
            assert plan.num_cells * 39 <= plan.sample <= count or plan.num_cells in (0, 1)
            assert plan.sample * 1280 * 4 <= 256 << 20
    assert plan_index("pq", (1000, 30), 8).factory == "PQ6np"  # the most parts that divide 30


def test_codes_of_too_few_images_or_too_many_bytes_are_refused():
    check_kind("flat", (1, 1), 32)
    with pytest.raises(OptionError, match="256 images or more, but there are 255"):
        check_kind("pq", (255, 64), 32)
    with pytest.raises(OptionError, match="--code-bytes is 32; expected at most 16"):
        check_kind("opq-ivf-pq", (300, 16), 32)
