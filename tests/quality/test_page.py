"""The page: self-contained, escaped, with thumbnails."""

import re

from tests.quality.making import photo, photos, save
from tlkit.quality.check import check
from tlkit.quality.page import write_page


def test_page_shows_findings_with_thumbnails_and_loads_nothing(tmp_path):
    data = photos(tmp_path / "data", {"a": 5, "<b>": 5})
    save(photo(0), data / "<b>" / "x<script>.png")
    result = check(data, backbone="none")
    write_page(result, tmp_path / "check.html", "my <data>")
    page = (tmp_path / "check.html").read_text(encoding="utf-8")
    assert "my &lt;data&gt;" in page
    assert "<script" not in page
    assert "&lt;b&gt;/x&lt;script&gt;.png" in page
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert page.count("data:image/jpeg;base64,") == 2
    assert "default-src 'none'" in page
    assert "label-conflicts" in page
    assert "shortcuts" in page[page.index("Nothing found") :]
