"""The findings as one page with thumbnails, which needs no network and no other file."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment

from tlkit.data.thumbnail import data_uri, read_thumbnail
from tlkit.quality.base import Issue
from tlkit.quality.check import CHECKS, CheckResult
from tlkit.utils.files import write_new
from tlkit.utils.text import escape_control_chars

THUMBNAIL = 120  # pixels of the longer side
MAX_ISSUES = 60  # of one check that are shown
MAX_PATHS = 12  # of one issue whose images are shown
MAX_THUMBNAILS = 500  # on the page


def write_page(result: CheckResult, file: Path, title: str) -> None:
    """Write the page.

    Raises:
        OptionError: if `file` exists or cannot be written
    """
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("tlkit.quality").joinpath("page.html").read_text(encoding="utf-8"))
    thumbnails = _Thumbnails(result)
    sections = list(_sections(result, thumbnails))
    write_new(
        file,
        template.render(
            title=escape_control_chars(title),
            result=result,
            sections=sections,
            num_classes=result.folder.num_classes,
            severities=[
                (kind, sum(issue.severity == kind for issue in result.issues)) for kind in ("error", "warning", "info")
            ],
        ),
    )


def _sections(result: CheckResult, thumbnails: "_Thumbnails") -> Iterator[dict[str, Any]]:
    """Make one section per check with findings, in the order of its worst."""
    names = list(dict.fromkeys(issue.check for issue in result.issues))
    for name in names:
        issues = [issue for issue in result.issues if issue.check == name]
        yield {
            "name": name,
            "count": len(issues),
            "issues": [_shown(issue, thumbnails) for issue in issues[:MAX_ISSUES]],
            "hidden": max(0, len(issues) - MAX_ISSUES),
        }
    yield {"name": "nothing found", "clean": [check.name for check in CHECKS if check.name not in names]}


def _shown(issue: Issue, thumbnails: "_Thumbnails") -> dict[str, Any]:
    images = [(escape_control_chars(path), thumbnails.of(path)) for path in issue.paths[:MAX_PATHS]]
    return {
        "severity": issue.severity,
        "message": escape_control_chars(issue.message),
        "remedy": issue.remedy,
        "images": images,
        "hidden": max(0, len(issue.paths) - MAX_PATHS),
    }


class _Thumbnails:
    """Small JPEG files as data URIs, until there are enough of them."""

    def __init__(self, result: CheckResult) -> None:
        self._root, self._known = result.folder.root, set(result.folder.paths)
        self._made: dict[str, str] = {}

    def of(self, path: str) -> str:
        """Give the thumbnail of an image; "" where it cannot be read, or there are too many."""
        if path not in self._made and path in self._known and len(self._made) < MAX_THUMBNAILS:
            image = read_thumbnail(self._root / path, THUMBNAIL)
            self._made[path] = data_uri(image) if image else ""
        return self._made.get(path, "")
