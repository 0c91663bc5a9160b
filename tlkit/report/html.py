"""Pages that need no other file and no network, and in which no name can become markup or code.

Three things keep a name what it is: jinja2 escapes every value; control characters are written out; and the browser
runs only the script, and applies only the style, whose SHA-256 the Content-Security-Policy of the page has.
"""

import base64
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from tlkit.errors import OptionError
from tlkit.utils.files import atomic_write
from tlkit.utils.reading import read_regular
from tlkit.utils.storage import exists
from tlkit.utils.text import escape_control_chars

GENERATOR = "tlkit report"  # of the pages that tlkit may replace
MARK = f'<meta name="generator" content="{GENERATOR}">'
MAX_MARK_BYTES = 4096  # of a page, in which the mark is
MAX_PAGE_BYTES = 256_000_000


def render_page(template: str, **values: Any) -> str:
    """Fill a template of this package, with its style and its script.

    Args:
        values: names that the template uses; `data` is what the script reads, as JSON
    """
    environment = Environment(
        loader=PackageLoader("tlkit", "report"), autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    environment.filters |= {
        "percent": lambda value: _glued(percent(value)),
        "whole": lambda value: _glued(f"{100 * value:.0f} %"),
    }
    style, script = (files("tlkit.report").joinpath(name).read_text(encoding="utf-8") for name in _INLINE)
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    inline = {"style": Markup(style), "script": Markup(script), "policy": policy, "mark": Markup(MARK)}  # noqa: S704
    return environment.get_template(template).render(**inline, **values)


_INLINE = ("style.css", "script.js")


def _shown(value: Any) -> Any:
    """Write out control characters of a text that a template prints."""
    return escape_control_chars(value) if type(value) is str else value


def _hash(text: str) -> str:
    """Compute the hash of an inline script or style, as a Content-Security-Policy has it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def percent(fraction: float) -> str:
    """Write a fraction as a percentage with one digit, and never round up to 100 %.

    >>> percent(0.9459), percent(0.99999), percent(1)
    ('94.6 %', '99.9 %', '100.0 %')
    """
    shown = f"{100 * fraction:.1f}"
    return f"{'99.9' if shown == '100.0' and fraction < 1 else shown} %"


def _glued(text: str) -> Markup:
    """Keep a number and its unit on one line."""
    return Markup(text.replace(" ", "&nbsp;"))  # noqa: S704  digits and a sign


def replace_page(file: Path, page: str) -> None:
    """Write a page to a run folder; a page that tlkit wrote there before is replaced, and nothing else.

    Raises:
        OptionError: if something else has the name
        WriteError
    """
    check_replaceable(file)
    atomic_write(file, page)


def check_replaceable(file: Path) -> None:
    """Check that there is no such file, or one that tlkit wrote and can make again.

    Raises:
        OptionError
    """
    if not (exists(file) or file.is_symlink()):
        return
    try:
        is_own = MARK.encode() in read_regular(file, MAX_PAGE_BYTES)[:MAX_MARK_BYTES]
    except OSError:  # a link, a folder, a pipe
        is_own = False
    if not is_own:
        raise OptionError(f"'{file}' is not a page that tlkit wrote; choose another file with -o.")
