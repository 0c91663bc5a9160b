import ast
import json
import re
from configparser import ConfigParser
from dataclasses import fields
from pathlib import Path

import pytest

from tests.write_commands import PAGE, commands, help_of, page
from tlkit.doctor.software import NOT_OFFERED
from tlkit.errors import OptionError
from tlkit.settings.base import option_name
from tlkit.settings.commands import (
    CompareSettings,
    ContactSheetSettings,
    EvaluateSettings,
    FeaturesSettings,
    GradcheckSettings,
    PredictSettings,
    RunsSettings,
    SummarySettings,
    VisualizeSettings,
)
from tlkit.settings.robustness import RobustnessSettings
from tlkit.settings.training import ClassicSettings, FinetuneSettings, TrainSettings

SETTINGS = {  # by command
    "augment": [ContactSheetSettings],
    "compare": [CompareSettings],
    "evaluate": [EvaluateSettings],
    "features": [FeaturesSettings],
    "finetune": [FinetuneSettings],
    "gradcheck": [GradcheckSettings],
    "predict": [PredictSettings],
    "robustness": [RobustnessSettings],
    "runs": [RunsSettings],
    "summary": [SummarySettings],
    "train": [TrainSettings, ClassicSettings],
    "visualize": [VisualizeSettings],
}


def test_the_page_of_commands_is_what_they_print_now():
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_the_tutorial_is_its_template_with_its_figures():
    folder = PAGE.parent / "tutorial"
    figures = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    template = (folder / "template.md").read_text(encoding="utf-8")
    written = (folder / "README.md").read_text(encoding="utf-8")
    names = re.findall(r"{{(\w+)}}", template)
    assert set(names) <= set(figures)
    for name in names:
        template = template.replace("{{" + name + "}}", figures[name])
    assert written == template, "run `python docs/tutorial/page.py`"
    assert all((folder / picture).exists() for picture in re.findall(r"\]\((\w+\.png)\)", written))


def heading_ids(text):
    """The places of a page that links can name."""
    without_code = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_links_between_documents_lead_somewhere():
    root = PAGE.parents[1]
    pages = [*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "examples").rglob("*.md")]
    broken, found = [], 0
    for page_file in pages:
        text = re.sub(r"^```.*?^```$", "", page_file.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for target, place in re.findall(r"\]\(([^)\s#:]*)(?:#([^)\s]+))?\)", text):
            found += 1
            file = page_file.parent / target if target else page_file
            is_place = not place or (file.suffix == ".md" and place in heading_ids(file.read_text(encoding="utf-8")))
            if not file.exists() or not is_place:
                broken.append(f"{page_file.relative_to(root)}: {target}#{place}")
    assert broken == []
    assert found > 60


def test_the_page_of_installation_has_every_extra():
    setup = ConfigParser()
    setup.read(PAGE.parents[1] / "setup.cfg")
    first_cells = re.findall(r"^\| (`.*?) \|", (PAGE.parent / "install.md").read_text(encoding="utf-8"), re.MULTILINE)
    listed = set(re.findall(r"`(\w+)`", " ".join(first_cells)))
    assert listed == set(setup["options.extras_require"]) - set(NOT_OFFERED) | {"all"}
    everything = set(re.search(r"\[(.*)\]", setup["options.extras_require"]["all"])[1].split(","))
    assert everything == listed - {"all"}


def test_documents_install_from_the_folder_and_one_page_explains_messages():
    root, found = PAGE.parents[1], {}
    pages = [*root.glob("*.md"), *(root / "docs").glob("*.md"), *(root / "deploy").iterdir()]
    for file in [*pages, *(root / "examples").iterdir(), root / "website" / "hooks.py"]:
        found[file.name] = re.findall(r"pip install '?tlkit(?:\[\w+|\b(?!-))", file.read_text(encoding="utf-8"))
    written = {name: set(texts) for name, texts in found.items() if texts}
    assert written == {"install.md": {"pip install 'tlkit[EXTRA", "pip install 'tlkit[train"}}


def test_every_command_has_a_page():
    names = {" ".join(words) for words in commands()}
    assert names >= {"", "finetune", "predict", "evaluate", "models", "cache info", "cache clear", "sample digits"}


def test_help_pages_fit_80_columns_and_begin_with_usage():
    wrong = []
    for words in commands():
        lines = help_of(words).splitlines()
        starts = lines[0].startswith(" ".join(("Usage: tlkit", *words)))
        if max(map(len, lines)) > 80 or not starts or not lines[2].strip():
            wrong.append(" ".join(words))
    assert wrong == []


def test_help_pages_have_every_option_of_their_settings():
    missing = []
    for name, classes in SETTINGS.items():
        text = help_of((name,))
        options = [option_name(item.name) for owner in classes for item in fields(owner)]
        missing += [f"{name} {option}" for option in options if f"{option} " not in text and f"{option}," not in text]
    assert missing == []


def test_settings_refuse_options_that_are_none_of_theirs():
    for classes in SETTINGS.values():
        for owner in classes:
            with pytest.raises((TypeError, OptionError)):
                owner(no_such_option=1)


def test_reliability_names_tests_that_exist():
    root = Path(__file__).parents[1]
    named = re.findall(
        r"`(tests/[\w/]+\.py)::(\w+)`( \(slow\))?", (root / "docs/reliability.md").read_text(encoding="utf-8")
    )
    assert len(named) > 40
    functions = {}
    for file, _, _ in named:
        tree = ast.parse((root / file).read_text(encoding="utf-8"))
        functions |= {
            (file, item.name): ast.unparse(item.decorator_list)
            for item in tree.body
            if isinstance(item, ast.FunctionDef)
        }
    assert [f"{file}::{name}" for file, name, _ in named if (file, name) not in functions] == []
    slow = {(file, name) for file, name, _ in named if "pytest.mark.slow" in functions[file, name]}
    assert {(file, name) for file, name, mark in named if mark} == slow
