"""The wheel alone in a fresh environment: what it weighs, what works, and what each extra adds; needs a network."""

import sys

import pytest

from tests.install.environments import EXTRAS, ROOT, call, checked
from tests.light import NEEDS, NO_ENGINE, WORKS, sentence
from tests.write_commands import commands

pytestmark = pytest.mark.install
MAX_MEGABYTES = 250
PYTHONS = ("3.11", "3.12", "3.13")


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
    done = tlkit(python, NO_ENGINE[0], places, elsewhere)
    assert (done.returncode, done.stderr) == (4, NO_ENGINE[1])


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
