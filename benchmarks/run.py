"""All benchmarks in one command; the tables go to stdout, and into docs/results.md with --write.

    python benchmarks/run.py [--rounds 3] [--only NAME ...] [--write [FILE]] [--quick]

Needs TLKIT_TEST_DATA (the folder that holds images/) and MobileNetV2's weights where KERAS_HOME says.
Every figure is of whole processes that ran one at a time and in turn. Run it on a machine that does nothing else.
"""

import argparse
import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from measure import FailedError, replace_between, say
from sections import SECTIONS
from workplace import Workplace, make_workplace

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results.md"
PACKAGES = ("tlkit", "keras", "tensorflow", "ai-edge-litert", "openvino", "scikit-learn")


def main() -> int:
    """Run the chosen sections; 1 where one of them failed."""
    options = parse()
    blocks, failed = [preamble(options)], []
    print(blocks[0], flush=True)
    with tempfile.TemporaryDirectory(prefix="tlkit-bench-") as folder:
        place = make_workplace(Path(folder), options.rounds, options.quick)
        say("warming up")
        place.warm_up()
        for name, block, well in sections(place, options.only):
            blocks.append(block)
            failed += [] if well else [name]
            print("\n" + block, flush=True)
    if options.write:
        write(options.write, "\n\n".join(blocks))
    return 1 if failed else 0


def parse() -> argparse.Namespace:
    """Read and check the options."""
    parser = argparse.ArgumentParser(description="Time tlkit side by side with what else there is.")
    parser.add_argument("--rounds", type=int, default=3, help="how often each arm of a comparison runs [3]")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="sections to run")
    parser.add_argument(
        "--write", nargs="?", type=Path, const=RESULTS, help="write the tables to FILE [docs/results.md]"
    )
    parser.add_argument(
        "--quick", action="store_true", help="60 images and one round: tries the scripts, measures nothing"
    )
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds is {options.rounds}; expected at least 1")
    if options.quick and options.write == RESULTS:
        parser.error("what --quick prints is no result; name another FILE after --write")
    return options


def preamble(options: argparse.Namespace) -> str:
    """Describe the benchmark: its command, versions and machine."""
    words = f"--rounds {options.rounds}" if not options.quick else "--quick"
    chosen = "" if options.only == list(SECTIONS) else f" --only {' '.join(options.only)}"
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES if _is_there(name))
    lines = [
        f"Made by `python benchmarks/run.py {words}{chosen}`: every command is a process of its own, and "
        "the commands of a comparison alternate; each figure is the median (minimum–maximum) of its rounds, each ratio "
        "is taken within a round.",
        f"{_cores()} cores ({_processor()}), Python {platform.python_version()}, {versions}.",
    ]
    if options.quick:
        lines.append("**Tried out on 60 images per data set: these figures mean nothing.**")
    return "\n\n".join(lines)


def sections(place: Workplace, names: Sequence[str]) -> Iterator[tuple[str, str, bool]]:
    """Run the chosen sections: name, Markdown, and whether it went well."""
    for name in names:
        title, measure = SECTIONS[name]
        say(title)
        try:
            yield name, f"### {title}\n\n{measure(place)}", True
        except FailedError as error:
            say(f"  {error}")  # not into the page: it may name a path of this machine
            yield name, f"### {title}\n\nFailed: nothing was measured.", False


def write(file: Path, content: str) -> None:
    """Put the tables between the markers of a page, which is made where there is none."""
    text = file.read_text(encoding="utf-8") if file.exists() else "# Results\n"
    file.write_text(replace_between(text, content), encoding="utf-8")
    say(f"written to {file.name}")


def _is_there(package: str) -> bool:
    try:
        return bool(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return False


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    """Find the processor's model, if the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


if __name__ == "__main__":
    sys.exit(main())
