import inspect
import re
import sys

import pytest

from tlkit import errors
from tlkit.errors import ModelError, TlkitError, require

TREE = {
    "OptionError": ("TlkitError", 2),
    "WriteError": ("OptionError", 2),
    "DataError": ("TlkitError", 3),
    "SamplesError": ("DataError", 3),
    "ImageError": ("TlkitError", 3),
    "StorageError": ("TlkitError", 3),
    "ModelError": ("TlkitError", 4),
    "RunError": ("ModelError", 4),
    "GateError": ("TlkitError", 5),
}
CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and value.__module__ == errors.__name__
}


def test_errors_are_those_of_the_tree_with_their_parents_and_exit_codes():
    assert CLASSES.keys() == {"TlkitError", *TREE}
    parents_and_codes = {name: (CLASSES[name].__bases__[0], CLASSES[name].exit_code) for name in TREE}
    assert parents_and_codes == {name: (CLASSES[parent], code) for name, (parent, code) in TREE.items()}
    others = {name: CLASSES[name].__bases__[1:] for name in TREE if len(CLASSES[name].__bases__) > 1}
    assert others == {
        "WriteError": (OSError,),
        "SamplesError": (ValueError,),
    }  # so that code that expects one catches it


def test_errors_without_a_kind_are_unexpected():
    assert TlkitError.__bases__ == (Exception,)
    assert TlkitError.exit_code == 1


def test_errors_docstring_draws_the_tree():
    drawn = {
        name: (indent, int(code)) for indent, name, code in re.findall(r"(?m)^( +)(\w+) +(\d)  \w", errors.__doc__)
    }
    assert {name: code for name, (_, code) in drawn.items()} == {name: code for name, (_, code) in TREE.items()}
    depths = {name: len(indent) // 2 for name, (indent, _) in drawn.items()}
    assert depths == {name: sum(issubclass(error, TlkitError) for error in CLASSES[name].__mro__) - 1 for name in TREE}


def test_errors_all_have_a_docstring():
    assert [name for name, error in CLASSES.items() if not error.__doc__.endswith(".")] == []


def test_require_installed_package_is_silent_and_imports_nothing(monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.delitem(sys.modules, "sklearn")
    require("scikit-learn", "classic", "--pca")
    require("NumPy", "classic", "this")
    assert "sklearn" not in sys.modules


def test_require_missing_package_names_what_needs_it_and_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ModelError) as raised:
        require("scikit-learn", "classic", "--pca")
    assert str(raised.value) == ("--pca needs scikit-learn, which is not installed: pip install 'tlkit[classic]'.")
    with pytest.raises(ModelError, match="^a .parquet file needs no-such-package, which is not installed"):
        require("no-such-package", "parquet", "a .parquet file")
