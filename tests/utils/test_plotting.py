"""Figures as files."""

import pytest
from PIL import Image

from tlkit.errors import OptionError
from tlkit.utils.plotting import FONT, fonts_for, save_figure, save_new_figure


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


def font_file(file, family, text):
    """Write a font of squares."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    names = {ord(character): f"g{number}" for number, character in enumerate(text)}
    pen = TTGlyphPen(None)
    for move, point in ((pen.moveTo, (0, 0)), (pen.lineTo, (0, 800)), (pen.lineTo, (800, 800)), (pen.lineTo, (800, 0))):
        move(point)
    pen.closePath()
    square = pen.glyph()
    glyphs = [".notdef", *names.values()]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(glyphs)
    builder.setupCharacterMap(names)
    builder.setupGlyf(dict.fromkeys(glyphs, square))
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (900, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(usWeightClass=400)
    builder.setupPost()
    builder.save(file)
    return file


def test_names_are_written_with_installed_fonts_that_have_their_characters(tmp_path, monkeypatch):
    from matplotlib import font_manager, rcParams

    with fonts_for(["\u00dcbung", "cat"]) as missing:
        assert missing == set()
        assert rcParams["font.family"] == [FONT]
    with fonts_for(["\U000f1234\U000f1235"]) as missing:
        assert missing == {"\U000f1234", "\U000f1235"}
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [*font_manager.fontManager.ttflist])
    font_manager.fontManager.addfont(font_file(tmp_path / "squares.ttf", "Test Squares", "\U000f1234"))
    with fonts_for(["\U000f1234\U000f1235"]) as missing:
        assert missing == {"\U000f1235"}
        assert rcParams["font.family"] == [FONT, "Test Squares"]
    assert rcParams["font.family"] != [FONT, "Test Squares"]


def test_an_unreadable_font_has_no_characters(tmp_path, monkeypatch):
    from matplotlib.font_manager import FontEntry, fontManager

    (tmp_path / "broken.ttf").write_bytes(b"no font")
    broken = FontEntry(str(tmp_path / "broken.ttf"), 0, "Broken", "normal", "normal", 400, "normal", "scalable")
    monkeypatch.setattr(fontManager, "ttflist", [*fontManager.ttflist, broken])
    with fonts_for(["\U000f1234"]) as missing:
        assert missing == {"\U000f1234"}
