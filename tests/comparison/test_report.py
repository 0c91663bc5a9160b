from PIL import Image

from tests.comparison.test_recommendation import MAJORITY, result
from tlkit.comparison.recommendation import recommend
from tlkit.comparison.report import axis_start, draw_comparison


def test_draw_comparison_takes_any_names(tmp_path):
    results = [MAJORITY, result("small $x$ \x1b", 3), result("x" * 60, 400)]
    draw_comparison(results, recommend(results), "photos_of $things$", tmp_path / "compare.png")
    with Image.open(tmp_path / "compare.png") as image:
        colors = image.convert("RGB").getcolors(1 << 24)
        assert image.width > 1000
    assert len(colors) > 50


def test_axis_start_leaves_room_for_the_lowest_and_no_more():
    assert axis_start([MAJORITY, result("linear", 3)]) == 0.0
    high = [result("a", 380), result("b", 399)]
    assert 0.6 <= axis_start(high) < min(item.interval[0] for item in high)
