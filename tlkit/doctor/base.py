"""The record that every check of `tlkit doctor` gives."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Observation:
    """One thing that was looked at.

    Attributes:
        topic: one word, such as "cache"
        text: what was found; of a problem, what is wrong and what it means
        state: "ok", "remark" (everything works, but could be better) or "problem" (something does not work)
        remedy: the command that mends it; "" where there is nothing to type
        exit_code: of a problem: 2 for the cache folder, 4 for an engine, weights or a run, as errors have it
    """

    topic: str
    text: str
    state: Literal["ok", "remark", "problem"] = "ok"
    remedy: str = ""
    exit_code: int = 0
