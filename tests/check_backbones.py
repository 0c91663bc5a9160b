"""Check every property of every backbone: `python -m tests.check_backbones`; about an hour on two cores.

Each backbone is checked in a process of its own, since TensorFlow never gives memory back. Its row is in
`docs/backbones.csv` as soon as it is checked, also when its process crashed: started again, the command
continues with the next backbone. Rows of other versions of tlkit, Keras or TensorFlow are checked again.
At the end the rows become `docs/backbones.md`.
"""

import csv
import io
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import click

from tlkit.models.backbones import BACKBONES, find_backbone
from tlkit.utils.files import atomic_write

ROOT = Path(__file__).parents[1]
PACKAGES = ("tlkit", "keras", "tensorflow")
COLUMNS = ("name", *PACKAGES, "image_size", "seconds", "passed", "worst", "error", "findings")
PREFIX = "findings: "  # of the line with the result; libraries may print others
SCRIPT = f"""
import json, sys
from dataclasses import astuple
from tlkit.models.keras_setup import start_keras
start_keras()
from tlkit.testing import check_backbone
findings = [astuple(finding) for finding in check_backbone(sys.argv[1], int(sys.argv[2]))]
print({PREFIX!r} + json.dumps([(title, bool(passed), str(detail)) for title, passed, detail in findings]))
"""


@click.command()
@click.argument("names", nargs=-1)
@click.option("--table", type=click.Path(path_type=Path), default=ROOT / "docs" / "backbones.csv", show_default=True)
@click.option("--page", type=click.Path(path_type=Path), default=ROOT / "docs" / "backbones.md", show_default=True)
@click.option("--image-size", default=0, help="In pixels; 0 for the smallest at which there is something to cut.")
@click.option("--timeout", default=1800, show_default=True, help="Seconds for one backbone.")
@click.option("--retry", is_flag=True, help="Check those again whose process ended without a result.")
def main(names: tuple[str, ...], table: Path, page: Path, image_size: int, timeout: int, retry: bool) -> None:
    """Check the backbones NAMES, or all."""
    rows = read_table(table)
    current = {package: version(package) for package in PACKAGES} | {"image_size": str(image_size)}
    for name in [find_backbone(name).name for name in names] or BACKBONES:
        row = rows.get(name, {})
        is_done = current.items() <= row.items() and not (retry and row["error"])
        if not is_done:
            row = rows[name] = {"name": name} | current | check_alone(name, image_size, timeout)
            write_table(table, rows)
        outcome = row["error"] or f"{row['passed']} properties, {row['worst']}"
        click.echo(f"{name:<24} {row['seconds']:>6} s  {outcome}{' (earlier)' * is_done}")
    done = [rows[name] for name in BACKBONES if current.items() <= rows.get(name, {}).items()]
    atomic_write(page, to_markdown(done, current))
    click.echo(f"{len(done)} of {len(BACKBONES)} backbones are in {page}.")
    sys.exit(any(has_failed(row) for row in done))


def run_child(arguments: Sequence[str], timeout: float) -> tuple[list[str], str]:
    """Run Python in a process of its own.

    returns: the rest of each line that begins with `PREFIX`, and how the process failed; "" where it did not
    """
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    try:
        process = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return [], f"took more than {timeout:g} s"
    results = [line.removeprefix(PREFIX) for line in process.stdout.splitlines() if line.startswith(PREFIX)]
    failed = process.returncode != 0 or not results
    return results, describe_exit(process.returncode, process.stderr) if failed else ""


def check_alone(name: str, image_size: int, timeout: float, script: str = SCRIPT) -> dict[str, str]:
    """Check one backbone in a process of its own.

    script: prints a line that begins with `PREFIX`, with the findings as JSON
    returns: the rest of its row, also where the process crashed, was killed or took too long
    """
    start = time.monotonic()
    results, error = run_child(["-c", script, name, str(image_size)], timeout)
    findings = [] if error else json.loads(results[-1])
    passed = sum(is_passed for _, is_passed, _ in findings)
    return {
        "seconds": f"{time.monotonic() - start:.0f}",
        "passed": f"{passed} of {len(findings)}" if findings else "",
        "worst": worst_detail(findings),
        "error": error,
        "findings": json.dumps(findings, ensure_ascii=False),
    }


def describe_exit(code: int, stderr: str) -> str:
    """Say how a process without a result ended, in one line."""
    if code < 0:
        hint = ", probably out of memory" if -code == signal.SIGKILL else ""
        return f"killed by {signal.Signals(-code).name}{hint}"
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1][:200] if lines else f"exit code {code} without a message"


def worst_detail(findings: list[tuple[str, bool, str]]) -> str:
    """Give the details of what failed, or else the one with the largest difference."""
    if failed := [f"{title}: {detail}" for title, is_passed, detail in findings if not is_passed]:
        return "; ".join(failed)
    numbers = [(float(number), detail) for *_, detail in findings for number in re.findall(r"\d\.\d+e[-+]\d+", detail)]
    return max(numbers)[1] if numbers else ""


def has_failed(row: dict[str, str]) -> bool:
    """Tell whether a property does not hold, or nothing is known."""
    return bool(row["error"]) or not all(is_passed for _, is_passed, _ in json.loads(row["findings"]))


def read_table(table: Path) -> dict[str, dict[str, str]]:
    """Read the rows by name; none where there is no file."""
    if not table.exists():
        return {}
    return {row["name"]: row for row in csv.DictReader(io.StringIO(table.read_text(encoding="utf-8")))}


def write_table(table: Path, rows: dict[str, dict[str, str]]) -> None:
    """Write the rows, as a whole or not at all, so that a stopped command leaves a table that can be read."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows[name] for name in BACKBONES if name in rows)
    atomic_write(table, text.getvalue())


def to_markdown(rows: list[dict[str, str]], current: dict[str, str]) -> str:
    """Write the page: a column for each property, numbered below the table."""
    findings = {row["name"]: {title: passed for title, passed, _ in json.loads(row["findings"])} for row in rows}
    titles = list(dict.fromkeys(title for passed in findings.values() for title in passed))
    marks = {True: "yes", False: "**no**", None: ""}
    body = [
        [row["name"], row["seconds"], *(marks[findings[row["name"]].get(title)] for title in titles)]
        + [(row["error"] or row["worst"]).replace("|", "\\|")]
        for row in rows
    ]
    numbers = [str(number) for number in range(1, len(titles) + 1)]
    table = [["backbone", "seconds", *numbers, "worst"], ["---", "--:", *["---"] * len(titles), "---"], *body]
    size = "the smallest size at which there is something to cut" if current["image_size"] == "0" else "one size"
    packages = ", ".join(f"{package} {current[package]}" for package in PACKAGES)
    passed = sum(not has_failed(row) for row in rows)
    return "\n".join(
        [
            "# Backbones",
            "",
            f"`python -m tests.check_backbones` checks every backbone with random weights, at {size}. "
            f"{passed} of {len(rows)} have every property. "
            f"Versions: {packages}. Machine: {os.cpu_count()} cores, {platform.system()} {platform.machine()}.",
            "",
            *("| " + " | ".join(cells) + " |" for cells in table),
            "",
            *(f"{number}. {title}" for number, title in enumerate(titles, 1)),
            "",
        ]
    )


if __name__ == "__main__":
    main()
