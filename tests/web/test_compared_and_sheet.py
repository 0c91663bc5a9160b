"""The page of a comparison and the contact sheet in a browser."""

import shutil

import pytest

from tests.shared_runs import make_once
from tests.web.conftest import CLASSES, FILES, SETTINGS
from tlkit import predict, write_sheet
from tlkit.report.compared import ComparedImages, ComparedModel, make_comparison_page
from tlkit.utils.text import distinct_names, escape_control_chars, shorten_middle

pytestmark = pytest.mark.web


@pytest.fixture(scope="session")
def other_pages(hostile_run, comparison, tmp_path_factory):
    """A sheet of images with hostile names, a comparison of models with such names, and a real one."""
    images = hostile_run.read_settings()["data"]

    def make(folder):
        write_sheet(predict(hostile_run, images), folder / "sheet.html")
        costs = (("1 s", 1.0), ("10", 10.0), ("1 MB", 1e6))
        models = [ComparedModel(name, "baseline", 0.1 * n, (0.0, 0.9)) for n, name in enumerate(CLASSES)]
        models += [ComparedModel(f"{name} 2", name, 0.5, (0.4, 0.6), hostile_run, name, costs) for name in CLASSES]
        page = make_comparison_page(
            models, ComparedImages(CLASSES[0], hostile_run.path), CLASSES[1], f"{CLASSES[2]} 2", CLASSES
        )
        (folder / "hostile.html").write_text(page, encoding="utf-8")
        shutil.copy(comparison.run.path / "compare.html", folder / "comparison.html")
        return folder

    return make_once(tmp_path_factory, "other-pages", make)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", ["sheet", "hostile", "comparison"])
def test_a_page_is_quiet_fits_and_is_accessible(opened, other_pages, axe, name, setting):
    file = other_pages / f"{name}.html"
    with opened(file, setting) as found:
        found.page.wait_for_timeout(100)
        assert found.complaints == []
        assert found.fetched == []
        width = found.page.evaluate("document.documentElement.scrollWidth")
        assert width <= SETTINGS[setting]["viewport"]["width"]
        assert found.page.evaluate("window.ran") is None
    with opened(file, setting, bypass_csp=True) as found:
        found.page.evaluate(axe)
        violations = found.page.evaluate("axe.run()")["violations"]
        assert [item["id"] for item in violations if item["impact"] in ("serious", "critical")] == []


def test_hostile_names_on_a_sheet_are_text(opened, other_pages):
    with opened(other_pages / "sheet.html") as found:
        shown = found.page.inner_text("main")
        titles = found.page.eval_on_selector_all("figcaption", "all => all.map(item => item.title)")
        for name in FILES:
            assert shorten_middle(escape_control_chars(f"0{name}"), 32) in shown
            assert any(title.endswith(escape_control_chars(f"0{name}")) for title in titles)
        headings = found.page.eval_on_selector_all("h2 bdi", "all => all.map(item => item.textContent)")
        assert set(headings) <= {*distinct_names(CLASSES), "unknown", "unreadable"}
        assert len(headings) > 1
        assert found.page.evaluate("document.scripts.length") == 0


def test_the_table_of_a_comparison_sorts_by_numbers_and_by_names(opened, other_pages):
    with opened(other_pages / "comparison.html") as found:

        def column(index):
            return found.page.eval_on_selector_all(
                "table.sortable tbody tr", f"rows => rows.map(row => row.cells[{index}].textContent)"
            )

        accuracy = [float(text.replace("\xa0%", "")) for text in column(2)]
        found.page.click("th:nth-child(3) button")
        assert [float(text.replace("\xa0%", "")) for text in column(2)] == sorted(accuracy, reverse=True)
        found.page.click("th:nth-child(3) button")
        assert [float(text.replace("\xa0%", "")) for text in column(2)] == sorted(accuracy)
        assert found.page.get_attribute("th:nth-child(3)", "aria-sort") == "ascending"
        names = column(0)
        found.page.click("th:nth-child(1) button")
        assert column(0) == sorted(names, key=str.casefold, reverse=True)


@pytest.mark.parametrize("name", ["sheet", "hostile", "comparison"])
def test_a_page_fits_on_paper(opened, other_pages, name):
    with opened(other_pages / f"{name}.html") as found:
        found.page.emulate_media(media="print")
        found.page.set_viewport_size({"width": 700, "height": 1000})  # the text of A4
        assert found.page.evaluate("document.documentElement.scrollWidth") <= 700
