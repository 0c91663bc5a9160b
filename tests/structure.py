"""House rules over parsed source files: each rule takes a package and returns the violations it finds."""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A parsed file.

    name  such as "tlkit.data.split"; of an __init__.py, its package
    path  such as "tlkit/data/split.py"
    """

    name: str
    path: str
    source: str
    tree: ast.Module


@dataclass(frozen=True)
class Import:
    """One import of a module of this package.

    is_lazy       inside a function
    is_type_only  under `if TYPE_CHECKING:`
    """

    target: str
    line: int
    is_lazy: bool
    is_type_only: bool


Package = Mapping[str, Module]


def parse_package(sources: Mapping[str, str]) -> Package:
    """Parse files by path ("tlkit/data/split.py"); the result is keyed by module name."""
    modules = {}
    for path, source in sorted(sources.items()):
        name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        modules[name] = Module(name, path, source, ast.parse(source, path))
    return modules


def read_package(root: Path) -> Package:
    """Parse every Python file of a package folder."""
    files = sorted(root.rglob("*.py"))
    return parse_package({file.relative_to(root.parent).as_posix(): file.read_text(encoding="utf-8") for file in files})


# imports


def package_imports(package: Package, module: Module) -> Iterator[Import]:
    """List every import of this package: anywhere in the file, and by name with `import_module`."""
    top = module.name.split(".")[0]
    for node, is_lazy, is_type_only in _nodes_with_context(module.tree):
        for target in _imported_names(node, module):
            if target.split(".")[0] == top:
                yield Import(_known_prefix(package, target), node.lineno, is_lazy, is_type_only)


def heavy_imports(module: Module, names: Collection[str] = ("keras", "tensorflow")) -> list[int]:
    """Give the lines at which a module imports one of these libraries while it is itself imported."""
    return [
        node.lineno
        for node, is_lazy, is_type_only in _nodes_with_context(module.tree)
        for target in _imported_names(node, module)
        if target.split(".")[0] in names and not is_lazy and not is_type_only
    ]


def _nodes_with_context(tree: ast.AST, is_lazy: bool = False, is_type_only: bool = False):
    for node in ast.iter_child_nodes(tree):
        lazy = is_lazy or isinstance(tree, Function | ast.Lambda)
        yield node, lazy, is_type_only
        checking = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        yield from _nodes_with_context(node, lazy, is_type_only or checking)


def _imported_names(node: ast.AST, module: Module) -> Iterator[str]:
    """Give full names; of `from a import b`, a.b, for b may be a module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = module.name.split(".")
            parts = parts if module.path.endswith("__init__.py") else parts[:-1]
            base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
        yield from (item.value for item in node.args if isinstance(item, ast.Constant) and isinstance(item.value, str))


def _known_prefix(package: Package, name: str) -> str:
    while name not in package and "." in name:
        name = name.rpartition(".")[0]
    return name


def unit_of(name: str, layers: list[set[str]]) -> str | None:
    """Give the longest prefix of a module's name that the layers list; None where they list none."""
    parts = name.split(".")[1:]
    known = set().union(*layers)
    prefixes = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((prefix for prefix in prefixes if prefix in known), None)


def sideways_or_upward_imports(package: Package, layers: list[set[str]]) -> list[str]:
    """Find imports that do not point to a lower layer or into the same package.

    The package's own __init__ is above all: nothing imports it, and it may name everything.
    """
    level = {unit: number for number, units in enumerate(layers) for unit in units}
    violations = []
    for module in package.values():
        if "." not in module.name:
            continue
        unit = unit_of(module.name, layers)
        if unit is None:
            violations.append(f"{module.name} is in no layer")
            continue
        for item in package_imports(package, module):
            target = unit_of(item.target, layers)
            if target != unit and (target is None or level[target] >= level[unit]):
                violations.append(f"{module.path}:{item.line} imports {item.target}")
    return violations


