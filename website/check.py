"""Checks the site that was built: `python -m website.check build/site`.

Every link inside leads to a page and a place on it, nothing is loaded from elsewhere, and every public name and every
option has its entry. Links to other sites are not followed but listed in `external_links.txt` beside the site.
"""

import doctest
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import tlkit
from tlkit.cli import COMMANDS
from website import docstrings, hooks

LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src")}
LOADING_LINKS = ("stylesheet", "icon", "preload", "preconnect", "manifest")  # by `rel`


class SitePage(HTMLParser):
    """What a page links to, what it loads, and the places that can be linked to."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links, self.loaded, self.ids = list[str](), list[str](), set[str]()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take what one tag says."""
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        self.loaded += [given[name] for owner, name in LOADED if owner == tag and given.get(name)]
        if tag == "link" and any(word in LOADING_LINKS for word in given.get("rel", "").split()):
            self.loaded.append(given.get("href", ""))


def check(site: Path) -> tuple[list[str], list[str]]:
    """Look at every page.

    Returns:
        Problems, each a sentence; and the links to other sites, sorted
    """
    pages = {file: SitePage(file) for file in sorted(site.rglob("*.html"))}
    problems, outside = [], set[str]()
    for file, page in pages.items():
        name = file.relative_to(site)
        problems += [f"{name} loads {url}" for url in page.loaded if urlsplit(url).netloc]
        for url in page.links if name.name != "404.html" else ():
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                outside.add(url)
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file.resolve()
            target = target / "index.html" if target.is_dir() else target
            anchors = next((found.ids for path, found in pages.items() if path.resolve() == target), None)
            if not target.is_file():
                problems.append(f"{name} links to {url}, which is not a page.")
            elif parts.fragment and anchors is not None and unquote(parts.fragment) not in anchors:
                problems.append(f"{name} links to {url}, but the page has no such place.")
    return problems + missing_names(site, pages) + missing_options(site), sorted(outside)


def missing_names(site: Path, pages: dict[Path, SitePage]) -> list[str]:
    """Find public names without an entry in the Python reference."""
    ids = {found for file, page in pages.items() if file.parent.name == "api" for found in page.ids}
    paths = {name: f"{module}.{name}" for module, names in tlkit._MODULES.items() for name in names}
    return [f"tlkit.{name} is not in the Python reference." for name, path in paths.items() if path not in ids]


def missing_options(site: Path) -> list[str]:
    """Find options that the page of their command does not name."""
    missing = []
    for found in COMMANDS.values():
        for words in hooks.words_of(found):
            page = (site / hooks.page_of(words)).with_suffix(".html").read_text(encoding="utf-8")
            options = {option for item in hooks.find_command(words)[0].params for option in item.opts if "--" in option}
            missing += [
                f"{hooks.name_of(words)} {option} is not on its page."
                for option in options - {"--help"}
                if option not in page
            ]
    return missing


def main() -> int:
    """Print what is wrong; the exit code is 1 if anything is."""
    site = Path(sys.argv[1])
    problems, outside = check(site)
    failed, _ = doctest.testmod(docstrings)
    listed = site.parent / "external_links.txt"
    listed.write_text("\n".join(outside) + "\n", encoding="utf-8")
    print("\n".join(problems or [f"{len(list(site.rglob('*.html')))} pages: every link inside leads somewhere."]))
    print(f"{len(outside)} links to other sites, which are not followed: {listed}")
    return 1 if problems or failed else 0


if __name__ == "__main__":
    sys.exit(main())
