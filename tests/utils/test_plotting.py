"""Figures as files."""

import pytest
from PIL import Image

from tlkit.errors import OptionError
from tlkit.utils.plotting import save_figure, save_new_figure


@pytest.fixture
def figure():
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(2, 1))
    drawn.add_subplot().plot([1, 2, 3])
    return drawn


def test_save_figure_makes_its_folder_and_replaces_an_older_one(figure, tmp_path):
    for _ in range(2):
        save_figure(figure, tmp_path / "plots" / "a.png")
    with Image.open(tmp_path / "plots" / "a.png") as image:
        assert (image.format, image.size) == ("PNG", (240, 120))
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["a.png"]


def test_save_new_figure_replaces_nothing(figure, tmp_path):
    save_new_figure(figure, tmp_path / "a.png")
    before = (tmp_path / "a.png").stat()
    with pytest.raises(OptionError, match="already exists"):
        save_new_figure(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_save_figure_that_fails_leaves_the_old_one(figure, tmp_path):
    (tmp_path / "a.png").write_bytes(b"old")
    figure.savefig = None
    with pytest.raises(TypeError):
        save_figure(figure, tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"old"
