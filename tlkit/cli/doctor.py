"""`tlkit doctor [RUN]`."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlkit.cli.cache import cache_parts
from tlkit.cli.help import GroupedCommand
from tlkit.cli.reporting import QUIET, report_options, reporting

if TYPE_CHECKING:
    from tlkit.doctor.base import Observation


@click.command(
    cls=GroupedCommand,
    examples=("tlkit doctor", "tlkit doctor runs/finetune-001"),
    common=("as_json", "quiet"),
)
@click.argument("run", type=click.Path(path_type=Path), required=False)
@report_options
def doctor(run: Path | None) -> None:
    """Look for what is wrong with this installation, and with RUN.
    It changes nothing and needs no network.

    It looks at packages, engines, the processor, threads, memory, free space, the cache and the
    pretrained weights, and measures the speed for two seconds. With RUN it also compares the run's
    files with their hashes and its versions with those installed, and opens it as predict does.

    What is wrong comes first, with the command that mends it. Exit code 0 if everything works, remarks
    or not; 2 if the cache folder cannot be used; 4 if an engine, weights or RUN do not work.
    """
    from tlkit.doctor.finished_run import check_run
    from tlkit.doctor.machine import check_machine, check_speed
    from tlkit.doctor.software import check_software
    from tlkit.doctor.storage import check_storage

    checks = [check_software, check_machine, lambda: check_storage(cache_parts()), lambda: [check_speed()]]
    findings = _look([*checks, *([lambda: check_run(run)] if run else [])])
    if reporting().as_json:
        _print_json(findings)
    else:
        _print(findings)
    click.get_current_context().exit(max(found.exit_code for found in findings))


def _look(checks: "Sequence[Callable[[], list[Observation]]]") -> "list[Observation]":
    from tlkit.cli.console import Console

    findings = []
    with Console(stage_lines=False).stage("looking", len(checks), "checks") as advance:
        for check in checks:
            findings += check()
            advance(1)
    return findings


def _print_json(findings: "Sequence[Observation]") -> None:
    names = ("topic", "state", "text", "remedy")
    rows = [{name: asdict(found)[name] for name in names} for found in findings]
    counts = {f"{state}s": sum(found.state == state for found in findings) for state in ("problem", "remark")}
    click.echo(json.dumps({**counts, "findings": rows}, indent=2))


def _print(findings: "Sequence[Observation]") -> None:
    """Print the verdict, then what is wrong, then what works."""
    from tlkit.cli.screen import BAD, GOOD, STRONG, WARN, Screen

    screen, styles = Screen(), {"problem": BAD, "remark": WARN}
    wrong = [found for state in styles for found in findings if found.state == state]
    counts = {state: sum(found.state == state for found in wrong) for state in styles}
    words = [f"{count} {state}{'s' * (count > 1)}" for state, count in counts.items() if count]
    screen.line((", ".join(words), STRONG) if words else ("everything works", GOOD))
    for found in wrong:
        screen.blank()
        screen.entry(found.topic, (f"{found.state}: ", styles[found.state]), found.text)
        if found.remedy:
            screen.command("mend", found.remedy)
    if reporting().verbosity > QUIET:
        screen.blank()
        for found in findings:
            if found.state == "ok":
                screen.entry(found.topic, found.text)
                if found.remedy:
                    screen.command("", found.remedy)
