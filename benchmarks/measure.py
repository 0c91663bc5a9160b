"""Runs whole processes in turn, and turns what they took into Markdown."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")
LONGEST = 900  # seconds; a process that takes longer hangs


class FailedError(Exception):
    """A process that ended with an error, which its message quotes, or did not end at all."""


@dataclass(frozen=True)
class Finished:
    """A process that ended well.

    seconds  wall time, from before its start to after its end
    output   what it wrote to stdout
    """

    seconds: float
    output: str

    @property
    def facts(self) -> dict[str, Any]:
        """The JSON object on its last line."""
        facts: dict[str, Any] = json.loads(self.output.strip().splitlines()[-1])
        return facts


def execute(command: Sequence[str | Path], env: Mapping[str, str], cwd: Path) -> Finished:
    """Run one process to its end, alone.

    raises: FailedError
    """
    words = [str(word) for word in command]
    started = time.perf_counter()
    try:
        done = subprocess.run(words, env=env, cwd=cwd, capture_output=True, check=False, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        raise FailedError(f"{Path(words[0]).name} was stopped after {LONGEST} s") from None
    seconds = time.perf_counter() - started
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise FailedError(f"{Path(words[0]).name} ended with {done.returncode}: {lines[-1]}")
    return Finished(seconds, done.stdout.decode(errors="replace"))


def interleave(arms: Mapping[str, Callable[[], Result]], rounds: int) -> dict[str, list[Result]]:
    """Run every arm once, in their order, then again: A B A B, so that a slow minute hits all of them."""
    results: dict[str, list[Result]] = {name: [] for name in arms}
    for number in range(1, rounds + 1):
        for name, arm in arms.items():
            say(f"  round {number} of {rounds}: {name}")
            results[name].append(arm())
    return results


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Compute one ratio per round, of two measurements that followed each other."""
    return [above / below for above, below in zip(numerators, denominators, strict=True)]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Write the median, with the smallest and the largest value.

    >>> spread([0.5, 0.25, 0.75])
    '0.50 (0.25–0.75)'
    """
    low, middle, high = (f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low}–{high})"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def replace_between(text: str, content: str, name: str = "benchmarks") -> str:
    """Put `content` between the two marker lines of a text; missing ones are added at its end.

    >>> replace_between("a <!-- benchmarks -->old<!-- /benchmarks --> z", "new").splitlines()
    ['a <!-- benchmarks -->', 'new', '<!-- /benchmarks --> z']
    """
    opens, closes = f"<!-- {name} -->", f"<!-- /{name} -->"
    if opens not in text or closes not in text:
        text = f"{text.rstrip()}\n\n{opens}\n{closes}\n".lstrip()
    before, _, rest = text.partition(opens)
    return f"{before}{opens}\n{content.strip()}\n{closes}{rest.partition(closes)[2]}"


def say(text: str) -> None:
    """Tell the person who waits; results go to stdout, this does not."""
    print(text, file=sys.stderr, flush=True)
