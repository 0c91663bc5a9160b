"""Words for people: help pages, messages, documents and docstrings use plain words, and one word per thing."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

import tlkit
from tests.structure import Function, functions, parse_package, read_package
from tests.write_commands import commands
from tlkit.cli import main

ROOT = Path(tlkit.__file__).parents[1]
PACKAGE = read_package(ROOT / "tlkit")
SCRIPTS = parse_package(
    {
        file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8")
        for folder in ("benchmarks", "docs/tutorial", "sample_data")
        for file in (ROOT / folder).glob("*.py")
    }
)

FORBIDDEN = {  # a regular expression, and what to say instead
    r"(?:is|are|was|were|been|not) told": "says, prints, or is distinguished",
    r"told (?:apart|from)|tells? (?:\w+ ){0,3}apart": "distinguished, distinguish",
    r"(?<!there )(?:is|are) no (?:class(?:es)?|digit|file|folder|image|name|network|number|path|run)s?": "is not a",
    r"(?:go|goes|going|gone|went) on": "continue",
    r"for want of": "without, not enough",
    r"besides": "also, in addition",
    r"learnt|learns? by heart": "learned",
    r"of which": "a sentence of its own",
    r"whatever|whoever": "any, every",
    r"rungs?|ladders?|climb\w*": "candidate, comparison",
    r"by hand": "handcrafted, manually",
    r"the course": "the source by its name",
    r"begun|has begun": "started",
    r"at hand": "on this machine, available",
    r"not given": "the default",
    r"shares? of": "fraction of",
    r"so many": "the number",
    r"stands?(?!\s+for\b)|stood": "is",
    r"pictures?": "image, plot",
    r"describers?|deciders?": "feature extractor, classifier",
    r"likeliest|surest": "most probable, most confident",
    r"colours?|grey|greys|neighbours?|behaviours?|spelt|centre|centres": "American spelling",
    r"anew": "again, new",
    r"throw-away": "temporary",
    r"see[ns]? to(?: it)?(?= that|\b\.)": "ensures",
    r"bears? (?:the|a|`)": "has",
}
WORDS = re.compile(r"(?<![\w/-])(?:" + "|".join(FORBIDDEN) + r")(?![\w/-])", re.IGNORECASE)
DOCUMENTS = (
    "README.md",
    "SECURITY.md",
    "Makefile",
    "pyproject.toml",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/**/*.md",
    "sample_data/**/*.md",
)
NO_PROSE = re.compile(r"(?<!`)`[^`\n]+`(?!`)|\]\([^)\n]*\)|\{\{\w+\}\}|<!--.*?-->")  # names, links, figures to fill in
ARTICLES = ("The ", "A ", "An ", "Its ", "Every ", "Each ", "One ", "raises:")  # no imperative begins so
SKIPPED_FIRST_WORDS = ("What ", "How ", "Whether ", "Which ", "Where ", "The way ", "See ")


def offences(text: str, where: str, first_line: int = 1) -> Iterator[str]:
    """Find forbidden words: `where:line: words`."""
    for match in WORDS.finditer(text):
        yield f"{where}:{first_line + text.count(chr(10), 0, match.start())}: {match.group()}"


def docstrings(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.Constant]]:
    """Yield every module, class and function with its docstring."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | Function) and ast.get_docstring(node) is not None:
            yield node, node.body[0].value  # type: ignore[attr-defined]


