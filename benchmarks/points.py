"""Points of a peer: how long its training took so far, and what its model says of the test images.

The scripts `peer_*.py` use it; it imports nothing that is not in Python. A point is a line of JSON on standard output:
its name, the seconds since the process was started, without those of earlier points, and a class for each test image.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path


class Points:
    """The clock of a process; the time in which test images are classified does not count."""

    def __init__(self) -> None:
        self._started = float(os.environ.get("PEER_STARTED", time.time()))

    def add(self, name: str, classify: Callable[[], Mapping[str, str]]) -> None:
        """Write a point.

        classify   gives the class of each test image, by its path in the folder of the tests
        """
        seconds = time.time() - self._started
        paused = time.time()
        print(json.dumps({"name": name, "seconds": seconds, "predicted": dict(classify())}), flush=True)
        self._started += time.time() - paused


def peer_options(description: str) -> argparse.ArgumentParser:
    """Make the parser of the options that all peers have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("train", type=Path, help="a folder with one subfolder of images per class")
    parser.add_argument("test", type=Path, help="the same, of images that the model is scored on")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def add_epochs(parser: argparse.ArgumentParser) -> None:
    """Add the epochs after which a point is written."""
    parser.add_argument("--frozen", type=int, nargs="+", default=[2], help="epochs with a frozen network")
    parser.add_argument("--whole", type=int, nargs="*", default=[], help="epochs of the whole network after that")


def images_of(folder: Path) -> list[str]:
    """List the images of a folder of classes by their paths in it, in order."""
    return sorted(file.relative_to(folder).as_posix() for file in folder.glob("*/*"))
