"""An index of the colors by their pixels, made once."""

import importlib.util

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Small work of FAISS is slower in several threads where others work, too."""
    if importlib.util.find_spec("faiss") is None:
        yield
        return
    import faiss

    count = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(count)


@pytest.fixture(scope="session")
def pixel_index(colors, tmp_path_factory):
    """A flat index, to be read only."""
    from tlkit.search.build import index_images

    path = tmp_path_factory.mktemp("index") / "colors.index"
    return index_images(colors, path, descriptor="pixels", seed=1).index


@pytest.fixture
def own_copy(pixel_index, tmp_path):
    """A copy of it that a test may change, which this machine made too."""
    import shutil

    return shutil.copytree(pixel_index.path, tmp_path / "copy.index")


@pytest.fixture
def foreign_copy(own_copy):
    """A copy of it that this machine did not make."""
    with (own_copy / "index.json").open("a") as file:
        file.write(" ")
    return own_copy
