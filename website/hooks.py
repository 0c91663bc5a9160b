"""The parts of the site that are not files of docs/: the front page, a page per command, the API, the navigation."""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import tlkit
from tlkit.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ROOT_PAGES = {  # files of the root that are pages
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
MOVED = ROOT_PAGES | {"docs/commands.md": "commands/index.md", "docs/decisions": "decisions/index.md"}
BACKGROUND = ("architecture.md", "reliability.md", "results.md", "backbones.md", "exports.md", "ablation.md")
GUIDES = (  # in this order; other pages of docs/ follow
    *("install.md", "data.md", "predictions.md", "explain.md", "report.md", "visualize.md", "robustness.md"),
    *("harden.md", "attack.md", "search.md", "export.md", "serve.md", "scale.md"),
    *("python.md", "estimator.md", "tracking.md", "ci.md"),
)
API = {  # the public names of a page of the Python reference
    "Train": (
        *("finetune", "train", "train_classic", "resume", "TrainingResult", "TrainingMetrics"),
        *("FinetuneSettings", "TrainSettings", "ClassicSettings"),
    ),
    "Predict": ("predict", "Predictor", "Prediction", "predictions_to_pandas", "write_sheet", "load_run", "Run"),
    "Evaluate": ("evaluate", "Evaluation", "EvaluateSettings", "Report"),
    "Robustness": ("measure_robustness", "Robustness", "RobustnessSettings"),
    "Explain": ("open_explainer", "Explainer", "Explanation", "visualize", "Visualization", "VisualizeSettings"),
    "Compare": (
        *("compare", "resume_comparison", "Comparison", "CandidateResult", "Recommendation", "CompareSettings"),
    ),
    "Data": ("check", "CheckResult", "Issue", "CheckSettings", "read_folder", "ImageFolder", "Split"),
    "Features": ("export_features", "FeatureExport", "FeaturesSettings"),
    "Search": (
        *("index_images", "open_index", "Index", "search_images", "QueryResult", "evaluate_index", "SearchEvaluation"),
        *("find_near_images", "NearResult"),
        *("IndexSettings", "QuerySettings", "SearchEvaluateSettings"),
    ),
    "Export": ("export_run", "Export", "ExportSettings"),
    "Keras and scikit-learn": ("keras_model", "ImageClassifier", "FeatureExtractor"),
    "Clusters": ("use_workers",),
    "Errors": ("TlkitError", "OptionError", "DataError", "SamplesError", "ModelError", "RunError"),
}
OTHER = "Other names"  # the page of names that the table does not have
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]*)(#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Write the navigation."""
    decisions = sorted(f"decisions/{file.name}" for file in (DOCS / "decisions").glob("*.md"))
    commands = [
        {heading: [{name_of(words): page_of(words)} for words in words_of(found)]}
        for heading, found in COMMANDS.items()
    ]
    config.nav = [
        {"Home": "index.md"},
        {"Tutorial": ["tutorial/README.md"]},
        {"Guides": guides()},
        {"Commands": ["commands/index.md", *commands]},
        {"Python": ["api/index.md", *({title: api_page(title)} for title in api_names())]},
        {
            "Background": [
                *(name for name in BACKGROUND if (DOCS / name).is_file()),
                {"Decisions": ["decisions/index.md", *decisions]},
                {"Project": [path for path in ROOT_PAGES.values() if path != "index.md"]},
            ]
        },
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    made = {page: (ROOT / name).read_text(encoding="utf-8") for name, page in ROOT_PAGES.items()}
    made["index.md"] = "---\nhide: [navigation]\ntitle: tlkit\n---\n" + made["index.md"]
    made["commands/index.md"] = list_of_commands()
    made |= {page_of(words): command_page(words) for found in COMMANDS.values() for words in words_of(found)}
    made["api/index.md"] = list_of_names()
    made |= {api_page(title): names_page(title, names) for title, names in api_names().items()}
    made["decisions/index.md"] = list_of_decisions()
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Let links lead to pages; a link to a file that is no page becomes its text."""
    origin = next((name for name, path in MOVED.items() if path == page.file.src_uri), f"docs/{page.file.src_uri}")

    def link(found: re.Match[str]) -> str:
        sign, text, target, anchor = found.groups()
        if not target or ":" in target:
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
        if path in MOVED or path.startswith("docs/"):
            path = MOVED.get(path) or path.removeprefix("docs/")
            relative = posixpath.relpath(path, posixpath.dirname(page.file.src_uri) or ".")
            text = title_of(path) if text == target else text
            return f"{sign}[{text}]({relative}{anchor or ''})"
        return text if (ROOT / path).exists() else found[0]

    parts = re.split(r"(^```.*?^```$|`[^`\n]+`)", markdown, flags=re.MULTILINE | re.DOTALL)
    is_made = page.file.src_uri.split("/")[0] in ("api", "commands") or page.file.src_uri == "decisions/index.md"
    return markdown if is_made else "".join(LINK.sub(link, part) if part[:1] != "`" else part for part in joined(parts))


def title_of(path: str) -> str:
    """Give the heading of a page, for a link whose text is the name of a file."""
    file = DOCS / path
    made = {"commands/index.md": "Commands", "decisions/index.md": "Decisions"}
    file = next((ROOT / name for name, page in ROOT_PAGES.items() if page == path), file)
    return made.get(path) or file.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")


def joined(parts: list[str]) -> Iterator[str]:
    """Put inline code back into the text around it, so that a link with code in its text is one part."""
    text = ""
    for part in parts:
        if part.startswith("```"):
            yield from (text, part)
            text = ""
        else:
            text += part
    yield text


def guides() -> list[str]:
    """List the pages of docs/ that are neither background nor commands."""
    others = sorted(file.name for file in DOCS.glob("*.md") if file.name not in (*GUIDES, *BACKGROUND, "commands.md"))
    return [name for name in (*GUIDES, *others) if (DOCS / name).is_file()]


# commands


def words_of(commands: Any) -> Iterator[tuple[str, ...]]:
    """List the words of commands and of those below them."""
    for command in commands:
        below = command.commands if isinstance(command, click.Group) else {}
        yield from ((command.name, name) for name in below) if below else [(command.name,)]


def name_of(words: tuple[str, ...]) -> str:
    """Write a command as it is typed, without the program."""
    return " ".join(words)


def page_of(words: tuple[str, ...]) -> str:
    """Name the page of a command."""
    return f"commands/{'-'.join(words)}.md"


def find_command(words: tuple[str, ...]) -> tuple[click.Command, click.Context]:
    """Find a command, and make a context for its help."""
    command, context = main, click.Context(main, info_name="tlkit")
    for word in words:
        command = command.commands[word]
        context = click.Context(command, parent=context, info_name=word)
    return command, context


def command_page(words: tuple[str, ...]) -> str:
    """Write the page of a command from its help."""
    command, context = find_command(words)
    summary, *more = [" ".join(part.split()) for part in (command.help or "").split("\n\n")]
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"# tlkit {name_of(words)}", escaped(summary), f"```text\ntlkit {name_of(words)} {usage}\n```"]
    lines += map(escaped, more)
    if examples := getattr(command, "examples", ()):
        lines += ["## Examples", "```sh\n" + "\n".join(examples) + "\n```"]
    for group, records in option_groups(command, context).items():
        lines += [f"## {group} options", *(f"`{names}`\n:   {described(text)}" for names, text in records)]
    return "\n\n".join(lines) + "\n"


def option_groups(command: click.Command, context: click.Context) -> dict[str, list[tuple[str, str]]]:
    """List the options of a command by the headings of its help page."""
    found: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and isinstance(parameter, click.Option) and parameter.name not in ("help", "h"):
            found.setdefault(getattr(parameter, "group", "Other"), []).append(record)
    return found


def described(text: str) -> str:
    """Write the help of an option, its default last."""
    words, default = re.fullmatch(r"(.*?)(?:\s*\[default: (.*)\])?", text, re.DOTALL).groups()  # type: ignore[union-attr]
    return escaped(words) + (f" Default: `{default}`." if default else "")


def escaped(text: str) -> str:
    """Escape what Markdown would read, but for code in backticks."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([\\*_<>\[\]|#])", r"\\\1", part) for part in parts)


