import inspect
import re

import pytest

from tlkit import errors
from tlkit.errors import TlkitError

TREE = {
    "OptionError": ("TlkitError", 2),
    "DataError": ("TlkitError", 3),
    "ImageError": ("TlkitError", 3),
    "ModelError": ("TlkitError", 4),
    "RunError": ("ModelError", 4),
    "GateError": ("TlkitError", 5),
}
CLASSES = {name: value for name, value in vars(errors).items() if inspect.isclass(value)}


def test_the_tree_has_these_errors_and_no_other():
    assert CLASSES.keys() == {"TlkitError", *TREE}


@pytest.mark.parametrize("name", TREE)
def test_each_error_has_its_parent_and_its_exit_code(name):
    parent, code = TREE[name]
    assert CLASSES[name].__bases__ == (CLASSES[parent],)
    assert CLASSES[name].exit_code == code


def test_an_error_without_a_kind_is_unexpected():
    assert TlkitError.__bases__ == (Exception,)
    assert TlkitError.exit_code == 1


def test_the_docstring_draws_the_tree():
    drawn = {
        name: (indent, int(code)) for indent, name, code in re.findall(r"(?m)^( +)(\w+) +(\d)  \w", errors.__doc__)
    }
    assert {name: code for name, (_, code) in drawn.items()} == {name: code for name, (_, code) in TREE.items()}
    depths = {name: len(indent) // 2 for name, (indent, _) in drawn.items()}
    assert depths == {name: len(CLASSES[name].__mro__) - 4 for name in TREE}


@pytest.mark.parametrize("name", CLASSES)
def test_each_error_says_what_it_means(name):
    assert CLASSES[name].__doc__.endswith(".")
