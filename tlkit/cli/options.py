"""Makes a command's options from a settings dataclass, and its help page from their groups."""

import json
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from functools import wraps
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click

from tlkit.errors import OptionError
from tlkit.settings.base import option_name, unwrap_optional
from tlkit.settings.training import settings_from

GROUPS = (  # of options, in their order on a help page
    *(
        "Main",
        "Start",
        "Classic",
        "Compression",
        "Measuring",
        "Network",
        "Augmentation",
        "Head",
        "Loss",
        "Optimizer",
        "Freeze lower",
    ),
    *("Watching", "Speed", "Output"),
)

LONGEST = 50  # characters of choices that a help page shows in one piece; of more its text tells


class GroupedCommand(click.Command):
    """A command whose help shows options under the groups their settings name."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Click calls this to write the help page."""
        groups: dict[str, list[tuple[str, str]]] = {name: [] for name in GROUPS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record and isinstance(parameter, click.Option):
                groups.setdefault(getattr(parameter, "group", "Other"), []).append(record)
        for group, records in groups.items():
            if not records:
                continue
            with formatter.section(f"{group} options"):
                formatter.write_dl(records)


class GroupedOption(click.Option):
    """An option that knows its group."""

    def __init__(self, *args: Any, group: str = "Other", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


def options_from(settings_class: type, into: str = "settings") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command one option per field of `settings_class`, and pass it one object of it as `into`."""
    kinds = get_type_hints(settings_class)

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def call(**values: Any) -> Any:
            chosen = {item.name: values.pop(item.name) for item in fields(settings_class)}
            return command(**{into: settings_class(**chosen)}, **values)

        dressed: Callable[..., Any] = call
        for item in reversed(fields(settings_class)):
            dressed = _option(item, kinds[item.name])(dressed)
        return dressed

    return decorate


def _option(item: Field[Any], kind: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    default = None if item.default is MISSING else item.default
    name = option_name(item.name)
    kind, may_be_none = unwrap_optional(kind)
    if kind is bool:
        name += f"/--no-{name[2:]}" if default or may_be_none else ""
    return click.option(
        name,
        item.name,
        cls=GroupedOption,
        group=item.metadata["group"],
        type=_click_type(kind, item.metadata["limits"]),
        default=default,
        metavar="NAME" if len("|".join(get_args(kind))) > LONGEST else None,
        show_default=default != "" and (kind is not bool or bool(default)),
        is_flag=kind is bool,
        help=item.metadata["help"],
    )


def _click_type(kind: Any, limits: dict[str, float]) -> Any:
    if choices := get_args(kind):
        return click.Choice(choices)
    ranges: dict[Any, Any] = {int: click.IntRange, float: click.FloatRange}
    if kind not in ranges or not limits:
        return kind
    return ranges[kind](
        min=limits.get("min", limits.get("above")),
        max=limits.get("max", limits.get("below")),
        min_open="above" in limits,
        max_open="below" in limits,
    )


def explicit_options(or_configured: bool = False) -> list[str]:
    """Names of the parameters of the running command that were typed.

    or_configured: of those that stand in the file of --config, too
    """
    context, source = click.get_current_context(), click.core.ParameterSource
    counted = {source.COMMANDLINE, source.DEFAULT_MAP} if or_configured else {source.COMMANDLINE}
    return [name for name in context.params if context.get_parameter_source(name) in counted]


def run_option(command: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`-o RUN`, of a command that trains."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        cls=GroupedOption,
        group="Main",
        help=f"Run folder to make  [default: the next free runs/{command}-NNN]",
    )


def output_option(
    words: str, group: str = "Main", required: bool = False, default: str = ""
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`-o FILE`, of a command that writes one file: a new one, which is seen to before anything else is done.

    default: what the file is called where -o is not given; the next free one of that name is taken
    """

    def check(ctx: click.Context, parameter: click.Parameter, given: str | None) -> Path | None:
        from tlkit.utils.files import check_new_file, next_free

        path = next_free(Path(default)) if given is None and default else given
        if path is not None:
            check_new_file(path)
        return None if path is None else Path(path)

    taken = f"  [default: {default}, or the next free {Path(default).stem}-N{Path(default).suffix}]" * bool(default)
    return click.option(
        "-o",
        "--output",
        type=click.Path(),  # as text: a Path has lost the "/" at the end of "name/"
        required=required,
        callback=check,
        cls=GroupedOption,
        group=group,
        help=words + taken,
    )


def config_option(command: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--config FILE`: defaults from a run's `settings.json`; what is typed wins.

    command: whose settings they are, where the file does not say so
    """

    def use(ctx: click.Context, parameter: click.Parameter, file: Path | None) -> None:
        if file:
            ctx.default_map = _read_config(file, command)

    return click.option(
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=use,
        cls=GroupedOption,
        group="Start",
        help="Settings of an earlier run, its settings.json; options given here win.",
    )


def _read_config(file: Path, command: str) -> dict[str, Any]:
    """raises: OptionError where a file holds no settings of this command"""
    try:
        values = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_without_twins)
        if not isinstance(values, dict):
            raise OptionError("it holds no settings")
        if (theirs := values.get("command", command)) != command:
            raise OptionError(f"it is of `tlkit {theirs}`")
        settings_from(values, command)
    except (OSError, ValueError, RecursionError, OptionError) as error:
        raise OptionError(f"'{file}' is no settings.json of a run: {str(error).rstrip('.')}.") from None
    return {name: value for name, value in values.items() if name not in ("command", "data")}


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise OptionError("a setting is given twice")
    return values


def resume_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the option; the command calls `go_on` where it is given."""
    return click.option(
        "--resume",
        type=click.Path(path_type=Path),
        cls=GroupedOption,
        group="Start",
        help="Go on with a run that was stopped: its folder, without DATA; it ends as if it had not been.",
    )(command)


def resume_run(run: Path) -> None:
    """Resume a run and show how it ended.

    raises: OptionError where an option was typed that is not what the run was begun with; RunError
    """
    from tlkit.cli.console import Console
    from tlkit.cli.output import print_summary

    _refuse_changes(run)
    from tlkit.training.resume import resume

    print_summary(resume(run, Console()))


def _refuse_changes(run: Path) -> None:
    """raises: OptionError where an option was typed that is not what the run was begun with"""
    from tlkit.runs.unfinished import reopen_run

    begun = reopen_run(run).read_json("settings.json")
    for name in explicit_options(or_configured=True):
        if name == "resume":
            continue
        given = click.get_current_context().params[name]
        given = str(given.resolve()) if name == "data" else given
        if given != begun.get(name):
            option = "DATA" if name == "data" else option_name(name)
            raise OptionError(
                f"{option} is {given}, but '{run}' was begun with {begun.get(name)}; leave it out, or start a new run."
            )
