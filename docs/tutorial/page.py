"""The tutorial's page: `template.md` with the figures of `figures.json` filled in.

usage: python docs/tutorial/page.py     writes README.md again, without measuring
"""

import json
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
TEMPLATE, FIGURES, PAGE = HERE / "template.md", HERE / "figures.json", HERE / "README.md"


def page() -> str:
    """Fill in the template: every {{name}} becomes the figure of that name; KeyError if there is none."""
    figures: dict[str, str] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return re.sub(r"\{\{(\w+)\}\}", lambda match: figures[match[1]], TEMPLATE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
