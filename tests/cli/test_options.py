"""Options made from settings, help pages made from their groups, and --resume."""

import json
from dataclasses import dataclass, fields
from typing import Literal

import click
import pytest
from click.testing import CliRunner

from tlkit.cli import main
from tlkit.cli.help import GROUPS, GroupedCommand
from tlkit.cli.options import explicit_options, options_from, output_option
from tlkit.settings.base import setting, to_json
from tlkit.settings.training import FinetuneSettings


@dataclass(frozen=True, kw_only=True)
class ToySettings:
    """A setting of each kind."""

    epochs: int = setting(3, "Main", "Passes.", min=1, max=9)
    rate: float | None = setting(None, "Optimizer", "Step size.", above=0, below=1)
    kind: Literal["a", "b"] = setting("a", "Main", "One of two.")
    flip: bool | None = setting(None, "Augmentation", "Mirror, or not.")
    norm: bool = setting(True, "Head", "Standardize.")
    fast: bool = setting(False, "Speed", "Hurry.")
    from_run: str = setting("", "Run", "A run.")


@pytest.fixture
def toy():
    """A command that keeps what it was called with."""
    called = {}

    @click.command(cls=GroupedCommand)
    @options_from(ToySettings)
    def command(settings):
        called["settings"] = settings
        called["typed"] = explicit_options()

    def run(*args):
        done = CliRunner().invoke(command, args)
        return done, called.get("settings"), called.get("typed")

    return run


def test_options_from_has_the_defaults_of_the_settings(toy):
    done, settings, typed = toy()
    assert done.exit_code == 0
    assert settings == ToySettings()
    assert typed == []


def test_options_from_passes_what_is_typed(toy):
    typed = ["--epochs", "5", "--rate", "0.5", "--kind", "b", "--no-flip", "--no-norm", "--fast", "--from", "x"]
    _, settings, names = toy(*typed)
    assert settings == ToySettings(epochs=5, rate=0.5, kind="b", flip=False, norm=False, fast=True, from_run="x")
    assert set(names) == {item.name for item in fields(ToySettings)}


def test_options_from_refuses_values_beyond_their_limits(toy):
    for args in (("--epochs", "0"), ("--epochs", "10"), ("--rate", "0"), ("--rate", "1"), ("--kind", "c")):
        done, _, _ = toy(*args)
        assert done.exit_code == 2, args
        assert args[0] in done.stderr
    assert "--no-fast" in toy("--no-fast")[0].stderr


def test_help_page_has_groups_in_their_order(toy):
    lines = toy("--help")[0].stdout.splitlines()
    heads = [line.removesuffix(" options:") for line in lines if line.endswith(" options:")]
    assert heads[:-1] == [name for name in GROUPS if name in heads]  # last come click's own
    assert heads[-1] == "Other"
    assert set(heads) >= {"Main", "Run", "Augmentation", "Head", "Optimizer", "Speed"}


def test_output_option_takes_the_next_free_name_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    @click.command()
    @output_option("File.", default="sheet.png")
    def command(output):
        click.echo(output)

    for expected in ("sheet.png", "sheet-2.png", "sheet-3.png"):
        assert CliRunner().invoke(command, []).stdout.strip() == expected
        (tmp_path / expected).touch()


# --resume

WHOLE = {"command": "finetune", "data": "photos", **to_json(FinetuneSettings())}
DAMAGED = [
    *(b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b"3", b'"x"', b"null", b"{}"),
    *(
        json.dumps({name: WHOLE[name] for name in WHOLE if name != gone}).encode()
        for gone in ("command", "data", "seed")
    ),
    *(json.dumps(WHOLE | change).encode() for change in ({"data": 3}, {"command": ["finetune"]}, {"command": "bake"})),
    *(json.dumps(WHOLE | change).encode() for change in ({"seed": "x"}, {"epochs": -1}, {"unheard_of": 1})),
]


@pytest.mark.parametrize("options", [[], ["--seed", "3"]], ids=["no option", "an option"])
def test_resume_damaged_settings_ends_with_4_and_names_the_file(tmp_path, options):
    (tmp_path / "UNFINISHED").touch()
    wrong = {}
    for content in DAMAGED:
        (tmp_path / "settings.json").write_bytes(content)
        done = CliRunner().invoke(main, ["finetune", "--resume", str(tmp_path), *options])
        if done.exit_code != 4 or "settings.json'" not in done.stderr:
            wrong[content[:80]] = (done.exit_code, done.stderr)
    assert wrong == {}
    assert {path.name for path in tmp_path.iterdir()} == {"UNFINISHED", "settings.json"}