def import_circles(package: Package) -> list[str]:
    """Find modules that import each other, counting every import."""
    graph = {
        module.name: {item.target for item in package_imports(package, module)} - {module.name}
        for module in package.values()
        if "." in module.name
    }
    circles = []
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            circle = error.args[1]  # each imports the one before it
            circles.append(" <- ".join(circle))
            graph[circle[1]].discard(circle[0])
        else:
            return circles


def import_depth(package: Package, layers: list[set[str]]) -> int:
    """Count the packages on the longest chain of imports, that of the top included."""
    needs = defaultdict(set)
    for module in package.values():
        if (unit := unit_of(module.name, layers)) is None:
            continue  # the package's own __init__, which is above all
        needs[unit] |= {unit_of(item.target, layers) for item in package_imports(package, module)} - {unit, None}
    depth: dict[str | None, int] = {}
    for unit in TopologicalSorter(needs).static_order():
        depth[unit] = 1 + max((depth[target] for target in needs[unit]), default=0)
    return max(depth.values(), default=0)


def keras_loaded_elsewhere(package: Package, allowed: Collection[str]) -> list[str]:
    """Find modules that load Keras or TensorFlow when they are imported, themselves or through another module.

    allowed: module names; a package name ending in "." allows what is in it
    """
    reasons = {name: f"line {lines[0]}" for name, module in package.items() if (lines := heavy_imports(module))}
    pending = list(reasons)
    importers = defaultdict(set)
    for name, module in package.items():
        for item in package_imports(package, module):
            if not item.is_lazy and not item.is_type_only:
                importers[item.target].add(name)
    while pending:
        target = pending.pop()
        for name in sorted(importers[target] - reasons.keys()):
            reasons[name] = f"through {target}"
            pending.append(name)
    return [f"{name} ({reasons[name]})" for name in sorted(reasons) if not _is_listed(name, allowed)]


def lazy_imports_elsewhere(package: Package, allowed: Collection[str]) -> list[str]:
    """Find imports of this package inside functions or for types alone, and names that allow nothing any more."""
    lazy = [
        (module, item)
        for module in package.values()
        for item in package_imports(package, module)
        if item.is_lazy or item.is_type_only
    ]
    violations = [
        f"{module.path}:{item.line} {item.target}{' (type)' if item.is_type_only else ''}"
        for module, item in lazy
        if not _is_listed(module.name, allowed)
    ]
    used = {module.name for module, _ in lazy}
    stale = [name for name in allowed if not any(_is_listed(module, [name]) for module in used)]
    return violations + [f"{name} is allowed lazy imports and has none" for name in stale]


def _is_listed(name: str, listed: Collection[str]) -> bool:
    return any(name == item or (item.endswith(".") and f"{name}.".startswith(item)) for item in listed)


# settings


def functions(module: Module) -> Iterator[Function]:
    """List every function and method of a module, also inner ones."""
    return (node for node in ast.walk(module.tree) if isinstance(node, Function))


def parameters(function: Function) -> list[str]:
    """Name a function's parameters but self and cls."""
    given = function.args
    every = [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]
    return [item.arg for item in every if item and item.arg not in ("self", "cls")]


def settings_below(package: Package, lower_units: Collection[str], layers: list[set[str]]) -> list[str]:
    """Find parameters called settings, and imports of the settings package, in these packages."""
    violations = []
    for module in package.values():
        if unit_of(module.name, layers) not in lower_units:
            continue
        takers = [function for function in functions(module) if "settings" in parameters(function)]
        violations += [f"{module.path}:{function.lineno} {function.name}(settings)" for function in takers]
        violations += [
            f"{module.path}:{item.line} imports {item.target}"
            for item in package_imports(package, module)
            if unit_of(item.target, layers) == "settings"
        ]
    return violations


