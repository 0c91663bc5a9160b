"""The contact sheet of queries."""

import io

import numpy as np
from PIL import Image

from tlkit.search.query import Match, QueryResult
from tlkit.search.sheet import SIDE, draw_matches


def test_a_sheet_shows_the_query_and_what_was_found(colors, tmp_path):
    matches = tuple(Match(f"{name}/0.png", str(colors), name, 0.1) for name in ("red", "blue"))
    results = [QueryResult(str(colors / "green/0.png"), matches), QueryResult("missing.png", (), "does not exist")]
    sheets = [Image.open(io.BytesIO(draw_matches(results, may_read))) for may_read in (True, False)]
    pixels = np.asarray(sheets[0].convert("RGB"), int)

    def near(color):
        """Count the pixels of about a color."""
        return int((np.abs(pixels - color).max(axis=2) < 60).sum())

    from tests.conftest import COLORS

    for name in ("red", "blue", "green"):
        assert near(COLORS[name]) > SIDE * SIDE // 2, name
    assert sheets[0].size == sheets[1].size
    assert np.asarray(sheets[1], int)[30:100, 170:].std() < np.asarray(sheets[0], int)[30:100, 170:].std()
