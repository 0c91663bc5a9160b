"""Absurd values for every option of every command: `make fuzz`; some minutes on two cores.

Every option and argument that click knows gets each of `VALUES`, on three tiny classes and two tiny runs. A command
passes where it ends without a traceback and not with exit code 1, and where it is stopped because it took the value
and works. Every result is written at once: started again, the script continues where it was stopped.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

ROOT = Path(__file__).parents[1]
SECONDS = 8  # after which a command that took its value is stopped
SECONDS_HUNG = 120  # after which its process is ended
MEMORY = 16 << 30  # bytes a worker may map
WORKERS = 2

VALUES = {
    "empty": "",
    "blank": " ",
    "negative": "-1",
    "zero": "0",
    "beyond float": "1e309",
    "not a number": "nan",
    "infinity": "inf",
    "beyond 64 bits": str(10**30),
    "long": "x" * 5000,
    "control characters": "\u202e\x1b[31m\x07ü\n\x7f",
    "folder": "photos",
    "device": "/dev/null",
    "like an option": "--seed",
    "decimal comma": "1,5",
}
SMALL = ("--backbone", "mobilenet_025", "--weights", "none", "--image-size", "32")
HEAD = (*SMALL, "--freeze", "all", "--epochs", "1")
BLOCKS = (*SMALL, "--freeze", "lower", "--cut", "conv_pw_5_relu", "--views", "2", "--epochs", "1")
TRAINED = (
    ("finetune", "photos", *HEAD, "-o", "net"),
    ("train", "photos", "--descriptor", "pixels", "-o", "classic"),
    ("search", "index", "photos", "--descriptor", "pixels", "-o", "found"),
)
BASES = (  # command lines of a second or two that work, to which an option is added
    ("finetune", "photos", *HEAD),
    ("finetune", "photos", *BLOCKS, "--upper-epochs", "1"),
    ("train", "photos", "--model", "linear", "--image-size", "8", "--epochs", "1"),
    ("train", "photos", "--descriptor", "colors", "--classifier", "knn"),
    ("train", "photos", "--features", "mobilenet_025", "--weights", "none", "--image-size", "32"),
    ("compare", "photos", "--only", "colors"),
    ("lr-find", "photos", *SMALL, "--freeze", "all"),
    ("predict", "net", "photos/red/0.png"),
    ("predict", "classic", "photos/red/0.png"),
    ("predict", "classic", "photos/red/0.png", "-o", "answers/"),
    ("explain", "net", "photos/red/0.png"),
    ("explain", "classic", "photos/red/0.png"),
    ("attack", "net", "photos/red/0.png", "--steps", "1"),
    ("attack", "classic", "photos", "--steps", "1"),
    ("evaluate", "net", "photos"),
    ("robustness", "net", "photos", "--corruptions", "jpeg", "--severities", "1"),
    ("report", "net"),
    ("export", "net", "-o", "exported"),
    ("features", "photos", *SMALL, "-o", "features.npz"),
    ("features", "photos", *SMALL, "--pq", "4", "-o", "rows/"),
    ("search", "index", "photos", "--descriptor", "pixels", "-o", "indexed"),
    ("search", "query", "found", "photos/red/0.png"),
    ("search", "evaluate", "found"),
    ("search", "add", "found", "photos"),
    ("search", "info", "found"),
    ("search", "near", "photos", "--backbone", "none"),
    ("augment", "photos", "--rows", "2", "--image-size", "32"),
    ("check", "photos", "--backbone", "none"),
    ("models",),
    ("summary", "lenet5"),
    ("visualize", "net"),
    ("visualize", "net", "--layer", "conv1", "--steps", "1"),
    ("gradcheck", "linear"),
    ("runs",),
    ("sample", "digits", "samples"),
    ("cache", "info"),
    ("cache", "prune", "--older", "30d"),
    ("cache", "clear"),
    ("doctor",),
    ("completion", "bash"),
    ("doctor", "net"),
)
ENDLESS = (("serve", "net", "--port", "0", "--timeout", "1"),)  # work until they are stopped
ENVIRONMENTS: dict[str, dict[str, str | None]] = {  # in which each of these command lines runs as a process
    "closed stdout": {},
    "no HOME": {"HOME": None},
    "C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "20 columns": {"COLUMNS": "20"},
    "no cache": {"TLKIT_CACHE": "/proc/cache"},
    "read-only folder": {},
}
SHARED = ("photos", "net", "classic", "found")  # of the workspace, that command lines read
OUTPUTS = ("features.npz", "samples", "exported", "indexed", "answers", "rows")  # that command lines of `BASES` name
MAY_REFUSE = ("no cache", "read-only folder")  # where a sentence is as good
COLUMNS = ("0", "2", "3", "4", "5", "6", "works", "1", "traceback", "hung")
FAILED = {"1", "traceback", "hung"}


def find_command(base: Sequence[str]) -> tuple[click.Command, int]:
    """Find the command of a command line, and how many of its words name it."""
    from tlkit.cli import main

    command: click.Command = main
    depth = 0
    while isinstance(command, click.Group):
        command, depth = command.commands[base[depth]], depth + 1
    return command, depth


def cases(bases: Sequence[Sequence[str]] = (*BASES, *ENDLESS)) -> Iterator[tuple[str, ...]]:
    """Give every command line to try, in a fixed order."""
    for base in bases:
        yield tuple(base)
        command, depth = find_command(base)
        arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
        for position in range(depth, depth + len(arguments)):
            for value in VALUES.values():
                words = [*base]
                words[position : position + 1] = [value]  # after the last word where an argument is optional
                yield tuple(words)
        for option in command.params:
            if isinstance(option, click.Option):
                for name in (*option.opts[-1:], *option.secondary_opts):
                    if option.is_flag:
                        yield from ((*base, name), (*base, f"{name}=1"))
                    else:
                        yield from ((*base, name, value) for value in VALUES.values())


def make_workspace(folder: Path) -> None:
    """Draw the images and train the runs that the command lines use, in a new folder."""
    from tests.conftest import draw_colors

    shutil.rmtree(folder, ignore_errors=True)
    (folder / "photos").mkdir(parents=True)
    draw_colors(folder / "photos")
    for words in TRAINED:
        done = subprocess.run([sys.executable, "-m", "tlkit", *words], cwd=folder, capture_output=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr.decode())


def run_case(words: Sequence[str], seconds: float = SECONDS) -> dict[str, Any]:
    """Run one command line in this process, stopped after some seconds; outputs of an earlier one are removed."""
    from tlkit.cli import main

    for name in OUTPUTS:
        shutil.rmtree(name, ignore_errors=True)
        Path(name).unlink(missing_ok=True)
    fired = []

    def stop(number: int, frame: Any) -> None:
        fired.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)  # again, where C code has swallowed it
    started = time.monotonic()
    try:
        done = CliRunner().invoke(main, list(words))
    except BaseException:  # noqa: BLE001  the signal came between the command and its runner
        done = None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    row: dict[str, Any] = {"words": list(words), "seconds": round(time.monotonic() - started, 2)}
    if fired or done is None:
        return row | {"outcome": "works", "said": ""}
    is_exit = done.exception is None or isinstance(done.exception, SystemExit)
    trace = "" if is_exit else "".join(traceback.format_exception(done.exception))
    outcome = "traceback" if trace or "Traceback (most" in done.output else str(done.exit_code)
    return row | {"outcome": outcome, "said": done.stderr[-500:], "trace": trace}


def run_in(environment: str, base: Sequence[str], folder: Path) -> dict[str, Any]:
    """Run one command line as a process in an environment; its folder is read-only, its stdout closed, or neither."""
    variables = os.environ | {name: value or "" for name, value in ENVIRONMENTS[environment].items()}
    variables = {
        name: value for name, value in variables.items() if ENVIRONMENTS[environment].get(name, "") is not None
    }
    started, words = time.monotonic(), list(base)
    with tempfile.TemporaryDirectory(dir=folder) as parent:
        words = [re.sub(rf"^({'|'.join(SHARED)})(?=/|$)", str(folder) + r"/\1", word) for word in words]
        read_only = environment == "read-only folder"
        reading, writing = os.pipe()
        if environment == "closed stdout":
            os.close(reading)
        with (Path(parent) / "stdout").open("wb") as out, (Path(parent) / "stderr").open("w+b") as error:
            done = subprocess.run(
                [sys.executable, "-m", "tlkit", *words],
                cwd="/proc" if read_only else parent,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=writing if environment == "closed stdout" else out,
                stderr=error,
                timeout=SECONDS_HUNG - 10,
                check=False,
            )
            error.seek(0)
            said = error.read().decode("utf-8", "replace")
        os.close(writing)
        if environment != "closed stdout":
            os.close(reading)
    outcome = "traceback" if "Traceback (most" in said else str(done.returncode)
    if outcome != "0" and environment not in MAY_REFUSE:
        outcome = "1"
    return {
        "words": [f"in {environment}", *base],
        "seconds": round(time.monotonic() - started, 2),
        "outcome": outcome,
        "said": said[-500:],
    }


def work(folder: Path, part: int) -> None:
    """Run every WORKERS-th case that has no result yet; each result is a line of `results-PART.jsonl`."""
    import resource

    from tlkit.models.keras_setup import start_keras

    start_keras()  # stopped while it is imported, it would stay half imported
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    results = folder / f"results-{part}.jsonl"
    known = {tuple(row["words"]) for row in all_results(folder)}
    os.chdir(folder / f"work-{part}")
    os.environ["TLKIT_DEBUG"] = "1"  # an unexpected error is a traceback
    todo: list[tuple[str, ...]] = [words for index, words in enumerate(cases()) if index // 3 % WORKERS == part]
    in_environments = [(f"in {environment}", *base) for environment in ENVIRONMENTS for base in BASES]
    for words in [*todo, *in_environments[part::WORKERS]]:
        if words in known:
            continue
        (folder / f"current-{part}.json").write_text(json.dumps(words))
        with results.open("a") as file, contextlib.suppress(KeyboardInterrupt):
            is_process = words in in_environments
            row = run_in(words[0].removeprefix("in "), words[1:], Path.cwd()) if is_process else run_case(words)
            file.write(json.dumps(row) + "\n")


def read_results(file: Path) -> list[dict[str, Any]]:
    """Read the results so far."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def all_results(folder: Path) -> list[dict[str, Any]]:
    """Read the results of every worker so far."""
    return [row for part in range(WORKERS) for row in read_results(folder / f"results-{part}.jsonl")]