def branches_on_settings(package: Package, readers: Collection[str], attributes: Collection[str]) -> list[str]:
    """Find tests of a settings object's class, and reads of attributes that only `readers` may read."""
    violations = []
    for module in package.values():
        for node in ast.walk(module.tree):
            if not _is_listed(module.name, ["tlkit.settings."]) and _asks_for_settings_class(node):
                violations.append(f"{module.path}:{node.lineno} {ast.unparse(node)[:60]}")
            if not _is_listed(module.name, readers) and _read_attribute(node) in attributes:
                violations.append(f"{module.path}:{node.lineno} reads .{_read_attribute(node)}")
    return violations


def _asks_for_settings_class(node: ast.AST) -> bool:
    asked: list[ast.AST] = []
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
        asked = node.args[1:]
    elif isinstance(node, ast.Compare) and any(ast.unparse(side).startswith("type(") for side in [node.left]):
        asked = node.comparators
    elif isinstance(node, ast.MatchClass):
        asked = [node.cls]
    names = [item for root in asked for item in ast.walk(root)]
    return any((getattr(item, "id", "") or getattr(item, "attr", "")).endswith("Settings") for item in names)


def _read_attribute(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        return node.attr
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr" and len(node.args) > 1:
        return node.args[1].value if isinstance(node.args[1], ast.Constant) else None
    return None


# sizes


def body_lines(function: Function) -> int:
    """Count the lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def too_large(package: Package, limits: Mapping[str, int], uncounted: Collection[str]) -> list[str]:
    """Find modules, functions, parameter lists and packages over their limits.

    limits: "module" lines, "function" lines, "parameters", "package" modules, "files" of everything
    uncounted: folders that may hold any number of modules
    """
    violations = []
    for module in package.values():
        lines = len(module.source.splitlines())
        if lines > limits["module"]:
            violations.append(f"{module.path} has {lines} lines")
        for function in functions(module):
            where = f"{module.path}:{function.lineno} {function.name}"
            if body_lines(function) > limits["function"]:
                violations.append(f"{where} has {body_lines(function)} lines")
            if len(parameters(function)) > limits["parameters"]:
                violations.append(f"{where} has {len(parameters(function))} parameters")
    folders = Counter(path.parent.as_posix() for path in _paths(package) if path.name != "__init__.py")
    violations += [
        f"{folder}/ has {count} modules"
        for folder, count in folders.items()
        if count > limits["package"] and folder not in uncounted
    ]
    if len(package) > limits["files"]:
        violations.append(f"there are {len(package)} files, {limits['files']} are allowed")
    return violations


def _paths(package: Package) -> list[PurePosixPath]:
    return [PurePosixPath(module.path) for module in package.values()]


# names


def names_with_two_meanings(package: Package, commands: str = "tlkit.cli.") -> list[str]:
    """Find public classes and functions that two modules define; a command may be called as what it calls."""
    homes = defaultdict(list)
    for module in package.values():
        for node in module.tree.body:
            if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(module.name)
    violations = []
    for name, modules in sorted(homes.items()):
        in_cli = [module for module in modules if module.startswith(commands)]
        is_command = len(in_cli) == 1 and len(modules) == 2
        if len(modules) > 1 and not is_command:
            violations.append(f"{name}: {', '.join(modules)}")
    return violations


def constants_called(package: Package, names: Collection[str]) -> list[str]:
    """Find constants of modules with one of these names."""
    violations = []
    for module in package.values():
        for node in module.tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            assigned = [item.id for target in targets if target for item in ast.walk(target) if hasattr(item, "id")]
            violations += [f"{module.path}:{node.lineno} {name}" for name in assigned if name in names]
    return violations


def identifiers(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """List every identifier with its line, but the methods of text `.lower()` and `.upper()`."""
    text_methods = {
        id(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("lower", "upper")
    }
    # `map(str.lower, names)` names the same methods
    text_methods |= {id(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_str(node.value)}
    line = 1
    for node in ast.walk(tree):
        line = getattr(node, "lineno", line)
        for field in ("id", "attr", "arg", "name", "asname", "rest"):
            value = getattr(node, field, None)
            if isinstance(value, str) and not (field == "attr" and id(node) in text_methods):
                yield from ((part, line) for part in value.split("."))
        if isinstance(node, ast.Global | ast.Nonlocal):
            yield from ((name, line) for name in node.names)
        if isinstance(node, ast.MatchClass):
            yield from ((name, line) for name in node.kwd_attrs)


def _is_str(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "str"


def words_of(identifier: str) -> list[str]:
    """Split snake_case and CamelCase into lower-case words."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", identifier)
    return [part.lower() for part in parts]


