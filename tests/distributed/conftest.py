"""One cluster of this machine for the tests of this folder: starting one takes seconds."""

from collections.abc import Iterator

import pytest

from tlkit.distributed.ray_cluster import RayWorkers


@pytest.fixture(scope="package")
def cluster() -> Iterator[RayWorkers]:
    """Two workers; a command with `--on ray` in this process uses them, too."""
    pytest.importorskip("ray")
    workers = RayWorkers(2)
    assert workers.count == 2
    yield workers
    workers.close()
