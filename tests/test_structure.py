"""The house rules that a machine can hold."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

import tlkit

PACKAGE = Path(tlkit.__file__).parent
LAYERS = [
    *(
        "errors",
        "durations",
        "files",
        "drawing",
        "workers",
        "progress",
        "settings",
        "data",
        "shallow",
        "models",
        "engines",
        "features",
        "reading",
        "extraction",
    ),
    *("facts", "runs", "cache", "prediction", "evaluation", "training", "vectors", "comparison", "cli", "__main__"),
]
HEAVY = (
    *("tensorflow", "keras", "numpy", "ai_edge_litert", "openvino", "rich", "matplotlib"),
    *("PIL", "sklearn", "skimage", "faiss", "pyarrow"),
)


def module_name(file):
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {module_name(file): ast.parse(file.read_text(encoding="utf-8")) for file in sorted(PACKAGE.rglob("*.py"))}
FUNCTIONS = [
    (module, node)
    for module, tree in TREES.items()
    for node in ast.walk(tree)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
]


def nodes_at_run_time(node, inside_functions=True):
    """Every node but those under `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if inside_functions or not isinstance(child, ast.FunctionDef):
            yield child
            yield from nodes_at_run_time(child, inside_functions)


def imports(module, inside_functions=True):
    """The modules of this package that a module imports."""
    for node in nodes_at_run_time(TREES[module], inside_functions):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in TREES)
        elif isinstance(node, ast.ImportFrom) and node.module in TREES:
            inner = [f"{node.module}.{name.name}" for name in node.names]
            yield from (name if name in TREES else node.module for name in inner)


def layer(module):
    return LAYERS.index(module.split(".")[1])


def test_every_module_is_in_a_layer():
    assert {module.split(".")[1] for module in TREES if module != "tlkit"} == set(LAYERS)


@pytest.mark.parametrize("module", [module for module in TREES if module != "tlkit"])
def test_imports_point_one_way(module):
    wrong = [name for name in imports(module) if name != "tlkit" and layer(name) > layer(module)]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle_when_they_are_loaded():
    graph = {module: set(imports(module, inside_functions=False)) - {module} for module in TREES if module != "tlkit"}
    TopologicalSorter(graph).prepare()


def test_the_package_itself_imports_nothing():
    assert list(imports("tlkit")) == []


def run_python(code, *args):
    return subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=120, check=False)


LOADED = """
import sys
from tlkit.cli import main
try:
    main.main(sys.argv[2:])
except SystemExit as finished:
    assert not finished.code, finished.code
print("loaded:", *sorted(set(sys.modules) & set(sys.argv[1].split(","))))
"""


def loaded(names, *args):
    """Which of these modules a command imports."""
    done = run_python(LOADED, ",".join(names), *map(str, args))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize("args", [["--help"], ["predict", "--help"], ["finetune", "--help"], ["evaluate", "--help"]])
def test_help_imports_nothing_heavy(args):
    assert loaded(HEAVY, *args) == []


def test_predicting_imports_neither_tensorflow_nor_keras(run, colours):
    args = ("predict", run.path, colours / "red" / "0.png")
    assert loaded(("tensorflow", "keras", "ai_edge_litert"), *args) == ["ai_edge_litert"]


def test_evaluating_imports_neither_tensorflow_nor_keras(run):
    assert loaded(("tensorflow", "keras"), "evaluate", run.path) == []


def test_the_package_offers_its_names_and_imports_them_on_first_use():
    code = (
        "import sys, tlkit; print(*sorted(set(sys.modules) & {'numpy', 'keras'})); tlkit.read_folder; print(dir(tlkit))"
    )
    first, second = run_python(code).stdout.splitlines()
    assert first == ""
    assert all(name in second for name in ["read_folder", "finetune", "load_run", "predict", "evaluate"])


def test_a_name_the_package_does_not_offer_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = tlkit.nothing


def body_lines(function):
    """Lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_no_function_is_longer_than_40_lines():
    assert [node.name for _, node in FUNCTIONS if body_lines(node) > 40] == []


def test_most_functions_are_short():
    lengths = sorted(body_lines(node) for _, node in FUNCTIONS)
    assert median(lengths) <= 6
    assert lengths[len(lengths) * 9 // 10] <= 20


def parameters(function):
    names = [item.arg for item in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def test_no_function_has_more_than_6_parameters():
    assert [node.name for _, node in FUNCTIONS if len(parameters(node)) > 6] == []


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=module_name)
def test_a_module_has_at_most_350_lines(file):
    lines = len(file.read_text(encoding="utf-8").splitlines())
    assert lines <= 350


def public_items():
    for module, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                yield module, node
                yield from ((module, inner) for inner in methods(node))


def methods(node):
    found = node.body if isinstance(node, ast.ClassDef) else []
    return [item for item in found if isinstance(item, ast.FunctionDef) and not item.name.startswith("_")]


def test_scripts_import_what_is_there():
    """Benchmarks and samples run by hand only; a name that moved must show all the same."""
    root = PACKAGE.parent
    missing = []
    for file in [*root.glob("benchmarks/*.py"), *root.glob("sample_data/*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tlkit"):
                defined = {name.id for name in ast.walk(TREES[node.module]) if isinstance(name, ast.Name)}
                defined |= {item.name for item in ast.walk(TREES[node.module]) if hasattr(item, "name")}
                missing += [
                    f"{file.name}: {node.module}.{alias.name}" for alias in node.names if alias.name not in defined
                ]
    assert missing == []


def test_every_public_function_and_class_has_a_docstring():
    assert [f"{module}.{node.name}" for module, node in public_items() if not ast.get_docstring(node)] == []


def test_every_module_says_what_it_is_for():
    assert [module for module, tree in TREES.items() if not ast.get_docstring(tree)] == []


def test_no_function_shares_its_modules_name_outside_the_commands():
    twins = [f"{m}.{node.name}" for m, node in FUNCTIONS if m.split(".")[-1] == node.name and ".cli" not in m]
    assert set(twins) <= {
        "tlkit.comparison.compare.compare",
        "tlkit.inference.evaluate.evaluate",
        "tlkit.training.finetune.finetune",
        "tlkit.training.from_scratch.train",
        "tlkit.training.loop.fit.fit",
    }
