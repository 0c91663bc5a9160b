"""Options of the commands: from a settings dataclass, RUN, -o, --config and --resume, with what they need."""

import json
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import click

from tlkit.cli.help import GroupedOption
from tlkit.errors import OptionError
from tlkit.settings.base import option_name, unwrap_optional, unwrap_repeated
from tlkit.settings.training import settings_from
from tlkit.utils.locations import as_location

if TYPE_CHECKING:
    from tlkit.runs.run import Run

WORKER_OPTIONS = ("on", "workers")  # options that change no result
MAX_NAME_WIDTH = 56  # characters of an option's name and choices on a terminal of 60 columns

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class DataType(click.Path):
    """The type of DATA: a path, or the URI of something in an object store."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take the text of a command line."""
        return as_location(value)


DATA = DataType()


def options_from(settings_class: type, into: str = "settings") -> Decorator:
    """Give a command one option per field of `settings_class`.

    Args:
        into: the command's parameter that gets an object of the class
    """
    hints = get_type_hints(settings_class)

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        """Add the options to a command."""

        @wraps(command)
        def call(**parameters: Any) -> Any:
            """Call the command with its settings."""
            options = {item.name: parameters.pop(item.name) for item in fields(settings_class)}
            return command(**{into: settings_class(**options)}, **parameters)

        decorated: Callable[..., Any] = call
        for item in reversed(fields(settings_class)):
            decorated = _option(item, hints[item.name])(decorated)
        return decorated

    return decorate


def _option(item: Field[Any], hint: Any) -> Decorator:
    default = None if item.default is MISSING else item.default
    value_type, may_be_none = unwrap_optional(hint)
    value_type, is_repeated = unwrap_repeated(value_type)
    is_flag = value_type is bool
    name = option_name(item.name)
    choices, text = get_args(value_type), item.metadata["help"]
    metavar = {int: "INTEGER", float: "FLOAT"}.get(value_type)
    if len(f"{name} [{'|'.join(choices)}]") > MAX_NAME_WIDTH:
        metavar, text = "NAME", f"{text} One of: {', '.join(choices)}."
    if is_flag and (default or may_be_none):
        name += f"/--no-{name[2:]}"
    return click.option(
        name,
        item.name,
        cls=GroupedOption,
        group=item.metadata["group"],
        type=_click_type(value_type, item.metadata["limits"]),
        default=default,
        metavar=metavar,
        multiple=is_repeated,
        show_default=default not in ("", ()) and (not is_flag or bool(default)),
        is_flag=is_flag,
        help=text,
    )


def _click_type(value_type: Any, limits: dict[str, float]) -> Any:
    if choices := get_args(value_type):
        return click.Choice(choices)
    ranges: dict[Any, Any] = {int: click.IntRange, float: click.FloatRange}
    if value_type not in ranges or not limits:
        return value_type
    return ranges[value_type](
        min=limits.get("min", limits.get("above")),
        max=limits.get("max", limits.get("below")),
        min_open="above" in limits,
        max_open="below" in limits,
    )


def open_run(path: str | Path, trust_model: bool = False) -> "Run":
    """Open a finished run; say on stderr which one it is, where the path is `latest` or a comparison.

    Args:
        trust_model: whether its network may be opened even if this machine did not make it; then the whole command runs
            in a child process, and only the child returns

    Raises:
        RunError
    """
    from tlkit.cli.isolation import isolate
    from tlkit.cli.reporting import QUIET, reporting
    from tlkit.runs.run import LATEST, load_run
    from tlkit.utils.text import escape_control_chars

    given, run = Path(path), load_run(path)
    if trust_model and not run.is_own:
        isolate(click.get_current_context())
    if reporting().verbosity > QUIET and run.path not in (given, given.parent):
        newest = "the newest finished run"
        comparison = newest if str(given) == LATEST else f"'{given}'"
        meaning = newest if run.path.parent == Path("runs") else f"the recommended model of {comparison}"
        click.echo(escape_control_chars(f"Using {run.path}: {meaning}."), err=True)
    return run


def run_option(command: str) -> Decorator:
    """Make `-o RUN`, of a command that trains."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        cls=GroupedOption,
        group="Main",
        help=f"Run folder to create.  [default: the next free runs/{command}-NNN]",
    )


def output_option(
    words: str, group: str = "Main", required: bool = False, default: str = "", is_folder: bool = False
) -> Decorator:
    """Make `-o FILE`, of a command that writes one new file; that it can be written is checked before all work.

    Args:
        words: of the help page
        default: name of the file without -o; if it exists, the next free name
        is_folder: whether the command may make a new folder instead, whose name may end in a slash
    """

    def check(ctx: click.Context, parameter: click.Parameter, given: str | None) -> Path | None:
        """Check that the file can be written."""
        from tlkit.utils.files import check_new_file, next_free

        given = given.rstrip("/") if given and is_folder else given
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


def verify_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--verify`, of a command that reads no image again that has not changed."""

    def use(ctx: click.Context, parameter: click.Parameter, given: bool) -> None:
        """Read all files until the command ends."""
        if given:
            from tlkit.cache.file_memory import reading_all_files

            ctx.with_resource(reading_all_files())

    return click.option(
        "--verify",
        is_flag=True,
        expose_value=False,
        callback=use,
        cls=GroupedOption,
        group="Data",
        help="Reading of every image, also of those whose size and times say that they have not changed.",
    )(command)


