"""What is released: the sdist and the wheel have every file, and their description can be shown."""

import tarfile
import zipfile

import pytest

from tests.install.environments import ROOT, checked

pytestmark = pytest.mark.install


def tracked(folder):
    """List the files of a folder that git knows."""
    names = checked("git", "ls-files", "-z", folder, cwd=ROOT).split("\0")[:-1]
    return {name for name in names if (ROOT / name).is_file()}


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == tracked("tlkit")


def test_the_source_distribution_can_be_tested_and_documented(built):
    [file] = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = tracked(".") - {name for name in tracked(".") if name.startswith(".")}
    assert needed - names == set()


def test_the_description_can_be_shown(tools, built):
    files = sorted(built.iterdir())
    assert len(files) == 2
    printed = checked(tools, "-m", "twine", "check", "--strict", *files)
    assert printed.count("PASSED") == 2