def messages(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield the text in a module: every string with a space that is neither a docstring nor a dictionary's key."""
    hidden = {id(constant) for _, constant in docstrings(tree)}
    hidden |= {id(key) for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys}
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip()
        if is_text and id(node) not in hidden:
            yield node


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield every comment with its line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


@cache
def help_pages() -> dict[str, str]:
    """Every short and long help page, by command line."""
    runner, pages = CliRunner(env={"COLUMNS": "80"}), {}
    for words in commands():
        for option in ("-h", "--help"):
            line = " ".join(("tlkit", *words, option))
            pages[line] = runner.invoke(main, [*words, option], prog_name="tlkit").output
    return pages


def test_help_pages_use_plain_words():
    assert [found for line, page in help_pages().items() for found in offences(page, line)] == []


def test_messages_use_plain_words():
    found = []
    for module in (*PACKAGE.values(), *SCRIPTS.values()):
        for text in messages(module.tree):
            found += offences(text.value, module.path, text.lineno)
    assert found == []


@pytest.mark.parametrize("pattern", DOCUMENTS)
def test_documents_use_plain_words(pattern):
    found, files = [], sorted(ROOT.glob(pattern))
    for file in files:
        text = NO_PROSE.sub(lambda match: "`" + "\n" * match.group().count("\n"), file.read_text(encoding="utf-8"))
        found += offences(text, file.relative_to(ROOT).as_posix())
    assert found == []


def test_docstrings_and_comments_use_plain_words():
    found = []
    for module in (*PACKAGE.values(), *SCRIPTS.values()):
        for _, text in docstrings(module.tree):
            found += offences(NO_PROSE.sub("`", text.value), module.path, text.lineno)
        for line, text in comments(module.source):
            found += offences(NO_PROSE.sub("`", text), module.path, line)
    assert sorted(set(found)) == []


def badly_begun(tree: ast.Module, path: str) -> list[str]:
    """Find docstrings whose first line neither names a thing nor says what is done."""
    return [
        f"{path}:{text.lineno} {text.value.splitlines()[0]}"
        for _, text in docstrings(tree)
        if text.value.startswith(SKIPPED_FIRST_WORDS)
    ]


def test_docstrings_begin_with_a_thing_or_an_imperative():
    modules = (*PACKAGE.values(), *SCRIPTS.values())
    assert [found for module in modules for found in badly_begun(module.tree, module.path)] == []


def test_docstrings_have_the_sections_of_google():
    """Not `raises: OptionError` at the end of a text, but a section that tools read."""
    found = []
    for module in PACKAGE.values():
        for _, text in docstrings(module.tree):
            if re.search(r"^ *(?:raises|returns|yields|args): ", text.value, re.MULTILINE):
                found.append(f"{module.path}:{text.lineno}")
    assert found == []


def is_property(node: ast.AST) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in getattr(node, "decorator_list", ()))


def test_docstrings_of_functions_begin_with_an_imperative():
    found = []
    for module in (*PACKAGE.values(), *SCRIPTS.values()):
        for node, text in docstrings(module.tree):
            if isinstance(node, Function) and not is_property(node) and text.value.startswith(ARTICLES):
                found.append(f"{module.path}:{text.lineno} {text.value.splitlines()[0]}")
    assert found == []


def test_public_functions_and_methods_have_docstrings_wherever_they_are():
    missing = [
        f"{module.path}:{node.lineno} {node.name}"
        for module in PACKAGE.values()
        for node in functions(module)
        if not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert missing == []


# the rules find what they are for


@pytest.mark.parametrize(
    "text",
    [
        "a rung of it",
        "Besides, it is",
        "It is told so.",
        "of which two",
        "for want of\nspace",
        "learnt",
        "The Course is",
    ],
)
def test_forbidden_words_are_found(text):
    assert len(list(offences(text, "x"))) == 1 or "\n" in text


@pytest.mark.parametrize(
    "text",
    ["a wrung cloth", "the folder stands for all", "docs/pictures/a.png", "a fraction of", "the courses", "shared"],
)
def test_other_words_are_left_alone(text):
    assert list(offences(text, "x")) == []


def test_messages_are_found_and_keys_and_docstrings_are_not():
    source = '"""A b."""\nx = {"c d": "e f"}\nraise E(f"g {x} h i")\ndef f():\n    """J k."""\n    print("lm")\n'
    tree = parse_package({"tlkit/a.py": source})["tlkit.a"].tree
    assert [node.value for node in messages(tree)] == ["e f", " h i"]
