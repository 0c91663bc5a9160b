"""A small sample of `make fuzz`, in the fast suite: what every command does with absurd values."""

import sys

import pytest

from tests.fuzz import BASES, ENDLESS, FAILED, VALUES, cases, find_command, run_case, table
from tlkit.cli import main

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="cases are stopped by SIGALRM")
QUICK = ("runs", "cache", "predict", "evaluate")  # that refuse most values at once
EVERY = 9  # case that is tried


@pytest.fixture
def folder(tmp_path, monkeypatch, colors, run, classic_run):
    for name, target in (("photos", colors), ("net", run.path), ("classic", classic_run.path)):
        (tmp_path / name).symlink_to(target)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TLKIT_DEBUG", "1")


def test_bases_are_of_every_command():
    assert {base[0] for base in (*BASES, *ENDLESS)} == set(main.commands)


def test_cases_have_every_value_of_every_option():
    tried = {words[-2:] for words in cases([("evaluate", "net", "photos")])}
    options = find_command(("evaluate",))[0].params
    with_value = [item.opts[-1] for item in options if item.param_type_name == "option" and not item.is_flag]
    assert "--top-k" in with_value
    assert {(name, value) for name in with_value for value in VALUES.values()} <= tried


def test_commands_end_in_a_sentence_whatever_the_values(folder):
    tried = list(cases([base for base in BASES if base[0] in QUICK]))[::EVERY]
    long_paths = [("finetune", "x" * 5000), ("train", "--resume", "x" * 5000), ("summary", "x/" + "x" * 5000)]
    long_paths += [("finetune", "photos", "--from", "x" * 5000), ("finetune", "photos", "--epochs", str(10**30))]
    rows = [run_case(words) for words in (*tried, *long_paths)]
    assert [(row["words"], row["said"], row.get("trace")) for row in rows if row["outcome"] in FAILED] == []
    assert {row["outcome"] for row in rows[-len(long_paths) :]} == {"2", "3", "4"}
    assert table(rows).splitlines()[-1].startswith(f"| all | {len(rows)} |")
