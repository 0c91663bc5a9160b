"""Lines of reports that are wider than the terminal: `python -m tests.widths`; some minutes on two cores.

Every command runs in a pseudo terminal of 60, 80 and 120 columns, on three folders of images. What it writes to
stdout and stderr is drawn on a screen without an edge; each line that ends beyond the terminal's is printed.
"""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.cells import cell_len

from tests.fuzz import ROOT

WIDTHS = (60, 80, 120)
SECONDS = 300  # for one command
IMAGES = 20  # of each class and subset
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[=>]")
SMALL = ("--backbone", "mobilenet_025", "--weights", "none", "--image-size", "32")
COMMANDS = (  # in this order: later ones use the runs of earlier ones; {data} is the folder of images
    ("finetune", "{data}", *SMALL, "--freeze", "all", "--epochs", "3", "-o", "net"),
    ("finetune", "{data}", *SMALL, "--dry-run"),
    ("train", "{data}", "--model", "linear", "--image-size", "16", "--epochs", "3", "-v"),
    ("train", "{data}", "--descriptor", "pixels", "--classifier", "knn", "-o", "classic"),
    ("compare", "{data}", "--only", "chance,majority,colors,pixels", "-o", "compared"),
    ("lr-find", "{data}", *SMALL, "--freeze", "all"),
    ("predict", "net", "{data}", "--top-k", "3", "--format", "table"),
    ("predict", "net", "{data}", "--probs", "--format", "table"),
    ("predict", "net", "{data}", "-o", "answers/"),
    ("predict", "net", "{data}", "-o", "answers/"),  # which is complete
    ("explain", "net", "{data}"),
    ("attack", "net", "{data}", "--max-images", "12", "--epsilon", "1,8"),
    ("evaluate", "net"),
    ("evaluate", "net", "{data}", "--include-training"),
    ("robustness", "net", "{data}", "--severities", "1,3,5"),
    ("report", "net"),
    ("export", "net", "-o", "exported"),
    ("features", "{data}", *SMALL, "--pca", "4", "-o", "features.npz"),
    ("features", "{data}", *SMALL, "-o", "rows/"),
    ("features", "{data}", *SMALL, "-o", "rows/"),  # which is complete
    ("search", "index", "{data}", "--descriptor", "pixels", "-o", "found"),
    ("search", "query", "found", "{data}", "-k", "3", "--format", "table"),
    ("search", "evaluate", "found"),
    ("search", "info", "found"),
    ("search", "near", "{data}", "--backbone", "none"),
    ("search", "remove", "found", "*1.png"),
    ("augment", "{data}", "--rows", "2"),
    ("check", "{data}", "--backbone", "none"),
    ("runs", "."),
    ("serve", "net", "--host", "0.0.0.0"),
    ("cache", "info"),
    ("cache", "prune", "--older", "30d"),
    ("doctor",),
    ("doctor", "net"),
    ("doctor", "-q", "nowhere"),
    ("models",),
    ("models", "resnet50"),
    ("summary", "net"),
    ("summary", "resnet50"),
    ("visualize", "net"),
    ("visualize", "net", "--layer", "conv1", "--steps", "2"),
    ("visualize", "net", "--map", "pca"),
    ("gradcheck", "lenet5"),
    ("finetune", "{data}/no"),
    ("predict", "nowhere", "x.png"),
    ("train", "--resume", "net"),
    ("train", "{data}", "--descriptor", "fish"),
    ("finetune", "{data}", "--freeze", "no"),
    ("finetune", "{data}", "--epoch", "3"),
    ("finetunes",),
    ("--help",),
    ("train", "-h"),
    ("train", "--help"),
)


def written(words: Sequence[str], folder: Path, width: int) -> str:
    """Give all that a command writes to a terminal of this width."""
    master, terminal = pty.openpty()
    os.set_blocking(master, False)
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    command = ["stty", "cols", str(width), "rows", "40"]
    subprocess.run(command, stdin=terminal, check=True)
    streams = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
    running = subprocess.Popen(
        [sys.executable, "-m", "tlkit", *words], cwd=folder, env=environment | {"TERM": "xterm-256color"}, **streams
    )
    os.close(terminal)
    content, until = b"", time.monotonic() + SECONDS
    while time.monotonic() < until:
        ready, _, _ = select.select([master], [], [], 0.2)
        try:
            chunk = os.read(master, 65536) if ready else b""
        except OSError:  # the command has ended
            break
        content += chunk
        if not chunk and running.poll() is not None:
            break
    running.kill()
    running.wait()
    os.close(master)
    return content.decode("utf-8", "replace")


def lines_of(text: str) -> Iterator[str]:
    """Give every line that was on the screen at any time, also those drawn over."""
    for line in re.split(r"[\r\n]+|\x1b\[[0-9]*[AFK]|\x1b\[2K", text):
        yield ESCAPE.sub("", line)


def too_wide(words: Sequence[str], folder: Path, width: int) -> list[str]:
    """Give the lines of a command that are wider than the terminal."""
    return [line for line in lines_of(written(words, folder, width)) if cell_len(line) > width]


def data_folders(folder: Path) -> list[Path]:
    """Make the folders of images: some of each class of the digits, and of two sets of photos where they are here."""
    subprocess.run([sys.executable, "-m", "tlkit", "sample", "digits", str(folder / "all")], check=True)
    photos = Path(os.environ.get("TLKIT_TEST_DATA", "/nowhere")) / "images"
    sources = {"digits": folder / "all", "hymenoptera": photos / "hymenoptera", "sign_digits": photos / "sign_digits"}
    for name, source in sources.items():
        for file in sorted(source.rglob("*.*")):
            target = folder / name / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            if len(list(target.parent.iterdir())) < IMAGES:
                shutil.copyfile(file, target)
    return [folder / name for name in sources if (folder / name).is_dir()]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=ROOT / "build" / "widths")
def main(folder: Path) -> None:
    """Count lines wider than the terminal; runs go to FOLDER, which is made anew."""
    folder = folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ |= {"TLKIT_CACHE": str(folder / "cache"), "KERAS_HOME": str(folder / "keras")}
    total = 0
    for data in data_folders(folder):
        for width in WIDTHS:
            (work := folder / f"{data.name}-{width}").mkdir()
            for command in COMMANDS:
                words = [word.format(data=f"../{data.name}") for word in command]
                wide = too_wide(words, work, width)
                total += len(wide)
                for line in dict.fromkeys(wide):
                    click.echo(f"{data.name} {width}: tlkit {' '.join(words)}\n  {cell_len(line)}: {line}")
    click.echo(f"{total} lines wider than the terminal")
    sys.exit(bool(total))


if __name__ == "__main__":
    main()
