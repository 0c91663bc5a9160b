"""The release, and an environment with the wheel alone."""

import os
import shutil

import pytest

from tests.install.environments import EXTRAS, ROOT, checked, environment


@pytest.fixture(scope="session")
def tools(tmp_path_factory):
    """The interpreter of an environment with what builds and checks a release."""
    return environment(tmp_path_factory.mktemp("tools"), *EXTRAS["release"].split("\n")[1:])


@pytest.fixture(scope="session")
def built(tools, tmp_path_factory):
    """The folder of the sdist and of the wheel that is made from it, of the files that git knows."""
    source = tmp_path_factory.mktemp("source")
    for name in checked("git", "ls-files", "-z", cwd=ROOT).split("\0")[:-1]:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    checked(tools, "-m", "build", source)
    return source / "dist"


@pytest.fixture(scope="session")
def wheel(built):
    return next(built.glob("*.whl"))


@pytest.fixture(scope="session")
def python(wheel, tmp_path_factory):
    """The interpreter of an environment with nothing but the wheel and what it requires."""
    return environment(tmp_path_factory.mktemp("light"), wheel)


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory):
    """An environment in which no run was made, so that every run comes from another machine."""
    hidden = ("PYTHONPATH", "KERAS_HOME")
    own = {"TLKIT_CACHE": str(tmp_path_factory.mktemp("cache")), "HOME": str(tmp_path_factory.mktemp("home"))}
    return {name: value for name, value in os.environ.items() if name not in hidden} | own


@pytest.fixture(scope="session")
def places(finetuned_run, blocks_run, classic_run, colors, tmp_path_factory):
    root = tmp_path_factory.mktemp("places")
    runs = {"run": finetuned_run, "blocks": blocks_run, "classic": classic_run}
    copies = {name: shutil.copytree(run.path, root / name) for name, run in runs.items()}
    (root / "out").mkdir()
    return copies | {"data": colors, "image": colors / "red" / "0.png", "out": root / "out"}