def watch(folder: Path, part: int) -> subprocess.Popen[bytes]:
    """Start a worker."""
    environment = os.environ | {"TLKIT_CACHE": str(folder / f"cache-{part}"), "KERAS_HOME": str(folder / "keras")}
    log = (folder / f"log-{part}.txt").open("ab")
    words = [sys.executable, "-m", "tests.fuzz", str(folder), "--worker", str(part)]
    return subprocess.Popen(words, cwd=ROOT, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def run_all(folder: Path) -> None:
    """Run every case that has no result yet; a worker that hangs or dies is started again after the case."""
    workers = {part: watch(folder, part) for part in range(WORKERS)}
    while workers:
        time.sleep(1)
        for part, worker in list(workers.items()):
            results, current = folder / f"results-{part}.jsonl", folder / f"current-{part}.json"
            last = max((file.stat().st_mtime for file in (results, current) if file.exists()), default=time.time())
            if worker.poll() == 0:
                del workers[part]
            elif worker.poll() is not None or time.time() - last > SECONDS_HUNG:
                worker.kill()
                code = worker.wait()
                if not current.exists():
                    raise SystemExit((folder / f"log-{part}.txt").read_text())
                row = {"words": json.loads(current.read_text()), "outcome": "hung", "said": f"exit code {code}"}
                with results.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                workers[part] = watch(folder, part)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Count the outcomes of each command."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(row["words"][0], Counter())[row["outcome"]] += 1
    counts["all"] = sum(counts.values(), Counter())
    lines = [f"| command | cases | {' | '.join(COLUMNS)} |", "| --- " * (len(COLUMNS) + 2) + "|"]
    for name, found in counts.items():
        lines.append(f"| {name} | {found.total()} | {' | '.join(str(found[column]) for column in COLUMNS)} |")
    return "\n".join(lines)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=ROOT / "build" / "fuzz")
@click.option("--worker", type=int, default=-1, hidden=True)
@click.option("--retry", is_flag=True, help="Try those again that failed.")
def main(folder: Path, worker: int, retry: bool) -> None:
    """Try every case; results go to FOLDER."""
    folder = folder.resolve()
    if worker >= 0:
        work(folder, worker)
        return
    for part in range(WORKERS):
        if not (folder / f"work-{part}" / "classic" / "DONE").exists():
            make_workspace(folder / f"work-{part}")
        results = folder / f"results-{part}.jsonl"
        if retry and results.exists():
            rows = [row for row in read_results(results) if row["outcome"] not in FAILED]
            results.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run_all(folder)
    rows = all_results(folder)
    failed = [row for row in rows if row["outcome"] in FAILED]
    for row in failed:
        click.echo(f"{row['outcome']}: tlkit {' '.join(word[:60] for word in row['words'])!r}")
        click.echo("\n".join(("  " + row.get("trace", row["said"])).strip().splitlines()[-2:]))
    click.echo(table(rows))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
