import pytest

from tests.report.making import Page


@pytest.fixture(scope="session")
def page_html(finetuned_run):
    """The page that a training wrote."""
    return (finetuned_run.path / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def page(page_html):
    """The elements of that page."""
    return Page(page_html)
