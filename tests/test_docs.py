import json
import re

import pytest

from tests.write_commands import FILE, commands, help_of, page
from tlkit.errors import OptionError
from tlkit.settings.base import option_name, to_json
from tlkit.settings.commands import EvaluateSettings, PredictSettings
from tlkit.settings.training import FinetuneSettings

SETTINGS = {"finetune": FinetuneSettings, "predict": PredictSettings, "evaluate": EvaluateSettings}


def test_the_page_of_commands_is_what_they_print_now():
    assert FILE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_the_tutorial_is_its_template_with_its_figures():
    folder = FILE.parent / "tutorial"
    figures = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    template = (folder / "template.md").read_text(encoding="utf-8")
    written = (folder / "README.md").read_text(encoding="utf-8")
    names = re.findall(r"{{(\w+)}}", template)
    assert set(names) <= set(figures)
    for name in names:
        template = template.replace("{{" + name + "}}", figures[name])
    assert written == template, "run `python docs/tutorial/page.py`"
    assert all((folder / picture).exists() for picture in re.findall(r"\]\((\w+\.png)\)", written))


def test_every_command_has_a_page():
    names = {" ".join(words) for words in commands()}
    assert names >= {"", "finetune", "predict", "evaluate", "models", "cache info", "cache clear", "sample digits"}


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_a_help_page_fits_80_columns_and_ends_its_sentences(words):
    lines = help_of(words).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith(" ".join(("Usage: tlkit", *words)))
    assert lines[2].strip()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_help_page_has_every_option_of_its_settings(name):
    text = help_of((name,))
    assert all(option_name(setting) in text for setting in to_json(SETTINGS[name]()))


@pytest.mark.parametrize("name", SETTINGS)
def test_a_help_page_is_a_page_about_options_that_exist(name):
    with pytest.raises((TypeError, OptionError)):
        SETTINGS[name](no_such_option=1)
