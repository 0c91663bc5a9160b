"""Help pages: `-h` fits one screen, `--help` has every option in its group."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import click

GROUPS = (  # of options, in their order on a help page
    *(
        "Main",
        "Run",
        "Data",
        "Input",
        "Classic",
        "Compression",
        "Evaluation",
        "Gates",
        "Network",
        "Augmentation",
        "Head",
        "Loss",
    ),
    *("Optimizer", "Upper blocks", "Logging", "Speed", "Limits", "Output"),
)
NOUN = re.compile(r".*?(?=[;:,]|\. |\.$| \(|$)", re.DOTALL)  # the beginning of an option's help
SHORT_WIDTH = 80  # columns of the screen that a short page fits
MAX_ONE_LINE = 60  # characters of a command's one-line help
WHOLE = 1000  # characters, more than any one-line help has; Click cuts longer ones


class GroupedOption(click.Option):
    """An option that knows its group."""

    def __init__(self, *args: Any, group: str = "Other", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


class GroupedCommand(click.Command):
    """A command with two help pages.

    `-h` shows the first paragraph of the help, the examples and the common options; `--help` shows everything.

    Args:
        examples: command lines that can be pasted
        common: names of the parameters on the short page, in their order there
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), common: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples, self.common = examples, common
        self.params.append(
            GroupedOption(
                ["-h"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_show_short_page,
                help="Show the common options and exit.",
            )  # fmt: skip
        )

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the long page; Click calls this."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        _write_examples(self.examples, formatter)
        self.format_options(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of the long page."""
        groups: dict[str, list[tuple[str, str]]] = {name: [] for name in GROUPS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record and isinstance(parameter, click.Option):
                groups.setdefault(getattr(parameter, "group", "Other"), []).append(record)
        for group, records in groups.items():
            if records:
                with formatter.section(f"{group} options"):
                    formatter.write_dl(records)

    def short_page(self, ctx: click.Context) -> str:
        """Write the page that fits one screen."""
        formatter = ctx.make_formatter()
        self.format_usage(ctx, formatter)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(" ".join((self.help or "").split("\n\n")[0].split()))
        _write_examples(self.examples[:2], formatter)
        options = {parameter.name: parameter for parameter in self.params if isinstance(parameter, click.Option)}
        records = [_short_record(options[name]) for name in self.common]
        if records:
            with formatter.section("Common options"):
                formatter.write_dl(records)
        formatter.write_paragraph()
        formatter.write_text(f"All options: {ctx.command_path} --help")
        return formatter.getvalue().rstrip("\n")


class HelpGroup(click.Group):
    """A group of commands that lists them under headings, each with its whole one-line help."""

    headings: Mapping[str, Sequence[click.Command]] = {}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands; Click calls this."""
        headings = self.headings or {"Commands": list(self.commands.values())}
        width = max(map(len, self.commands), default=0)  # one for all headings, so that the texts line up
        for heading, commands in headings.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [(f"{command.name:<{width}}", command.get_short_help_str(WHOLE)) for command in commands]
                )


def _show_short_page(ctx: click.Context, parameter: click.Parameter, is_given: bool) -> None:
    if is_given and not ctx.resilient_parsing and isinstance(ctx.command, GroupedCommand):
        click.echo(ctx.command.short_page(ctx), color=ctx.color)
        ctx.exit()


def _write_examples(examples: Sequence[str], formatter: click.HelpFormatter) -> None:
    """Write each example on a line of its own, because wrapped ones cannot be pasted."""
    if examples:
        with formatter.section("Examples"):
            for example in examples:
                formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


def _short_record(option: click.Option) -> tuple[str, str]:
    """Name an option, and give the noun that its help starts with, its choices and default where they fit."""
    names = ", ".join(name for name in option.opts if name.startswith("-"))
    found = NOUN.match(option.help or "")
    words = found.group() if found else ""
    room = SHORT_WIDTH - 2 - 20 - 2 - 2  # margins and names
    additions = [f": {', '.join(option.type.choices)}"] if isinstance(option.type, click.Choice) else []
    if option.show_default and option.default:  # 0 and "" mean "choose" or "none"
        additions.append(f" [{option.default}]")
    for addition in additions:
        if len(words) + len(addition) <= room:
            words += addition
    return names, words
