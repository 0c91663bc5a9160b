"""`--resume RUN`, of every command that trains."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tlkit.cli.options import GroupedOption, typed
from tlkit.errors import OptionError
from tlkit.settings import option_name


def resume_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the option; the command calls `go_on` where it is given."""
    return click.option(
        "--resume",
        type=click.Path(path_type=Path),
        cls=GroupedOption,
        group="Start",
        help="Go on with a run that was stopped: its folder, without DATA; it ends as if it had not been.",
    )(command)


def go_on(run: Path) -> None:
    """Resume a run and show how it ended.

    raises: OptionError where an option was typed that is not what the run was begun with; RunError
    """
    from tlkit.cli.console import Console
    from tlkit.cli.outcome import show

    _refuse_changes(run)
    from tlkit.training.session import resume

    show(resume(run, Console()))


def _refuse_changes(run: Path) -> None:
    """raises: OptionError where an option was typed that is not what the run was begun with"""
    from tlkit.training.resume import reopen_run

    begun = reopen_run(run).read_json("settings.json")
    for name in typed(or_configured=True):
        if name == "resume":
            continue
        given = click.get_current_context().params[name]
        given = str(given.resolve()) if name == "data" else given
        if given != begun.get(name):
            option = "DATA" if name == "data" else option_name(name)
            raise OptionError(
                f"{option} is {given}, but '{run}' was begun with {begun.get(name)}; leave it out, or start a new run."
            )
