"""The page of a run in a browser: on a screen, in the dark, on a phone and on paper."""

import pytest

from tests.web.conftest import CLASSES, FILES, SETTINGS
from tlkit.utils.text import distinct_names, escape_control_chars

pytestmark = pytest.mark.web

NAMES = ["without mistakes", "classic", "hostile", "several"]


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_quiet_fetches_nothing_and_fits(opened, pages, name, setting):
    with opened(pages[name], setting) as found:
        found.page.wait_for_timeout(200)
        assert found.complaints == []
        assert found.fetched == []
        width = found.page.evaluate("document.documentElement.scrollWidth")
        assert width <= SETTINGS[setting]["viewport"]["width"]


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_accessible(opened, pages, axe, name, setting):
    with opened(pages[name], setting, bypass_csp=True) as found:
        found.page.evaluate(axe)
        violations = found.page.evaluate("axe.run()")["violations"]
        serious = [
            (item["id"], item["nodes"][0]["html"][:200])
            for item in violations
            if item["impact"] in ("serious", "critical")
        ]
        assert serious == []


@pytest.mark.parametrize("name", NAMES)
def test_every_image_is_shown(opened, pages, name):
    with opened(pages[name]) as found:
        broken = "[...document.images].filter(image => !(image.complete && image.naturalWidth > 0)).length"
        assert name == "several" or found.page.evaluate("document.images.length") > 3
        assert found.page.evaluate(broken) == 0


def test_hostile_names_are_text_and_nothing_runs(opened, pages):
    with opened(pages["hostile"]) as found:
        text = found.page.inner_text("main")
        for name in distinct_names(CLASSES):
            assert name in text
        for button in found.page.query_selector_all("#matrix button, .legend button"):
            button.click()
            text += found.page.inner_text("#cell-gallery")
        for name in FILES:
            assert escape_control_chars(name) in text
        found.page.focus("#map-chart")
        found.page.keyboard.press("ArrowRight")
        assert found.page.evaluate("window.ran") is None
        assert found.page.evaluate("document.scripts.length") == 2
        assert found.complaints == []


def test_markup_that_got_into_the_page_could_not_run(opened, pages):
    with opened(pages["hostile"]) as found:
        found.page.evaluate(
            "document.querySelector('main').insertAdjacentHTML('beforeend',"
            " '<img src=x onerror=window.ran=1><b onclick=window.ran=1 id=added style=color:red>b</b>')"
        )
        found.page.wait_for_timeout(200)
        found.page.click("#added", force=True)
        assert found.page.evaluate("window.ran") is None
        assert any("Content Security Policy" in words for words in found.complaints)


def test_a_cell_shows_its_images_by_pointer_and_by_keyboard(opened, pages):
    with opened(pages["hostile"]) as found:
        buttons = found.page.query_selector_all("#matrix button")
        for button in buttons:
            button.focus()
            found.page.keyboard.press("Enter")
            count = int(button.inner_text())
            assert len(found.page.query_selector_all("#cell-gallery img")) == min(count, 24)
            assert found.page.inner_text("#cell-words").startswith(f"{count} of ")
            assert button.get_attribute("aria-pressed") == "true"
        pressed = found.page.query_selector_all("#matrix button[aria-pressed=true]")
        assert len(pressed) == 1


def test_the_map_shows_the_image_below_the_pointer(opened, pages):
    with opened(pages["hostile"]) as found:
        dot = found.page.query_selector_all("#map-chart circle[data-index]")[-1]
        dot.scroll_into_view_if_needed()
        box = dot.bounding_box()
        found.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert found.page.query_selector("#map-image img") is not None
        shown = found.page.inner_text("#map-image")
        found.page.focus("#map-chart")
        found.page.keyboard.press("ArrowLeft")
        assert found.page.inner_text("#map-image") != shown
        found.page.click(".legend button")
        assert found.page.query_selector_all("#map-chart circle.dim")
        found.page.click(".legend button")
        assert not found.page.query_selector_all("#map-chart circle.dim")


def test_the_dark_page_is_dark_and_paper_is_white(opened, pages):
    ground = "getComputedStyle(document.body).backgroundColor"
    with opened(pages["classic"], "light") as found:
        assert found.page.evaluate(ground) == "rgb(255, 255, 255)"
    with opened(pages["classic"], "dark") as found:
        red, green, blue = (int(part) for part in found.page.evaluate(ground)[4:-1].split(","))
        assert max(red, green, blue) < 40
        found.page.emulate_media(media="print", color_scheme="dark")
        assert found.page.evaluate(ground) == "rgb(255, 255, 255)"
        assert not found.page.is_visible("nav")


@pytest.mark.parametrize("name", NAMES)
def test_a_page_prints_without_what_only_a_screen_needs(opened, pages, name):
    with opened(pages[name]) as found:
        paper = found.page.pdf(format="A4")
        assert paper.startswith(b"%PDF")
        found.page.emulate_media(media="print")
        found.page.set_viewport_size({"width": 700, "height": 1000})  # the text of A4
        assert found.page.evaluate("document.documentElement.scrollWidth") <= 700
        assert not found.page.is_visible("nav")
        assert not found.page.is_visible(".legend")


def test_a_table_sorts_by_the_column_that_is_chosen(opened, pages):
    with opened(pages["several"]) as found:
        times = "[...document.querySelectorAll('.runs tbody tr')].map(row => Number(row.cells[6].dataset.value))"
        header = found.page.locator(".runs th", has_text="time")
        for _ in range(2):
            header.locator("button").click()
            order = header.get_attribute("aria-sort")
            values = found.page.evaluate(times)
            assert values == sorted(values, reverse=order == "descending")
        assert len(found.page.query_selector_all(".runs th[aria-sort]")) == 1
