from dataclasses import replace

from PIL import Image

from tests.comparison.test_recommendation import MAJORITY, result
from tlkit.comparison.recommendation import recommend
from tlkit.comparison.report import draw_comparison, table_lines
from tlkit.comparison.results import CandidateResult


def test_table_lines_show_every_candidate_and_mark_the_best():
    chance = CandidateResult("chance", "any class", "baseline", 0.25)
    lines = table_lines(
        [chance, MAJORITY, result("small", 300), replace(result("large", 380), selected_on_validation=True)]
    )
    assert len(lines) == 5
    assert len({line.index("0.") for line in lines[1:]}) == 1  # in columns
    assert "best" in lines[4]
    assert "0.950*" in lines[4]
    assert "-20.0 points" in lines[3]
    assert "< 0.001" in lines[3]
    assert lines[1].split() == ["any", "class", "0.250"]


def test_draw_comparison_takes_any_names(tmp_path):
    results = [MAJORITY, result("small $x$ \x1b", 3), result("x" * 60, 400)]
    draw_comparison(results, recommend(results), "photos_of $things$", tmp_path / "compare.png")
    with Image.open(tmp_path / "compare.png") as image:
        colors = image.convert("RGB").getcolors(1 << 24)
        assert image.width > 1000
    assert len(colors) > 50
