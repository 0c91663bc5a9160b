"""Checks of the installation."""

import importlib.metadata
import sys

import pytest

from tlkit.doctor.software import check_software, import_problem, requirements


def by_topic(findings):
    return {found.topic: found for found in findings}


def test_this_installation_works():
    findings = check_software()
    assert [found.state for found in findings if found.state == "problem"] == []
    found = by_topic(findings)
    assert found["tlkit"].text.startswith(importlib.metadata.version("tlkit"))
    for package in ("keras", "tensorflow", "numpy", "pillow"):
        assert f"{package} {importlib.metadata.version(package)}" in found["packages"].text
    assert f"litert {importlib.metadata.version('ai-edge-litert')} (default)" in found["engines"].text


def test_requirements_are_those_of_the_metadata():
    always = {item.name for item in requirements()}
    assert {"ai-edge-litert", "numpy", "pillow", "click"} <= always
    assert not always & {"keras", "tensorflow", "matplotlib", "openvino", "pytest"}
    assert {item.name for item in requirements("train")} >= {"keras", "tensorflow"}
    assert [item.name for item in requirements("openvino")] == ["openvino"]


@pytest.fixture
def metadata(monkeypatch):
    """Another version of tlkit's metadata."""

    def change(*lines, extras=()):
        monkeypatch.setattr(importlib.metadata, "requires", lambda name: list(lines))
        content = importlib.metadata.metadata("tlkit")
        del content["Provides-Extra"]
        for extra in extras:
            content["Provides-Extra"] = extra
        monkeypatch.setattr(importlib.metadata, "metadata", lambda name: content)

    return change


def test_old_and_missing_packages_are_a_problem_with_the_command_that_installs_them(metadata):
    metadata("numpy>=99.1", "no-such-package>=2", "pillow>=1", 'never-here; platform_system == "Nowhere"')
    found = by_topic(check_software())["packages"]
    assert (found.state, found.exit_code) == ("problem", 4)
    assert found.text.startswith(
        f"numpy {importlib.metadata.version('numpy')}, needed >=99.1; no-such-package is missing"
    )
    assert found.remedy == "pip install 'numpy>=99.1' 'no-such-package>=2'"


def test_an_old_optional_package_is_a_problem_and_a_missing_one_is_not(metadata):
    metadata('pillow>=99.1; extra == "heic"', 'no-such-package>=2; extra == "search"', extras=("heic", "search"))
    found = by_topic(check_software())
    assert (found["packages"].state, found["packages"].remedy) == ("problem", "pip install 'pillow>=99.1'")
    assert found["optional"].text == "not installed: no-such-package (search)"


def test_missing_extras_are_named_with_one_command(metadata):
    metadata(
        *('no-such-search; extra == "search"', 'no-such-table>=1; extra == "xlsx"', 'numpy; extra == "heic"'),
        *('no-such-tool; extra == "dev"', 'tlkit[search]; extra == "dev"'),
        extras=("search", "xlsx", "heic", "dev"),
    )
    found = by_topic(check_software())["optional"]
    assert found.text == "not installed: no-such-search (search), no-such-table (xlsx)"
    assert (found.state, found.remedy) == ("ok", "pip install 'tlkit[search,xlsx]'")


def test_library_that_cannot_be_loaded_gives_its_reason(tmp_path, monkeypatch):
    (tmp_path / "broken_library.py").write_text("raise OSError('libmissing.so: cannot open shared object\\nmore')")
    monkeypatch.syspath_prepend(tmp_path)
    assert import_problem("broken_library") == "libmissing.so: cannot open shared object"
    assert "broken_library" not in sys.modules
    assert import_problem("json") == import_problem("") == import_problem("no_such_library") == ""
