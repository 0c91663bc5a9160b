"""Help pages: they fit the terminal, and every example on them can be run."""

import shlex

import click
import pytest
from click.testing import CliRunner

from tests.write_commands import commands
from tlkit.cli import main
from tlkit.cli.help import GROUPS, MAX_ONE_LINE, GroupedCommand, GroupedOption

NAMES = list(commands())


def command_of(words):
    command = main
    for word in words:
        command = command.commands[word]
    return command


def page(words, option, columns=80):
    width = min(columns, 100) - 2  # what Click takes of a terminal; CliRunner forces 80 columns instead
    done = CliRunner().invoke(main, [*words, option], prog_name="tlkit", terminal_width=width)
    assert done.exit_code == 0, (words, done.output)
    return done.output


def test_short_pages_fit_one_screen():
    sizes = {words: len(page(words, "-h").splitlines()) for words in NAMES if words}
    assert {words: size for words, size in sizes.items() if size > 23} == {}  # and a line for the prompt


def test_short_pages_have_two_examples_and_their_options():
    wrong = []
    for words in NAMES:
        command = command_of(words)
        if not isinstance(command, GroupedCommand):
            continue
        text = page(words, "-h")
        options = {parameter.name: parameter for parameter in command.params}
        names = [options[name].opts[-1] for name in command.common]
        missing = [name for name in (*command.examples[:2], *names, "All options:") if name not in text]
        wrong += [(words, missing)] if missing or len(command.common) > 10 or not command.examples else []
    assert wrong == []


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_pages_are_no_wider_than_the_terminal(columns):
    wide = [
        (words, line)
        for words in NAMES
        for option in ("-h", "--help")
        for line in page(words, option, columns).splitlines()
        if len(line) > columns
    ]
    assert wide == []


def test_long_pages_have_examples_before_options():
    for words in NAMES:
        command = command_of(words)
        if isinstance(command, GroupedCommand):
            text = page(words, "--help")
            assert text.index("Examples:") < text.index("options:"), words
            assert all(example in text for example in command.examples), words


def test_options_are_in_groups_that_have_a_place():
    unknown = {
        f"{' '.join(words)} {option.opts[0]}: {option.group}"
        for words in NAMES
        for option in command_of(words).params
        if isinstance(option, GroupedOption) and option.group not in (*GROUPS, "Other")
    }
    assert unknown == set()


def test_options_explain_themselves_in_sentences():
    wrong = []
    for words in NAMES:
        for option in command_of(words).params:
            if isinstance(option, click.Option):
                text = (option.help or "").split("  [default")[0]
                wrong += [(words, option.opts)] if not text[:1].isupper() or "." not in text[-1:] else []
    assert wrong == []


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("columns", [60, 80, 120])
def test_commands_are_listed_with_whole_sentences(option, columns):
    for words in NAMES:
        group = command_of(words)
        if isinstance(group, click.Group):
            text = " ".join(page(words, option, columns).split())
            assert "..." not in text.split("Options:")[1], words
            for name, command in group.commands.items():
                line = command.get_short_help_str(1000)
                assert line.endswith(".") and len(line) <= MAX_ONE_LINE, (words, name, line)
                assert f"{name} {line}" in text, (words, name)


def test_examples_can_be_run(tmp_path, monkeypatch):
    """Every option has a value that the command accepts; -o names a file that can be written."""
    monkeypatch.chdir(tmp_path)
    for words in NAMES:
        for example in getattr(command_of(words), "examples", ()):
            program, *rest = shlex.split(example)
            assert (program, tuple(rest[: len(words)])) == ("tlkit", words)
            command_of(words).make_context(" ".join(words), rest[len(words) :])


def test_short_page_of_a_command_without_common_options_says_where_all_are():
    assert page(("cache", "info"), "-h").splitlines()[-1] == "All options: tlkit cache info --help"
