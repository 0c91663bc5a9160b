"""Without any optional package: what predicts works, and what needs more says which extra; `tests/install` installs."""

import json
import subprocess
import sys
from importlib import import_module

import pytest

from tests.light import HEAVY, NEEDS, NEEDS_OF_OWN_RUNS, NO_ENGINE, WORKS, sentence
from tests.shared_runs import copy_foreign_run
from tlkit.errors import ModelError, naming_extras

RUN_ALL = """
import contextlib, io, json, sys
sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))  # an import of one of them fails, as if it were not there
from tlkit.cli import main
for words in json.loads(sys.argv[2]):
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            code = main.main(words, prog_name="tlkit")
        except SystemExit as end:
            code = end.code
    print(json.dumps([code, errors.getvalue()]), flush=True)
"""


def run_without_extras(lines, **names):
    """Run commands in a child in which no optional package can be imported: exit code and messages of each."""
    words = [[word.format(**names) for word in line.split()] for line in lines]
    command = [sys.executable, "-c", RUN_ALL, json.dumps(HEAVY), json.dumps(words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == len(words), done.stderr
    return dict(zip(lines, results, strict=True))


@pytest.fixture(scope="module")
def places(finetuned_run, blocks_run, scratch_run, classic_run, colors, tmp_path_factory):
    runs = {
        "run": finetuned_run.path,
        "blocks": blocks_run.path,
        "scratch": scratch_run.path,
        "classic": classic_run.path,
    }
    return runs | {"data": colors, "image": colors / "red" / "0.png", "out": tmp_path_factory.mktemp("out")}


def test_what_predicts_works_without_an_optional_package(places):
    results = run_without_extras(WORKS, **places)
    assert {line: found for line, found in results.items() if found[0]} == {}
    assert (places["out"] / "report.html").stat().st_size > 10_000


def test_commands_that_need_more_name_the_extra_and_leave_nothing(places):
    expected = NEEDS | NEEDS_OF_OWN_RUNS
    before = sorted(places["out"].rglob("*"))
    results = run_without_extras(expected, **places)
    wrong = {
        line: found
        for line, found in results.items()
        if found[0] != 4 or not found[1].endswith(sentence(*expected[line]) + "\n")
    }
    assert wrong == {}
    assert sorted(places["out"].rglob("*")) == before


def test_an_engine_that_is_missing_has_its_sentence_also_for_runs_from_elsewhere(places, finetuned_run, tmp_path):
    foreign = copy_foreign_run(finetuned_run, tmp_path).path
    for run in (places["run"], foreign):
        assert run_without_extras([NO_ENGINE[0]], **places | {"run": run}) == {NO_ENGINE[0]: [4, NO_ENGINE[1]]}


def test_public_names_say_what_they_need():
    code = (
        "import json, sys; sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))\n"
        "import tlkit\n"
        "from tlkit import *\n"
        "assert finetune is tlkit.finetune\n"
        "assert len(tlkit.__all__) == len({*tlkit._MODULE_OF, 'testing'}) - 3\n"
        "for name in (*tlkit._MODULE_OF, 'testing'):\n"
        "    try:\n        getattr(tlkit, name)\n"
        "    except tlkit.ModelError as error:\n        print(error)\n"
        "calls = {'finetune': 'photos', 'train_classic': 'photos', 'visualize': 'mobilenet_v2'}\n"
        "for name, given in calls.items():\n"
        "    try:\n        getattr(tlkit, name)(given)\n"
        "    except tlkit.ModelError as error:\n        print(error)\n"
    )
    command = [sys.executable, "-c", code, json.dumps(HEAVY)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = done.stdout.splitlines()
    train, keras = sentence("TensorFlow", "train"), sentence("Keras", "train")
    assert set(found[:-3]) == {
        f"tlkit.testing{keras}",
        *(name + sentence("scikit-learn", "estimator") for name in ("FeatureExtractor", "ImageClassifier")),
    }
    assert [line[line.index(" needs ") :] for line in found[-3:]] == [train, sentence("scikit-learn", "classic"), train]


def test_only_a_missing_optional_package_becomes_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ModelError) as raised, naming_extras("this"):
        import faiss  # noqa: F401
    assert str(raised.value) == "this" + sentence("faiss", "search")
    for name in ("no_such_module", "json.no_such_module", "matplotlib.no_such_module"):  # the last: a damaged package
        with pytest.raises(ModuleNotFoundError, match="no_such_module"), naming_extras("this"):
            import_module(name)