def list_of_commands() -> str:
    """Write the page with all commands."""
    lines = ["# Commands", "`tlkit COMMAND -h` shows the common options, `--help` all of them, as on these pages."]
    for heading, found in COMMANDS.items():
        lines.append(f"## {heading}")
        rows = [
            f"| [`tlkit {name_of(words)}`]({posixpath.basename(page_of(words))}) | {summary_of(words)} |"
            for words in words_of(found)
        ]
        lines.append("\n".join(["| Command | What it does |", "|---|---|", *rows]))
    return "\n\n".join(lines) + "\n"


def summary_of(words: tuple[str, ...]) -> str:
    """Give the one-line help of a command."""
    return escaped(find_command(words)[0].get_short_help_str(1000))


# the Python interface


def api_names() -> dict[str, tuple[str, ...]]:
    """Give the public names of each page that has some."""
    listed = {name for names in API.values() for name in names}
    others = tuple(name for name in tlkit.__all__ if name not in (*listed, "testing"))
    pages = {title: tuple(name for name in names if name in tlkit.__all__) for title, names in API.items()}
    return {title: names for title, names in (pages | {OTHER: others}).items() if names}


def api_page(title: str) -> str:
    """Name the page of some public names."""
    return f"api/{title.lower().replace(' ', '-')}.md"


def names_page(title: str, names: tuple[str, ...]) -> str:
    """Write a page that the plugin fills with docstrings."""
    modules = {name: module for module, owned in tlkit._MODULES.items() for name in owned}
    return "\n\n".join([f"# {title}", *(f"::: {modules[name]}.{name}" for name in names)]) + "\n"


def list_of_names() -> str:
    """Write the page with all public names."""
    lines = [
        "# Python",
        "Every name is imported from `tlkit`. The [guide](../python.md) shows them in use. Training needs "
        "`pip install '.[train]'` ([installation](../install.md)).",
    ]
    for title, names in api_names().items():
        page = posixpath.basename(api_page(title))
        modules = {name: module for module, owned in tlkit._MODULES.items() for name in owned}
        listed = " · ".join(f"[`{name}`]({page}#{modules[name]}.{name})" for name in names)
        lines += [f"## {title}", listed]
    lines += [
        "## Your own backbones",
        "`tlkit.testing.check_backbone` tells whether a network works with everything here; "
        "`python -m tests.check_backbones` runs it over all of them ([table](../backbones.md)).",
    ]
    return "\n\n".join(lines) + "\n"


def list_of_decisions() -> str:
    """Write the page with the titles of all decisions."""
    titles = {
        file.name: file.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")
        for file in sorted((DOCS / "decisions").glob("*.md"))
    }
    rows = [f"- [{escaped(title)}]({name})" for name, title in titles.items()]
    return "# Decisions\n\nWhat was decided, what else was considered, and why.\n\n" + "\n".join(rows) + "\n"
