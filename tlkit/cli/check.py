"""`tlkit check DATA`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlkit.cli.help import GroupedCommand
from tlkit.cli.options import DATA, options_from, output_option, verify_option, workers_options
from tlkit.cli.reporting import QUIET, VERBOSE, report_options, reporting
from tlkit.settings.commands import CheckSettings
from tlkit.utils.locations import Location

if TYPE_CHECKING:
    from tlkit.cli.screen import Screen
    from tlkit.quality.base import Issue
    from tlkit.quality.check import CheckResult

MAX_SHOWN = 3  # issues of one check on the screen; --verbose shows all


@click.command(
    cls=GroupedCommand,
    examples=("tlkit check photos", "tlkit check photos -o check.html", "tlkit check photos --fix photos-clean"),
    common=("as_json", "output", "fix", "strict", "backbone", "group_regex", "label_regex", "label_column"),
)
@click.argument("data", type=DATA)
@output_option("Page to write, with a thumbnail of every image that is named.", "Output")
@click.option("--fix", type=click.Path(path_type=Path), help="New folder of links to the images without the copies.")
@click.option("--strict", is_flag=True, help="Exit with code 5 if there is an error or a warning.")
@verify_option
@report_options
@options_from(CheckSettings)
@workers_options
def check(data: Location, output: Path | None, fix: Path | None, strict: bool, settings: CheckSettings) -> None:
    """Look for copies, wrong labels and shortcuts in DATA.
    It reads every image once, trains nothing and changes nothing.

    Errors and warnings come first, with the images to look at. A backbone whose weights are cached
    finds wrong labels, odd images and cropped copies, too. With --fix, a new folder holds links to the
    images without equal copies; which label of an image is right only a person can say.
    """
    from tlkit.cli.console import Console
    from tlkit.errors import GateError
    from tlkit.quality.check import check as run_check
    from tlkit.utils.files import check_new_file
    from tlkit.utils.storage import refuse_inside

    for path in filter(None, (output, fix)):
        check_new_file(path)
        refuse_inside(data, path)
    result = run_check(data, settings, Console())
    if output:
        from tlkit.quality.page import write_page

        write_page(result, output, data.resolve().name)
    num_kept = _fix(result, fix) if fix else 0
    if reporting().as_json:
        click.echo(json.dumps(result.as_json(), indent=2))
    else:
        _print(result, data, output, fix, num_kept)
    bad = sum(issue.severity != "info" for issue in result.issues)
    if strict and bad:
        raise GateError(f"{bad} errors and warnings; --strict allows none.")


def _fix(result: "CheckResult", output: Path) -> int:
    from tlkit.quality.clean import removals, write_clean_copy

    return write_clean_copy(result.folder, removals(result.issues, result.folder), output)


def _print(result: "CheckResult", data: Location, output: Path | None, fix: Path | None, num_kept: int) -> None:
    from tlkit.cli.screen import BAD, FAINT, STRONG, WARN, Screen

    styles = {"error": BAD, "warning": WARN, "info": FAINT}
    screen, folder = Screen(), result.folder
    counts = {kind: sum(issue.severity == kind for issue in result.issues) for kind in styles}
    found = ", ".join(
        f"{count} {kind}{'s' * (count > 1 and kind != 'info')}" for kind, count in counts.items() if count
    )
    screen.line((found or "nothing found", STRONG), f"  {len(folder):,} images, {folder.num_classes} classes")
    for name in dict.fromkeys(issue.check for issue in result.issues):
        issues = [issue for issue in result.issues if issue.check == name]
        _print_check(screen, name, issues, styles)
    if reporting().verbosity > QUIET:
        screen.blank()
        clean = [name for name, count in result.counts.items() if not count]
        if clean:
            screen.line(("nothing found by ", FAINT), (", ".join(clean), FAINT))
        for note in result.notes:
            screen.entry("note", note, style=WARN)
    if fix:
        screen.entry("copy", f"{fix}: links to {num_kept:,} images; removed.csv lists what is left out")
    if output:
        screen.entry("page", str(output))
    elif result.issues:
        screen.command("next", f"tlkit check {_quoted(data)} -o check.html", "look at the images")


def _print_check(screen: "Screen", name: str, issues: "list[Issue]", styles: dict[str, str]) -> None:
    from tlkit.cli.screen import FAINT, STRONG

    shown = issues if reporting().verbosity == VERBOSE else issues[:MAX_SHOWN]
    screen.blank()
    screen.line((name, STRONG), f"  {len(issues)}" * (len(issues) > 1))
    for issue in shown:
        screen.line((issue.severity, styles[issue.severity]), " ", issue.message, indent=2)
    if len(issues) > len(shown):
        screen.line(
            (f"… {len(issues) - len(shown)} more; --verbose, --json or -o check.html show them", FAINT), indent=2
        )
    screen.line((issues[0].remedy, FAINT), indent=2)


def _quoted(path: Location) -> str:
    import shlex

    return shlex.quote(str(path))
