"""The house rules that a machine can hold, each over the whole package; tests/structure.py has the rules themselves."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tlkit
from tests.conftest import TENSORFLOW_COLLECTED
from tests.structure import (
    branches_on_settings,
    constants_called,
    functions,
    import_circles,
    import_depth,
    keras_loaded_elsewhere,
    lazy_imports_elsewhere,
    map_errors,
    names_with_two_meanings,
    parse_package,
    read_package,
    settings_below,
    sideways_or_upward_imports,
    too_large,
    undocumented,
    untested,
    unwanted_words,
)

ROOT = Path(tlkit.__file__).parents[1]
PACKAGE = read_package(ROOT / "tlkit")
LAYERS = [
    {"errors"},
    {"utils"},
    {"settings", "cache"},
    {"distributed"},
    {"data", "models", "classic", "evaluation"},
    {"engines", "training.loop"},
    {"runs"},
    {"features", "inference"},
    {"quality", "explain", "visualization", "robustness", "search"},
    {"report", "serve", "doctor"},
    {"export"},
    {"training"},
    {"comparison", "estimator", "testing"},
    {"cli"},
    {"__main__"},
]
MAX_DEPTH = 13
TAKES_VALUES = {"utils", "data", "models", "classic", "engines", "evaluation", "runs", "training.loop"}
READS_FREEZE = (
    *("tlkit.training.finetune", "tlkit.training.network", "tlkit.training.auto_freeze", "tlkit.settings."),
    *("tlkit.training.option_effects", "tlkit.cli.finetune", "tlkit.cli.lr_find"),
)
LIMITS = {"module": 350, "function": 40, "parameters": 6, "package": 20, "files": 382}
ONE_FILE_AN_ENTRY = ("tlkit/cli", "tlkit/models/architectures")

LOADS_KERAS = {  # everything else gets at Keras through NetworkSource.build() and NetworkRecipe.fit()
    "tlkit.models.architectures.": "layers of published architectures",
    "tlkit.models.build": "backbones as Keras models",
    "tlkit.models.cut": "splits Keras models",
    "tlkit.models.diagram": "draws Keras models",
    "tlkit.models.fold_batch_norm": "rewrites Keras models",
    "tlkit.models.gradient_check": "gradients of Keras models",
    "tlkit.models.head": "Keras layers on a backbone",
    "tlkit.models.summary": "reads Keras layers",
    "tlkit.runs.dataset": "a dataset of Keras",
    "tlkit.testing": "checks Keras models",
    "tlkit.training.auto_freeze": "times a Keras model",
    "tlkit.training.blocks_phase": "trains a Keras model",
    "tlkit.training.estimate": "measures a Keras model",
    "tlkit.training.loop.": "the Keras loop",
    "tlkit.training.lr_finder": "trains a Keras model",
    "tlkit.training.phases": "trains a Keras model",
}
KERAS_FREE = ("tlkit.models.backbones", "tlkit.models.sources", "tlkit.models.catalog", "tlkit.models.keras_setup")
IMPORTS_LAZILY = {
    "tlkit": "names are imported on first use, so that `import tlkit` is light",
    "tlkit.cli.": "`--help` answers at once",
    "tlkit.distributed.workers": "Ray is loaded where it is asked for",
    "tlkit.export.formats": "a format's library is loaded where it is chosen",
    "tlkit.engines.factory": "an engine's library is loaded where it is chosen",
    "tlkit.inference.evaluate": "matplotlib is loaded where a plot is asked for",
    "tlkit.models.hub": "a network is built only where its features are not cached",
    "tlkit.models.sources": "a network is built only where its features are not cached",
    "tlkit.runs.run": "a dataset of Keras is opened where it is asked for",
    "tlkit.training.network": "the pass over the images starts before TensorFlow is imported (decision 008)",
}
UNWANTED_WORDS = (
    *("lower", "upper", "deal", "dealt", "pace", "standing", "rung", "rungs", "describer", "decider", "seen", "unseen"),
    *("least", "most", "largest", "smallest", "longest", "shortest", "there", "begun", "learnt", "former", "likeness"),
    *("share", "shares", "place", "places", "picture", "pictures", "photo", "photos", "anatomy", "climb", "shallow"),
    *("zoo", "colour", "colours", "grey", "greys", "centre", "centres", "neighbour", "neighbours", "behaviour"),
)
ALLOWED_NAMES = {  # Python's and the libraries', and names on files that are there to stay
    "most_common",  # collections.Counter
    "zip_longest",  # itertools
    *(
        "upper_epochs",
        "upper_batch_size",
        "upper_learning_rate",
        "upper_precision",
    ),  # options, and keys of settings.json
    "LOWER_LR_FAMILIES",  # of backbones that want a lower learning rate
}
TESTED_ELSEWHERE = {
    "tlkit/training/loop/learner.py": "an interface; tests/training/loop/ trains both kinds",
    "tlkit/training/loop/keras_losses.py": "tests/training/loop/test_losses.py",
    "tlkit/utils/color.py": "three numbers",
    "tlkit/data/sources/table_rows.py": "tests/data/test_table.py reads every form",
    "tlkit/serve/refusal.py": "one exception; tests/serve/test_gate.py raises it",
    "tlkit/quality/base.py": "two records; every check is tested with them",
    "tlkit/export/base.py": "two records; every format is tested with them",
    "tlkit/doctor/base.py": "one record; every check is tested with it",
    "tlkit/inference/labeled.py": "tests/inference/test_evaluate.py and tests/robustness/ choose images by it",
    "tlkit/runs/images.py": "tests/runs/test_dataset.py, and tests/inference/test_evaluate.py by the command",
    "tlkit/estimator/parameters.py": "tests/estimator/test_classifier.py reads and sets them",
    "tlkit/estimator/samples.py": "tests/estimator/ fits and predicts every kind",
    "tlkit/cli/reporting.py": "tests/cli/test_output.py prints with every option of it",
    "tlkit/cli/search_output.py": "tests/cli/test_search.py prints and writes everything",
    "tlkit/features/stored.py": "tests/features/test_store.py reads both kinds",
    "tlkit/features/copies.py": "tests/quality/test_copies.py, tests/search/test_near.py",
    "tlkit/search/generation.py": "tests/search/test_build.py writes, interrupts and removes generations",
    "tlkit/search/images.py": "tests/search/test_build.py makes indexes of images",
    "tlkit/search/source.py": "tests/search/test_query.py finds sources again, damaged ones too",
    "tlkit/settings/search.py": "tests/search/test_build.py; tests/fuzz.py gives absurd values",
    "tlkit/cli/verdict.py": "tests/cli/test_output.py has the whole screen",
    "tlkit/engines/litert.py": "tests/engines/test_factory.py runs every engine",
    "tlkit/export/onnx/activations.py": "tests/export/onnx/test_layers.py compares every function with Keras",
    "tlkit/export/onnx/windows.py": "tests/export/onnx/test_layers.py compares every layer with Keras",
    "tlkit/export/onnx/graph.py": "every test of ONNX builds a graph",
    "tlkit/__main__.py": "one call; tests/cli/test_cli.py runs `python -m tlkit`",
    "tlkit/models/architectures/": "tests/models/architectures/test_build.py builds every entry of the registry",
}
HEAVY = (
    *("tensorflow", "keras", "numpy", "ai_edge_litert", "openvino", "rich", "matplotlib"),
    *("PIL", "sklearn", "skimage", "faiss", "pyarrow"),
)


def keras_modules():
    """LOADS_KERAS, with the modules of `models.architectures` but its registry, which knows names only."""
    inside = {name for name in PACKAGE if name.startswith("tlkit.models.architectures.")}
    listed = {name for name in LOADS_KERAS if name != "tlkit.models.architectures."}
    return listed | inside - {"tlkit.models.architectures.registry"}


# one test a rule


def test_imports_point_down():
    assert sideways_or_upward_imports(PACKAGE, LAYERS) == []


def test_no_modules_import_each_other_in_a_circle():
    assert import_circles(PACKAGE) == []


def test_settings_stay_up():
    assert settings_below(PACKAGE, TAKES_VALUES, LAYERS) == []


def test_nothing_branches_on_the_kind_of_settings():
    assert branches_on_settings(PACKAGE, READS_FREEZE, ("freeze", "from_run")) == []


def test_keras_is_loaded_by_the_modules_that_are_named():
    assert keras_loaded_elsewhere(PACKAGE, keras_modules()) == []
    assert not keras_modules() & set(KERAS_FREE)


def test_imports_inside_functions_are_where_there_is_a_reason():
    assert lazy_imports_elsewhere(PACKAGE, IMPORTS_LAZILY) == []


def test_modules_functions_and_packages_are_small():
    assert too_large(PACKAGE, LIMITS, ONE_FILE_AN_ENTRY) == []


def test_packages_are_few_levels_deep():
    assert import_depth(PACKAGE, LAYERS) <= MAX_DEPTH


def test_a_name_has_one_meaning():
    assert names_with_two_meanings(PACKAGE) == []


def test_constants_say_what_they_hold():
    assert constants_called(PACKAGE, ("ROWS", "NAMES", "FILE", "ALL")) == []


def test_identifiers_are_the_words_of_the_field():
    assert unwanted_words(PACKAGE, UNWANTED_WORDS, ALLOWED_NAMES) == []


def test_everything_public_has_a_docstring():
    assert undocumented(PACKAGE) == []


def test_every_module_has_a_test_file():
    tests = {file.relative_to(ROOT).as_posix() for file in (ROOT / "tests").rglob("test_*.py")}
    assert untested(PACKAGE, tests, TESTED_ELSEWHERE) == []


def test_the_architecture_page_is_a_map_of_the_package():
    files = {module.path for module in PACKAGE.values()}
    optional = {module.path for module in PACKAGE.values() if module.path.endswith("__init__.py")}
    files |= {file.relative_to(ROOT).as_posix() for file in (ROOT / "tlkit").rglob("*.csv")}
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert map_errors(page, files, optional) == []


def test_no_function_shares_its_modules_name_outside_the_commands():
    twins = {
        f"{name}.{node.name}"
        for name, module in PACKAGE.items()
        for node in functions(module)
        if name.split(".")[-1] == node.name and ".cli" not in name
    }
    assert twins <= {
        "tlkit.comparison.compare.compare",
        "tlkit.features.extract.extract",
        "tlkit.inference.evaluate.evaluate",
        "tlkit.quality.check.check",
        "tlkit.robustness.attack.attack",
        "tlkit.training.estimate.estimate",
        "tlkit.training.finetune.finetune",
        "tlkit.training.loop.fit.fit",
        "tlkit.training.resume.resume",
        "tlkit.visualization.visualize.visualize",
    }


def test_scripts_import_what_is_there():
    """Benchmarks and samples are started manually only; a name that moved must show all the same."""
    missing = []
    for file in [*ROOT.glob("benchmarks/*.py"), *ROOT.glob("sample_data/*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tlkit"):
                nodes = list(ast.walk(PACKAGE[node.module].tree)) if node.module in PACKAGE else []
                defined = {getattr(item, "id", None) or getattr(item, "name", None) for item in nodes}
                names = [alias.name for alias in node.names if f"{node.module}.{alias.name}" not in PACKAGE]
                missing += [f"{file.name}: {node.module}.{name}" for name in names if name not in defined]
    assert missing == []


# the rules bite: each finds what is wrong in files made for it, and nothing in files that are right

TINY_LAYERS = [{"errors"}, {"data", "models"}, {"training.loop"}, {"training"}, {"cli"}]


def package(**sources):
    """Files by module name below tlkit, with "_" for the dot: data_split is tlkit/data/split.py."""
    paths = {f"tlkit/{name.replace('_', '/', 1)}.py": source for name, source in sources.items()}
    return parse_package({"tlkit/__init__.py": "", **paths})


def test_the_rule_of_imports_counts_every_import():
    upward = (
        "from tlkit.training.phases import HeadPhase",
        "import tlkit.training.phases",
        "from tlkit.training import phases",
        "from ..training import phases",
        "def f():\n    from tlkit.training import phases",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from tlkit.training.phases import HeadPhase",
        "import typing\nif typing.TYPE_CHECKING:\n    from tlkit.training.phases import HeadPhase",
        "from importlib import import_module\nx = import_module('tlkit.training.phases')",
        "class A:\n    def f(self):\n        return lambda: __import__('tlkit.training.phases')",
        "from tlkit.models.build import build_backbone",  # beside it
        "from tlkit import finetune",
        "import tlkit",
    )
    for source in upward:
        files = package(data_split=source, models_build="", training_phases="")
        assert len(sideways_or_upward_imports(files, TINY_LAYERS)) == 1, source
    assert sideways_or_upward_imports(package(nowhere_at="x = 1"), TINY_LAYERS) == ["tlkit.nowhere.at is in no layer"]


def test_the_rule_of_imports_lets_a_loop_be_below_its_package():
    loop = {"tlkit/__init__.py": "", "tlkit/training/phases.py": "", "tlkit/training/loop/fit.py": ""}
    down = "from tlkit.training.loop.fit import fit\nfrom tlkit.errors import DataError\nimport numpy"
    files = parse_package(loop | {"tlkit/errors.py": "", "tlkit/training/phases.py": down})
    assert sideways_or_upward_imports(files, TINY_LAYERS) == []
    assert import_depth(files, TINY_LAYERS) == 2
    files = parse_package(loop | {"tlkit/training/loop/fit.py": "from tlkit.training import phases"})
    assert len(sideways_or_upward_imports(files, TINY_LAYERS)) == 1


def test_the_rule_of_circles_counts_imports_in_functions_and_of_types():
    back = "if TYPE_CHECKING:\n    from tlkit.data.b import y"
    files = package(data_a=back, data_b="def f():\n    from tlkit.data.c import z", data_c="import tlkit.data.a")
    assert len(import_circles(files)) == 1
    two = package(
        data_a="import tlkit.data.b",
        data_b="import tlkit.data.a",
        cli_a="import tlkit.cli.b",
        cli_b="import tlkit.cli.a",
    )
    assert len(import_circles(two)) == 2
    assert import_circles(package(data_a="import tlkit.data.b", data_b="import tlkit.errors")) == []


def test_the_rule_of_settings_below_finds_parameters_and_imports():
    for source in (
        "def f(settings): ...",
        "class A:\n    async def f(self, *, settings=None): ...",
        "def f():\n    from tlkit.settings.base import setting",
    ):
        assert len(settings_below(package(data_a=source, settings_base=""), {"data"}, [{"data", "settings"}])) == 1
    assert settings_below(package(training_a="def f(settings): ..."), {"data"}, [{"data", "training"}]) == []


def test_the_rule_of_branches_finds_classes_and_attributes():
    for source in (
        "isinstance(settings, TrainSettings)",
        "isinstance(s, shared.TrainSettings | int)",
        "issubclass(kind, (int, TrainSettings))",
        "type(s) is TrainSettings",
        "match s:\n    case TrainSettings():\n        pass",
        "x = settings.freeze == 'all'",
        "x = getattr(settings, 'freeze')",
    ):
        assert len(branches_on_settings(package(training_a=source), ("tlkit.settings.",), ("freeze",))) == 1, source
    for source in ("isinstance(x, int)", "model.freeze = True", "s.weights", "freeze(model)"):
        assert branches_on_settings(package(training_a=source), (), ("freeze",)) == [], source
    assert branches_on_settings(package(settings_a="s.freeze"), ("tlkit.settings.",), ("freeze",)) == []


def test_the_rule_of_keras_follows_imports():
    files = package(models_a="import keras.layers", data_b="from tlkit.models.a import x", cli_c="import tlkit.data.b")
    assert keras_loaded_elsewhere(files, ["tlkit.models."]) == [
        "tlkit.cli.c (through tlkit.data.b)",
        "tlkit.data.b (through tlkit.models.a)",
    ]
    for source in ("def f():\n    import keras", "if TYPE_CHECKING:\n    import tensorflow as tf", "import kerasless"):
        assert keras_loaded_elsewhere(package(data_a=source), []) == [], source
    assert len(keras_loaded_elsewhere(package(data_a="try:\n    from tensorflow import nn\nexcept: ..."), [])) == 1


def test_the_rule_of_lazy_imports_finds_them_and_stale_reasons():
    for source in ("def f():\n    import tlkit.errors", "if TYPE_CHECKING:\n    from tlkit.errors import DataError"):
        files = package(data_a=source, errors="")
        assert len(lazy_imports_elsewhere(files, [])) == 1
        assert lazy_imports_elsewhere(files, ["tlkit.data."]) == []
        assert len(lazy_imports_elsewhere(files, ["tlkit.data.a", "tlkit.data.b"])) == 1
    assert (
        lazy_imports_elsewhere(package(data_a="import tlkit.errors\ndef f():\n    import keras", errors=""), []) == []
    )


def test_the_rule_of_sizes_counts_lines_parameters_modules_and_files():
    limits = {"module": 4, "function": 2, "parameters": 1, "package": 2, "files": 4}
    files = package(data_a="x = 1\n" * 5, data_b="def f(a, /, *b):\n    '''Text\n    text'''\n    x\n", data_c="")
    assert len(too_large(files, limits, [])) == 3
    assert len(too_large(files, limits, ["tlkit/data"])) == 2
    assert len(too_large(package(a="def f():\n x\n x\n x"), limits, [])) == 1
    assert too_large(package(a="def f(self, a):\n    x"), limits, []) == []
    assert len(too_large(package(a="", b="", c="", d=""), limits, ["tlkit"])) == 1


def test_the_rule_of_one_meaning_lets_a_command_have_the_name_of_its_function():
    assert names_with_two_meanings(package(data_a="def f(): ...", data_b="class f: ...")) == [
        "f: tlkit.data.a, tlkit.data.b"
    ]
    assert names_with_two_meanings(package(cli_a="def f(): ...", data_b="def f(): ...")) == []
    assert len(names_with_two_meanings(package(cli_a="def f(): ...", cli_b="def f(): ..."))) == 1
    assert (
        len(names_with_two_meanings(package(cli_a="def f(): ...", data_b="def f(): ...", data_c="def f(): ..."))) == 1
    )
    assert names_with_two_meanings(package(data_a="def _f(): ...", data_b="def _f(): ...")) == []


def test_the_rule_of_constants_finds_them_however_they_are_assigned():
    for source in ("ROWS = 1", "ROWS: int = 1", "A, ROWS = 1, 2"):
        assert len(constants_called(package(data_a=source), ["ROWS"])) == 1
    assert constants_called(package(data_a="MAX_ROWS = 1\nprint(ROWS)"), ["ROWS"]) == []


def test_the_rule_of_words_reads_identifiers_and_no_text():
    for source in (
        *("upper = 1", "x.upper", "def f(upper): ...", "f(upper=1)", "def upper_half(): ...", "class UpperPart: ..."),
        *("import a.upper", "import a as upper", "f'{upper}'", "UPPER_X = 1", "except_upper: int"),
    ):
        files = package(data_a=source)
        assert len(unwanted_words(files, ["upper"])) == 1, source
    for source in (
        "x.upper()",
        "map(str.upper, x)",
        "x = 'upper'  # upper",
        "supper = 1",
        "f'upper {x}'",
        "upper_epochs",
    ):
        assert unwanted_words(package(data_a=source), ["upper"], ["upper_epochs"]) == [], source


def test_the_rule_of_docstrings_looks_at_modules_functions_classes_and_methods():
    body = '"""A."""\ndef f(): ...\nclass A:\n    """A."""\n    def g(self): ...\n    def _h(self): ...\ndef _i(): ...'
    assert undocumented(package(data_a=body)) == ["tlkit/__init__.py", "tlkit/data/a.py:2 f", "tlkit/data/a.py:5 g"]


def test_the_rule_of_tests_finds_missing_files_and_stale_reasons():
    files = package(data_a="", cli_b="")
    assert untested(files, ["tests/data/test_a.py"], {}) == ["tlkit/cli/b.py has no tests/cli/test_b.py"]


def test_the_rule_of_the_map_reads_a_tree():
    page = (
        "# A\n```\nsomething else\n```\n```text\ntlkit/\n  errors.py  what is wrong; see data/a.py\n  data/  images\n"
    )
    page += "    a.py   one\n    b.py c.py\n  cli/\n    a.py  two\n```\n"
    files = {f"tlkit/{name}.py" for name in ("errors", "data/a", "data/b", "data/c", "cli/a", "cli/__init__")}
    assert map_errors(page, files, ["tlkit/cli/__init__.py"]) == []
    assert map_errors(page, files | {"tlkit/new/d.py"}, ["tlkit/cli/__init__.py"]) == [
        "tlkit/new/ is not named",
        "tlkit/new/d.py is not named",
    ]
    assert map_errors(page, files - {"tlkit/cli/a.py"}, ["tlkit/cli/__init__.py"]) == ["tlkit/cli/a.py is not there"]
    twice = page.replace("    a.py  two", "    a.py  two\n    a.py  three")
    assert map_errors(twice, files, ["tlkit/cli/__init__.py"]) == ["tlkit/cli/a.py is named 2 times"]


# what is loaded


def test_collecting_the_tests_imports_no_tensorflow(pytestconfig):
    """Keras is imported in fixtures and by tests/networks.py, when it is used first."""
    assert not pytestconfig.stash[TENSORFLOW_COLLECTED]


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
    """List those of these modules that a command imports."""
    done = run_python(LOADED, ",".join(names), *map(str, args))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize("args", [["--help"], ["predict", "--help"], ["finetune", "--help"], ["evaluate", "--help"]])
def test_help_imports_nothing_heavy(args):
    assert loaded(HEAVY, *args) == []


def test_predicting_imports_neither_tensorflow_nor_keras(finetuned_run, colors):
    args = ("predict", finetuned_run.path, colors / "red" / "0.png")
    assert loaded(("tensorflow", "keras", "ai_edge_litert"), *args) == ["ai_edge_litert"]


def test_replaying_golden_samples_imports_neither_tensorflow_nor_keras(finetuned_run, colors):
    args = ("predict", finetuned_run.path, colors / "red" / "0.png", "--verify")
    assert loaded(("tensorflow", "keras"), *args) == []
    assert loaded(("tensorflow", "keras"), "doctor", finetuned_run.path) == []


def test_evaluating_imports_neither_tensorflow_nor_keras(finetuned_run):
    assert loaded(("tensorflow", "keras"), "evaluate", finetuned_run.path) == []


def test_the_package_imports_its_names_on_first_use():
    code = (
        "import sys, tlkit; print(*sorted(set(sys.modules) & {'numpy', 'keras'})); "
        "print(*[name for name in sys.modules if name.startswith('tlkit.')]); tlkit.read_folder; print(dir(tlkit))"
    )
    heavy, own, names = run_python(code).stdout.splitlines()
    assert heavy == own == ""
    assert all(name in names for name in ["read_folder", "finetune", "load_run", "predict", "evaluate"])


def test_a_name_the_package_does_not_offer_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = tlkit.nothing
