"""The wheel alone in a fresh environment: what it weighs, what works, and what each extra adds; needs a network."""

import os
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.light import NEEDS, WORKS, sentence
from tests.write_commands import commands

pytestmark = pytest.mark.install
ROOT = Path(__file__).parents[2]
MAX_MEGABYTES = 250
PYTHONS = ("3.11", "3.12", "3.13")
SETUP = ConfigParser()
SETUP.read(ROOT / "setup.cfg")
EXTRAS = SETUP["options.extras_require"]


def call(*words, timeout=600, **options):
    """Run a program, and give how it ended."""
    words = list(map(str, words))
    return subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False, **options)


def checked(*words, **options):
    """Run a program that must end well, and give what it prints."""
    done = call(*words, **options)
    assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def environment(folder, *packages):
    """Make an environment with some packages, and give its interpreter."""
    checked(sys.executable, "-m", "venv", folder)
    checked(folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages)
    return folder / "bin/python"


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


def tlkit(python, line, places, elsewhere):
    words = [word.format(**places) for word in line.split()]
    return call(python, "-m", "tlkit", *words, env=elsewhere, cwd=places["out"].parent)


def test_the_light_install_has_no_heavy_package_and_fits(python, record_property):
    installed = {line.partition("==")[0].lower() for line in checked(python, "-m", "pip", "freeze").splitlines()}
    assert not installed & {"tensorflow", "keras", "pyarrow", "scikit-learn", "scipy", "matplotlib", "h5py", "pandas"}
    folder = checked(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    megabytes = int(checked("du", "-sk", folder).split()[0]) / 1024
    record_property("megabytes", megabytes)
    print(f"\nsite-packages: {megabytes:.0f} MB with {', '.join(sorted(installed))}")
    assert megabytes <= MAX_MEGABYTES
    assert checked(python, "-m", "pip", "check").startswith("No broken requirements")


def test_what_predicts_works_on_runs_from_another_machine(python, places, elsewhere):
    failed = {}
    for line in WORKS:
        done = tlkit(python, line, places, elsewhere)
        if done.returncode:
            failed[line] = done.stderr
    assert failed == {}


def test_predictions_are_those_of_the_full_install(python, places, elsewhere, tmp_path):
    for name in ("run", "blocks", "classic"):
        words = ["-m", "tlkit", "predict", places[name], places["data"], "--probs", "--format", "csv"]
        light = checked(python, *words, env=elsewhere, cwd=tmp_path)
        assert light == checked(sys.executable, *words, env=elsewhere | {"PYTHONPATH": str(ROOT)}, cwd=tmp_path)
        assert len(light.splitlines()) == 37


def test_every_command_has_its_help(python, elsewhere, tmp_path):
    for words in commands():
        page = checked(python, "-m", "tlkit", *words, "--help", env=elsewhere, cwd=tmp_path)
        assert page.startswith(f"Usage: python -m tlkit {' '.join(words)}".rstrip())


def test_commands_that_need_more_say_so_in_a_sentence(python, places, elsewhere):
    wrong = {}
    for line, missing in NEEDS.items():
        done = tlkit(python, line, places, elsewhere)
        if done.returncode != 4 or not done.stderr.endswith(sentence(*missing) + "\n"):
            wrong[line] = (done.returncode, done.stderr)
    assert wrong == {}


@pytest.mark.parametrize("extra", EXTRAS)
def test_every_extra_resolves_here(python, wheel, extra):
    options = ("--dry-run", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:")
    checked(python, "-m", "pip", "install", *options, f"tlkit[{extra}] @ {wheel.as_uri()}")


@pytest.mark.parametrize("version", PYTHONS)
@pytest.mark.parametrize("platform", ["linux", "macos", "windows"])
def test_every_extra_resolves_elsewhere(tools, wheel, version, platform):
    options = ("--python-version", version, "--python-platform", platform, "--only-binary", ":all:", "--quiet")
    found = checked(tools, "-m", "uv", "pip", "compile", *options, "-", input=f"tlkit[all] @ {wheel.as_uri()}")
    assert "tensorflow==" in found
