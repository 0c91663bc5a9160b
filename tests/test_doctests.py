"""Examples in docstrings. Collecting them with pytest would import every module, and Keras with them."""

import ast
import doctest
from importlib import import_module
from pathlib import Path

import tlkit

PACKAGE = Path(tlkit.__file__).parent


def modules_with_examples():
    for file in sorted(PACKAGE.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        if any(isinstance(node, ast.Constant) and ">>>" in str(node.value) for node in ast.walk(ast.parse(text))):
            yield ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)


def test_examples_in_docstrings_are_true(capsys):
    from tlkit.models.keras_setup import start_keras

    start_keras()
    names = list(modules_with_examples())
    results = {name: doctest.testmod(import_module(name)) for name in names}
    assert sum(result.attempted for result in results.values()) >= len(names) > 15
    assert [name for name, result in results.items() if result.failed] == [], capsys.readouterr().out