def workers_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--on` and `--workers`: who reads the images and runs frozen networks; no result depends on it."""
    from tlkit.distributed.workers import use_workers

    @wraps(command)
    def call(on: Any, workers: int, **parameters: Any) -> Any:
        """Call the command with its workers."""
        with use_workers(on, workers):
            return command(**parameters)

    count = click.option(
        "--workers",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        cls=GroupedOption,
        group="Speed",
        help="Workers of --on ray; 0 for one per processor.",
    )
    kind = click.option(
        "--on",
        type=click.Choice(("here", "ray")),
        default="here",
        show_default=True,
        cls=GroupedOption,
        group="Speed",
        help="Place where images are read and features computed: here, or ray: the cluster of RAY_ADDRESS, or a new "
        "one on this machine.",
    )
    return kind(count(call))


def config_option(command: str) -> Decorator:
    """Make `--config FILE`: defaults from a run's `settings.json`; typed options win.

    Args:
        command: the settings' command, where the file does not name it
    """

    def use(ctx: click.Context, parameter: click.Parameter, file: Path | None) -> None:
        """Take the defaults from the file."""
        if file:
            ctx.default_map = _read_config(file, command)

    return click.option(
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=use,
        cls=GroupedOption,
        group="Run",
        help="Settings of an earlier run (its settings.json); options on the command line override them.",
    )


def _read_config(file: Path, command: str) -> dict[str, Any]:
    """Read the options in a `settings.json`.

    Raises:
        OptionError: if the file holds no settings of this command
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_refuse_duplicates)
        if not isinstance(content, dict):
            raise OptionError("it contains no settings")
        if (its_command := content.get("command", command)) != command:
            raise OptionError(f"it belongs to `tlkit {its_command}`")
        settings_from(content, command)
    except (OSError, ValueError, RecursionError, OptionError) as error:
        raise OptionError(
            f"--config '{file}' cannot be used: {str(error).rstrip('.')}; expected the settings.json of a run."
        ) from None
    return {name: option for name, option in content.items() if name not in ("command", "data")}


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise OptionError("it contains a setting twice")
    return content


def resume_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--resume RUN`; the command calls `resume_run` if it is given."""
    return click.option(
        "--resume",
        type=click.Path(path_type=Path),
        cls=GroupedOption,
        group="Run",
        help="Interrupted run to continue: its folder, instead of DATA. The result is the same as without the "
        "interruption.",
    )(command)


def resume_run(run: Path, trust_model: bool = False) -> None:
    """Resume a run and print its summary.

    Args:
        trust_model: of the run that it starts from, as `open_run` takes it

    Raises:
        OptionError: if an option was typed that differs from the run's
        RunError
    """
    from tlkit.cli.console import Console
    from tlkit.cli.output import print_training
    from tlkit.runs.run import Run
    from tlkit.training.resume import resume

    _refuse_changes(run)
    previous = Run(run).read_settings().get("from_run")
    if previous and trust_model:
        open_run(previous, trust_model)
    print_training(resume(run, Console(), trust_model))


def _refuse_changes(run: Path) -> None:
    """Check that every typed option is as in the run's `settings.json`.

    Raises:
        OptionError: for the first that differs
        RunError: if there is no such run
    """
    from tlkit.runs.unfinished import reopen_run
    from tlkit.training.resume import read_training_request

    stopped = reopen_run(run)
    read_training_request(stopped)  # a damaged settings.json is an error for every command line
    before = stopped.read_settings()
    for name in explicit_options(or_configured=True):
        if name in ("resume", "trust_model", *WORKER_OPTIONS):
            continue
        given = click.get_current_context().params[name]
        given = str(given.resolve()) if name == "data" else list(given) if isinstance(given, tuple) else given
        if given != before.get(name):
            option = "DATA" if name == "data" else option_name(name)
            raise OptionError(
                f"{option} is {given}, but '{run}' was started with {before.get(name)}; omit it or start a new run."
            )


def explicit_options(or_configured: bool = False) -> list[str]:
    """List the parameters of the running command that were typed.

    Args:
        or_configured: also list those in the file of --config
    """
    context, source = click.get_current_context(), click.core.ParameterSource
    explicit = {source.COMMANDLINE, source.DEFAULT_MAP} if or_configured else {source.COMMANDLINE}
    return [name for name in context.params if context.get_parameter_source(name) in explicit]
