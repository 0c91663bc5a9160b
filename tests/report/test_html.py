"""Templates: nothing but their own script and style can run, and only tlkit's own page is replaced."""

import base64
import hashlib
import os
import re

import pytest

from tlkit.errors import OptionError
from tlkit.report.html import MARK, check_replaceable, percent, replace_page


def test_the_policy_has_the_hash_of_each_inline_script_and_style(page_html):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page_html)[1].replace("&#39;", "'")
    assert "default-src 'none'" in policy
    assert "base-uri 'none'" in policy
    assert "unsafe" not in policy
    for name, tag in (("script-src", "<script>"), ("style-src", "<style>")):
        content = page_html.split(tag)[1].split(tag.replace("<", "</"))[0]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in policy


def test_a_page_has_no_attribute_that_a_policy_with_hashes_forbids(page_html):
    assert re.findall(r"<[^>]+\s(?:style|on\w+)=", page_html.split("<script")[0]) == []


def test_only_a_page_of_tlkit_is_replaced(tmp_path):
    file = tmp_path / "report.html"
    replace_page(file, f"<head>{MARK}")
    replace_page(file, f"<head>{MARK} again")
    assert file.read_text().endswith("again")
    own = tmp_path / "own.html"
    own.write_text("<p>thesis about tlkit report")
    (tmp_path / "link.html").symlink_to(file)
    os.mkfifo(tmp_path / "pipe.html")
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "broken.html").symlink_to("nowhere")
    for name in ("own", "link", "pipe", "folder", "broken"):
        with pytest.raises(OptionError, match="not a page that tlkit wrote; choose another file with -o"):
            check_replaceable(tmp_path / f"{name}.html")
    assert own.read_text().startswith("<p>thesis")


def test_percentages_are_never_rounded_to_all():
    assert percent(0.9999) == "99.9 %"
    assert percent(1.0) == "100.0 %"