def unwanted_words(package: Package, words: Collection[str], allowed: Collection[str] = ()) -> list[str]:
    """Find identifiers that hold one of these words, each once a module."""
    violations = {
        f"{module.path} {name}": line
        for module in package.values()
        for name, line in reversed(list(identifiers(module.tree)))
        if name not in allowed and set(words_of(name)) & set(words)
    }
    return sorted(f"{item} (line {line})" for item, line in violations.items())


# documentation and tests


def undocumented(package: Package) -> list[str]:
    """Find modules, and public classes, functions and methods, without a docstring."""
    violations = [module.path for module in package.values() if not ast.get_docstring(module.tree)]
    for module in package.values():
        public = [node for node in module.tree.body if _is_public(node)]
        public += [item for node in public if isinstance(node, ast.ClassDef) for item in node.body if _is_public(item)]
        violations += [f"{module.path}:{node.lineno} {node.name}" for node in public if not ast.get_docstring(node)]
    return violations


def _is_public(node: ast.AST) -> bool:
    return isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_")


def untested(package: Package, tests: Collection[str], exceptions: Mapping[str, str]) -> list[str]:
    """Find modules without a test file of their own, and exceptions that are none any more.

    tests: paths such as "tests/data/test_split.py"
    exceptions: reasons by path of a module; a path ending in "/" stands for every module in it
    """
    violations, excused = [], set()
    for module in package.values():
        path = PurePosixPath(module.path)
        if path.name == "__init__.py":
            continue
        test = PurePosixPath("tests", *path.parts[1:-1], f"test_{path.name}").as_posix()
        reasons = {
            item for item in exceptions if item == module.path or (item[-1] == "/" and item == f"{path.parent}/")
        }
        if test not in tests:
            excused |= reasons
            violations += [] if reasons else [f"{module.path} has no {test}"]
    return violations + [f"{item} is excused and needs no excuse" for item in exceptions if item not in excused]


def mapped_files(page: str, root: str = "tlkit/") -> list[str]:
    """List the files and folders that the tree in a page's code block names, by their paths.

    The tree starts at a line with `root`; what is in a folder, whose line starts with a name ending in "/", is
    indented below it. A line starts with one file name or several; the rest of it is text.
    """
    (block,) = [block for block in re.findall(r"```\w*\n(.*?)```", page, re.DOTALL) if block.startswith(root)]
    paths, parents = [], []
    for line in filter(str.strip, block.splitlines()):
        indent = len(line) - len(line.lstrip())
        parents = [parent for parent in parents if parent[0] < indent]
        above = parents[-1][1] if parents else ""
        for word in line.split():
            if not re.fullmatch(r"\w+/|[\w.]*\.(py|csv|typed|html)", word):
                break
            paths.append(above + word)
            if word.endswith("/"):
                parents.append((indent, above + word))
                break  # the rest says what the folder is
    return paths


def map_errors(page: str, files: Collection[str], optional: Collection[str] = ()) -> list[str]:
    """Compare the tree in a page with the files that are there.

    files: paths such as "tlkit/data/split.py"
    optional: those of them that need not be named
    """
    named = Counter(mapped_files(page))
    folders = {f"{parent.as_posix()}/" for file in files for parent in PurePosixPath(file).parents if parent.name}
    missing = sorted((set(files) | folders) - set(optional) - set(named))
    return (
        [f"{path} is not named" for path in missing]
        + [f"{path} is not there" for path in sorted(set(named) - set(files) - folders)]
        + [f"{path} is named {count} times" for path, count in named.items() if count > 1]
    )
