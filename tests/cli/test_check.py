"""`tlkit check`: screen, JSON, page, copy, exit codes."""

import json

import pytest

from tests.cli.commands import refused, tlkit
from tests.quality.making import photo, photos, save


@pytest.fixture(scope="module")
def messy(tmp_path_factory):
    data = photos(tmp_path_factory.mktemp("check") / "my photos", {"a": 21, "b": 21})
    save(photo(3), data / "b" / "same.png")
    return data


def test_check_names_what_is_wrong_and_what_to_do(messy):
    done = tlkit("check", messy, "--backbone", "none")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("1 error  43 images, 2 classes")
    assert "label-conflicts" in lines
    assert "a/3.png and b/same.png are the same image" in " ".join(done.stdout.split())
    assert f"tlkit check '{messy}' -o check.html" in " ".join(done.stdout.replace("\\\n", "").split())


def test_check_json_is_what_programs_read(messy):
    content = json.loads(tlkit("check", messy, "--backbone", "none", "--json").stdout)
    assert [issue["check"] for issue in content["issues"]] == ["label-conflicts"]
    assert content["issues"][0]["paths"] == ["a/3.png", "b/same.png"]
    assert content["counts"]["label-conflicts"] == 1
    assert content["counts"]["leaks"] == 0


def test_check_strict_is_a_gate(messy, tmp_path):
    assert "--strict allows none" in refused(5, "check", messy, "--backbone", "none", "--strict")
    fine = photos(tmp_path / "fine", {"a": 21, "b": 21})
    assert tlkit("check", fine, "--backbone", "none", "--strict").exit_code == 0


def test_check_writes_page_and_copy_beside_the_data_only(messy, tmp_path):
    page, copy = tmp_path / "check.html", tmp_path / "clean"
    done = tlkit("check", messy, "--backbone", "none", "-o", page, "--fix", copy)
    assert done.exit_code == 0
    assert page.exists()
    assert len(list(copy.rglob("*.png"))) == 41
    assert "links to 41 images" in " ".join(done.stdout.split())
    assert "already exists" in refused(2, "check", messy, "--backbone", "none", "--fix", copy)
    assert "inside the image folder" in refused(2, "check", messy, "--backbone", "none", "-o", messy / "x.html")
