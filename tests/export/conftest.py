"""One export of a small run, which many tests read."""

import pytest

from tests.shared_runs import make_once


@pytest.fixture(scope="session")
def exported(finetuned_run, tmp_path_factory):
    """The LiteRT export of a head on a frozen backbone."""
    from tlkit.export.export import export_run

    return make_once(tmp_path_factory, "exported", lambda folder: export_run(finetuned_run, folder / "litert"))
