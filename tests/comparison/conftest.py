import pytest

from tlkit.comparison.compare import compare
from tlkit.settings.commands import CompareSettings

REAL = CompareSettings(only="chance,majority,colors,classic")


@pytest.fixture(scope="package", autouse=True)
def quickly():
    """`--descriptor auto` among two that are quick."""
    from tlkit.training import classic

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classic, "CANDIDATES", ("hog", "histogram"))
        yield


@pytest.fixture(scope="package")
def finished(colors, tmp_path_factory, quickly):
    """A real comparison, to be read only."""
    pytest.importorskip("sklearn")
    pytest.importorskip("skimage")
    return compare(colors, tmp_path_factory.mktemp("comparison") / "run", REAL)
